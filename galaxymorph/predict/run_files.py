"""Files of a run that predicting depends on, and those that it writes. No PyTorch here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galaxymorph.learn import Run

WEIGHTS, DESCRIPTION, SPLIT = "model.safetensors", "model.json", "split.csv"
EMBEDDINGS = "embeddings.npz"
QUANTIZED = "model.int8.onnx"
PICKLE = ".pkl"
UNCERTAINTY, UNCERTAINTY_TABLE = "uncertainty.json", "uncertainty_test.parquet"
# Of a folder of a catalogue's predictions, and of galaxies for Zooniverse.
CATALOGUE, PARTITIONS = "_catalogue.json", "part-*.parquet"
MANIFEST = "manifest.csv"


def has_embeddings(run: Run) -> bool:
    """Tell whether a run has the embeddings of its galaxies: former versions wrote none."""
    return (run.members[0].path / EMBEDDINGS).exists()

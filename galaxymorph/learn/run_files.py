"""Names of the files in a run's folder, for all rooms. Nothing here imports PyTorch."""

from __future__ import annotations

RECIPE = "recipe.json"
ENVIRONMENT = "environment.json"
SPLIT = "split.csv"
# The galaxies of further sources, which only train.
SOURCES = "sources.csv"
# The unlabelled images that train.
UNLABELLED = "unlabelled.csv"
# Of a soft target: the means over the galaxies that train, to compare predictions with.
TRAIN_MEANS = "train_means.json"
REJECTED = "rejected.csv"
HISTORY = "history.csv"
# fastai's export, and the format without code: weights, and what inputs and outputs mean.
EXPORT = "model.pkl"
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
EMBEDDINGS = "embeddings.npz"
# In int8, by `export --format onnx-int8`.
QUANTIZED = "model.int8.onnx"
METRICS = "metrics.json"
CALIBRATION = "calibration.json"
# Of a tree: classes of label schemes from its fractions.
SCHEME_CLASSES = "scheme_classes.json"
# Of a tree: its fractions as those of a catalogue's votes.
VOTE_MAPS = "vote_maps.json"
UNCERTAINTY = "uncertainty.json"
UNCERTAINTY_TABLE = "uncertainty_test.parquet"
ROBUSTNESS = "robustness.json"
ROBUSTNESS_TABLE = "robustness.parquet"
CARD = "model-card.md"
REPORT = "report.html"
# Files under names of earlier versions.
FORMER_FILES = {"doubt.json": UNCERTAINTY, "doubt_test.parquet": UNCERTAINTY_TABLE}


def predictions_file(part: str) -> str:
    """Return the name of the table of predictions for a part of the split."""
    return f"predictions_{part}.parquet"

"""Names of the files in a run's folder."""

from __future__ import annotations

RECIPE = "recipe.json"
ENVIRONMENT = "environment.json"
SPLIT = "split.csv"
# Of a soft target: the means over the galaxies that train, to compare predictions with.
TRAIN_MEANS = "train_means.json"
REJECTED = "rejected.csv"
HISTORY = "history.csv"
# fastai's export, and the format without code: weights, and what inputs and outputs mean.
EXPORT = "model.pkl"
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
EMBEDDINGS = "embeddings.npz"
METRICS = "metrics.json"
CALIBRATION = "calibration.json"
UNCERTAINTY = "uncertainty.json"
ROBUSTNESS = "robustness.json"
CARD = "model-card.md"
REPORT = "report.html"
# Files under names of earlier versions.
FORMER_FILES = {"doubt.json": UNCERTAINTY, "doubt_test.parquet": "uncertainty_test.parquet"}


def predictions_file(part: str) -> str:
    """Return the name of the table of predictions for a part of the split."""
    return f"predictions_{part}.parquet"

"""Names that tables have in common: the prefixes of columns, and the parts of a split."""

from __future__ import annotations

from collections.abc import Iterable

# Before the name of a class or an answer, in tables of galaxies and of predictions.
PROBABILITY = "p_"  # of the class, by the model
TARGET = "target_"  # the share that volunteers gave
COUNT = "count_"  # the number of volunteers
DEVIATION = "sd_"  # the predicted fraction's standard deviation
EXPECTED = "expected_"  # the fraction that simulated votes are drawn from
EVENT = "event_"  # whether a condition on the fractions holds: 1, 0, or NaN where unknown
PICTURE = "picture"  # what images of one galaxy have in common
GIVEN = "given_split"  # the part of the split that the user's table gives
WORD = "word_"  # of a column of the user's table
CALIBRATED = "calibrated_"  # before `CALIBRATED + name` of a class, or a deviation's whole name

# Of galaxies that train from several sources: the position of the answer with the largest fraction,
# the weight in the loss, and the source's number, 0 for the main catalogue.
LARGEST, WEIGHT, SOURCE = "largest_answer", "weight", "source"

# A split's parts, in the order of `split.csv`.
TRAIN, VALID, CALIBRATION, TEST = PARTS = ("train", "valid", "calibration", "test")
# The parts as users' tables may call them.
PART_NAMES = {
    **dict.fromkeys(("train", "training", "train_set", "trainset"), TRAIN),
    **dict.fromkeys(("valid", "validation", "val", "dev"), VALID),
    **dict.fromkeys(("calibration", "calib", "cal"), CALIBRATION),
    **dict.fromkeys(("test", "testing", "test_set", "testset"), TEST),
}


def prefixed(prefix: str, names: Iterable[str]) -> list[str]:
    """Return the columns of some classes or answers."""
    return [prefix + name for name in names]


def without_prefix(prefix: str, columns: Iterable[str]) -> list[str]:
    """Return the classes or answers of the columns that begin with a prefix."""
    return [name.removeprefix(prefix) for name in columns if name.startswith(prefix)]

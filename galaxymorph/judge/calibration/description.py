"""All that calibrates a model, of a run or in the description of an exported file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from galaxymorph.judge.calibration.calibrators import Calibrator
from galaxymorph.judge.calibration.scheme_classes import (
    SchemeClasses,
    describe_schemes,
    described_schemes,
    load_scheme_classes,
)
from galaxymorph.judge.calibration.stored_calibration import (
    describe_calibrators,
    described_calibrators,
    load_calibrators,
)
from galaxymorph.judge.calibration.vote_maps import (
    VoteMap,
    describe_vote_maps,
    described_vote_maps,
    load_vote_maps,
)
from galaxymorph.learn import Run
from galaxymorph.zoo import Tree


class ModelCalibration(TypedDict):
    """The arguments of `BasePredictor` by which a model is calibrated."""

    calibrators: list[Calibrator] | None
    schemes: list[SchemeClasses]
    vote_maps: list[VoteMap]


UNCALIBRATED: ModelCalibration = {"calibrators": None, "schemes": [], "vote_maps": []}


def load_calibration(run: Run) -> ModelCalibration:
    """Return what calibrates a run's model.

    Raises:
        BadInput: a file of it is damaged.
    """
    return {
        "calibrators": load_calibrators(run),
        "schemes": load_scheme_classes(run),
        "vote_maps": load_vote_maps(run),
    }


def describe_calibration(run: Run) -> dict[str, Any]:
    """Return the entries of a run's calibration in an exported file; nothing if there is none."""
    return describe_calibrators(run) | describe_schemes(run) | describe_vote_maps(run)


def described_calibration(
    description: Mapping[str, Any], tree: Tree | None, name: str
) -> ModelCalibration:
    """Return what calibrates the model of an exported file, by its description.

    Args:
        description: with the model's `outputs`.
        tree: whose answers the model predicts, None of classes.
        name: of the file, for errors.

    Raises:
        BadInput: it is damaged, or of a method that this version doesn't have.
    """
    return {
        "calibrators": described_calibrators(description, name),
        "schemes": described_schemes(description, len(description["outputs"]), name),
        "vote_maps": described_vote_maps(description, tree, name),
    }

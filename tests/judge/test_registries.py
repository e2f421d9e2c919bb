"""A user's calibrator, set method and attribution method are one entry each."""

import importlib
import shutil

import numpy as np
import pytest

from galaxymorph.judge import (
    ATTRIBUTION_METHODS,
    CALIBRATORS,
    SET_METHODS,
    AttributionMethod,
    calibrate_run,
    load_calibrators,
)
from galaxymorph.judge.calibration.calibrators import Method
from galaxymorph.judge.calibration.set_methods import SetMethod
from galaxymorph.learn import Run


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    for registry in (ATTRIBUTION_METHODS, CALIBRATORS, SET_METHODS):
        monkeypatch.setattr(registry, "_entries", dict(registry))


def test_a_users_calibrator_and_set_method_calibrate_a_run(run, tmp_path):
    def apply(probabilities, parameters):
        share = parameters["share"][0]
        return (1 - share) * probabilities + share / probabilities.shape[1]

    CALIBRATORS.register("mixed", Method("mixed", lambda p, truth: {"share": [0.5]}, apply))
    SET_METHODS.register("square", SetMethod("squared", lambda p: np.square(1 - p)))
    path = shutil.copytree(run, tmp_path / "run")
    record = calibrate_run(Run(path), method="mixed", sets="square").record
    assert (record["method"], record["sets"]["method"]) == ("mixed", "square")
    assert any("square" in name for name in record["sets"]["study"]["methods"])
    (calibrator,) = load_calibrators(Run(path))
    assert calibrator(np.array([[1.0, 0.0, 0.0]])).max() < 0.7


def test_options_offer_a_users_entries():
    CALIBRATORS.register("mixed", Method("mixed", lambda p, truth: {}, lambda p, parameters: p))
    SET_METHODS.register("square", SetMethod("squared", lambda p: np.square(1 - p)))
    ATTRIBUTION_METHODS.register(
        "flat", AttributionMethod("Flat", lambda network, batch, targets, skies: batch[:, 0], 10, 2)
    )
    from galaxymorph.cli import calibrate, explain

    choices = {
        (module.__name__.split(".")[-1], option.name): list(option.type.choices)
        for module in (calibrate, explain)
        for option in vars(importlib.reload(module))[module.__name__.split(".")[-1]].params
        if hasattr(option.type, "choices")
    }
    assert "square" in choices["calibrate", "sets"]
    assert "mixed" in choices["calibrate", "method"]
    assert "flat" in choices["explain", "method"]

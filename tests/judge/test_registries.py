"""A user's calibrator, set method, attribution method, check and suite are one entry each."""

import importlib
import shutil

import numpy as np
import pytest

from galaxymorph.base import BadInput
from galaxymorph.judge import (
    ATTRIBUTION_METHODS,
    CALIBRATORS,
    SET_METHODS,
    SUITES,
    AttributionMethod,
    calibrate_run,
    load_calibrators,
    physics_checks,
    robustness_settings,
    shortcut_table,
)
from galaxymorph.judge.calibration.calibrators import Method
from galaxymorph.judge.calibration.set_methods import SetMethod
from galaxymorph.judge.explain.changes import Change
from galaxymorph.judge.explain.physics import PHYSICS_CHECKS
from galaxymorph.judge.explain.shortcuts import CHANGES
from galaxymorph.judge.robustness.conditions import Suite
from galaxymorph.learn import Run
from tests.judge.planted import planted


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    for registry in (
        ATTRIBUTION_METHODS,
        CALIBRATORS,
        CHANGES,
        PHYSICS_CHECKS,
        SET_METHODS,
        SUITES,
    ):
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


def test_a_users_suite_fixes_its_severities_and_is_offered(run):
    SUITES.register("mine", Suite("brightness at severity 2", ("brightness",), (2,)))
    settings = robustness_settings(Run(run), "mine", (1, 5), None)
    assert settings == {"suite": "mine", "severities": [2], "views": 1}
    with pytest.raises(BadInput, match="suite 'other' is unknown"):
        robustness_settings(Run(run), "other", (1,), None)


def test_a_users_checks_are_made_of_the_galaxies_that_they_affect():
    model, patch = planted()
    rows = np.arange(len(patch))
    some = np.arange(len(patch)) < 4
    PHYSICS_CHECKS.register("exchanged", Change(lambda model, rows: model.pixels(rows).flip(1)))
    PHYSICS_CHECKS.register(
        "of none", Change(PHYSICS_CHECKS["mirrored"].apply, lambda _: ~some & some)
    )
    CHANGES.register("as before", Change(lambda model, rows: model.pixels(rows), lambda _: some))
    checks = {row["check"]: row for row in physics_checks(model, rows)}
    assert "of none" not in checks
    assert checks["exchanged"]["changed"]["value"] == 1
    changes = {row["change"]: row for row in shortcut_table(model, rows)}
    assert changes["as before"]["galaxies"] == 4
    assert changes["as before"]["distance"]["value"] == 0

"""A smaller version of benchmarks/coverage.py, whose figures docs/statistics.md has."""

import json
from pathlib import Path

import pytest
from scipy.stats import binom

from benchmarks import coverage

# The share of seeds on which a case here would fail although all is well.
FALSE_ALARM = 1e-5
STORED = json.loads(coverage.RESULTS.read_text())


@pytest.mark.parametrize(
    ("study", "runs", "least"),
    [
        ("proportions (Wilson), nominal 0.95", 100, 0.86),
        ("F1, nominal 0.95", 60, 0.9),
        ("accuracy of what is kept, nominal 0.95 or more", 100, 0.95),
    ],
)
def test_intervals_cover_as_the_documents_say(study, runs, least):
    """Each case's number of covered runs against the binomial of a coverage of `least`."""
    for case, value in coverage.STUDIES[study](runs).items():
        assert round(value * runs) >= binom(runs, least).ppf(FALSE_ALARM), case


def test_a_wrong_verdict_is_rare_whatever_the_number():
    found = coverage.STUDIES["wrong verdicts of physics checks, at most 0.025"](1)
    assert max(found.values()) <= 0.025


def test_the_stored_figures_are_of_these_studies_and_cover():
    assert set(STORED["studies"]) == set(coverage.STUDIES)
    assert STORED["runs"] >= 100
    for study, cases in STORED["studies"].items():
        if "nominal 0.95" in study and "proportions" not in study:
            for case, value in cases.items():
                assert value > 0.85, (study, case)


def test_the_document_has_the_stored_figures():
    words = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text()
    for study, cases in STORED["studies"].items():
        low, high = min(cases.values()), max(cases.values())
        if "nominal 0.95" in study:
            assert f"{low:.3f} to {high:.3f}" in words, study

"""Galleries of a run's galaxies."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from galaxymorph.judge import galleries_of
from galaxymorph.judge.galleries import disagreements
from galaxymorph.judge.metrics.questions import Questions
from galaxymorph.learn import Run
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE


@pytest.mark.parametrize("name", ["E/S0", "../../../evil", "S0 a"])
def test_a_class_name_leads_a_galleries_file_nowhere(run, monkeypatch, name):
    finished = Run(run)
    predictions = finished.predictions("test").replace({"label": {"spiral": name}})
    classes = [name if label == "spiral" else label for label in finished.classes]
    monkeypatch.setattr("galaxymorph.judge.galleries.top_losses", lambda *_: predictions)
    monkeypatch.setattr(Run, "classes", classes)
    monkeypatch.setattr(Run, "predictions", lambda *_: predictions)
    names = list(galleries_of(finished))
    assert any("S0" in each or "evil" in each for each in names)
    assert all(each.count("/") <= 1 and ".." not in each.split("/")[0] for each in names)


def test_galleries_of_disagreement_have_no_galaxy_on_which_volunteers_agree(monkeypatch):
    tree = GALAXY_ZOO_CHALLENGE
    # Volunteers who answer the first question alone, and all that nothing is odd.
    votes, predicted = np.zeros((2, 6, len(tree.columns)))
    votes[:, 0] = [1.0, 0.99, 0.98, 0.6, 0.5, 0.7]
    predicted[:, 0] = [0.5, 0.99, 0.98, 0.95, 0.9, 0.6]
    for fractions in (votes, predicted):
        fractions[:, 1] = 1 - fractions[:, 0]
        fractions[:, tree.columns.index("Class6.2")] = 1
    questions = Questions(tree, votes, predicted)
    monkeypatch.setattr("galaxymorph.judge.galleries.questions_of", lambda *_: questions)
    table = pd.DataFrame({"galaxy": list("abcdef")})
    by_entropy, by_excess = disagreements(SimpleNamespace(), table)
    assert list(by_entropy["galaxy"]) == ["e", "d", "f"]
    # Of the last, the model is less certain than volunteers are.
    assert list(by_excess["galaxy"]) == ["d", "e"]
    assert list(by_excess["volunteers"]) == [0.6, 0.5]

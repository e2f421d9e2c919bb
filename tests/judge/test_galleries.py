"""Galleries of a run's galaxies."""

import pytest

from galaxymorph.judge import galleries_of
from galaxymorph.learn import Run


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

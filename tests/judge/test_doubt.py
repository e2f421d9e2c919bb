"""Doubt: its parts, what is worth asking, and the command that asks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxymorph.judge import doubt_of, worth_asking
from tests.conftest import galaxymorph


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(1, 20), st.integers(2, 5), st.integers(0, 10**6))
def test_total_doubt_is_the_sum_of_its_parts(samples, n, classes, seed):
    drawn = np.random.default_rng(seed).dirichlet(np.ones(classes), (samples, n))
    doubt = doubt_of(drawn)
    assert np.allclose(doubt.total, doubt.aleatoric + doubt.epistemic)
    assert (doubt.epistemic >= 0).all()
    assert (doubt.total <= np.log(classes) + 1e-9).all()
    assert np.allclose(doubt_of(drawn[:1]).epistemic, 0)


def test_models_that_contradict_each_other_doubt_otherwise_than_models_that_agree_on_a_tie():
    contradicting = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    doubt = doubt_of(contradicting)
    assert doubt.total.tolist() == pytest.approx([np.log(2)] * 2)
    assert doubt.epistemic.tolist() == pytest.approx([np.log(2), 0])


def test_what_is_worth_asking_is_doubtful_and_diverse():
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(4) * 10, 25, axis=0)
    doubt = rng.uniform(0.5, 1, 100)
    chosen = worth_asking(doubt, centres + rng.normal(0, 0.1, centres.shape), 4, seed=0)
    assert sorted(chosen // 25) == [0, 1, 2, 3]
    assert all(doubt[at] == doubt[at // 25 * 25 : at // 25 * 25 + 25].max() for at in chosen)
    # Galaxies beyond the candidates are never chosen, however unlike the others.
    assert set(worth_asking(doubt, rng.normal(size=(100, 3)), 2, 0)) <= set(doubt.argsort()[-20:])
    assert len(worth_asking(doubt, np.zeros((100, 3)), 7, 0)) == 7
    assert sorted(worth_asking(doubt, centres, 1000, 0)) == list(range(100))


def test_triage_writes_a_folder_that_zooniverse_takes(run, simple, tmp_path):
    images, out = simple / "images_training_rev1", tmp_path / "asked"
    assert galaxymorph("triage", run, images, "-o", out, "--number", "5") == 0
    manifest = pd.read_csv(out / "manifest.csv", dtype={"galaxy": str})
    assert list(manifest)[:2] == ["image", "galaxy"]
    # Columns that start so are hidden from volunteers.
    assert all(name.startswith("#") for name in list(manifest)[2:])
    for name in manifest["image"]:
        assert (out / name).read_bytes() == (images / name).read_bytes()
    assert manifest["galaxy"].nunique() == 5
    assert (manifest["#mutual_information"].diff().dropna() <= 0).all()


@pytest.mark.parametrize(
    ("source", "words"), [("dropout", "drops nothing"), ("ensemble", "one model is no ensemble")]
)
def test_a_source_that_a_run_has_not_is_refused(run, simple, tmp_path, capsys, source, words):
    command = ["triage", run, simple / "images_training_rev1", "-o", tmp_path / "asked"]
    assert galaxymorph(*command, "--source", source) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "asked").exists()

"""Uncertainty: its parts, which galaxies to label, and the command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import spearmanr

from galaxymorph.judge import (
    QUADRANTS,
    aurc,
    choose_for_labelling,
    compare_runs,
    decompose_uncertainty,
    entropy,
    question_entropy,
    uncertainty_quadrants,
)
from galaxymorph.learn import Run
from galaxymorph.report.page_content import PageContent
from galaxymorph.report.sections import gather_sections
from galaxymorph.report.server.markup import section_template
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMES, soft_targets
from tests.conftest import QUICK, RECIPE, galaxymorph
from tests.judge.test_vote_fractions import fractions

TREE = GALAXY_ZOO_CHALLENGE


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(1, 20), st.integers(2, 5), st.integers(0, 10**6))
def test_total_uncertainty_is_the_sum_of_its_parts(samples, n, classes, seed):
    drawn = np.random.default_rng(seed).dirichlet(np.ones(classes), (samples, n))
    uncertainty = decompose_uncertainty(drawn)
    assert np.allclose(uncertainty.total, uncertainty.aleatoric + uncertainty.epistemic)
    assert (uncertainty.epistemic >= 0).all()
    assert (uncertainty.total <= np.log(classes) + 1e-9).all()
    assert np.allclose(decompose_uncertainty(drawn[:1]).epistemic, 0)


def test_models_that_contradict_each_other_differ_from_models_that_agree_on_a_tie():
    contradicting = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    uncertainty = decompose_uncertainty(contradicting)
    assert uncertainty.total.tolist() == pytest.approx([np.log(2)] * 2)
    assert uncertainty.epistemic.tolist() == pytest.approx([np.log(2), 0])


def test_what_is_worth_asking_is_uncertain_and_diverse():
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(4) * 10, 25, axis=0)
    uncertainty = rng.uniform(0.5, 1, 100)
    chosen = choose_for_labelling(
        uncertainty, centres + rng.normal(0, 0.1, centres.shape), 4, seed=0
    )
    assert sorted(chosen // 25) == [0, 1, 2, 3]
    assert all(
        uncertainty[at] == uncertainty[at // 25 * 25 : at // 25 * 25 + 25].max() for at in chosen
    )
    # Galaxies beyond the candidates are never chosen, however unlike the others.
    assert set(choose_for_labelling(uncertainty, rng.normal(size=(100, 3)), 2, 0)) <= set(
        uncertainty.argsort()[-20:]
    )
    assert len(choose_for_labelling(uncertainty, np.zeros((100, 3)), 7, 0)) == 7
    assert sorted(choose_for_labelling(uncertainty, centres, 1000, 0)) == list(range(100))


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


def test_triage_renders_what_zooniverse_does_not_show_and_numbers_namesakes(run, tmp_path):
    place, rng = tmp_path / "place", np.random.default_rng(0)
    for name, kind in (
        ("a/1.jpg", "JPEG"),
        ("b/1.JPG", "JPEG"),
        ("1.tif", "TIFF"),
        ("2.png", "PNG"),
        ("small.png", "PNG"),
        ("3.webp", "WEBP"),
        ("big.bmp", "BMP"),
        ("manifest", "PNG"),
    ):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Each a picture of its own: of copies only one is handed out.
        noise = rng.integers(0, 256, (1100, 1100, 1), dtype=np.uint8).repeat(3, axis=2)
        shape = (slice(700), slice(700)) if name.startswith("a") else (slice(300), slice(300))
        pixels = noise if name in ("2.png", "big.bmp") else noise[shape]
        Image.fromarray(np.ascontiguousarray(pixels)).save(path, kind)
    fits.PrimaryHDU(rng.normal(0, 1, (64, 64)).astype("float32")).writeto(place / "4.fits")
    out = tmp_path / "asked"
    assert galaxymorph("triage", run, place, "-o", out, "--number", "20") == 0
    manifest = pd.read_csv(out / "manifest.csv", dtype=str)
    assert sorted(manifest["image"]) == sorted(
        [
            "1.jpg",
            "1-2.jpg",
            "1-3.jpg",
            "2.jpg",
            "3.jpg",
            "4.jpg",
            "big.jpg",
            "manifest.png",
            "small.png",
        ]
    )
    assert {path.name for path in out.iterdir()} == {*manifest["image"], "manifest.csv"}
    for image, galaxy, source in manifest[["image", "galaxy", "#source"]].itertuples(index=False):
        path = out / image
        assert path.stat().st_size < 1_000_000
        assert galaxy == Path(source).stem
        with Image.open(path) as shown:
            assert shown.format == {".jpg": "JPEG", ".png": "PNG"}[path.suffix]
            if Path(source).suffix in (".jpg", ".JPG") or galaxy == "small":
                assert path.read_bytes() == Path(source).read_bytes()
            elif path.stem in ("1", "2", "3", "big"):
                original = np.asarray(Image.open(source).convert("RGB"), float)
                assert shown.size == Image.open(source).size
                assert abs(np.asarray(shown, float) - original).mean() < 15


def test_triage_hands_out_one_of_each_picture(run, simple, tmp_path, capsys):
    """20 copies of one, and one saved anew: it handed out all of them."""
    images, many = sorted((simple / "images_training_rev1").glob("*.jpg"))[:12], tmp_path / "many"
    many.mkdir()
    for path in images:
        shutil.copy(path, many)
    for number in range(20):
        shutil.copy(images[3], many / f"copy{number}.jpg")
    Image.open(images[5]).save(many / "again.png")
    out = tmp_path / "asked"
    assert galaxymorph("triage", run, many, "-o", out, "--number", "40") == 0
    chosen = [Path(name).stem for name in pd.read_csv(out / "manifest.csv")["image"]]
    assert len(chosen) == len(images)
    assert sum(name.startswith("copy") or name == images[3].stem for name in chosen) == 1
    assert sum(name in ("again", images[5].stem) for name in chosen) == 1
    assert "21 copies of other images excluded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "words"), [("dropout", "has no dropout"), ("ensemble", "one model is no ensemble")]
)
def test_a_source_that_a_run_has_not_is_refused(run, simple, tmp_path, capsys, source, words):
    command = ["triage", run, simple / "images_training_rev1", "-o", tmp_path / "asked"]
    assert galaxymorph(*command, "--source", source) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "asked").exists()


def test_entropies_of_a_tree_are_of_walks_and_add_up():
    rng = np.random.default_rng(1)
    samples = np.stack([fractions(TREE, 30, rng) for _ in range(6)])
    uncertainty = decompose_uncertainty(
        samples, lambda each: question_entropy(TREE, each).sum(axis=1)
    )
    assert np.allclose(uncertainty.total, uncertainty.aleatoric + uncertainty.epistemic)
    assert (uncertainty.epistemic > 0).all()
    same = decompose_uncertainty(
        samples[:1].repeat(4, axis=0), lambda each: question_entropy(TREE, each).sum(1)
    )
    assert np.allclose(same.epistemic, 0, atol=1e-9)


@given(st.integers(0, 1000), st.integers(2, 60))
@settings(max_examples=60, deadline=None)
def test_a_galaxy_stands_in_one_corner_at_most(seed, n):
    rng = np.random.default_rng(seed)
    model, volunteers = rng.random((2, n))
    agree = rng.random(n) < 0.7
    found = uncertainty_quadrants(model, volunteers, agree)
    assert found.keys() == QUADRANTS.keys()
    rows = np.concatenate(list(found.values()))
    assert len(set(rows.tolist())) == len(rows)
    assert agree[found["both_certain"]].all()
    for at in found["model_uncertain"]:
        assert model[at] >= np.median(model)
        assert volunteers[at] <= np.median(volunteers)


def test_uncertainty_compares_the_sources_with_each_other_and_with_volunteers(
    run, simple, tmp_path, capsys
):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    assert galaxymorph("uncertainty", own) == 0
    said = capsys.readouterr()
    assert "without source dropout" in said.err
    page = (own / "report.html").read_text()
    assert "Sources of uncertainty, 95 % intervals" in page
    assert "accepted at 99% accuracy" in page and "separates misclassified galaxies" in page
    assert 'alt="Uncertainty of model and volunteers above the median' in page
    record = json.loads((own / "uncertainty.json").read_text())
    assert list(record["sources"]) == ["single", "views"]
    assert [each["passes"] for each in record["sources"].values()] == [1, 8]
    table = pd.read_parquet(own / "uncertainty_test.parquet")
    test = pd.read_parquet(own / "predictions_test.parquet")
    assert table["galaxy"].tolist() == test["galaxy"].tolist()
    shares = test[["p_elliptical", "p_spiral", "p_irregular"]].to_numpy(float)
    assert np.allclose(table["single_total"], entropy(shares), atol=2e-2)
    assert np.allclose(
        table["views_total"], table["views_aleatoric"] + table["views_epistemic"], atol=1e-5
    )
    scores = record["sources"]["single"]["scores"]
    wrong = (test["predicted"] != test["label"]).to_numpy()
    assert scores["risk"]["value"] == pytest.approx(wrong.mean(), abs=1e-6)
    metrics = json.loads((own / "metrics.json").read_text())["test"]
    for name in ("macro_f1", "accuracy"):
        assert scores[name] == metrics[name]
    expected = aurc(table["views_total"].to_numpy(), table["views_risk"].to_numpy())
    assert record["sources"]["views"]["scores"]["aurc_total"]["value"] == pytest.approx(
        expected, abs=1e-5
    )
    votes = pd.read_csv(simple / "training_solutions_rev1.csv", dtype={"GalaxyID": str})
    votes = soft_targets(SCHEMES["layer1"], votes.set_index("GalaxyID")).loc[test["galaxy"]]
    assert np.allclose(table["volunteer_entropy"], entropy(votes.to_numpy()), atol=1e-6)
    shares = votes.to_numpy()[np.arange(len(test)), votes.columns.get_indexer(test["label"])]
    assert np.allclose(table["volunteer_fraction"], shares, atol=1e-6)
    found = record["sources"]["views"]["volunteers"]["total"]["value"]
    ranks = spearmanr(table["volunteer_entropy"], table["views_total"]).statistic
    assert found == pytest.approx(ranks, abs=1e-5)
    figures = {path.name for path in (own / "figures").iterdir()}
    assert figures >= {"uncertainty_sources.png", "uncertainty_volunteers.png"}
    assert any(name.startswith("corner_") for name in figures)


@pytest.mark.usefixtures("plain")
def test_a_run_with_dropout_has_it_among_its_sources(simple, tmp_path, capsys):
    fit = ["fit", "--data", simple, "--recipe", RECIPE, "--out", tmp_path, "--name", "run", *QUICK]
    settings_of_it = ["--target", "tree", "--dropout", "0.3", "--epochs", "1", "--members", "2"]
    assert galaxymorph(*fit, *settings_of_it) == 0
    capsys.readouterr()
    assert galaxymorph("uncertainty", tmp_path / "run", "--most", "3") == 0
    assert "mean squared error" in capsys.readouterr().out
    record = json.loads((tmp_path / "run" / "uncertainty.json").read_text())
    assert list(record["sources"]) == ["single", "views", "dropout", "ensemble"]
    assert record["sources"]["dropout"]["scores"]["aurc_epistemic"]["value"] > 0
    assert record["sources"]["ensemble"]["passes"] == 2
    test = pd.read_parquet(tmp_path / "run" / "predictions_test.parquet")
    columns = GALAXY_ZOO_CHALLENGE.columns
    true = test[[f"target_{column}" for column in columns]].to_numpy()
    error = np.square(test[columns].to_numpy() - true).mean()
    found = record["sources"]["ensemble"]["scores"]["risk"]["value"]
    assert found == pytest.approx(error, abs=1e-3)
    content = gather_sections(PageContent(Run(tmp_path / "run")), ["uncertainty"])["uncertainty"]
    page = section_template("uncertainty").render(content=content)
    assert ">mean squared error</th>" in page and f"{found:.4f} (" in page
    assert "by the squared error of their vote fractions" in page and "misclassified" not in page
    # Uncertainty of a tree decides whom to ask, too.
    out, images = tmp_path / "asked", simple / "images_training_rev1"
    command = ["triage", tmp_path / "run", images, "-o", out, "--source", "ensemble"]
    assert galaxymorph(*command, "--number", "5") == 0
    manifest = pd.read_csv(out / "manifest.csv")
    assert set(manifest["#predicted"]) <= {"smooth", "features or disk", "star or artifact"}


def test_the_former_name_still_works_and_former_files_are_renamed(run, tmp_path, capfd):
    own = shutil.copytree(run, tmp_path / "run")
    assert galaxymorph("doubt", own) == 0
    assert "doubt is now called uncertainty" in capfd.readouterr().err
    record = json.loads((own / "uncertainty.json").read_text())
    page = (own / "report.html").read_text()
    scores = compare_runs([Run(own)])["score"].tolist()
    for source in record["sources"].values():
        source["people"] = source.pop("volunteers")
    (own / "uncertainty.json").write_text(json.dumps(record))
    assert compare_runs([Run(own)])["score"].tolist() == scores
    for name in ("uncertainty.json", "uncertainty_test.parquet"):
        (own / name).rename(own / name.replace("uncertainty", "doubt"))
    former = compare_runs([Run(own)])
    assert former["score"].tolist() == scores
    assert set(former["file"]) >= {"metrics", "uncertainty"}
    assert "doubt" not in set(former["file"])
    assert galaxymorph("report", own) == 0
    section = page[page.index("Sources of uncertainty, 95 % intervals") :]
    assert section[:2000] in (own / "report.html").read_text()
    assert galaxymorph("--help") == 0
    assert "doubt" not in capfd.readouterr().out

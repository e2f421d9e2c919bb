"""The model that comes with the package: predictions where no run is named."""

import json
import urllib.request

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import galaxymorph as gm
from galaxymorph.learn import PACKAGE_MODEL
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMES
from tests.conftest import galaxymorph

ANSWERS = GALAXY_ZOO_CHALLENGE.columns
# An image of Kaggle's test part, and of its challenge.
UNLABELLED = "galaxy-zoo-challenge-test"


@pytest.fixture(scope="module")
def galaxy(real):
    return sorted((real / UNLABELLED).glob("images*/*.jpg"))[0]


@pytest.fixture(scope="module")
def noise(new_folder):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    path = new_folder("noise") / "noise.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def predictor():
    return gm.load_predictor()


def test_it_is_one_file_of_at_most_25_mb():
    assert PACKAGE_MODEL.stat().st_size < 25e6


@pytest.mark.real
def test_a_galaxy_is_answered_without_a_run(galaxy, capsys):
    assert galaxymorph("predict", galaxy, "--json") == 0
    out, err = capsys.readouterr()
    (row,) = json.loads(out)
    assert "model: that of this package" in err
    fractions = np.array([row[name] for name in ANSWERS])
    sums = GALAXY_ZOO_CHALLENGE.membership @ fractions
    # The answers of the questions that everybody is asked sum to 1.
    assert np.allclose(sums[GALAXY_ZOO_CHALLENGE.asked_of_all > 0], 1, atol=1e-4)
    for scheme in SCHEMES:
        assert row[scheme] in SCHEMES[scheme].classes
        assert 0 < row[f"{scheme}_confidence"] <= 1
    assert 0 <= row["distance_rank"] < 1


@pytest.mark.real
def test_python_gives_what_the_command_gives(galaxy, predictor, tmp_path):
    assert galaxymorph("predict", galaxy, "-o", tmp_path / "table.csv") == 0
    written = pd.read_csv(tmp_path / "table.csv")
    for table in (predictor.predict(galaxy), gm.predict(images=galaxy)):
        assert np.allclose(table[ANSWERS], written[ANSWERS], atol=2e-3)
        assert table["gz2-five"].iloc[0] == written["gz2-five"].iloc[0]


def test_an_image_unlike_galaxies_is_refused_unless_scores_are_asked_for(noise, tmp_path, capsys):
    assert galaxymorph("predict", noise, "-o", tmp_path / "table.csv") == 1
    refused = pd.read_csv(tmp_path / "table.csv")
    assert list(refused["status"]) == ["unfamiliar"]
    assert refused[ANSWERS].isna().all(axis=None)
    assert refused["distance_rank"].iloc[0] == 1
    assert refused["distance"].iloc[0] > 0
    assert "unlike the galaxies that the model was trained on" in capsys.readouterr().err
    assert galaxymorph("predict", noise, "--outliers", "-o", tmp_path / "scored.csv") == 0
    scored = pd.read_csv(tmp_path / "scored.csv")
    assert scored["distance_rank"].iloc[0] == 1
    assert scored[ANSWERS].notna().all(axis=None)


@pytest.mark.real
def test_a_submission_is_written_without_a_run(real, tmp_path):
    images = sorted((real / UNLABELLED).glob("images*/*.jpg"))[:3]
    out = tmp_path / "submission.csv"
    assert galaxymorph("predict", *images, "--format", "kaggle", "-o", out) == 0
    table = pd.read_csv(out)
    assert list(table.columns) == ["GalaxyID", *ANSWERS]
    assert table["GalaxyID"].astype(str).tolist() == [path.stem for path in images]
    plain = gm.predict(images=images, precision="fp32")
    assert np.allclose(table[ANSWERS], plain[ANSWERS], atol=0.02)


@pytest.mark.real
def test_options_at_their_defaults_change_nothing(galaxy, capsys):
    answers = []
    for options in ([], ["--precision", "auto"], ["--device", "cpu"]):
        assert galaxymorph("predict", galaxy, "--json", *options) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.real
def test_a_catalogue_is_answered_without_a_run(real, noise, tmp_path, capsys):
    images = sorted((real / UNLABELLED).glob("images*/*.jpg"))[:3]
    rows = [str(path) for path in (*images, noise)]
    pd.DataFrame({"image": rows}).to_csv(tmp_path / "images.csv", index=False)
    for _ in range(2):
        capsys.readouterr()
        assert galaxymorph("predict", tmp_path / "images.csv", "-o", f"{tmp_path / 'out'}/") == 0
        told = capsys.readouterr().err
        assert "1 of 4 images (25.0%) refused as unlike the galaxies" in told
        assert "again" not in told
        assert told.count("unlike") == 1
    table = pd.concat(map(pd.read_parquet, sorted((tmp_path / "out").glob("*.parquet"))))
    assert list(table["status"]) == ["ok"] * 3 + ["unfamiliar"]
    assert table["layer1"].notna().tolist() == [True] * 3 + [False]
    scored = tmp_path / "scored"
    assert galaxymorph("predict", tmp_path / "images.csv", "--outliers", "-o", f"{scored}/") == 0
    table = pd.concat(map(pd.read_parquet, sorted(scored.glob("*.parquet"))))
    assert list(table["status"]) == ["ok"] * 4
    assert table["distance_rank"].iloc[-1] == 1


@pytest.mark.real
def test_a_server_answers_without_a_run(galaxy, noise):
    server = gm.serve(port=0)
    try:
        answer = _sent(server.address, galaxy.read_bytes())
        assert set(answer["schemes"]) == set(SCHEMES)
        assert set(answer["answers"]) == set(ANSWERS)
        refusal = _sent(server.address, noise.read_bytes())
        assert refusal["status"] == "unfamiliar"
        assert "outliers" not in refusal["error"]
    finally:
        server.stop()


def _sent(address: str, image: bytes) -> dict:
    request = urllib.request.Request(f"{address}predict", image, {"Content-Type": "image/jpeg"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return json.load(opener.open(request))
    except urllib.error.HTTPError as error:
        return json.load(error)


@pytest.mark.real
def test_its_classes_agree_with_volunteers(real, predictor):
    labels = pd.read_csv(real / "gz2-five" / "labels.csv", dtype=str).iloc[::10]
    folder = real / "gz2-five" / "images_training_rev1"
    ids = labels.iloc[:, 0]
    table = predictor.changed(views=8).predict([str(folder / f"{name}.jpg") for name in ids])
    predicted, truth = table["gz2-five"], labels["label"].to_numpy()
    # The model's card says that these two are confused.
    thin = np.isin(truth, ["edge_on", "smooth_cigar"])
    assert (predicted == truth)[~thin].mean() > 0.95
    assert predicted[thin].isin(["edge_on", "smooth_cigar"]).mean() > 0.85


@pytest.mark.real
def test_crops_have_classes_and_refusals_too(galaxy, noise, tmp_path):
    options = ["--crops", "0.8,1", "-o", tmp_path / "table.csv"]
    assert galaxymorph("predict", galaxy, noise, *options) == 0
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table["status"]) == ["ok", "unfamiliar"]
    for scheme in SCHEMES:
        assert table[scheme].iloc[0] in SCHEMES[scheme].classes
    assert galaxymorph("predict", galaxy, "-o", tmp_path / "whole.csv") == 0
    whole = pd.read_csv(tmp_path / "whole.csv")
    # The distance is that of the model's own crop.
    assert table["distance"].iloc[0] == pytest.approx(whole["distance"].iloc[0], rel=0.02)

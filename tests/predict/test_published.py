"""benchmarks/published.py on stand-ins of the published sets, with known answers."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import published
from galaxymorph.learn import PACKAGE_MODEL
from galaxymorph.zoo import SCHEMAS, read_catalogue
from tests.learn.test_vote_catalogues import catalogue
from tests.makers import write_kaggle_folder

GALAXIES = 60


def write_classes(folder, classes):
    (folder / "images").mkdir()
    names = [classes[at % len(classes)] for at in range(GALAXIES)]
    rng = np.random.default_rng(3)
    for at in range(GALAXIES):
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{at}.png")
    table = pd.DataFrame({"GalaxyID": range(GALAXIES), "label": names})
    table.to_csv(folder / "labels.csv", index=False)
    return table


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Measure a set with features that are given, in place of a network's."""

    def measure(name, data, features):
        monkeypatch.setattr(published, "embed", lambda model, images, rows, settings: features)
        output = tmp_path / "record.json"
        published.main([name, str(data), "--output", str(output)])
        record = json.loads(output.read_text())
        assert record["left_out"] == 0 and record["model"] == PACKAGE_MODEL.name
        return record

    return measure


def planted(labels, noise=0.05):
    """Features that tell classes apart."""
    columns = pd.get_dummies(pd.Series(labels)).to_numpy(float)
    return columns + np.random.default_rng(0).normal(0, noise, columns.shape)


def test_classes_are_recovered_from_features_that_have_them_and_not_from_noise(measured, tmp_path):
    table = write_classes(tmp_path, ["round", "spiral", "edge_on"])
    record = measured("gz2-five", tmp_path, planted(table["label"]))
    assert record["galaxies"] == GALAXIES
    assert record["accuracy"]["value"] == record["macro_f1"]["value"] == 1
    noise = np.random.default_rng(1).normal(size=(GALAXIES, 4))
    record = measured("gz2-five", tmp_path, noise)
    assert record["accuracy"]["low"] < record["accuracy"]["value"] < 0.6


def test_hands_are_told_by_what_a_mirror_changes(measured, tmp_path):
    table = write_classes(tmp_path, ["spiral_clockwise", "spiral_anticlockwise", "elliptical"])
    hands = table["label"][table["label"] != "elliptical"]
    side = np.where(hands == "spiral_clockwise", 1.0, -1.0)
    rng = np.random.default_rng(0)
    # The second feature doesn't depend on the hand.
    first = np.stack([side + rng.normal(0, 0.1, len(side)), rng.normal(size=len(side))], axis=1)
    pairs = np.stack([first, first * [-1, 1]], axis=1).reshape(-1, 2)
    record = measured("gz1-hands", tmp_path, pairs)
    assert record["galaxies"] == len(hands) and record["accuracy"]["value"] == 1
    assert measured("gz1-hands", tmp_path, np.abs(pairs))["accuracy"]["value"] < 0.8


def test_types_and_rated_attributes_of_efigi_are_scored(measured, tmp_path):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    types = rng.integers(-6, 12, GALAXIES)
    bar = np.where(np.arange(GALAXIES) % 3, rng.integers(0, 5, GALAXIES) / 4, -1)
    labels = pd.DataFrame(
        {
            "PGCname": [f"PGC{n}" for n in range(GALAXIES)],
            "T": types,
            "T_inf": types,
            "T_sup": types,
        }
    )
    labels = labels.assign(Bar_Length=bar, Bar_Length_inf=bar, Bar_Length_sup=bar)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    for name in labels["PGCname"]:
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{name}.png")
    features = np.stack([types, bar], axis=1).astype(float)
    record = measured("efigi", tmp_path, features)
    assert record["T"]["within_1"]["value"] == 1 and record["T"]["rmse"]["value"] < 0.3
    assert record["T"]["rmse_of_mean"] == pytest.approx(types.std(), abs=1e-3)
    (name,) = record["attributes"]
    assert name == "Bar_Length"
    assert record["attributes"][name]["galaxies"] == (bar >= 0).sum()
    assert record["attributes"][name]["rmse"]["value"] < 0.05


def test_the_challenge_has_the_error_of_all_columns(measured, tmp_path):
    folder = write_kaggle_folder(tmp_path / "kaggle", GALAXIES)
    votes = read_catalogue(folder).table[list(SCHEMAS["galaxy-zoo-challenge"].tree.columns)]
    record = measured("challenge", folder, votes.to_numpy(float))
    assert record["rmse"]["value"] < 0.02 < record["rmse_of_mean"]
    record = measured("challenge", folder, np.random.default_rng(0).normal(size=(GALAXIES, 3)))
    assert record["rmse"]["value"] == pytest.approx(record["rmse_of_mean"], rel=0.1)


def test_questions_of_decals_are_scored_where_half_of_the_volunteers_reach_them(measured, tmp_path):
    table = catalogue(tmp_path, "decals_dr5", ".csv")
    tree = SCHEMAS["decals_dr5"].tree
    votes = read_catalogue(table, schema="decals_dr5").table[list(tree.columns)].to_numpy(float)
    record = measured("decals-dr5", table, np.nan_to_num(votes))
    first = record["questions"][tree.questions[0].text]
    assert first["galaxies"] == len(votes) and first["accuracy"]["value"] > 0.9
    assert first["agreed"]["galaxies"] <= len(votes)
    assert all(each["galaxies"] <= len(votes) for each in record["questions"].values())


def test_galaxy10_is_read_from_its_file_and_embedded_by_the_model(tmp_path):
    h5py = pytest.importorskip("h5py")
    levels, rng = np.repeat([40, 120, 200], GALAXIES // 3), np.random.default_rng(0)
    images = rng.integers(-20, 20, (GALAXIES, 16, 16, 3)) + levels[:, None, None, None]
    with h5py.File(tmp_path / "Galaxy10_DECals.h5", "w") as file:
        file["images"], file["ans"] = images.astype(np.uint8), (levels // 80).astype(np.uint8)
    output = tmp_path / "record.json"
    published.main(["galaxy10", str(tmp_path / "Galaxy10_DECals.h5"), "--output", str(output)])
    record = json.loads(output.read_text())
    assert set(record["by_share"]) == {"0.01", "0.1", "1.0"}
    assert record["by_share"]["1.0"]["accuracy"]["value"] > 0.9
    assert record["by_share"]["0.01"]["recall"]["0"]["galaxies"] == GALAXIES // 3


def test_galaxies_that_trained_the_model_are_left_out(run, simple, monkeypatch):
    monkeypatch.setattr(published, "embed", lambda model, images, rows, settings: np.array(rows))
    paths = [str(path) for path in sorted((simple / "images_training_rev1").glob("*.jpg"))]
    split = pd.read_csv(run / "split.csv")
    names = set(split.loc[split["split"] != "test", "galaxy"].astype(str))
    kept = [at for at, path in enumerate(paths) if path.rsplit("/")[-1][:-4] not in names]
    labels = pd.DataFrame({"label": paths})
    data = published.Published(paths, labels, lambda rows, labels: {"rows": rows.tolist()})
    record = published.measure(data, run, {})
    assert record == {"left_out": len(paths) - len(kept), "rows": kept}
    assert record["left_out"] > 0

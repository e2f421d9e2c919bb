import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from galaxymorph.base import BadInput
from galaxymorph.zoo import (
    GALAXY_ZOO_CHALLENGE,
    SCHEMES,
    Scheme,
    assign_labels,
    read_catalogue,
    soft_label_catalogue,
    soft_targets,
    split_galaxies,
)
from galaxymorph.zoo.schemes import class_values
from tests.makers import galaxy_images, labels_bytes, write_files


@pytest.fixture(scope="module")
def votes(real):
    folder = real / "galaxy-zoo-challenge"
    return pd.read_csv(folder / "solutions_high_confidence.csv.gz")


@pytest.fixture(scope="module")
def published(real):
    table = pd.read_csv(real / "galaxy-zoo-challenge" / "published_layer1.csv.gz")
    return table.replace({"split": {"val": "valid"}})


def one(**fractions) -> pd.DataFrame:
    row = dict.fromkeys(GALAXY_ZOO_CHALLENGE.columns, 0.0)
    return pd.DataFrame(
        [row | {f"Class{k[1:].replace('_', '.')}": v for k, v in fractions.items()}]
    )


def label(scheme: str, **fractions) -> str | None:
    result = assign_labels(SCHEMES.find(scheme), one(**fractions)).iloc[0]
    return result["label"] if result["kept"] else None


def test_layer1_reproduces_the_published_values_and_labels(votes, published):
    labels = assign_labels(SCHEMES.find("layer1"), votes)
    values = class_values(SCHEMES.find("layer1"), votes)
    assert labels["kept"].all()
    assert (labels["label"] == published["label_name"]).all()
    for name in ("elliptical", "spiral", "irregular"):
        assert np.allclose(values[name], published[f"p_{name}"], atol=1e-9)
    counts = labels["label"].value_counts().to_dict()
    assert counts == {"elliptical": 14_146, "spiral": 1_570, "irregular": 1_137}


def test_layer1_reproduces_the_published_split_row_for_row_in_order(votes, published):
    labels = assign_labels(SCHEMES.find("layer1"), votes)
    table = pd.DataFrame({"galaxy": votes["GalaxyID"], "label": labels["label"]})
    split = split_galaxies(table, list(SCHEMES["layer1"].classes), seed=42)
    for part, galaxies in split.groupby("split"):
        expected = published[published["split"] == part].sort_values("position")
        assert galaxies["galaxy"].tolist() == expected["GalaxyID"].tolist()
    assert split["split"].value_counts().to_dict() == {
        "train": 11_797,
        "valid": 2_528,
        "test": 2_528,
    }


def test_every_spiral_of_layer1_is_an_edge_on_disk(votes):
    spirals = votes[assign_labels(SCHEMES.find("layer1"), votes)["label"] == "spiral"]
    assert (spirals["Class2.1"] > spirals["Class2.2"]).all()
    assert (spirals["Class4.1"] < 0.2).all()


def test_the_other_schemes_on_the_real_votes(votes):
    counts = {}
    for name in ("hubble", "gz2-five"):
        labels = assign_labels(SCHEMES.find(name), votes)
        counts[name] = labels["label"][labels["kept"]].value_counts().to_dict()
    assert counts["hubble"] == {"elliptical": 14_034, "spiral": 1_611, "irregular": 485}
    assert counts["gz2-five"] == {
        "smooth_round": 6_315,
        "smooth_inbetween": 5_471,
        "edge_on": 1_586,
        "spiral": 299,
        "smooth_cigar": 199,
    }


def test_hubble_lets_irregular_precede_from_a_half_up_and_keeps_from_0_7():
    assert label("hubble", c1_1=0.9, c8_4=0.2, c8_6=0.5) == "irregular"
    assert label("hubble", c1_1=0.9, c8_6=0.55) is None
    assert label("hubble", c1_1=0.9, c8_6=0.45) == "elliptical"
    assert label("hubble", c4_1=0.4, c2_1=0.35) == "spiral"
    assert label("hubble", c4_1=0.4, c2_1=0.25) is None


@pytest.mark.parametrize(
    ("fractions", "expected"),
    [
        ({"c1_1": 0.469, "c7_1": 0.5}, "smooth_round"),
        ({"c1_1": 0.468, "c7_1": 0.468}, None),
        ({"c1_1": 0.9, "c7_2": 0.5}, "smooth_inbetween"),
        ({"c1_1": 0.9, "c7_3": 0.6}, "smooth_cigar"),
        ({"c1_2": 0.7, "c2_1": 0.602}, "edge_on"),
        ({"c1_2": 0.9, "c2_2": 0.715, "c4_1": 0.619}, "spiral"),
        ({"c1_2": 0.9, "c2_2": 0.715, "c4_1": 0.618}, None),
    ],
)
def test_gz2_five_cuts_where_the_literature_does(fractions, expected):
    assert label("gz2-five", **fractions) == expected


@hypothesis.given(st.lists(st.floats(0, 1), min_size=37, max_size=37))
def test_every_scheme_labels_any_votes_with_one_of_its_classes(fractions):
    votes = pd.DataFrame([fractions], columns=GALAXY_ZOO_CHALLENGE.columns)
    for scheme in SCHEMES.values():
        result = assign_labels(scheme, votes).iloc[0]
        assert result["label"] in scheme.classes
        assert result["kept"] == (result["value"] >= scheme.keep)


def test_a_scheme_of_ones_own_is_an_entry_in_the_registry(monkeypatch):
    barred = Scheme(
        "bars", {"barred": lambda v: v["Class3.1"], "unbarred": lambda v: v["Class3.2"]}, keep=0.6
    )
    monkeypatch.setattr(SCHEMES, "_entries", dict(SCHEMES))
    SCHEMES.register("bars", barred)
    assert label("bars", c3_1=0.7, c3_2=0.2) == "barred"
    assert label("bars", c3_1=0.5, c3_2=0.4) is None


def test_an_unknown_scheme_is_named_with_the_known_ones():
    with pytest.raises(BadInput, match=r"'hubbel' is unknown; use one of layer1, hubble, gz2-five"):
        SCHEMES.find("hubbel")


def test_soft3_is_the_published_arithmetic_on_the_real_rows(votes, published):
    """From the reference implementation's own three values: plus 1e-8, over their sum."""
    targets = soft_targets(SCHEMES.find("layer1"), votes)
    assert list(targets.columns) == ["elliptical", "spiral", "irregular"]
    values = published[["p_elliptical", "p_spiral", "p_irregular"]].to_numpy() + 1e-8
    expected = values / values.sum(axis=1, keepdims=True)
    assert np.abs(targets.to_numpy() - expected).max() < 1e-6
    assert np.abs(targets.sum(axis=1) - 1).max() < 1e-12
    assert (targets.idxmax(axis=1) == published["label_name"]).all()


def test_soft3_by_hand():
    targets = soft_targets(SCHEMES.find("layer1"), one(c1_1=0.2, c1_2=0.8, c2_1=0.5, c6_1=0.25))
    assert np.allclose(targets, [[0.25, 0.5, 0.25]], atol=1e-7)
    nothing = soft_targets(SCHEMES.find("layer1"), one(c1_3=1.0))
    assert np.allclose(nothing, 1 / 3)


@hypothesis.given(st.lists(st.floats(0, 1), min_size=37, max_size=37))
def test_every_schemes_soft_targets_are_shares_above_0(fractions):
    votes = pd.DataFrame([fractions], columns=GALAXY_ZOO_CHALLENGE.columns)
    for scheme in SCHEMES.values():
        targets = soft_targets(scheme, votes)
        assert list(targets.columns) == list(scheme.classes)
        assert (targets > 0).all(axis=None)
        assert abs(targets.iloc[0].sum() - 1) < 1e-12
        values = class_values(scheme, votes).iloc[0]
        assert values[targets.iloc[0].idxmax()] == pytest.approx(values.max(), abs=1e-7)


def test_soft_labels_leave_no_galaxy_out_and_come_with_the_class_to_stratify_by(kaggle):
    catalogue = read_catalogue(kaggle)
    for scheme in ("layer1", "hubble"):
        table, classes = soft_label_catalogue(catalogue, scheme)
        columns = [f"target_{name}" for name in classes]
        assert list(table.columns) == ["galaxy", "image", "row", "label", *columns]
        assert table["galaxy"].tolist() == catalogue.table["galaxy"].tolist()
        assert (table[columns].to_numpy().argmax(axis=1) == table["label"].map(classes.index)).all()
        expected = soft_targets(SCHEMES.find(scheme), catalogue.table)
        assert np.array_equal(table[columns], expected)


def test_plain_labels_have_no_soft_targets(tmp_path):
    files = {"kinds.csv": labels_bytes(3), **galaxy_images(3)}
    catalogue = read_catalogue(write_files(tmp_path / "mine", files), "kind")
    with pytest.raises(BadInput, match="soft targets need vote fractions"):
        soft_label_catalogue(catalogue, "layer1")

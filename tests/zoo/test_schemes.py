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
    class_values,
    get_scheme,
    split_galaxies,
)


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
    found = assign_labels(get_scheme(scheme), one(**fractions)).iloc[0]
    return found["label"] if found["kept"] else None


def test_layer1_reproduces_the_published_values_and_labels(votes, published):
    labels = assign_labels(get_scheme("layer1"), votes)
    values = class_values(get_scheme("layer1"), votes)
    assert labels["kept"].all()
    assert (labels["label"] == published["label_name"]).all()
    for name in ("elliptical", "spiral", "irregular"):
        assert np.allclose(values[name], published[f"p_{name}"], atol=1e-9)
    counts = labels["label"].value_counts().to_dict()
    assert counts == {"elliptical": 14_146, "spiral": 1_570, "irregular": 1_137}


def test_layer1_reproduces_the_published_split_row_for_row_in_order(votes, published):
    labels = assign_labels(get_scheme("layer1"), votes)
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
    spirals = votes[assign_labels(get_scheme("layer1"), votes)["label"] == "spiral"]
    assert (spirals["Class2.1"] > spirals["Class2.2"]).all()
    assert (spirals["Class4.1"] < 0.2).all()


def test_the_other_schemes_on_the_real_votes(votes):
    counts = {}
    for name in ("hubble", "gz2-five"):
        labels = assign_labels(get_scheme(name), votes)
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
        found = assign_labels(scheme, votes).iloc[0]
        assert found["label"] in scheme.classes
        assert found["kept"] == (found["value"] >= scheme.keep)


def test_a_scheme_of_ones_own_is_an_entry_in_the_registry(monkeypatch):
    barred = Scheme(
        "bars",
        {"barred": lambda v: v["Class3.1"], "unbarred": lambda v: v["Class3.2"]},
        keep=0.6,
    )
    monkeypatch.setitem(SCHEMES, "bars", barred)
    assert label("bars", c3_1=0.7, c3_2=0.2) == "barred"
    assert label("bars", c3_1=0.5, c3_2=0.4) is None


def test_an_unknown_scheme_is_named_with_the_known_ones():
    with pytest.raises(BadInput, match=r"'hubbel' is unknown; use one of layer1, hubble, gz2-five"):
        get_scheme("hubbel")

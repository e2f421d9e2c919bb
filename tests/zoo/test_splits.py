import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxymorph.base import BadInput
from galaxymorph.zoo import fold_splits, split_galaxies

CLASSES = ["a", "b", "c"]


def table(*counts: int) -> pd.DataFrame:
    labels = [name for name, count in zip(CLASSES, counts, strict=False) for _ in range(count)]
    return pd.DataFrame({"galaxy": [str(n) for n in range(len(labels))], "label": labels})


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 80), st.integers(10, 40), st.integers(0, 2**31 - 1))
def test_a_split_puts_each_galaxy_in_one_part_and_every_class_in_each(a, b, seed):
    galaxies = table(a, b)
    split = split_galaxies(galaxies, CLASSES[:2], seed)
    assert sorted(split["galaxy"], key=int) == galaxies["galaxy"].tolist()
    assert (split.groupby("split")["label"].nunique() == 2).all()
    assert split_galaxies(galaxies, CLASSES[:2], seed).equals(split)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(6, 60), st.integers(0, 1000))
def test_every_galaxy_is_tested_in_exactly_one_fold(folds, smallest, seed):
    galaxies = table(60, 30, smallest)
    splits = fold_splits(galaxies, CLASSES, folds, seed)
    tested = [g for split in splits for g in split.loc[split["split"] == "test", "galaxy"]]
    assert sorted(tested, key=int) == galaxies["galaxy"].tolist()
    for split in splits:
        assert sorted(split["galaxy"], key=int) == galaxies["galaxy"].tolist()
        assert set(split["split"]) == {"train", "valid", "test"}


@settings(max_examples=20, deadline=None)
@given(st.integers(10, 40), st.floats(0.02, 0.3), st.integers(0, 1000))
def test_galaxies_that_calibrate_come_from_those_that_train(smallest, share, seed):
    galaxies = table(60, 30, smallest)
    for three, four in zip(
        [split_galaxies(galaxies, CLASSES, seed), *fold_splits(galaxies, CLASSES, 3, seed)],
        [
            split_galaxies(galaxies, CLASSES, seed, calibration=share),
            *fold_splits(galaxies, CLASSES, 3, seed, share),
        ],
        strict=True,
    ):
        before, after = (split.set_index("galaxy")["split"] for split in (three, four))
        moved = after == "calibration"
        assert after[~moved].to_dict() == before[~moved].to_dict()
        assert (before[moved] == "train").all()
        assert moved.sum() == max(3, math.ceil(share * len(galaxies)))


@pytest.mark.parametrize(
    ("galaxies", "words"),
    [
        (table(50), "only class 'a'"),
        (table(), "no galaxy with a class"),
        (table(50, 3, 10), "class 'b' has 3 galaxies"),
        (table(50, 10), "class 'c' has 0 galaxies"),
    ],
)
def test_too_few_galaxies_are_refused_in_words(galaxies, words):
    with pytest.raises(BadInput, match=words):
        split_galaxies(galaxies, CLASSES, 42)


def test_folds_that_a_class_cannot_fill_are_refused():
    with pytest.raises(BadInput, match="'c' has 4 galaxies, but 5-fold .* needs 5"):
        fold_splits(table(50, 20, 4), CLASSES, 5, 42)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(4, 9), min_size=2, max_size=2), st.integers(0, 1000))
def test_a_class_of_four_galaxies_or_more_is_in_every_part(counts, seed):
    galaxies = table(60, *counts)
    split = split_galaxies(galaxies, CLASSES, seed)
    assert sorted(split["galaxy"], key=int) == galaxies["galaxy"].tolist()
    assert split.groupby("split")["label"].nunique().to_dict() == {
        "train": 3,
        "valid": 3,
        "test": 3,
    }
    # As many are held out as were drawn.
    assert (split["split"] != "train").sum() == math.ceil(0.3 * len(galaxies))


def test_a_part_too_small_for_every_class_is_refused_with_its_size():
    words = "parts of 20 and 2 galaxies can't both have all 3 classes; add galaxies, or hold"
    with pytest.raises(BadInput, match=words):
        split_galaxies(table(10, 6, 6), CLASSES, 42, held_out=0.06)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=3), st.integers(0, 1000))
def test_a_rare_stratum_joins_its_neighbour_and_every_galaxy_is_in_one_part(counts, seed):
    galaxies = table(*counts, *[12] * (3 - len(counts)))
    if len(galaxies) < 8:
        return
    split = split_galaxies(galaxies, CLASSES, seed, calibration=0.1, join_rare=True)
    assert sorted(split["galaxy"], key=int) == galaxies["galaxy"].tolist()
    assert {"train", "valid", "calibration", "test"} == set(split["split"])
    assert split_galaxies(galaxies, CLASSES, seed, calibration=0.1, join_rare=True).equals(split)
    folds = fold_splits(galaxies, CLASSES, 3, seed, 0.1, join_rare=True)
    tested = [g for fold in folds for g in fold.loc[fold["split"] == "test", "galaxy"]]
    assert sorted(tested, key=int) == galaxies["galaxy"].tolist()


def test_strata_that_are_large_enough_are_drawn_as_classes_are():
    galaxies = table(50, 20, 10)
    assert split_galaxies(galaxies, CLASSES, 42, join_rare=True).equals(
        split_galaxies(galaxies, CLASSES, 42)
    )
    for joined, plain in zip(
        fold_splits(galaxies, CLASSES, 5, 42, join_rare=True),
        fold_splits(galaxies, CLASSES, 5, 42),
        strict=True,
    ):
        assert joined.equals(plain)


def test_a_rare_stratum_leaves_the_others_in_proportion():
    """Two of 547, as in a table of Galaxy Zoo 2: the others are split as if they were not there."""
    split = split_galaxies(table(414, 131, 2), CLASSES, 42, join_rare=True)
    shares = split[split["label"] == "a"]["split"].value_counts() / 414
    assert shares["train"] == pytest.approx(0.7, abs=0.01)
    assert shares["test"] == pytest.approx(0.15, abs=0.01)


def test_too_few_galaxies_altogether_are_an_error():
    with pytest.raises(BadInput, match="has 7 galaxies with votes, but a split .* needs 8"):
        split_galaxies(table(3, 2, 2), CLASSES, 42, join_rare=True)
    with pytest.raises(BadInput, match="has 9 galaxies with votes, but 5-fold .* needs 10"):
        fold_splits(table(3, 3, 3), CLASSES, 5, 42, join_rare=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 12), st.floats(0.05, 0.2), st.integers(0, 10**6))
def test_a_rare_class_calibrates_and_validates_too_where_two_of_it_train(rare, share, seed):
    """Five of a thousand were missing from the part that calibrates in six of six splits."""
    galaxies = table(700, 300 - rare, rare)
    for split in fold_splits(galaxies, CLASSES, 3, seed, share):
        assert (split.groupby("split")["label"].nunique() == 3).all()
        counts = split["split"].value_counts()
        assert counts["calibration"] == math.ceil(share * 1000)
    if rare >= 7:
        split = split_galaxies(galaxies, CLASSES, seed, calibration=share)
        assert (split.groupby("split")["label"].nunique() == 3).all()
        assert (split["split"] == "calibration").sum() == math.ceil(share * 1000)


def copied(galaxies: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Give a fifth of the galaxies the content of another."""
    rng = np.random.default_rng(seed)
    picture = np.array([f"d{n}" for n in range(len(galaxies))], dtype=object)
    for at in rng.choice(len(galaxies), len(galaxies) // 5, replace=False):
        picture[at] = picture[rng.integers(0, len(galaxies))]
    return galaxies.assign(picture=picture)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_images_of_one_content_are_in_one_part(seed):
    """Of doubled images 47 % were cut across parts."""
    galaxies = copied(table(120, 60, 40), seed)
    split = split_galaxies(galaxies, CLASSES, seed, calibration=0.1)
    assert (split.groupby("picture")["split"].nunique() == 1).all()
    assert sorted(split["galaxy"]) == sorted(galaxies["galaxy"])
    assert split["split"].drop_duplicates().tolist() == ["train", "valid", "calibration", "test"]
    # Those without a copy stay where they were drawn.
    drawn = split_galaxies(galaxies.drop(columns="picture"), CLASSES, seed, calibration=0.1)
    alone = ~galaxies["picture"].duplicated(keep=False)
    names = set(galaxies["galaxy"][alone])
    parts = [
        item[item["galaxy"].isin(names)].set_index("galaxy")["split"] for item in (split, drawn)
    ]
    assert parts[0].equals(parts[1])
    folds = fold_splits(galaxies, CLASSES, 4, seed, calibration=0.1)
    for fold in folds:
        assert (fold.groupby("picture")["split"].nunique() == 1).all()
        assert sorted(fold["galaxy"]) == sorted(galaxies["galaxy"])
    tested = [g for fold in folds for g in fold.loc[fold["split"] == "test", "galaxy"]]
    assert sorted(tested) == sorted(galaxies["galaxy"])


@pytest.mark.parametrize("digests", [None, "", "each"])
def test_without_copies_a_split_is_the_one_without_digests(digests):
    galaxies = table(90, 40, 20)
    message = (
        galaxies
        if digests is None
        else galaxies.assign(digest=[f"{digests}{n}" if digests else "" for n in range(150)])
    )
    for plain, result in zip(
        [
            split_galaxies(galaxies, CLASSES, 42, calibration=0.1),
            *fold_splits(galaxies, CLASSES, 3, 42, 0.1),
        ],
        [
            split_galaxies(message, CLASSES, 42, calibration=0.1),
            *fold_splits(message, CLASSES, 3, 42, 0.1),
        ],
        strict=True,
    ):
        assert result[["galaxy", "split"]].equals(plain[["galaxy", "split"]])

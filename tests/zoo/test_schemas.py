import json
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from galaxymorph.base import BadInput
from galaxymorph.zoo import (
    GALAXY_ZOO_CHALLENGE,
    SCHEMAS,
    reached,
    read_votes,
    shared_answers,
    to_conditional,
    to_cumulative,
    translate_fractions,
)
from galaxymorph.zoo.schemas import KINDS
from galaxymorph.zoo.tree import broken_sums

GALAXY_ZOO_2 = SCHEMAS["galaxy-zoo-2"].tree
GALAXY_ZOO_DECALS = SCHEMAS["galaxy-zoo-decals"].tree
every_schema = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())


@st.composite
def conditionals(draw, tree, rows: int = 3):
    """Conditional fractions of any tree, some answers never given."""
    elements = st.one_of(st.just(0.0), st.floats(0.01, 1.0))
    raw = draw(st_np.arrays(float, (rows, len(tree.columns)), elements=elements))
    raw = raw + 1e-3 * (raw @ tree.membership.T == 0) @ tree.membership
    return raw / (raw @ tree.membership.T @ tree.membership)


def reach_by_walking(tree, conditional: np.ndarray) -> list[float]:
    """The probability of reaching each question, summed over the answers that lead to it."""
    places = {column: at for at, column in enumerate(tree.columns)}
    by_name = {question.name: question for question in tree.questions}

    @cache
    def reach(question: str) -> float:
        if by_name[question].asked_of_all:
            return 1.0
        return sum(
            conditional[places[answer.column]] * reach(before.name)
            for before in tree.questions
            for answer in before.answers
            if answer.leads_to == question
        )

    return list(map(reach, by_name))


@every_schema
def test_names_and_columns_are_unique_and_complete(schema):
    tree = schema.tree
    names = [question.name for question in tree.questions]
    assert len(set(names)) == len(names)
    assert len(set(tree.columns)) == len(tree.columns)
    assert set(schema.columns) <= set(KINDS)
    every = [column for kind in schema.columns for column in schema.answer_columns(kind)]
    every += [column for totals in schema.total_columns().values() for column in totals]
    assert len(set(every)) == len(every)
    assert not set(schema.ids) & set(every)
    assert SCHEMAS[tree.name] is schema


@every_schema
def test_the_tree_has_no_circle_and_every_question_is_reached(schema):
    tree = schema.tree
    names = [question.name for question in tree.questions]
    leads_to = {answer.leads_to for question in tree.questions for answer in question.answers}
    assert leads_to - {None} <= set(names)
    assert sorted(tree.walk) == list(range(len(names)))
    assert all(len(question.answers) > 1 for question in tree.questions)
    even = to_conditional(tree, np.ones((1, len(tree.columns))))
    reach = reached(tree, to_cumulative(tree, even))[0]
    assert reach[0] == 1
    assert (reach > 0).all()


@every_schema
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_reach_is_the_sum_over_the_answers_that_lead_to_a_question(schema, data):
    tree = schema.tree
    conditional = data.draw(conditionals(tree, rows=1))
    cumulative = to_cumulative(tree, conditional)
    walked = reach_by_walking(tree, conditional[0])
    assert np.allclose(reached(tree, cumulative)[0], walked, atol=1e-12)
    assert np.allclose(cumulative @ tree.membership.T, walked, atol=1e-12)
    assert not broken_sums(tree, cumulative).any()


@every_schema
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_conditional_and_cumulative_are_inverse_where_a_question_is_reached(schema, data):
    tree = schema.tree
    conditional = data.draw(conditionals(tree))
    cumulative = to_cumulative(tree, conditional)
    back = to_conditional(tree, cumulative)
    asked = reached(tree, cumulative) @ tree.membership > 0
    assert np.isnan(back[~asked]).all()
    assert np.allclose(back[asked], conditional[asked], atol=1e-9)
    assert np.allclose(to_cumulative(tree, back), cumulative, atol=1e-12)


def parents(tree, question: str) -> set[str]:
    return {
        answer.column
        for before in tree.questions
        for answer in before.answers
        if answer.leads_to == question
    }


def test_galaxy_zoo_2_asks_what_the_challenge_asks_but_question_6_of_artifacts():
    """The Challenge's tree is checked against real votes: see test_tree.py."""
    for ours, theirs in zip(GALAXY_ZOO_2.questions, GALAXY_ZOO_CHALLENGE.questions, strict=True):
        assert ours.name.startswith(f"t{int(theirs.name):02d}_")
        for mine, other in zip(ours.answers, theirs.answers, strict=True):
            number = other.leads_to and f"t{int(other.leads_to):02d}_"
            assert (mine.leads_to or "").startswith(number or "")
            assert bool(mine.leads_to) == bool(other.leads_to)
            assert mine.text == other.text
    assert not GALAXY_ZOO_2.asked_of_all[5]
    assert GALAXY_ZOO_2.leads[5].sum() == 10


def test_galaxy_zoo_2_has_the_published_columns():
    counts = SCHEMAS.find("galaxy-zoo-2").answer_columns("counts")
    numbers = [int(re.search(r"_a(\d\d)_", column)[1]) for column in counts]
    # The release has no answer 35, and 38 is question 8's.
    assert sorted(numbers) == [*range(1, 35), 36, 37, 38]
    assert "t01_smooth_or_features_a01_smooth_count" in counts
    assert "t08_odd_feature_a38_dust_lane_count" in counts
    weighted = SCHEMAS.find("galaxy-zoo-2").answer_columns("weighted")
    assert weighted[-2] == "t11_arms_number_a36_more_than_4_weighted_fraction"


def test_the_votes_of_a_published_galaxy_of_galaxy_zoo_2_fit_the_tree():
    """SDSS J153010.73+484124.8: bar, arms and bulge are asked of disks that aren't edge-on."""
    tree = GALAXY_ZOO_2
    votes = {1: (44, 2, 1), 2: (0, 2), 3: (0, 2), 4: (0, 2), 5: (0, 0, 1, 1), 6: (1, 45)}
    votes |= {7: (21, 23, 0), 8: (1, 0, 0, 0, 0, 0, 0), 9: (0,) * 3, 10: (0,) * 3, 11: (0,) * 6}
    counts = np.concatenate([votes[number] for number in range(1, 12)])[None].astype(float)
    asked = reached(tree, to_cumulative(tree, to_conditional(tree, counts)))[0] * 47
    assert np.allclose(asked, [47, 2, 2, 2, 2, 46, 44, 46 / 46, 0, 0, 0])


def test_galaxy_zoo_decals_has_the_published_questions_on_the_right_parents():
    tree = GALAXY_ZOO_DECALS
    assert len(tree.columns) == 34
    assert parents(tree, "bar") == {"disk-edge-on_no"}
    assert parents(tree, "has-spiral-arms") == {"bar_strong", "bar_weak", "bar_no"}
    assert parents(tree, "bulge-size") == {
        "has-spiral-arms_no",
        *(column for column in tree.columns if column.startswith("spiral-arm-count_")),
    }
    rng = np.random.default_rng(0)
    random = to_conditional(tree, rng.random((50, 34)))
    cumulative = by_name(tree, to_cumulative(tree, random))
    reach = by_name(tree, reached(tree, to_cumulative(tree, random)), questions=True)
    for question in ("bar", "has-spiral-arms", "bulge-size"):
        assert np.allclose(reach[question], cumulative["disk-edge-on_no"])
    assert np.allclose(reach["merging"], 1 - cumulative["smooth-or-featured_artifact"])


def by_name(tree, values: np.ndarray, questions: bool = False) -> dict[str, np.ndarray]:
    names = [question.name for question in tree.questions] if questions else tree.columns
    return dict(zip(names, values.T, strict=True))


def test_an_unknown_schema_is_named_with_the_near_ones():
    with pytest.raises(BadInput, match="'decals-dr5' is unknown; did you mean decals_dr5"):
        SCHEMAS.find("decals-dr5")


def test_the_campaigns_paths_are_those_of_the_published_trees():
    """Where several answers lead to a question, the package's own table has one or none."""
    tree = SCHEMAS["gz2"].tree
    assert parents(tree, "bar-gz2") == {"disk-edge-on-gz2_no"}
    assert parents(tree, "has-spiral-arms-gz2") == {"bar-gz2_yes", "bar-gz2_no"}
    assert len(parents(tree, "something-odd-gz2")) == 3 + 3 + 4
    for name, bad in (("desi", "artifact"), ("euclid", "problem"), ("cosmic_dawn", "problem")):
        fractions, reach = random_walks(SCHEMAS[name].tree)
        everyone = 1 - fractions[f"smooth-or-featured_{bad}"]
        assert np.allclose(reach["merging"], everyone), name
        assert np.allclose(reach["bulge-size"], fractions["disk-edge-on_no"]), name
        assert np.allclose(reach["spiral-winding"], fractions["has-spiral-arms_yes"]), name
    fractions, reach = random_walks(SCHEMAS["euclid"].tree)
    assert np.allclose(reach["clumps"], fractions["disk-edge-on_no"])
    assert np.allclose(reach["artifact"], fractions["problem_artifact"])
    fractions, reach = random_walks(SCHEMAS["candels"].tree)
    assert np.allclose(reach["disk-edge-on-candels"], fractions["clumpy-appearance-candels_no"])
    assert np.allclose(
        reach["merging-candels"], 1 - fractions["smooth-or-featured-candels_artifact"]
    )
    assert np.allclose(reach["spiral-arm-count-candels"], fractions["has-spiral-arms-candels_yes"])


def random_walks(tree) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    random = to_conditional(tree, np.random.default_rng(0).random((50, len(tree.columns))))
    cumulative = to_cumulative(tree, random)
    reach = by_name(tree, reached(tree, cumulative), questions=True)
    return by_name(tree, cumulative), reach


def test_all_campaigns_have_the_questions_and_columns_of_their_package(real):
    """And a question's single parent there is among the answers before it here."""
    campaigns = json.loads((real / "vote-tables" / "galaxy_zoo_campaigns.json").read_text())
    assert len(campaigns) == 18
    for name, questions in campaigns.items():
        tree = SCHEMAS[name].tree
        assert [question.name for question in tree.questions] == list(questions)
        columns = [column for each in questions.values() for column in each["columns"]]
        assert tree.columns == columns
        fractions, reach = random_walks(tree)
        for question, about in questions.items():
            if about["asked_after"]:
                assert (reach[question] <= fractions[about["asked_after"]] + 1e-12).all()


def test_real_counts_of_galaxy_zoo_2_follow_the_paths(real):
    """The released counts are rounded weights, and differ by a vote or two in a few rows."""
    names = dict(zip(SCHEMAS["gz2"].tree.columns, range(30), strict=True))
    votes = read_votes(real / "vote-tables" / "galaxy_zoo_2_main_with_counts_288.fits")
    own, tree = GALAXY_ZOO_2, SCHEMAS["gz2"].tree
    counts = votes.counts @ shared_answers(own, tree)
    asked, given = counts @ tree.leads.T, counts @ tree.membership.T
    steps = ~tree.asked_of_all
    assert (asked[:, steps] == given[:, steps]).mean() > 0.95
    differences = np.abs(asked[:, steps] - given[:, steps])
    assert (differences > 2).sum() <= 2 and differences.max() <= 7
    of_all_disks = counts[:, names["smooth-or-featured-gz2_featured-or-disk"]]
    bars = [question.name for question in tree.questions].index("bar-gz2")
    assert (given[:, bars] == of_all_disks).mean() < 0.35


@pytest.mark.parametrize(
    ("source", "tree", "number"),
    [
        ("decals_dr5", "decals_dr8", 34),
        ("galaxy-zoo-2", "gz2", 30),
        ("decals_dr5", "gz_evo_v2", 34),
        ("cosmic_dawn", "euclid", 45),
        ("gz_evo_v2", "decals_dr5", 34),
    ],
)
def test_answers_that_campaigns_share_are_one(source, tree, number):
    matrix = shared_answers(SCHEMAS[source].tree, SCHEMAS[tree].tree)
    assert (matrix.sum(axis=0) > 0).sum() == number


def test_a_unions_votes_become_one_campaigns():
    """A galaxy in two campaigns has the mean of their fractions."""
    union, tree = SCHEMAS["decals_all_campaigns"].tree, SCHEMAS["decals_dr8"].tree
    places = {column: at for at, column in enumerate(union.columns)}
    counts = np.zeros((2, len(places)))
    counts[0, places["smooth-or-featured-dr5_smooth"]] = 10
    counts[1, places["smooth-or-featured-dr5_smooth"]] = 10
    counts[1, places["smooth-or-featured-dr12_featured-or-disk"]] = 30
    fractions = translate_fractions(
        union, tree, to_cumulative(union, to_conditional(union, counts))
    )
    named = by_name(tree, fractions)
    assert named["smooth-or-featured-dr8_smooth"].tolist() == [1.0, 0.5]
    assert named["smooth-or-featured-dr8_featured-or-disk"].tolist() == [0.0, 0.5]

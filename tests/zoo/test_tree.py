import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from galaxymorph.zoo import (
    GALAXY_ZOO_CHALLENGE,
    SCHEMAS,
    draw_votes,
    likeliest_walk,
    reached,
    to_conditional,
    to_cumulative,
)
from galaxymorph.zoo.tree import broken_sums

TREE = GALAXY_ZOO_CHALLENGE
SIZES = [3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6]


@st.composite
def conditionals(draw, rows: int = 3):
    """Conditional fractions, some answers never given."""
    raw = draw(
        st_np.arrays(float, (rows, 37), elements=st.one_of(st.just(0.0), st.floats(0.01, 1.0)))
    )
    raw = raw + 1e-3 * (raw @ TREE.membership.T == 0) @ TREE.membership
    return raw / (raw @ TREE.membership.T @ TREE.membership)


def test_the_columns_are_those_of_the_kaggle_file():
    expected = [f"Class{q}.{a}" for q, n in enumerate(SIZES, 1) for a in range(1, n + 1)]
    assert expected == TREE.columns


@given(conditionals())
def test_cumulative_fractions_obey_the_tree(conditional):
    cumulative = to_cumulative(TREE, conditional)
    assert not broken_sums(TREE, cumulative).any()
    assert ((cumulative >= 0) & (cumulative <= 1 + 1e-12)).all()


@given(conditionals())
def test_conditional_and_cumulative_are_inverse(conditional):
    cumulative = to_cumulative(TREE, conditional)
    back = to_conditional(TREE, cumulative)
    asked = (reached(TREE, cumulative) @ TREE.membership) > 1e-9
    assert np.allclose(back[asked], conditional[asked], atol=1e-6)
    assert np.allclose(to_cumulative(TREE, back), cumulative, atol=1e-9)


@given(conditionals(), st.integers(0, 36), st.floats(0.01, 0.5))
def test_a_changed_answer_breaks_its_question(conditional, answer, by):
    cumulative = to_cumulative(TREE, conditional)
    cumulative[:, answer] += by
    question = int(TREE.membership[:, answer].argmax())
    assert broken_sums(TREE, cumulative)[:, question].all()


def test_a_question_that_nobody_reached_has_no_conditional_fraction():
    everyone_smooth = np.zeros((1, 37))
    everyone_smooth[0, [TREE.columns.index(c) for c in ("Class1.1", "Class6.2", "Class7.1")]] = 1
    conditional = to_conditional(TREE, everyone_smooth)[0]
    assert np.isnan(conditional[TREE.columns.index("Class2.1")])
    assert conditional[TREE.columns.index("Class7.1")] == 1


@pytest.mark.parametrize(
    ("question", "parents"),
    [
        ("2", ["Class1.2"]),
        ("3", ["Class2.2"]),
        ("4", ["Class2.2"]),
        ("5", ["Class2.2"]),
        ("7", ["Class1.1"]),
        ("8", ["Class6.1"]),
        ("9", ["Class2.1"]),
        ("10", ["Class4.1"]),
        ("11", ["Class4.1"]),
    ],
)
def test_questions_sum_to_what_leads_to_them_in_the_real_votes(real, question, parents):
    votes = pd.read_csv(real / "galaxy-zoo-challenge" / "solutions_high_confidence.csv.gz")
    own = [column for column in TREE.columns if column.startswith(f"Class{question}.")]
    assert np.allclose(votes[own].sum(axis=1), votes[parents].sum(axis=1), atol=1e-5)
    at = [q.name for q in TREE.questions].index(question)
    reach = reached(TREE, votes[TREE.columns].to_numpy())[:, at]
    assert np.allclose(reach, votes[parents].sum(axis=1), atol=2e-5)


def test_all_real_votes_obey_the_tree_and_survive_conversion(real):
    votes = pd.read_csv(real / "galaxy-zoo-challenge" / "solutions_high_confidence.csv.gz")
    cumulative = votes[TREE.columns].to_numpy()
    assert len(cumulative) == 16_853
    assert not broken_sums(TREE, cumulative).any()
    assert np.allclose(to_cumulative(TREE, to_conditional(TREE, cumulative)), cumulative, atol=1e-5)


@pytest.mark.parametrize(
    ("fractions", "walk"),
    [
        ({"1.1": 0.9, "1.2": 0.1, "7.3": 0.8, "6.2": 0.7}, ["1.1", "7.3", "6.2"]),
        (
            {
                "1.2": 1,
                "2.2": 1,
                "3.1": 1,
                "4.1": 1,
                "10.2": 1,
                "11.2": 1,
                "5.3": 1,
                "6.1": 1,
                "8.7": 1,
            },
            ["1.2", "2.2", "3.1", "4.1", "10.2", "11.2", "5.3", "6.1", "8.7"],
        ),
        ({"1.3": 1, "6.1": 1, "8.5": 1}, ["1.3", "6.1", "8.5"]),
    ],
)
def test_the_likeliest_walk_goes_on_where_an_answer_leads_and_asks_everybody_question_6(
    fractions, walk
):
    columns = TREE.columns
    cumulative = np.zeros(len(columns))
    for answer, fraction in fractions.items():
        cumulative[columns.index(f"Class{answer}")] = fraction
    result = likeliest_walk(TREE, cumulative)
    assert [columns[at] for at in result] == [f"Class{answer}" for answer in walk]


@pytest.mark.parametrize("name", SCHEMAS)
def test_drawn_votes_go_down_the_tree_and_have_the_fractions_that_they_are_drawn_from(name):
    """Of 40,000 volunteers a fraction is known to 0.0025 (1 sigma at most); 5 sigma."""
    tree = SCHEMAS[name].tree
    rng = np.random.default_rng(2)
    conditional = to_conditional(tree, rng.gamma(np.ones((5, len(tree.columns)))))
    fractions = to_cumulative(tree, conditional)
    counts = draw_votes(tree, fractions, np.full((3, 5), 40_000), rng)
    assert counts.shape == (3, 5, len(tree.columns))
    assert np.allclose(counts / 40_000, fractions, atol=0.0125)
    assert not broken_sums(tree, counts.reshape(15, -1) / 40_000).any()
    few = draw_votes(tree, fractions, np.array([0, 1, 2, 30, 50]), rng)
    assert (few @ tree.membership.T)[:, tree.asked_of_all].T.tolist() == [[0, 1, 2, 30, 50]] * int(
        tree.asked_of_all.sum()
    )

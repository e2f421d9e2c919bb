import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import r2_score, root_mean_squared_error

from galaxymorph.judge import Predictions, bootstrap, part_metrics
from galaxymorph.judge.metrics.bootstrap import proportion
from galaxymorph.judge.metrics.vote_fractions import (
    HALF_A_VOTE,
    conditional_square_errors,
    entropy,
    kl_divergence,
    question_divergence,
)
from galaxymorph.report.figures.run_figures import answers_figure
from galaxymorph.zoo import SCHEMAS, reached, to_conditional, to_cumulative
from tests.makers import SEVERAL

TREES = {name: SCHEMAS[name].tree for name in SEVERAL}
TREE = TREES["galaxy-zoo-2"]


def distribution_metrics(true, predicted, seed) -> dict:
    table = pd.DataFrame(index=range(len(true)))
    return part_metrics(Predictions(table, (), seed, true, predicted), ["distribution"])


def tree_metrics(tree, true, predicted, seed) -> dict:
    table = pd.DataFrame(index=range(len(true)))
    return part_metrics(Predictions(table, (), seed, true, predicted, tree), ["tree"])


def fractions(tree, n: int, rng, alpha: float = 0.5) -> np.ndarray:
    """Cumulative fractions of any tree, from Dirichlet distributions."""
    conditional = np.zeros((n, len(tree.columns)))
    for own in tree.membership.astype(bool):
        conditional[:, own] = rng.dirichlet(np.full(own.sum(), alpha), n)
    return to_cumulative(tree, conditional)


def pair(tree, n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Volunteers' fractions, and a model's that are right by about half."""
    rng = np.random.default_rng(seed)
    true, other = fractions(tree, n, rng), fractions(tree, n, rng)
    conditional = 0.5 * to_conditional(tree, true) + 0.5 * to_conditional(tree, other)
    return true, to_cumulative(tree, np.where(np.isnan(conditional), 0.5, conditional))


def inside(interval: dict) -> bool:
    return interval["low"] <= interval["value"] <= interval["high"]


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_values_are_scikit_learns_and_lie_in_their_intervals(tree):
    true, predicted = pair(tree)
    metrics = tree_metrics(tree, true, predicted, seed=1)
    assert metrics["galaxies"] == 150
    expected = np.sqrt(np.mean((true - predicted) ** 2))
    assert abs(metrics["rmse"]["value"] - expected) < 1e-6
    assert metrics["rmse"]["low"] < expected < metrics["rmse"]["high"]
    r2 = r2_score(true, predicted, multioutput="raw_values")
    rmse = root_mean_squared_error(true, predicted, multioutput="raw_values")
    for at, column in enumerate(tree.columns):
        scores = metrics["per_answer"][column]
        assert abs(scores["r2"]["value"] - r2[at]) < 1e-6
        assert abs(scores["rmse"]["value"] - rmse[at]) < 1e-6
        assert inside(scores["rmse"])
        assert inside(scores["r2"])
    json.dumps(metrics, allow_nan=False)


def test_questions_are_judged_where_volunteers_were_asked_and_agree():
    true, predicted = pair(TREE, 400)
    metrics = tree_metrics(TREE, true, predicted, seed=1)["per_question"]
    conditional, foretold = to_conditional(TREE, true), to_conditional(TREE, predicted)
    asked = reached(TREE, true)
    for at, (question, own) in enumerate(
        zip(TREE.questions, TREE.membership.astype(bool), strict=True)
    ):
        right, weighted = [], []
        for row in np.flatnonzero(asked[:, at] > 0):
            theirs, ours = conditional[row, own], foretold[row, own]
            given_answer = theirs > 0
            least = np.minimum(theirs[given_answer], HALF_A_VOTE)
            ratio = np.log(theirs[given_answer] / np.maximum(ours[given_answer], least))
            weighted.append(asked[row, at] * np.sum(theirs[given_answer] * ratio))
            if asked[row, at] >= 0.5 and theirs.max() > 0.8:
                right.append(theirs.argmax() == ours.argmax())
        scores = metrics[question.name]
        assert scores["agreed"] == len(right)
        if right:
            assert scores["accuracy"] == proportion(sum(right), len(right))
        else:
            assert scores["accuracy"] == {"value": None, "low": None, "high": None}
        assert abs(scores["kl"]["value"] - np.sum(weighted) / asked[:, at].sum()) < 1e-6


@pytest.mark.parametrize(("n", "low"), [(1, 0.207), (2, 0.342), (3, 0.439), (40, 0.912)])
def test_few_galaxies_that_are_all_right_leave_the_accuracy_open(n, low):
    """A bootstrap of galaxies that are all right is the value itself."""
    smooth = np.zeros(len(TREE.columns))
    smooth[TREE.columns.index("t01_smooth_or_features_a01_smooth")] = 1.0
    true = np.tile(smooth, (n, 1))
    scores = tree_metrics(TREE, true, true, seed=1)["per_question"]["t01_smooth_or_features"]
    assert scores["accuracy"]["value"] == scores["accuracy"]["high"] == 1
    assert scores["accuracy"]["low"] == pytest.approx(low, abs=5e-4)


def test_the_figure_of_accuracies_ends_at_one_and_has_their_intervals():
    true, _ = pair(TREE, 12)
    scores = tree_metrics(TREE, true, true, seed=1)
    figure, _ = answers_figure(TREE, scores)
    _, axes = figure.axes
    low, high = axes.get_xlim()
    lowest = min(
        each["accuracy"]["low"] for each in scores["per_question"].values() if each["agreed"]
    )
    assert high == 1
    assert 0 < lowest - low < 0.1


def test_the_truth_itself_scores_best():
    true, _ = pair(TREE, 60)
    metrics = tree_metrics(TREE, true, true, seed=1)
    assert metrics["rmse"] == {"value": 0, "low": 0, "high": 0}
    assert {scores["r2"]["value"] for scores in metrics["per_answer"].values()} <= {1.0}
    for scores in metrics["per_question"].values():
        assert scores["accuracy"]["value"] in (1.0, None)
        assert abs(scores["kl"]["value"]) < 1e-9


def test_the_mean_explains_nothing_and_a_constant_answer_has_no_variance_to_explain():
    true, _ = pair(TREE, 60)
    true = true[:, :]
    predicted = np.tile(true.mean(axis=0), (60, 1))
    for scores in tree_metrics(TREE, true, predicted, seed=1)["per_answer"].values():
        assert abs(scores["r2"]["value"]) < 1e-6
    constant = np.tile(true[:1], (60, 1))
    metrics = tree_metrics(TREE, constant, predicted, seed=1)
    assert {scores["r2"]["value"] for scores in metrics["per_answer"].values()} == {None}
    json.dumps(metrics, allow_nan=False)


def test_a_question_that_nobody_reached_has_no_scores(recwarn):
    true, predicted = pair(TREE, 40)
    smooth = np.zeros(len(TREE.columns))
    smooth[[TREE.columns.index("t01_smooth_or_features_a01_smooth")]] = 1.0
    metrics = tree_metrics(TREE, np.tile(smooth, (40, 1)), predicted, seed=1)["per_question"]
    assert metrics["t03_bar"]["kl"]["value"] is None
    assert metrics["t03_bar"]["agreed"] == 0
    assert metrics["t01_smooth_or_features"]["agreed"] == 40
    assert not recwarn.list


def test_the_real_votes_scored_against_their_mean_have_the_published_order_of_error(real):
    """The mean of all columns scores 0.19 or so on the shared galaxies."""
    tree = TREES["galaxy-zoo-challenge"]
    table = pd.read_csv(real / "galaxy-zoo-challenge" / "training_solutions_rev1.csv")
    true = table[tree.columns].to_numpy()
    metrics = tree_metrics(tree, true, np.tile(true.mean(axis=0), (len(true), 1)), seed=1)
    assert abs(metrics["rmse"]["value"] - 0.192) < 0.002
    assert metrics["per_question"]["1"]["agreed"] > 100


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 100))
def test_distributions_are_scored_as_scipy_and_the_definition_do(seed):
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([2.0, 0.5, 0.5], 120)
    predicted = 0.7 * true + 0.3 * rng.dirichlet([1, 1, 1], 120)
    metrics = distribution_metrics(true, predicted, seed)
    kl = (true * np.log(true / predicted)).sum(axis=1).mean()
    entropies = [-(each * np.log(each)).sum(axis=1) for each in (true, predicted)]
    expected = {
        "kl": kl,
        "mse": np.mean((true - predicted) ** 2),
        "entropy_spearman": spearmanr(*entropies).statistic,
    }
    assert metrics["galaxies"] == 120
    for name, value in expected.items():
        assert abs(metrics[name]["value"] - value) < 1e-6
        assert metrics[name]["low"] < value < metrics[name]["high"]


def test_ties_share_their_rank_and_equal_entropies_have_no_correlation(recwarn):
    true = np.repeat([[0.5, 0.5], [0.9, 0.1], [0.7, 0.3]], 4, axis=0)
    predicted = np.roll(true, 2, axis=0)
    found = distribution_metrics(true, predicted, 0)["entropy_spearman"]["value"]
    assert abs(found - spearmanr(entropy(true), entropy(predicted)).statistic) < 1e-6
    certain = np.tile([1.0, 0.0], (12, 1))
    assert distribution_metrics(true, certain, 0)["entropy_spearman"]["value"] is None
    assert not recwarn.list


def test_shares_of_0_leave_the_divergence_finite():
    certain, wrong = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert kl_divergence(certain, certain) == 0
    assert np.allclose(kl_divergence(certain, wrong), np.log(1e8))


def test_a_score_without_a_value_is_none_and_its_resamples_are_left_out():
    sample = np.array([np.nan, 1.0, 2.0, 3.0])

    def scores(rows):
        known = sample[rows][~np.isnan(sample[rows])]
        return {"mean": known.mean() if len(known) else np.nan, "never": np.nan}

    found = bootstrap(scores, 4, seed=0)
    assert found["never"] == {"value": None, "low": None, "high": None}
    assert found["mean"]["value"] == 2.0
    assert 1.0 <= found["mean"]["low"] < 2.0 < found["mean"]["high"] <= 3.0


@pytest.mark.parametrize("name", ["galaxy-zoo-2", "galaxy-zoo-decals"])
def test_a_question_that_nobody_was_asked_has_no_weight_in_any_score(name):
    tree, rng = SCHEMAS[name].tree, np.random.default_rng(4)
    own = tree.membership.astype(bool)
    conditional = np.zeros((2, 40, len(tree.columns)))
    for members in own:
        conditional[..., members] = rng.dirichlet(np.ones(members.sum()), (2, 40))
    true, predicted = (to_cumulative(tree, each) for each in conditional)
    # Every other galaxy was asked the first question alone.
    later = ~own[0]
    true[::2, later] = 0
    other = predicted.copy()
    other[::2, later] = rng.random((20, later.sum()))
    found = [tree_metrics(tree, true, each, seed=1) for each in (predicted, other)]
    assert found[0]["rmse"] == found[1]["rmse"]
    assert found[0]["per_answer"] == found[1]["per_answer"]
    known = np.ones(true.shape, bool)
    known[::2, later] = False
    squares = np.where(known, np.square(predicted - true), 0)
    expected = np.sqrt((squares.sum(axis=1) / known.sum(axis=1)).mean())
    assert found[0]["rmse"]["value"] == pytest.approx(expected, abs=1e-6)
    last = tree.columns[-1]
    alone = np.sqrt(np.square(predicted - true)[1::2, -1].mean())
    assert found[0]["per_answer"][last]["rmse"]["value"] == pytest.approx(alone, abs=1e-6)


def test_a_zero_of_the_challenge_is_a_value():
    tree = TREES["galaxy-zoo-challenge"]
    true = np.zeros((4, len(tree.columns)))
    true[:, [tree.columns.index(name) for name in ("Class1.1", "Class6.2", "Class7.1")]] = 1
    predicted = np.full(true.shape, 0.1)
    value = tree_metrics(tree, true, predicted, seed=1)["rmse"]["value"]
    assert value == pytest.approx(np.sqrt(np.square(predicted - true).mean()), abs=1e-6)


@pytest.mark.parametrize("reach", [0.0, 1e-12, 1e-3])
def test_a_predicted_reach_of_zero_says_nothing_rather_than_17_nats(reach):
    """Volunteers were asked of an edge-on disk's bulge; the model gives them `reach` of it."""
    tree = SCHEMAS["galaxy-zoo-challenge"].tree
    rng = np.random.default_rng(1)
    true = to_cumulative(tree, rng.uniform(0, 1, (50, 37)))
    predicted = to_cumulative(tree, rng.uniform(0.1, 1, (50, 37)))
    asked = tree.asked_of_all
    later = tree.membership[~asked].any(axis=0)
    predicted[:, later] *= reach
    found = question_divergence(tree, true, predicted)
    assert (found <= np.log(1 / HALF_A_VOTE) + 1e-9).all()
    assert (found >= -0.02).all()
    if reach == 0:
        given = to_conditional(tree, true)
        for at, own in enumerate(tree.membership.astype(bool)):
            if asked[at]:
                continue
            share = np.nan_to_num(given[:, own])
            even = np.where(share > 0, share * np.log(np.maximum(share, 1e-300) * own.sum()), 0)
            expected = reached(tree, true)[:, at] * even.sum(axis=1)
            assert np.allclose(found[:, at], expected)


def test_accuracy_by_question_is_scikit_learns_on_the_agreed():
    from sklearn.metrics import accuracy_score

    tree = SCHEMAS["galaxy-zoo-challenge"].tree
    rng = np.random.default_rng(2)
    # Steep, so that volunteers agree.
    true, noise = (rng.gamma(0.15, size=(400, 37)) for _ in range(2))
    predicted = to_cumulative(tree, to_conditional(tree, true + 0.3 * noise))
    true = to_cumulative(tree, to_conditional(tree, true))
    found = tree_metrics(tree, true, predicted, 0)["per_question"]
    given, foretold = (to_conditional(tree, each) for each in (true, predicted))
    for at, question in enumerate(tree.questions):
        own = tree.membership[at].astype(bool)
        agreed = (np.nan_to_num(given[:, own]).max(axis=1) > 0.8) & (
            reached(tree, true)[:, at] >= 0.5
        )
        assert found[question.name]["agreed"] == agreed.sum()
        if agreed.any():
            expected = accuracy_score(
                given[agreed][:, own].argmax(axis=1), foretold[agreed][:, own].argmax(axis=1)
            )
            assert found[question.name]["accuracy"]["value"] == pytest.approx(expected, abs=1e-6)


def test_errors_of_conditional_fractions_count_as_their_question_is_reached():
    each = TREE.membership.sum(axis=1)
    even = to_cumulative(TREE, (1 / each @ TREE.membership)[None])
    squares, weights = conditional_square_errors(TREE, even, even)
    assert squares == pytest.approx(0) and weights == pytest.approx(reached(TREE, even) @ each)
    changed = to_conditional(TREE, even)
    # The answers of the last question.
    first, second = np.flatnonzero(TREE.membership[-1])[:2]
    changed[0, [first, second]] += [0.1, -0.1]
    squares, _ = conditional_square_errors(TREE, even, to_cumulative(TREE, changed))
    assert squares == pytest.approx(0.02 * reached(TREE, even)[:, -1])

"""Vote fractions as those of a catalogue's volunteers: fitted, cross-validated, stored, read."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from galaxymorph.base import BadInput
from galaxymorph.judge import FEWEST_FOR_MAP, VoteMap, fit_vote_map, require_votes
from galaxymorph.judge.calibration.vote_maps import described_vote_maps
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, to_conditional, to_cumulative
from galaxymorph.zoo.tree import broken_sums

TREE = GALAXY_ZOO_CHALLENGE
QUESTIONS, ANSWERS = TREE.membership.shape
SMOOTH, FEATURES = 0, 1


def predictions(number: int, seed: int) -> np.ndarray:
    """Return cumulative fractions of random galaxies."""
    rng = np.random.default_rng(seed)
    conditional = np.zeros((number, ANSWERS))
    for members in TREE.membership.astype(bool):
        conditional[:, members] = rng.dirichlet(np.ones(members.sum()), number)
    return to_cumulative(TREE, conditional)


def drawn(fractions: np.ndarray, seed: int, volunteers: int = 40) -> np.ndarray:
    """Return the fractions of as many volunteers who answer with these probabilities."""
    rng = np.random.default_rng(seed)
    conditional = np.nan_to_num(to_conditional(TREE, fractions))
    counts = np.zeros(fractions.shape, int)
    for at in TREE.walk:
        members = np.flatnonzero(TREE.membership[at])
        asked = volunteers if TREE.asked_of_all[at] else counts @ TREE.leads[at].astype(int)
        counts[:, members] = rng.multinomial(asked, conditional[:, members])
    return counts / volunteers


def other_volunteers() -> VoteMap:
    """Return the map to volunteers who see features where the others see smooth galaxies."""
    shifts = np.zeros(ANSWERS)
    shifts[[SMOOTH, FEATURES]] = -0.5, 0.5
    slopes = np.ones(QUESTIONS)
    slopes[0] = 1.3
    return VoteMap("others", 0, slopes, shifts)


@given(
    some.lists(some.floats(0.3, 3), min_size=QUESTIONS, max_size=QUESTIONS),
    some.lists(some.floats(-3, 3), min_size=ANSWERS, max_size=ANSWERS),
)
def test_mapped_fractions_obey_the_tree(slopes, shifts):
    mapped = VoteMap("any", 0, np.array(slopes), np.array(shifts)).apply(TREE, predictions(5, 0))
    assert not broken_sums(TREE, mapped).any()
    assert (mapped >= 0).all()


def test_nearly_nothing_changes_nearly_nothing():
    conditional = to_conditional(TREE, predictions(50, 1))
    # Nobody reaches the questions of disks.
    conditional[0, :3] = 1, 0, 0
    fractions = to_cumulative(TREE, conditional)
    nearly = VoteMap("same", 0, np.full(QUESTIONS, 1 + 1e-9), np.zeros(ANSWERS))
    assert np.allclose(nearly.apply(TREE, fractions), fractions, atol=1e-5)


def test_a_shift_is_of_the_logarithm_of_the_odds():
    mapped = other_volunteers().apply(TREE, predictions(20, 2))
    before, after = (to_conditional(TREE, each)[:, :2] for each in (predictions(20, 2), mapped))
    odds, changed = (np.log(each[:, FEATURES] / each[:, SMOOTH]) for each in (before, after))
    assert np.allclose(changed, 1.3 * odds + 1)


def test_votes_of_others_are_recovered_from_galaxies_that_the_map_has_not_seen():
    predicted = predictions(150, 3)
    true = drawn(other_volunteers().apply(TREE, predicted), 4)
    fitted, scores = fit_vote_map(TREE, "others", predicted, true, seed=0)
    assert fitted.galaxies == 150
    assert fitted.slopes[0] == pytest.approx(1.3, abs=0.3)
    assert fitted.shifts[FEATURES] - fitted.shifts[SMOOTH] == pytest.approx(1, abs=0.3)
    new = predictions(2000, 5)
    truth = other_volunteers().apply(TREE, new)
    before, after = (
        np.sqrt(np.square(each - truth)[:, [SMOOTH, FEATURES]].mean())
        for each in (new, fitted.apply(TREE, new))
    )
    assert after < before / 3
    for name in ("rmse", "conditional_rmse"):
        assert scores["after"][name]["high"] < scores["before"][name]["low"]
    # What cross-validation says of galaxies that it held out holds for new ones.
    voted = drawn(truth, 6)
    real = np.sqrt(np.square(fitted.apply(TREE, new) - voted).mean())
    assert scores["after"]["rmse"]["low"] < real < scores["after"]["rmse"]["high"]


def test_fractions_that_are_right_already_are_left():
    predicted = predictions(100, 7)
    fitted, scores = fit_vote_map(TREE, "same", predicted, drawn(predicted, 8), seed=0)
    assert (fitted.slopes == 1).all()
    assert (fitted.shifts == 0).all()
    assert scores["before"] == scores["after"]
    assert (fitted.apply(TREE, predicted) == predicted).all()


def test_few_galaxies_fit_no_map():
    predicted = predictions(FEWEST_FOR_MAP - 1, 9)
    true = drawn(other_volunteers().apply(TREE, predicted), 10)
    fitted, scores = fit_vote_map(TREE, "few", predicted, true, seed=0)
    assert (fitted.shifts == 0).all()
    assert scores["before"] == scores["after"]


def test_questions_of_which_a_catalogue_knows_nothing_are_left():
    predicted = predictions(150, 11)
    true = drawn(other_volunteers().apply(TREE, predicted), 12)
    unknown = TREE.membership[1].astype(bool)
    true[:, unknown] = 0
    fitted, _ = fit_vote_map(TREE, "others", predicted, true, seed=0)
    assert np.allclose(fitted.shifts[unknown], 0, atol=1e-3)
    assert fitted.slopes[1] == pytest.approx(1, abs=1e-3)
    assert fitted.shifts[FEATURES] - fitted.shifts[SMOOTH] > 0.7


def test_a_record_gives_the_same_fractions():
    record = json.loads(json.dumps({"vote_maps": [other_volunteers().record]}))
    (read,) = described_vote_maps(record, TREE, "model.json")
    fractions = predictions(10, 13)
    expected = other_volunteers().apply(TREE, fractions)
    assert np.allclose(read.apply(TREE, fractions), expected, atol=1e-5)
    assert read.votes == "others"


@pytest.mark.parametrize(
    "change",
    [
        {"slopes": [1.0]},
        {"shifts": "none"},
        {"shifts": [float("nan")] * ANSWERS},
        {"votes": 3},
        {"galaxies": "many"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_damaged_record_is_refused_in_one_line(change):
    record = {"vote_maps": [other_volunteers().record | change]}
    with pytest.raises(BadInput, match=r"^model.json: ") as refusal:
        described_vote_maps(record, TREE, "model.json")
    assert "\n" not in str(refusal.value)


def test_a_model_of_classes_has_none():
    assert described_vote_maps({}, None, "model.json") == []
    with pytest.raises(BadInput, match="predicts classes"):
        described_vote_maps({"vote_maps": [other_volunteers().record]}, None, "model.json")


def test_other_votes_than_the_models_are_refused_with_those_that_it_has():
    assert require_votes([other_volunteers()], "others", "model").votes == "others"
    with pytest.raises(BadInput, match="did you mean 'others'"):
        require_votes([other_volunteers()], "other", "model")
    with pytest.raises(BadInput, match="calibrate its run with also"):
        require_votes([], "others", "model")

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np
from torch.distributions import Dirichlet, Multinomial

from galaxymorph.base import BadInput
from galaxymorph.learn import TARGETS, TreeHead, concentrations, losses_by_target, make_loss
from galaxymorph.learn.targets.tree import dirichlet_multinomial_log_prob
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMAS, to_conditional, to_cumulative
from tests.makers import SEVERAL

TREES = {name: SCHEMAS[name].tree for name in SEVERAL}
TREE = TREES["galaxy-zoo-2"]
ANSWERS = len(TREE.columns)
ASKED = 40

every_tree = pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
LOSSES = TARGETS["tree"].losses
tree_losses = pytest.mark.parametrize("name", LOSSES)
every_loss = pytest.mark.parametrize(("target", "name"), losses_by_target())


def made_counts(tree, n: int, seed: int) -> np.ndarray:
    """Votes of volunteers who walk the tree, some questions never reached."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((n, len(tree.columns)))
    for at in tree.walk:
        members = np.flatnonzero(tree.membership[at])
        asked = ASKED if tree.asked_of_all[at] else counts @ tree.leads[at]
        chances = rng.dirichlet(np.full(len(members), 0.3), n)
        counts[:, members] = rng.multinomial(np.asarray(asked, int), chances)
    return counts


def targets_of(name: str, tree, n: int = 5, seed: int = 0) -> torch.Tensor:
    counts = made_counts(tree, n, seed)
    if LOSSES[name].takes == "counts":
        return torch.from_numpy(counts)
    return torch.from_numpy(to_cumulative(tree, to_conditional(tree, counts)))


def logits_of(tree, n: int = 5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n, len(tree.columns), generator=generator, dtype=torch.float64)


def compound_log_prob(alpha: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """By Bayes: multinomial likelihood x prior / posterior, the same at any chances."""
    chances = torch.full_like(alpha, 1 / len(alpha))
    likelihood = Multinomial(int(counts.sum()), probs=chances).log_prob(counts)
    return (
        likelihood
        + Dirichlet(alpha).log_prob(chances)
        - Dirichlet(alpha + counts).log_prob(chances)
    )


@every_tree
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_dirichlet_multinomial_has_the_value_and_gradient_of_torch_distributions(tree, seed):
    counts = torch.from_numpy(made_counts(tree, 2, seed))
    alpha = concentrations(logits_of(tree, 2, seed)).requires_grad_()
    expected = torch.stack(
        [
            torch.stack([compound_log_prob(a[own], k[own]) for own in tree.membership.astype(bool)])
            for a, k in zip(alpha, counts, strict=True)
        ]
    )
    ours = dirichlet_multinomial_log_prob(TreeHead(tree), alpha, counts)
    assert torch.allclose(ours, expected, atol=1e-9)
    gradients = [torch.autograd.grad(each.sum(), alpha)[0] for each in (ours, expected)]
    assert torch.allclose(*gradients, atol=1e-9)


def test_dirichlet_multinomial_is_scipys_and_its_probabilities_sum_to_1():
    tree = TREES["galaxy-zoo-challenge"]
    head = TreeHead(tree)
    votes = 12
    # Every number of votes for "yes" to question 2, the others being for "no".
    yes = torch.arange(votes + 1, dtype=torch.float64)
    counts = torch.zeros(votes + 1, 37, dtype=torch.float64)
    counts[:, 3], counts[:, 4] = yes, votes - yes
    alpha = torch.full_like(counts, 7.0)
    alpha[:, 3], alpha[:, 4] = 1.5, 4.0
    log_prob = dirichlet_multinomial_log_prob(head, alpha, counts)
    expected = scipy.stats.betabinom.logpmf(yes.numpy(), votes, 1.5, 4.0)
    assert np.allclose(log_prob[:, 1], expected)
    assert abs(log_prob[:, 1].exp().sum().item() - 1) < 1e-12
    assert (log_prob[:, [0, *range(2, 11)]] == 0).all()


def test_dirichlet_multinomial_in_single_precision_agrees_with_double():
    logits, counts = logits_of(TREE, 50), targets_of("dirichlet-multinomial", TREE, 50)
    loss = make_loss("tree", "dirichlet-multinomial", TREE)
    loss.reduction = "none"
    single, double = loss(logits.float(), counts.float()), loss(logits, counts)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), double, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("votes", [40, 10_000, 1_000_000])
def test_dirichlet_multinomial_of_many_votes_is_scipys_in_single_precision(votes):
    """SciPy in double precision; logarithms of gamma functions of 10^6 cancel to 10^-6 of them."""
    head = TreeHead(TREES["galaxy-zoo-challenge"])
    rng = np.random.default_rng(0)
    yes = rng.integers(0, votes + 1, 30)
    counts = torch.zeros(30, 37)
    counts[:, 3], counts[:, 4] = torch.tensor(yes).float(), torch.tensor(votes - yes).float()
    alpha = torch.full_like(counts, 3.0).requires_grad_()
    log_prob = dirichlet_multinomial_log_prob(head, alpha, counts)
    assert log_prob.dtype == torch.float32
    expected = scipy.stats.betabinom.logpmf(yes, votes, 3.0, 3.0)
    assert np.allclose(log_prob[:, 1].detach(), expected, rtol=1e-6, atol=1e-5)
    (slope,) = torch.autograd.grad(log_prob.sum(), alpha)
    assert torch.isfinite(slope).all()


@tree_losses
@every_tree
def test_the_gradient_is_right(name, tree):
    target = targets_of(name, tree, 2)
    logits = logits_of(tree, 2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda given: make_loss("tree", name, tree)(given, target), logits
    )


@pytest.mark.parametrize("name", ["cross-entropy", "dirichlet-multinomial"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_question_that_nobody_reached_adds_nothing(name, data):
    """Whatever the logits of its answers are, and with no gradient for them."""
    target = targets_of(name, TREE, 3, seed=1)
    unreached = torch.from_numpy(target.numpy() @ TREE.membership.T @ TREE.membership == 0)
    assert unreached.any()
    wide = st.floats(-1e4, 1e4, width=32)
    other = data.draw(st_np.arrays(np.float32, (3, ANSWERS), elements=wide))
    plain = logits_of(TREE, 3).float()
    changed = torch.where(unreached, torch.from_numpy(other), plain).requires_grad_()
    loss = make_loss("tree", name, TREE)
    value = loss(changed, target)
    assert torch.equal(value, loss(plain, target))
    value.backward()
    assert torch.isfinite(changed.grad).all()
    assert (changed.grad[unreached] == 0).all()


@tree_losses
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_loss_and_gradient_are_finite_for_any_logits(name, data):
    wide = st.one_of(st.floats(-1e4, 1e4, width=32), st.sampled_from([-1e4, 0.0, 1e4]))
    logits = data.draw(st_np.arrays(np.float32, (3, ANSWERS), elements=wide))
    logits = torch.from_numpy(logits).requires_grad_()
    value = make_loss("tree", name, TREE)(logits, targets_of(name, TREE, 3).float())
    assert value.item() >= 0
    value.backward()
    assert torch.isfinite(logits.grad).all()


def test_mean_squared_error_is_the_square_of_the_kaggle_score():
    tree = GALAXY_ZOO_CHALLENGE
    logits, target = logits_of(tree), targets_of("mse", tree)
    score = np.sqrt(np.mean((TreeHead(tree)(logits).numpy() - target.numpy()) ** 2))
    assert abs(make_loss("tree", "mse", tree)(logits, target).item() - score**2) < 1e-12


def test_cross_entropy_is_weighted_by_the_probability_of_reaching_a_question():
    """Question by question, from conditional fractions and the weights themselves."""
    logits, target = logits_of(TREE), targets_of("cross-entropy", TREE)
    conditional = np.nan_to_num(to_conditional(TREE, target.numpy()))
    expected = 0.0
    for own in TREE.membership.astype(bool):
        weight = target[:, own].sum(dim=1)
        share = torch.from_numpy(conditional[:, own])
        each = torch.nn.functional.cross_entropy(logits[:, own], share, reduction="none")
        expected += (weight * each).mean()
    assert torch.allclose(make_loss("tree", "cross-entropy", TREE)(logits, target), expected)


@tree_losses
def test_the_volunteers_own_fractions_are_the_best_prediction(name):
    """Gradient steps from anywhere end at them, where the link can express them."""
    tree = TREES["galaxy-zoo-decals"]
    even = to_conditional(tree, np.ones((1, len(tree.columns))) + np.arange(len(tree.columns)) % 2)
    target = torch.from_numpy(to_cumulative(tree, even))
    if LOSSES[name].takes == "counts":
        target = torch.round(target * 1e6)
    logits = logits_of(tree, 1).requires_grad_()
    loss = make_loss("tree", name, tree)
    optimiser = torch.optim.LBFGS([logits], max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss(logits, target)
        value.backward()
        return value

    optimiser.step(closure)
    assert np.allclose(loss.inverse_link(logits.detach()), to_cumulative(tree, even), atol=0.02)


@settings(max_examples=25, deadline=None)
@given(
    st_np.arrays(float, (4, 3), elements=st.floats(0, 1)),
    st_np.arrays(np.float32, (4, 3), elements=st.floats(-1e4, 1e4, width=32)),
)
def test_kl_divergence_is_scipys_and_pytorchs_batch_mean(values, logits):
    target = (values + 1e-8) / (values + 1e-8).sum(axis=1, keepdims=True)
    logits = torch.from_numpy(logits).double().requires_grad_()
    loss = make_loss("soft3", "kl")(logits, torch.from_numpy(target))
    log_shares = logits.log_softmax(dim=1)
    batch_mean = torch.nn.functional.kl_div(
        log_shares, torch.from_numpy(target), reduction="batchmean"
    )
    expected = (target * (np.log(target) - log_shares.detach().numpy())).sum(axis=1).mean()
    assert abs(loss.item() - batch_mean.item()) < 1e-9 * max(1, batch_mean.item())
    assert abs(loss.item() - expected) < 1e-9 * max(1, expected)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_kl_divergence_takes_a_target_with_zeros():
    logits = torch.zeros(1, 3, requires_grad=True)
    loss = make_loss("soft3", "kl")(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    loss.backward()
    assert abs(loss.item() - np.log(3)) < 1e-6
    assert torch.isfinite(logits.grad).all()


def targets_of_any(target: str, name: str, logits: torch.Tensor) -> torch.Tensor:
    if target == "classes":
        return logits.argmax(dim=1)
    return targets_of(name, TREE) if TARGETS[target].tree else logits.softmax(dim=1)


def loss_of(target: str, name: str):
    return make_loss(target, name, TREE if TARGETS[target].tree else None)


@every_loss
def test_every_loss_keeps_one_number_a_galaxy_when_asked_and_takes_bfloat16(target, name):
    loss, logits = loss_of(target, name), logits_of(TREE)
    true = targets_of_any(target, name, logits)
    mean = loss(logits, true)
    half = loss(logits.bfloat16(), true)
    assert half.dtype == torch.float32
    assert torch.allclose(half.double(), mean, rtol=0.05, atol=0.01)
    loss.reduction = "none"
    assert loss(logits, true).shape == (5,)
    assert torch.allclose(loss(logits, true).mean(), mean)
    predicted = loss.inverse_link(logits.bfloat16())
    assert predicted.shape == logits.shape
    assert predicted.dtype == torch.float32
    assert ((predicted >= 0) & (predicted <= 1)).all()


@every_loss
def test_every_loss_has_words_and_is_a_choice_of_the_command_line(target, name):
    from galaxymorph.learn import loss_words, make_recipe

    recipe = make_recipe("baseline", {"target": target, "loss": name})
    assert recipe.loss == name
    assert loss_words(recipe).startswith(TARGETS[target].losses[name].words)


def test_a_fastai_learner_trains_with_the_losses():
    import fastai.callback.progress  # noqa: F401, the patch of Learner
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.torch_core import TensorBase

    for name in ("mse", "cross-entropy", "dirichlet-multinomial"):
        torch.manual_seed(0)
        inputs, target = torch.randn(32, 4), targets_of(name, TREE, 32).float()
        rows = [(inputs[i], TensorBase(target[i])) for i in range(32)]
        loaders = DataLoaders.from_dsets(rows, rows, bs=8, device="cpu", num_workers=0)
        learn = Learner(
            loaders, torch.nn.Linear(4, ANSWERS), loss_func=make_loss("tree", name, TREE)
        )
        with learn.no_bar(), learn.no_logging():
            before = learn.validate()[0]
            learn.fit(3, lr=0.05)
            after, (predicted, _, losses) = learn.validate()[0], learn.get_preds(with_loss=True)
        assert after < before
        assert losses.shape == (32,)
        assert torch.allclose(predicted[:, :3].sum(dim=1), torch.ones(32), atol=1e-5)


@every_loss
def test_a_loss_survives_a_pickle_as_a_learners_export_makes_one(target, name):
    loss, logits = loss_of(target, name), logits_of(TREE)
    again = pickle.loads(pickle.dumps(loss))
    true = targets_of_any(target, name, logits)
    assert torch.equal(again(logits + 1, true), loss(logits + 1, true))


def test_an_unknown_loss_is_named_and_a_tree_is_asked_for():
    with pytest.raises(BadInput, match="loss 'rmse' is unknown; use one of cross-entropy, mse, di"):
        make_loss("tree", "rmse", TREE)
    with pytest.raises(BadInput, match="loss 'mse' needs a decision tree"):
        make_loss("tree", "mse")


def test_the_names_of_the_losses_come_without_pytorch():
    code = "import sys; from galaxymorph.learn import TARGETS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["mse", "cross-entropy", "dirichlet-multinomial", "kl"])
def test_the_mean_of_predictions_is_one_that_logits_stand_for(name):
    generator = torch.Generator().manual_seed(0)
    tree = GALAXY_ZOO_CHALLENGE
    loss = make_loss("soft3", name) if name == "kl" else make_loss("tree", name, tree)
    width = 3 if name == "kl" else len(tree.columns)
    logits = 6 * torch.randn(8, 50, width, generator=generator)
    mean = torch.stack([loss.inverse_link(view) for view in logits]).mean(dim=0)
    again = loss.inverse_link(loss.link_function(mean, logits[0]))
    assert torch.allclose(again, mean, atol=2e-5)


def test_a_dirichlet_distribution_keeps_its_spread_where_nothing_was_averaged():
    tree = GALAXY_ZOO_CHALLENGE
    loss = make_loss("tree", "dirichlet-multinomial", tree)
    logits = torch.randn(50, len(tree.columns), generator=torch.Generator().manual_seed(0))
    again = loss.link_function(loss.inverse_link(logits), logits)
    assert torch.allclose(again, logits, atol=1e-2)


@pytest.mark.parametrize("name", ["mse", "dirichlet-multinomial"])
def test_numpy_and_pytorch_agree_on_what_logits_stand_for(name):
    from galaxymorph.learn import make_link, make_recipe
    from galaxymorph.predict.predictors.array_predictor import inverse_link

    recipe = make_recipe("baseline", {"target": "tree", "loss": name})
    logits = 5 * torch.randn(40, 37, generator=torch.Generator().manual_seed(0))
    expected = make_link(recipe).mean_and_square(logits).numpy()
    assert np.allclose(inverse_link(logits.numpy(), recipe), expected, atol=1e-6)


@every_tree
@tree_losses
def test_a_question_that_nobody_was_asked_has_no_gradient(tree, name):
    """But where a zero is a value, as in the challenge, squared errors count it."""
    loss = make_loss("tree", name, tree)
    target = torch.zeros(3, len(tree.columns))
    first = torch.from_numpy(tree.membership[0] > 0)
    target[:, first] = torch.tensor([20.0, 15.0, 5.0]) / (1 if "dirichlet" in name else 40)
    logits = torch.randn(target.shape, requires_grad=True)
    loss(logits, target).backward()
    unasked = logits.grad[:, ~first]
    if tree.zeros_are_known and name == "mse":
        assert (unasked != 0).any()
    else:
        assert (unasked == 0).all()
    assert (logits.grad[:, first] != 0).any()


@pytest.mark.parametrize("name", ["galaxy-zoo-2", "galaxy-zoo-decals"])
def test_squared_error_is_the_mean_over_the_answers_that_were_asked(name):
    tree = TREES[name]
    loss = make_loss("tree", "mse", tree)
    counts = made_counts(tree, 8, seed=5)
    target = to_cumulative(tree, to_conditional(tree, counts))
    logits = torch.randn(8, len(tree.columns))
    known = (counts @ tree.membership.T @ tree.membership) > 0
    assert not known.all()
    squares = np.square(loss.inverse_link(logits).numpy() - target)
    expected = [row[asked].mean() for row, asked in zip(squares, known, strict=True)]
    loss.reduction = "none"
    assert np.allclose(loss(logits, torch.from_numpy(target)), expected, atol=1e-6)

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.torch_core import TensorImage
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxymorph.learn.consistency import Consistency, disagreement
from galaxymorph.learn.inference import SOFTMAX
from galaxymorph.learn.recipe import Recipe
from galaxymorph.learn.views import RandomView
from tests.conftest import QUICK, RECIPE, galaxymorph


def fit(simple, out, name, *more):
    return galaxymorph(
        "fit", "--data", simple, "--recipe", RECIPE, "--out", out, "--name", name, *QUICK, *more
    )


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), answers=st.integers(1, 5), seed=st.integers(0, 99))
def test_disagreement_is_the_mean_squared_distance(n, answers, seed):
    pair = torch.rand(2, n, answers, generator=torch.Generator().manual_seed(seed))
    expected = sum(float((a - b).square().sum()) for a, b in zip(*pair, strict=True)) / n
    assert float(disagreement(pair.reshape(2 * n, answers))) == pytest.approx(expected, rel=1e-5)
    assert float(disagreement(torch.cat([pair[0], pair[0]]))) == 0


def test_every_galaxy_is_seen_twice_and_differently():
    batch = TensorImage(torch.rand(3, 3, 48, 48))
    recipe = Recipe(size=32, consistency=1.0)
    torch.manual_seed(0)
    assert RandomView(recipe).encodes(batch).shape == (6, 3, 32, 32)
    still = Recipe(size=32, consistency=1.0, rotate=0.0, flips=False, brightness=0.0, contrast=0.0)
    first, second = RandomView(still).encodes(batch).chunk(2)
    assert torch.allclose(first, second)
    first, second = RandomView(recipe).encodes(batch).chunk(2)
    assert not torch.allclose(first, second, atol=0.05)


def trained_apart(weight: float) -> float:
    """Return how far two views are answered apart by a model that learnt with the term.

    A galaxy's first number stays, the second changes from view to view; both tell the class.
    """
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    stays = labels + torch.randn(64, generator=draw)

    def view(rows: torch.Tensor) -> torch.Tensor:
        changes = labels[rows] + torch.randn(len(rows), generator=draw)
        return torch.stack([stays[rows], changes], dim=1)

    class SeenTwice(Callback):
        order = -20

        def before_batch(self) -> None:
            rows = self.x
            self.learn.xb = (torch.cat([view(rows), view(rows)]) if self.training else view(rows),)

    items = list(zip(torch.arange(64), labels, strict=True))
    loaders = DataLoaders(*(DataLoader(items, bs=16) for _ in range(2)))
    torch.manual_seed(0)
    callbacks = [SeenTwice(), Consistency(SOFTMAX, weight)]
    learn = Learner(loaders, torch.nn.Linear(2, 2), torch.nn.CrossEntropyLoss(), cbs=callbacks)
    learn.remove_cb(ProgressCallback)
    with learn.no_logging():
        learn.fit(20, 0.05)
    rows = torch.arange(64)
    with torch.no_grad():
        return float(disagreement(learn.model(torch.cat([view(rows), view(rows)])).softmax(dim=1)))


def test_the_term_makes_answers_agree():
    assert trained_apart(5.0) < 0.5 * trained_apart(1e-9)


@pytest.mark.parametrize("target", ["soft3", "tree"])
def test_vote_fractions_can_be_made_to_agree(simple, tmp_path, target):
    options = ["--target", target, "--consistency", "2"]
    assert fit(simple, tmp_path, target, *options) == 0
    assert (tmp_path / target / "predictions_test.parquet").exists()


def test_it_goes_with_adapting(simple, tmp_path):
    images = simple / "images_training_rev1"
    more = ["--target-data", images, "--adapt", "coral", "--consistency", "2"]
    assert fit(simple, tmp_path, "both", *more) == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--consistency", "-1"], "0.0 to 1000"),
        (["--consistency", "1", "--pipeline", "plain"], "one view"),
        (["--consistency", "1", "--trunk-views", "2"], "two views"),
    ],
)
def test_what_cannot_be_compared_is_refused(simple, tmp_path, capsys, more, says):
    assert fit(simple, tmp_path, "refused", *more) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()

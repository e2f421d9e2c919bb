"""What a GPU changes: data that stays on it, and batches that are larger than its memory.

Everything here runs on the device that PyTorch would take, and on a CPU where there is no other.
"""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.learner import AvgSmoothLoss, Learner
from fastai.torch_core import default_device
from torch import nn

from galaxymorph.base import BadInput, Rows
from galaxymorph.learn import splitting
from galaxymorph.learn.acceleration import features, gpu_memory
from galaxymorph.learn.acceleration.gpu_memory import (
    LossOnGPU,
    RowsOnGPU,
    fits_on_gpu,
    frames_on_gpu,
)
from galaxymorph.learn.acceleration.hardware import (
    precision_callbacks,
    resolve_precision,
    use_device,
)
from galaxymorph.learn.acceleration.loaders import StoredItems
from galaxymorph.learn.callbacks import learner_state, load_learner_state
from galaxymorph.learn.splitting import SplitBatches, in_halves, train_in_parts
from tests.conftest import QUICK, RECIPE, galaxymorph

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("undrawn")]


class LinearLoader:
    """Loaders of random vectors in three classes, and a network without BatchNorm."""

    def __init__(self, batch: int = 8):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(32, 6, generator=generator)
        y = torch.arange(32) % 3
        data = list(zip(x, y, strict=True))
        self.dls = DataLoaders(
            *(torch.utils.data.DataLoader(data, batch) for _ in range(2)), device=default_device()
        )

    def learner(self, callbacks=()) -> Learner:
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(default_device())
        return Learner(
            self.dls, network, loss_func=nn.functional.cross_entropy, cbs=list(callbacks), lr=0.01
        )


def fitted(callbacks=()) -> Learner:
    learn = LinearLoader().learner(callbacks)
    with learn.no_bar(), learn.no_logging():
        learn.fit(2)
    return learn


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_a_batch_in_parts_trains_as_the_whole(parts):
    whole, split = fitted(), fitted([SplitBatches(parts)])
    for expected, weights in zip(whole.model.parameters(), split.model.parameters(), strict=True):
        torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-5)
    losses = [torch.stack(list(learn.recorder.losses)).cpu() for learn in (whole, split)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


def test_parts_train_in_the_precision_of_the_whole():
    precision = resolve_precision("auto", LinearLoader().learner().model)
    if precision == "fp32":
        precision = "bf16"
    whole = fitted(precision_callbacks(precision))
    split = fitted([*precision_callbacks(precision), SplitBatches(2)])
    for expected, weights in zip(whole.model.parameters(), split.model.parameters(), strict=True):
        torch.testing.assert_close(weights, expected, rtol=5e-2, atol=5e-3)


def refuse(most: int, batch: torch.Tensor) -> torch.Tensor:
    """Double a batch, if it isn't larger than memory."""
    if len(batch) > most:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return batch * 2


def test_a_batch_larger_than_memory_is_predicted_in_halves():
    batch = torch.arange(11.0)[:, None]
    assert torch.equal(in_halves(partial(refuse, 3), batch), batch * 2)
    with pytest.raises(BadInput, match="out of memory with one image"):
        in_halves(partial(refuse, 0), batch)


def test_only_a_lack_of_memory_splits_a_batch():
    def broken(_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        in_halves(broken, torch.zeros(4, 1))
    with pytest.raises(RuntimeError, match="shapes"):
        train_in_parts(broken, lambda: None, 4)


def test_parts_double_until_they_fit(capsys):
    tried, restored = [], []

    def train(parts: int) -> None:
        tried.append(parts)
        if parts < 6:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")

    train_in_parts(train, lambda: restored.append(len(tried)), 6)
    assert tried == [1, 2, 4, 6]
    assert restored == [1, 2, 3]
    assert "a batch of 6 is processed in 2 parts" in capsys.readouterr().err
    with pytest.raises(BadInput, match="out of memory with one galaxy"):
        train_in_parts(partial(refuse_parts, 9), lambda: None, 4)


def refuse_parts(least: int, parts: int) -> None:
    if parts < least:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_fit_that_runs_out_of_memory_ends_as_it_would_have(
    simple, run, tmp_path, monkeypatch, capsys
):
    # A frozen trunk has no BatchNorm that trains, so that parts add up to the whole.
    options = ["--data", simple, "--recipe", RECIPE, "--out", tmp_path, *QUICK, "--batch", 16]
    # Dropout would draw other units for parts.
    options += ["--weights", run / "model.safetensors", "--frozen-epochs", 2, "--epochs", 0]
    options += ["--dropout", 0]
    assert galaxymorph("fit", *options, "--name", "whole") == 0
    forward, failures = nn.Linear.forward, []

    def small(self, x):
        # In the second epoch, so that the first one's checkpoint is gone on from.
        if torch.is_grad_enabled() and len(x) > 8:
            failures.append(len(x))
            if len(failures) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, x)

    monkeypatch.setattr(nn.Linear, "forward", small)
    assert galaxymorph("fit", *options, "--name", "split") == 0
    assert "a batch of 16 is processed in 2 parts" in capsys.readouterr().err
    whole, split = (pd.read_csv(tmp_path / name / "history.csv") for name in ("whole", "split"))
    assert len(failures) == 4
    np.testing.assert_allclose(split["valid_loss"], whole["valid_loss"], rtol=1e-3)
    np.testing.assert_allclose(split["train_loss"], whole["train_loss"], rtol=1e-2)


def test_frames_in_gpu_memory_are_those_of_the_file(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (7, 5, 5, 3), dtype=np.uint8)
    frames.tofile(tmp_path / "pixels.bin")
    pixels = Rows(tmp_path / "pixels.bin", (5, 5, 3), np.dtype("uint8"))
    rows, targets = np.array([6, 0, 3, 3, 1]), torch.arange(5)
    there = frames_on_gpu(pixels, rows, targets)
    expected = StoredItems(pixels, rows, targets).batch([4, 0, 2])
    for one, other in zip(there.batch([4, 0, 2]), expected, strict=True):
        assert one.device == default_device()
        assert type(one) is type(other)
        assert torch.equal(one.cpu(), other)


def test_data_goes_to_a_gpu_that_has_room(monkeypatch):
    monkeypatch.setattr(gpu_memory, "default_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 2000))
    assert fits_on_gpu(400)
    assert not fits_on_gpu(401)
    monkeypatch.setattr(gpu_memory, "default_device", lambda: torch.device("cpu"))
    assert not fits_on_gpu(1)


def test_features_in_gpu_memory_train_as_those_in_files(simple, run, tmp_path, monkeypatch):
    options = ["--data", simple, "--recipe", RECIPE, "--out", tmp_path, *QUICK]
    options += ["--weights", run / "model.safetensors", "--frozen-epochs", 1, "--unfreeze", 1]
    monkeypatch.setattr(features, "fits_on_gpu", lambda _: False)
    assert galaxymorph("fit", *options, "--name", "files") == 0
    used = []

    def fits(nbytes: int) -> bool:
        used.append(nbytes)
        return True

    monkeypatch.setattr(features, "fits_on_gpu", fits)
    assert galaxymorph("fit", *options, "--name", "gpu") == 0
    assert len(used) == 1
    files, there = ((tmp_path / name / "model.safetensors") for name in ("files", "gpu"))
    assert files.read_bytes() == there.read_bytes()


def test_a_network_is_on_the_gpu_before_its_optimizer_is_resumed(monkeypatch):
    # The state goes to the weights' device, and stays there when the weights are moved.
    learn, order = fitted(), []
    saved = learner_state(learn)
    monkeypatch.setattr(learn.model, "to", order.append)
    monkeypatch.setattr(learn.opt, "load_state_dict", lambda _: order.append("state"))
    load_learner_state(learn, saved)
    assert order == [default_device(), "state"]


def test_rows_in_gpu_memory_are_read_in_the_given_order():
    rows = RowsOnGPU(torch.arange(12.0, device=default_device()).view(4, 3))
    assert len(rows) == 4
    assert rows.read([2, 0]).tolist() == [[6, 7, 8], [0, 1, 2]]


def test_the_loss_averaged_in_gpu_memory_is_that_of_fastai():
    plain, there = fitted(), fitted([LossOnGPU()])
    assert type(plain.recorder.smooth_loss) is AvgSmoothLoss
    assert type(there.recorder.smooth_loss) is not AvgSmoothLoss
    expected = torch.stack(list(plain.recorder.losses))
    losses = torch.stack(list(there.recorder.losses))
    assert losses.device.type == default_device().type
    torch.testing.assert_close(losses.cpu(), expected)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU")
def test_an_apple_gpu_that_is_not_there_is_refused():
    with pytest.raises(BadInput, match="^device='mps': PyTorch finds no Apple GPU"):
        use_device("mps")


def test_running_out_of_memory_is_told_from_other_errors():
    assert splitting.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert splitting.is_out_of_memory(RuntimeError("MPS backend out of memory"))
    assert not splitting.is_out_of_memory(RuntimeError("size mismatch"))

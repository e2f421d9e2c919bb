"""Training on stored trunk outputs: the same fit, with the early stages run once."""

import re

import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import load_file

from galaxymorph.base import Rows
from galaxymorph.learn import build_model, image_loader, make_recipe
from galaxymorph.learn.acceleration.features import FeatureDL, cuts
from galaxymorph.learn.acceleration.serving import fold_batchnorm, serving_network
from tests.conftest import galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")

STILL = ["--no-flips", "--rotate", "0", "--brightness", "0", "--contrast", "0"]


@pytest.fixture(scope="module")
def weights(new_folder):
    torch.manual_seed(1)
    path = new_folder("weights") / "test_resnet.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    return path


def fit(simple, weights, out, name, *more):
    settings = ["--size", "64", "--frozen-epochs", "1", "--epochs", "2", "--batch", "16"]
    settings += ["--arch", "test_resnet", "--views", "1"]
    arguments = ["fit", "--recipe", "baseline", "--data", simple, "--weights", weights]
    arguments += ["--out", out, "--name", name]
    status = galaxymorph(*arguments, *settings, "--precision", "fp32", "--keep", "last", *more)
    assert status == 0, f"command failed with {status}"
    return out / name


def test_stored_features_give_the_fit_that_images_give(simple, weights, tmp_path, monkeypatch):
    stored = fit(simple, weights, tmp_path, "stored", *STILL, "--trunk-views", "1")

    def refuse(*_):
        raise AssertionError("features were opened")

    with monkeypatch.context() as patch:
        patch.setattr("galaxymorph.learn.acceleration.features.FeatureDL", refuse)
        images = fit(simple, weights, tmp_path, "images", *STILL, "--trunk-views", "0")
        with pytest.raises(AssertionError, match="command failed with 1"):
            fit(simple, weights, tmp_path, "refused", *STILL, "--trunk-views", "1")
    one, other = (load_file(run / "model.safetensors") for run in (stored, images))
    assert all(np.allclose(one[name], other[name], atol=2e-3) for name in one)
    frozen = [name for name in one if re.match(r"0\.model\.(conv1|layer[123])\.", name)]
    assert len(frozen) > 20
    assert all(np.array_equal(one[name], other[name]) for name in frozen)
    before = torch.load(weights, weights_only=True)["layer4.0.conv1.weight"].numpy()
    assert not np.allclose(one["0.model.layer4.0.conv1.weight"], before)
    assert not (stored / "checkpoints" / "features").exists()


def test_views_take_turns_so_that_each_galaxy_shows_every_one(tmp_path):
    views, galaxies = 3, 4
    values = np.arange(views * galaxies, dtype=np.float32)
    (tmp_path / "x.bin").write_bytes(values.tobytes())
    rows = Rows(tmp_path / "x.bin", (1, 1, 1), np.dtype("float32"))
    loader = FeatureDL(rows, torch.arange(galaxies), bs=2, shuffle=True)
    seen = {galaxy: [] for galaxy in range(galaxies)}
    for epoch in range(views):
        loader.epoch = epoch
        for features, labels in loader:
            for value, label in zip(features.flatten().tolist(), labels.tolist(), strict=True):
                assert value % galaxies == label
                seen[label].append(value // galaxies)
    assert all(sorted(turns) == [0, 1, 2] for turns in seen.values())


def test_a_row_that_is_cut_off_is_noticed(tmp_path):
    (tmp_path / "x.bin").write_bytes(bytes(10))
    rows = Rows(tmp_path / "x.bin", (2,), np.dtype("float32"))
    assert rows.read([0]).tolist() == [[0, 0]]
    with pytest.raises(OSError, match="row 1 is cut off"):
        rows.read([1])


@pytest.mark.parametrize(
    ("arch", "cut"),
    [
        ("resnet18", True),
        ("tf_efficientnet_lite0", True),
        ("convnext_atto", True),
        ("vit_tiny_patch16_224", False),
    ],
)
def test_a_network_is_cut_where_it_can_be(arch, cut):
    recipe = make_recipe("baseline", {"arch": arch})
    model = build_model(recipe, 3).eval()
    found = cuts(model, recipe)
    assert ("fine-tuned" in found) is cut
    for early in found.values():
        batch = torch.rand(1, 3, 224, 224)
        with torch.no_grad():
            expected, features = model(batch), early.outputs(batch)
            with early.bypassed():
                assert torch.equal(model(features), expected)
            assert torch.equal(model(batch), expected)


@pytest.mark.parametrize("arch", ["resnet18", "tf_efficientnet_lite0", "densenet121"])
def test_a_folded_network_says_the_same(arch):
    torch.manual_seed(0)
    model = build_model(make_recipe("baseline", {"arch": arch}), 3)
    # BatchNorm's statistics as after some training, rather than zeros and ones.
    model(torch.rand(8, 3, 64, 64))
    batch = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        expected = model.eval()(batch)
        folded = fold_batchnorm(model, 64)
        assert torch.allclose(folded(batch), expected, atol=1e-4)
        norms = [type(module).__name__ for module in folded.modules()]
        assert sum("BatchNorm" in name for name in norms) < 0.6 * sum(
            "BatchNorm" in type(module).__name__ for module in model.modules()
        )
        half = serving_network(model, make_recipe("baseline", {"arch": arch}), "bf16")(batch)
    assert half.dtype == torch.float32
    assert torch.allclose(half, expected, atol=0.1)


def test_a_network_that_runs_its_layers_in_another_order_stays_as_it_is():
    class Crossed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 3, 1)
            self.norm = torch.nn.BatchNorm2d(3)

        def forward(self, batch):
            return self.convolution(self.norm(batch))

    model = Crossed().eval()
    model.norm.running_mean += 1
    batch = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(fold_batchnorm(model, 8)(batch), model(batch))


def test_batches_made_without_fastais_steps_are_the_same(simple):
    images = [str(path) for path in sorted((simple / "images_training_rev1").iterdir())[:20]]
    for changes in ({"size": 64}, {"size": 48, "crop": 0.5}):
        loader = image_loader(images, make_recipe("baseline", {"batch": 8, **changes}))
        assert loader.source is not None
        short = list(loader)
        loader.source = None
        assert all(torch.equal(a, b) for a, b in zip(short, loader, strict=True))


def test_the_plain_pipeline_infers_with_the_network_itself():
    recipe = make_recipe("plain", {"size": 64})
    model = build_model(recipe, 3)
    assert serving_network(model, recipe) is model
    assert not model.training
    assert serving_network(model, recipe, "bf16") is not model

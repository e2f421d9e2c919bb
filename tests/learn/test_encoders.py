"""Encoders of timm and Zoobot from the hub's cache, a folder or a file, and their inputs."""

import json
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
from fastai.vision.all import load_learner
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

from galaxymorph import load_predictor
from galaxymorph.base import BadInput, read_json
from galaxymorph.learn import Run, build_model, describe, make_recipe, resolve_encoder
from galaxymorph.learn.backbones.architectures import pixel_stats, split_groups
from galaxymorph.learn.backbones.encoders import first_spread, warn_of_inputs
from galaxymorph.learn.backbones.initial_weights import load_trunk
from galaxymorph.learn.fit import stages
from tests.conftest import QUICK, RECIPE, galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")

HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


def encoder(arch="test_convnext", seed=1, channels=3, **arguments):
    torch.manual_seed(seed)
    return timm.create_model(arch, num_classes=0, in_chans=channels, **arguments).eval()


def timm_folder(path, model, config=None, **more):
    """Write a folder as timm does; `config` replaces values of `pretrained_cfg`."""
    save_for_hf(model, path, safe_serialization="both")
    about = json.loads((path / "config.json").read_text())
    about["pretrained_cfg"].update(config or {})
    for name in [name for name, value in (config or {}).items() if value is None]:
        del about["pretrained_cfg"][name]
    (path / "config.json").write_text(json.dumps(about | more))
    return path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return a function that puts a folder into the hub's cache, of a machine that is offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def put(name, model, config=None, **more):
        folder = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        commit = "9bad7d2" + "0" * 33
        timm_folder(folder / "snapshots" / commit, model, config, **more)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)
        return f"hf_hub:{name}"

    return put


def resolved(**changes):
    return resolve_encoder(make_recipe("quick", changes), changes)


def trunk_of(recipe):
    trunk = build_model(recipe, 2)[0]
    load_trunk(trunk, recipe)
    return trunk.eval()


def test_an_encoder_of_the_hubs_cache_is_timms_own(hub):
    model = encoder()
    source = hub("someone/galaxies", model, HALF | {"interpolation": "bilinear"})
    recipe = resolved(arch=source).recipe
    assert (recipe.arch, recipe.weights) == ("test_convnext", source)
    assert pixel_stats(recipe) == (HALF["mean"], HALF["std"])
    assert (recipe.size, recipe.channels, recipe.interpolation) == (160, 3, "bilinear")
    images = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        theirs = timm.create_model(source, pretrained=True, num_classes=0).eval()
        expected = theirs.forward_features(images)
        assert torch.equal(trunk_of(recipe)(images), expected)
        assert torch.equal(model.forward_features(images), expected)


@pytest.mark.parametrize("prefix", ["hf-hub", "HF_HUB"])
def test_timms_other_spellings_of_the_hub_work(hub, prefix):
    source = hub("someone/galaxies", encoder())
    recipe = resolved(arch=source.replace("hf_hub", prefix)).recipe
    assert recipe.weights == source


def test_what_the_user_gives_precedes_the_encoders_configuration(hub):
    source = hub("someone/galaxies", encoder(), HALF)
    recipe = resolved(
        arch=source, normalise="0.1/0.2", size=64, interpolation="bicubic", channels=1
    ).recipe
    assert pixel_stats(recipe) == ((0.1,) * 3, (0.2,) * 3)
    assert (recipe.size, recipe.interpolation, recipe.channels) == (64, "bicubic", 1)
    # A resolved recipe stays as it is.
    assert resolve_encoder(recipe, {}).recipe == recipe
    weights = trunk_of(recipe).state_dict()["1.model.stem.0.weight"]
    assert torch.allclose(weights, encoder().state_dict()["stem.0.weight"].sum(1, keepdim=True))


def test_an_encoder_that_is_nowhere_is_named_with_the_alternatives(hub):
    with pytest.raises(BadInput, match=r"hf_hub:no/where can't be loaded .*with weights FILE"):
        resolved(arch="hf_hub:no/where")
    with pytest.raises(BadInput, match="local-dir:.*nowhere can't be loaded"):
        resolved(arch="local-dir:nowhere")
    with pytest.raises(BadInput, match="leave it out"):
        resolved(arch="hf_hub:no/where", weights="imagenet")


def test_zoobots_encoders_see_pixels_from_0_to_1(hub, capsys):
    # timm writes its own statistics into the configuration of any network.
    source = hub("mwalmsley/zoobot-encoder-test", encoder(), {"interpolation": "bilinear"})
    found = resolved(weights=source)
    assert found.recipe.normalise == "none"
    assert "Zoobot's encoders are trained on pixels from 0 to 1" in capsys.readouterr().err
    source = hub("mwalmsley/zoobot-encoder-half", encoder(), HALF)
    assert pixel_stats(resolved(weights=source).recipe) == (HALF["mean"], HALF["std"])


LAYOUTS = {
    "timm.safetensors": lambda state: state,
    "pytorch_model.bin": lambda state: state,
    "module.pt": lambda state: {"model": {f"module.{k}": v for k, v in state.items()}},
    "zoobot.ckpt": lambda state: {
        "state_dict": {
            **{f"encoder.{name}": value for name, value in state.items()},
            "head.weight": torch.zeros(3, 64),
        },
        "pytorch-lightning_version": "2.1.0",
        "hyper_parameters": {"architecture_name": "test_convnext", "schema": Run(Path("schema"))},
        "callbacks": {torch.nn.Linear: 3},
    },
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_of_an_encoder_in_every_layout(tmp_path, name, channels):
    model = encoder(channels=channels)
    path, content = tmp_path / name, LAYOUTS[name](model.state_dict())
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    recipe = resolved(weights=str(path), **{"arch": "test_convnext", "size": 64}).recipe
    assert recipe.channels == channels
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        inputs = images if channels == 3 else images.mean(1, keepdim=True)
        assert torch.equal(trunk_of(recipe)(images), model.forward_features(inputs))


def test_a_checkpoint_of_zoobots_names_its_architecture_and_runs_no_code(tmp_path):
    class Mischief:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    content = LAYOUTS["zoobot.ckpt"](encoder().state_dict())
    content["hyper_parameters"]["mischief"] = Mischief()
    path = tmp_path / "zoobot.ckpt"
    torch.save(content, path)
    found = resolved(weights=str(path))
    assert (found.recipe.arch, found.recipe.normalise) == ("test_convnext", "none")
    assert (found.recipe.interpolation, found.unsure) == ("bilinear", "")
    trunk_of(found.recipe)
    assert not (tmp_path / "written").exists()
    with pytest.raises(BadInput, match="weights of test_convnext, not of arch='resnet18'"):
        resolved(weights=str(path), arch="resnet18")


def test_a_configuration_beside_a_file_says_its_inputs(tmp_path):
    folder = timm_folder(tmp_path, encoder(), HALF)
    found = resolved(weights=str(folder / "pytorch_model.bin"))
    assert (found.recipe.arch, found.unsure) == ("test_convnext", "")
    assert pixel_stats(found.recipe) == (HALF["mean"], HALF["std"])


def test_a_grey_encoder_refuses_three_channels(tmp_path):
    folder = timm_folder(tmp_path, encoder(channels=1), {"input_size": (3, 160, 160)})
    recipe = resolved(arch=f"local-dir:{folder}").recipe
    assert recipe.channels == 1
    trunk = trunk_of(recipe)
    colour = torch.rand(1, 3, 160, 160)
    grey = colour.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    with torch.no_grad():
        assert torch.allclose(trunk(colour), trunk(grey), atol=1e-5)
    with pytest.raises(BadInput, match="take grey images"):
        resolved(arch=f"local-dir:{folder}", channels=3)


def test_arguments_of_the_architecture_are_kept(tmp_path):
    folder = timm_folder(tmp_path, encoder("test_vit", img_size=96), model_args={"img_size": 96})
    recipe = resolved(arch=f"local-dir:{folder}").recipe
    assert (json.loads(recipe.model_args), recipe.size) == ({"img_size": 96}, 96)
    assert trunk_of(recipe)(torch.rand(1, 3, 96, 96)).shape == (1, 64)
    wrong = make_recipe("quick", {"arch": "test_vit", "model_args": '{"nonsense": 1}'})
    with pytest.raises(BadInput, match="test_vit does not take them"):
        build_model(wrong, 2)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"normalise": "imagnet"}, "is no normalisation; write imagenet"),
        ({"normalise": "0.5,0.5/1"}, "is no normalisation"),
        ({"normalise": "0.5/0"}, "must be over 0"),
        ({"normalise": "nan/1"}, "must be over 0"),
        ({"channels": 2}, "channels is 2"),
        ({"interpolation": "lanczos"}, "interpolation is 'lanczos'"),
        ({"model_args": "[1]"}, "takes a JSON object"),
        ({"layer_decay": 0.5, "unfreeze": 1}, "no more than one stage"),
    ],
)
def test_settings_of_inputs_are_checked(setting, words):
    with pytest.raises(BadInput, match=words):
        make_recipe("quick", setting)


def test_a_file_that_says_nothing_is_warned_of_with_the_spread(tmp_path, capsys):
    torch.manual_seed(2)
    model = timm.create_model("test_resnet", num_classes=0)
    # Its BatchNorm saw the outputs of pixels from 0 to 1.
    images = torch.rand(64, 3, 64, 64) * 0.2
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model(images)
    path = tmp_path / "weights.pth"
    torch.save(model.state_dict(), path)
    found = resolved(weights=str(path), arch="test_resnet", size=64)
    trunk = trunk_of(found.recipe)
    assert first_spread(trunk, images, ((0.0,) * 3, (1.0,) * 3)) == pytest.approx(1, abs=0.02)
    warn_of_inputs(found, images)
    error = capsys.readouterr().err
    assert f"{path} says nothing of how its pixels were normalised" in error
    assert "1 is right" in error
    assert "1 with none" in error or "0.99" in error
    assert not resolved(weights=str(path), arch="test_resnet", normalise="none").unsure


@pytest.mark.parametrize("arch", ["resnet18", "test_convnext", "test_vit"])
@pytest.mark.parametrize("unfreeze", [0, 2])
def test_rates_decrease_from_the_head_to_the_first_layer(arch, unfreeze):
    changes = {"arch": arch, "unfreeze": unfreeze, "layer_decay": 0.5, "trunk_lr": 0.1, "lr": 1.0}
    recipe = make_recipe("quick", changes)
    model = build_model(recipe, 2)
    groups = split_groups(model, unfreeze, each=True)
    stage = stages(recipe, len(groups))[-1]
    assert len(stage.lr) == len(groups)
    tuned = groups[stage.freeze_to :]
    rates = stage.lr[stage.freeze_to :]
    assert rates[-1] == 1.0
    assert rates[:-1] == pytest.approx([0.1 * 0.5**n for n in reversed(range(len(tuned) - 1))])
    assert all(len(group) for group in tuned)
    assert bool(len(groups[0])) == (unfreeze != 0)
    if unfreeze:
        assert len(tuned) == 3
    every = [id(weight) for group in groups for weight in group]
    assert sorted(every) == sorted(map(id, model.parameters()))


@pytest.fixture(scope="module")
def grey_run(simple, new_folder):
    """A run on a grey encoder of Zoobot's kind, two stages fine-tuned on stored features."""
    folder = new_folder("zoobot-encoder-greyscale")
    timm_folder(folder, encoder(channels=1), HALF | {"interpolation": "bilinear"})
    out = new_folder("grey")
    words = ["--recipe", "quick", "--arch", f"local-dir:{folder}", "--unfreeze", "1"]
    more = ["--precision", "fp32", "--views", "1", "--weights", f"local-dir:{folder}"]
    fit = ["fit", "--data", simple, *words, *more, "--out", out, "--name", "run"]
    assert galaxymorph(*fit, *QUICK, "--size", "64", "--epochs", "1") == 0
    return Run(out / "run")


def test_a_run_records_the_inputs_of_its_encoder(grey_run):
    recipe, about = read_json(grey_run.path / "recipe.json")["recipe"], describe(grey_run)
    assert recipe["arch"] == about["arch"] == "test_convnext"
    assert recipe["weights"].startswith("local-dir:/")
    assert recipe["channels"] == about["channels"] == 1
    assert recipe["interpolation"] == about["interpolation"] == "bilinear"
    assert (recipe["normalise"], recipe["size"]) == ("0.5,0.5,0.5/0.25,0.25,0.25", 64)
    assert (about["mean"], about["std"]) == ([0.5] * 3, [0.25] * 3)
    stem = load_file(grey_run.path / "model.safetensors")["0.1.model.stem.0.weight"]
    assert stem.shape[1] == 1


@pytest.mark.parametrize("form", ["safetensors", "onnx", "pkl", "copied"])
def test_every_form_predicts_as_the_run_does(grey_run, simple, tmp_path, form):
    images = sorted((simple / "images_training_rev1").glob("*.jpg"))[:6]
    pixels = [np.array(Image.open(path)) for path in images]
    expected = load_predictor(grey_run.path).outputs(pixels)
    if form == "pkl":
        loaded = load_predictor(grey_run.path / "model.pkl", trust_pickle=True)
        learn = load_learner(grey_run.path / "model.pkl")
        with learn.no_bar():
            one = learn.predict(images[0])[2].numpy()
        assert one == pytest.approx(expected[0], abs=1e-4)
    elif form == "copied":
        for name in ("model.safetensors", "model.json"):
            (tmp_path / name).write_bytes((grey_run.path / name).read_bytes())
        loaded = load_predictor(tmp_path)
    else:
        path = tmp_path / f"model.{form}"
        assert galaxymorph("export", grey_run.path, "-o", path) == 0
        loaded = load_predictor(path)
    assert loaded.outputs(pixels) == pytest.approx(expected, abs=1e-4)
    # Colours don't count, their mean does.
    grey = [np.repeat(each.mean(axis=2, keepdims=True), 3, 2).astype(np.uint8) for each in pixels]
    assert loaded.outputs(grey) == pytest.approx(expected, abs=0.02)


def test_a_grey_encoder_in_int8(grey_run, capsys):
    assert galaxymorph("export", grey_run.path, "--format", "onnx-int8") == 0
    assert "int8 changes an output by" in capsys.readouterr().out
    test = grey_run.predictions("test")
    quantized = load_predictor(grey_run.path, "int8").outputs(list(test["image"]))
    exact = load_predictor(grey_run.path, "fp32").outputs(list(test["image"]))
    assert np.abs(quantized - exact).mean() < 0.05


def test_a_models_trunk_serves_as_the_weights_of_another_fit(grey_run):
    recipe = resolved(weights=str(grey_run.path / "model.safetensors")).recipe
    assert (recipe.arch, recipe.channels, recipe.interpolation) == ("test_convnext", 1, "bilinear")
    assert pixel_stats(recipe) == (HALF["mean"], HALF["std"])
    theirs = load_file(grey_run.path / "model.safetensors")
    ours = trunk_of(recipe).state_dict()
    assert all(torch.equal(theirs[f"0.{name}"], value) for name, value in ours.items())


def test_a_vision_transformer_of_a_folder_is_fitted_with_layer_wise_rates(simple, tmp_path):
    folder = timm_folder(tmp_path / "vit", encoder("test_vit", img_size=64), HALF)
    words = ["--recipe", RECIPE, "--arch", f"local-dir:{folder}", "--weights", "none"]
    more = ["--layer-decay", "0.7", "--model-args", '{"img_size": 64}', "--name", "run"]
    fit = ["fit", "--data", simple, *words, *more, "--out", tmp_path, *QUICK]
    assert galaxymorph(*fit, "--size", "64", "--epochs", "1") == 0
    recipe = Run(tmp_path / "run").recipe
    assert (recipe.layer_decay, recipe.unfreeze, recipe.normalise) == (
        0.7,
        0,
        "0.5,0.5,0.5/0.25,0.25,0.25",
    )
    assert replace(recipe, normalise=None) != recipe

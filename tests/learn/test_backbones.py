import urllib.request
from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from fastai.vision.all import vision_learner
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images

from galaxymorph.base import BadInput
from galaxymorph.learn import build_model, make_recipe
from galaxymorph.learn.backbones.architectures import split_groups
from galaxymorph.learn.backbones.initial_weights import (
    LITE0,
    lite0_state,
    load_trunk,
    vision_learner_of,
)
from galaxymorph.learn.data import galaxy_loaders
from galaxymorph.zoo import label_catalogue, read_catalogue, split_galaxies
from tests.conftest import galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def loaders(simple):
    labelled, classes = label_catalogue(read_catalogue(simple), "layer1")
    split = split_galaxies(labelled, classes, 42)
    return galaxy_loaders(split, make_recipe("baseline", {"size": 64}), classes)


def test_the_fine_tuned_group_of_a_resnet_is_exactly_layer4():
    model = build_model(make_recipe("baseline", {}), 3)
    early, tuned, head = split_groups(model)
    layer4 = timm.create_model("resnet18").layer4
    assert [p.shape for p in tuned] == [p.shape for p in layer4.parameters()]
    assert [tuple(p.shape) for p in head] == [(3, 512), (3,)]
    assert len(early) + len(tuned) + len(head) == len(list(model.parameters()))


@pytest.mark.parametrize("arch", [LITE0, "convnext_atto", "densenet121", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("tuned", [0, 1, 3])
def test_every_parameter_is_in_one_group_whatever_the_architecture(arch, tuned):
    model = build_model(make_recipe("baseline", {"arch": arch, "weights": "none"}), 3)
    groups = split_groups(model, tuned)
    assert len(groups) == 3
    found = [id(parameter) for group in groups for parameter in group]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())
    assert bool(len(groups[0])) == (tuned != 0)


def test_the_head_is_the_published_one_or_fastais_own():
    def layers(head: str) -> list[str]:
        model = build_model(make_recipe("baseline", {"head": head}), 3)
        return [type(layer).__name__ for layer in model[1].modules()]

    assert layers("linear")[1:] == ["AdaptiveAvgPool2d", "Flatten", "Linear"]
    assert layers("fastai").count("Linear") == 2


def test_lite0s_weights_recognise_photographs():
    model = timm.create_model(LITE0).eval()
    model.load_state_dict(lite0_state(with_classifier=True), strict=False)
    photographs = torch.stack(
        [torch.from_numpy(image).permute(2, 0, 1) for image in load_sample_images().images]
    )
    squares = torch.nn.functional.interpolate(
        photographs[..., 100:324, 200:424].float() / 127.5 - 1, size=224
    )
    with torch.no_grad():
        top = model(squares).softmax(dim=1).topk(5).indices.tolist()
    # ImageNet's 663 is monastery, 698 palace, 832 stupa, 975 lakeside: a Chinese palace; 985 is
    # daisy, the only open flower among the thousand but for 986, the lady's slipper.
    assert {663, 698, 832} & set(top[0])
    assert 985 in top[1]


def test_lite0s_trunk_is_loaded_into_the_learner(loaders):
    learn = vision_learner_of(loaders, make_recipe("baseline", {"arch": LITE0, "size": 64}))
    expected = lite0_state()
    trunk = learn.model[0].model.state_dict()
    assert all(torch.equal(trunk[name], value) for name, value in expected.items())


def test_weights_that_cannot_be_downloaded_are_named_with_the_alternatives(
    simple, tmp_path, capsys, monkeypatch
):
    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    words = ["fit", "--data", simple, "--recipe", "baseline", "--out", tmp_path / "runs"]
    assert galaxymorph(*words) == 2
    error = capsys.readouterr().err
    assert "--weights imagenet: the weights of resnet18 can't be downloaded" in error
    assert "use --weights galaxymorph, --arch" in error
    assert LITE0 in error
    assert not list((tmp_path / "runs").glob("*"))


def test_imagenet_weights_of_resnet18_go_through_torchvision(loaders, tmp_path, monkeypatch):
    """A stand-in for the download, in torchvision's own cache, ends up in the trunk."""
    torch.manual_seed(5)
    stand_in = torchvision.models.resnet18()
    url = torchvision.models.ResNet18_Weights.DEFAULT.url
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path = folder / url.rsplit("/", 1)[1]
    torch.save(stand_in.state_dict(), path)
    monkeypatch.setattr(torch.hub, "HASH_REGEX", __import__("re").compile("never"))
    learn = vision_learner_of(loaders, make_recipe("baseline", {"size": 64}))
    ours = list(learn.model[0].state_dict().values())
    theirs = [v for k, v in stand_in.state_dict().items() if not k.startswith("fc")]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    plain = vision_learner(loaders, torchvision.models.resnet18, normalize=False)
    assert all(
        torch.equal(a, b) for a, b in zip(ours, plain.model[0].state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("arch", ["resnet18", "densenet121", "vit_tiny_patch16_224"])
def test_the_weights_of_a_whole_network_load_by_their_own_names(tmp_path, arch, ending):
    torch.manual_seed(1)
    library = torchvision.models if hasattr(torchvision.models, arch) else None
    stand_in = getattr(torchvision.models, arch)() if library else timm.create_model(arch)
    path, recipe = tmp_path / f"weights.{ending}", make_recipe("baseline", {"arch": arch})
    # Names in another order than the layers', as safetensors keeps them.
    state = dict(sorted(stand_in.state_dict().items()))
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    trunk = build_model(recipe, 2)[0]
    load_trunk(trunk, replace(recipe, weights=str(path)))
    theirs = {value.sum().item() for value in state.values() if value.is_floating_point()}
    assert {v.sum().item() for v in trunk.state_dict().values() if v.is_floating_point()} <= theirs


def test_weights_of_another_architecture_are_refused(loaders, tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    wrong = make_recipe("baseline", {"arch": "resnet34", "weights": str(path)})
    with pytest.raises(BadInput, match="don't fit resnet34"):
        vision_learner_of(loaders, wrong)


def test_a_state_dict_that_would_run_code_is_refused(loaders, tmp_path):
    import pickle

    class Mischief:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    path = tmp_path / "mischief.pth"
    path.write_bytes(pickle.dumps({"model": Mischief()}))
    with pytest.raises(BadInput, match="not a readable state dict"):
        vision_learner_of(loaders, make_recipe("baseline", {"weights": str(path)}))
    assert not (tmp_path / "written").exists()

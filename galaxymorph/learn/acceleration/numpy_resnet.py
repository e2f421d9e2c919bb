"""A ResNet in NumPy, for a few images: importing PyTorch takes longer than they do.

Blocks are the basic ones of He et al. (2016, CVPR, arXiv:1512.03385, table 1), weights those of
torchvision's resnet18 and resnet34. Images have the channels last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from galaxymorph.learn.recipe import Recipe

# Blocks of each stage. Networks of bottleneck blocks take as long as PyTorch's import.
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
# Places of the stages in fastai's trunk, and their channels.
STAGES = {4: 64, 5: 128, 6: 256, 7: 512}
# Of torchvision's BatchNorm.
EPSILON = 1e-5
NORM = ("weight", "bias", "running_mean", "running_var")
UNUSED = "num_batches_tracked"
# Pixels that take about as long as the import: 8 images of 128 pixels in 8 views.
MOST_PIXELS = 8 * 8 * 128**2

State = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Convolution:
    """A convolution with its BatchNorm folded into it.

    Args:
        weight: shape (side * side * channels, outputs).
        bias: shape (outputs,).
        side: of the kernel, odd.
        stride: in pixels.
    """

    weight: np.ndarray
    bias: np.ndarray
    side: int
    stride: int

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs, shape (n, height, width, outputs), of images with channels last."""
        windows = _windows(_padded(images, self.side // 2, 0.0), self.side, self.stride)
        outputs = windows.reshape(-1, len(self.weight)) @ self.weight
        outputs += self.bias
        return outputs.reshape(*windows.shape[:3], -1)


@dataclass(frozen=True)
class Block:
    """Two convolutions beside a shortcut, which has one of its own where the shape changes."""

    first: Convolution
    second: Convolution
    shortcut: Convolution | None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs, of the type that `Convolution` returns."""
        outputs = self.second(_relu(self.first(images)))
        outputs += self.shortcut(images) if self.shortcut else images
        return _relu(outputs)


@dataclass
class NumpyResNet:
    """A trained network for inference.

    Args:
        stem: the first convolution.
        blocks: of the four stages, in order.
        weight: of the last layer, shape (features, outputs).
        bias: of the last layer.
        listeners: called with the embeddings, shape (n, features), and the logits of each batch.
    """

    stem: Convolution
    blocks: list[Block]
    weight: np.ndarray
    bias: np.ndarray
    listeners: list[Callable[[np.ndarray, np.ndarray], object]] = field(default_factory=list)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return logits, shape (n, outputs), of float32 images of shape (n, 3, side, side)."""
        # One at a time, so that the outputs of early layers stay in the processor's cache.
        embeddings = np.concatenate([self._embedding(image[None]) for image in batch])
        logits = embeddings @ self.weight + self.bias
        for listener in self.listeners:
            listener(embeddings, logits)
        return logits

    def _embedding(self, image: np.ndarray) -> np.ndarray:
        outputs = _halved(_relu(self.stem(np.ascontiguousarray(image.transpose(0, 2, 3, 1)))))
        for block in self.blocks:
            outputs = block(outputs)
        return outputs.mean(axis=(1, 2))


def suits_numpy(recipe: Recipe, images: int, precision: str | None = None) -> bool:
    """Tell whether so many images are predicted sooner in NumPy than with PyTorch, and alike.

    Args:
        recipe: of the network.
        images: their number, times that of the networks.
        precision: in place of the recipe's.
    """
    precision = precision or recipe.precision
    return (
        (precision == "fp32" or (precision == "auto" and not _has_faster_formats()))
        and recipe.arch in BLOCKS
        and recipe.model_args is None
        and recipe.head == "linear"
        and recipe.channels in (None, 3)
        and recipe.pixels == "rgb"
        and recipe.pipeline == "fast"
        and images * recipe.views * recipe.size**2 <= MOST_PIXELS
    )


@lru_cache(maxsize=1)
def _has_faster_formats() -> bool:
    """Tell without PyTorch whether `resolve_precision` may choose another format than float32."""
    if Path("/dev/nvidia0").exists():
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").split()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def numpy_resnet(state: State, arch: str, outputs: int) -> NumpyResNet | None:
    """Return the network of a state dict; None if its tensors are not those of the architecture.

    Args:
        state: of fastai's sequence of a trunk, `0`, and a linear head, `1`.
        arch: of `BLOCKS`.
        outputs: of the last layer.
    """
    last = next((name for name in state if name.startswith("1.") and name.endswith("weight")), "")
    expected = {**_shapes(arch), last: (outputs, STAGES[7]), f"{last[:-6]}bias": (outputs,)}
    known = {name: values.shape for name, values in state.items() if not name.endswith(UNUSED)}
    if known != expected:
        return None
    blocks = [
        # The first block of every stage but the first halves the sides.
        _block(state, f"0.{stage}.{number}", 2 if stage > 4 and not number else 1)
        for stage, count in zip(STAGES, BLOCKS[arch], strict=True)
        for number in range(count)
    ]
    weight, bias = (state[name].astype(np.float32) for name in list(expected)[-2:])
    return NumpyResNet(_folded(state, "0.0", "0.1", 2), blocks, weight.T, bias)


def _shapes(arch: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the trunk's tensors by name."""
    shapes = {**_shapes_of("0.0", "0.1", (64, 3, 7, 7))}
    inputs = 64
    for (stage, width), count in zip(STAGES.items(), BLOCKS[arch], strict=True):
        for number in range(count):
            name = f"0.{stage}.{number}"
            shapes |= _shapes_of(f"{name}.conv1", f"{name}.bn1", (width, inputs, 3, 3))
            shapes |= _shapes_of(f"{name}.conv2", f"{name}.bn2", (width, width, 3, 3))
            if inputs != width:
                shortcut = f"{name}.downsample"
                shapes |= _shapes_of(f"{shortcut}.0", f"{shortcut}.1", (width, inputs, 1, 1))
            inputs = width
    return shapes


def _shapes_of(convolution: str, norm: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{convolution}.weight": shape} | {f"{norm}.{name}": shape[:1] for name in NORM}


def _block(state: State, name: str, stride: int) -> Block:
    shortcut = f"{name}.downsample"
    return Block(
        _folded(state, f"{name}.conv1", f"{name}.bn1", stride),
        _folded(state, f"{name}.conv2", f"{name}.bn2", 1),
        _folded(state, f"{shortcut}.0", f"{shortcut}.1", stride)
        if f"{shortcut}.0.weight" in state
        else None,
    )


def _folded(state: State, convolution: str, norm: str, stride: int) -> Convolution:
    """Return a convolution whose weights include the BatchNorm that follows it."""
    weight = state[f"{convolution}.weight"]
    scale, shift, mean, variance = (state[f"{norm}.{name}"].astype(np.float32) for name in NORM)
    scale = scale / np.sqrt(variance + EPSILON)
    outputs, _, side, _ = weight.shape
    # In the order of the windows: rows, columns, channels.
    folded = weight.transpose(0, 2, 3, 1).reshape(outputs, -1).astype(np.float32)
    folded *= scale[:, None]
    return Convolution(folded.T, shift - mean * scale, side, stride)


def _padded(images: np.ndarray, width: int, value: float) -> np.ndarray:
    if not width:
        return np.ascontiguousarray(images)
    count, height, length, channels = images.shape
    shape = (count, height + 2 * width, length + 2 * width, channels)
    padded = np.full(shape, value, np.float32)
    padded[:, width:-width, width:-width] = images
    return padded


def _windows(images: np.ndarray, side: int, stride: int) -> np.ndarray:
    """Return a view of all windows, shape (n, rows, columns, side, side * channels).

    A row of a window is one piece of memory, which copies fast.
    """
    count, height, width, channels = images.shape
    rows, columns = ((length - side) // stride + 1 for length in (height, width))
    image, row, pixel, channel = images.strides
    return np.lib.stride_tricks.as_strided(
        images,
        (count, rows, columns, side, side * channels),
        (image, stride * row, stride * pixel, row, channel),
        writeable=False,
    )


def _halved(images: np.ndarray) -> np.ndarray:
    """Return the largest value of each 3 x 3 pixels, two pixels apart."""
    windows = _windows(_padded(images, 1, -np.inf), 3, 2)
    windows = windows.reshape(*windows.shape[:3], 9, -1)
    return windows.max(axis=3)


def _relu(images: np.ndarray) -> np.ndarray:
    return np.maximum(images, 0, out=images)

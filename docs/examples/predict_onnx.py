"""Predict galaxy images with an exported model: ONNX Runtime, NumPy and Pillow, nothing else.

    pip install onnxruntime numpy pillow
    python predict_onnx.py model.onnx galaxy.jpg another.png

`galaxymorph export RUN --format onnx -o model.onnx` writes the model. This file needs neither
GalaxyMorph nor PyTorch; copy it, and change it. It prints CSV: each image, with the calibrated
probability of each class.
"""

import csv
import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

SMALLEST = np.finfo(float).eps


def main(path: str, images: list[str]) -> None:
    """Print the class probabilities of images as CSV."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    model = json.loads(session.get_modelmeta().custom_metadata_map["galaxymorph"])
    if model["target"] == "tree":
        sys.exit(f"{path}: a model of the decision tree; predict with galaxymorph")
    table = csv.writer(sys.stdout)
    table.writerow(["image", *model["classes"]])
    for image in images:
        pixels = prepare(Image.open(image).convert("RGB"), model)
        table.writerow([image, *(f"{value:.6f}" for value in predict(session, pixels, model))])


def prepare(image: Image.Image, model: dict) -> np.ndarray:
    """Return the model's input, float32 of shape (1, 3, size, size).

    Training resizes a frame that is 1.25 times as wide as the crop, and cuts out its centre.
    """
    size, margin = model["size"], min(1.25, 1 / model["crop"])
    # Files of early versions don't name it.
    filter = model.get("interpolation") or "bicubic"
    frame = resize_centre(image, model["crop"] * margin, round(size * margin), filter)
    start = (len(frame) - size) // 2
    pixels = frame[start : start + size, start : start + size].transpose(2, 0, 1)
    mean, std = (np.reshape(model[name], (3, 1, 1)) * 255 for name in ("mean", "std"))
    return ((pixels - mean) / std)[None].astype(np.float32)


def resize_centre(image: Image.Image, crop: float, size: int, filter: str) -> np.ndarray:
    """Return the central square, `crop` of the image's shorter side, resized to (size, size, 3).

    Bicubic or bilinear, with antialiasing, rounded as PyTorch rounds it: Pillow alone differs by up
    to one level in 255. Where the square starts within a pixel, training uses Pillow too.
    """
    side = crop * min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    if not (side.is_integer() and left.is_integer() and top.is_integer()):
        box = (left, top, left + side, top + side)
        return np.array(image.resize((size, size), Image.Resampling[filter.upper()], box=box))
    side, left, top = int(side), int(left), int(top)
    square = np.array(image, float)[top : top + side, left : left + side]
    weights, bits = filter_weights(side, size, filter)

    def rounded(sums: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(sums / 2**bits + 0.5), 0, 255)

    rows = rounded(np.einsum("xj,ijc->ixc", weights, square, optimize=True))
    return rounded(np.einsum("yi,ixc->yxc", weights, rows, optimize=True))


def filter_weights(side: int, size: int, filter: str) -> tuple[np.ndarray, int]:
    """Return the weights of `side` pixels in each of `size`, times 2**bits, and the bits."""
    scale = side / size
    width, reach = max(scale, 1.0), 1 if filter == "bilinear" else 2
    centres = (np.arange(size)[:, None] + 0.5) * scale
    pixels = np.arange(side)
    low = np.maximum(np.floor(centres - reach * width + 0.5), 0)
    high = np.minimum(np.floor(centres + reach * width + 0.5), side)
    x = np.abs((pixels - centres + 0.5) / width)
    near, far = (1.5 * x - 2.5) * x * x + 1, -0.5 * (((x - 5) * x + 8) * x - 4)
    weights = np.maximum(1 - x, 0)
    if filter == "bicubic":
        weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    weights = weights * ((pixels >= low) & (pixels < high))
    weights /= weights.sum(axis=1, keepdims=True)
    bits = 0
    while bits < 22 and int(0.5 + weights.max() * 2 ** (bits + 1)) < 2**15:
        bits += 1
    return np.trunc(weights * 2**bits + np.copysign(0.5, weights)), bits


def predict(session: onnxruntime.InferenceSession, pixels: np.ndarray, model: dict) -> np.ndarray:
    """Return the calibrated class probabilities, averaged over views and networks."""
    views = []
    for view in range(model["views"]):
        rotated = np.rot90(pixels, view % 4, axes=(2, 3))
        flipped = rotated[..., ::-1] if view >= 4 else rotated
        (logits,) = session.run(None, {"images": np.ascontiguousarray(flipped)})
        views.append(softmax(logits.reshape(-1, len(model["classes"]))))
    networks = np.mean(views, axis=0)
    calibrators = model.get("calibrators")
    if calibrators is None:
        return networks.mean(axis=0)
    if len(calibrators) == 1:
        networks = networks.mean(axis=0, keepdims=True)
    pairs = zip(networks, calibrators, strict=True)
    return np.mean([calibrate(network, each) for network, each in pairs], axis=0)


def calibrate(probabilities: np.ndarray, calibrator: dict) -> np.ndarray:
    """Return the calibrated probabilities, shape (classes,)."""
    method, fitted = calibrator["method"], calibrator["parameters"]
    logs = np.log(np.clip(probabilities, SMALLEST, 1))
    if method == "none":
        result = np.maximum(probabilities, 1e-6)
    elif method == "temperature":
        result = softmax(logs / fitted["temperature"])
    elif method == "vector":
        result = softmax(np.multiply(fitted["scale"], logs) + fitted["shift"])
    elif method == "isotonic":
        curves = zip(probabilities, fitted["from"], fitted["to"], strict=True)
        result = np.clip([np.interp(*curve) for curve in curves], SMALLEST, None)
    else:
        sys.exit(f"calibration {method!r} is not one of this example's")
    result = result / result.sum()
    # The floor of few calibration galaxies, see galaxymorph.judge.calibration.calibrators.
    galaxies = calibrator.get("galaxies", 0)
    return (galaxies * result + 1 / len(result)) / (galaxies + 1) if galaxies else result


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits, along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

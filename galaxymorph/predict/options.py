"""The options of a prediction, as `predict` and Python take them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PredictionOptions:
    """How images are predicted; None stands for the model's own setting.

    Args:
        precision: number format of the network: auto, fp32, bf16, fp16 or int8.
        views: flips and 90° rotations that are averaged, 1, 4 or 8.
        crops: shares of the frame's side that are averaged over.
        adapt: re-estimate BatchNorm's statistics on the images first.
        outliers: add the out-of-distribution scores of each image.
        drift: compare the images with validation galaxies, and warn if they differ.
        coverage: of prediction sets, or of the intervals of vote fractions, which are added.
        raw: leave the probabilities uncalibrated.
        stretch: of FITS images.
        bands: of FITS images, the red first.
        skip_bad: leave out images that can't be used, in place of raising BadInput.
    """

    precision: str | None = None
    views: int | None = None
    crops: tuple[float, ...] = ()
    adapt: bool = False
    outliers: bool = False
    drift: bool = True
    coverage: float | None = None
    raw: bool = False
    stretch: str | None = None
    bands: str | None = None
    skip_bad: bool = False


DEFAULTS = PredictionOptions()

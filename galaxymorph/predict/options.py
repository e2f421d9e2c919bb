"""The options of a prediction, as `predict` and Python take them."""

from __future__ import annotations

from dataclasses import dataclass

from galaxymorph.base import BadInput
from galaxymorph.base.options import option
from galaxymorph.images.rendering import STRETCHES

STRETCH = "How FITS images are brightened. Default: as the model is trained on, or lupton."
BANDS = (
    "Bands of FITS images by name or number, the red first, as z,r,g. Default: those that the "
    "model is trained on, or the file's own."
)
BANDS_METAVAR = "BAND[,BAND,BAND]"
VIEWS = (1, 4, 8)


def parse_share(text: str) -> float:
    """Return a share between 0 and 1.

    Raises:
        BadInput: it is none.
    """
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise BadInput(f"--coverage {text}", "give a share between 0 and 1, such as 0.9")
    return share


def parse_crops(text: str) -> tuple[float, ...]:
    """Return shares of an image's side.

    Raises:
        BadInput: there is something else.
    """
    try:
        shares = tuple(float(share) for share in text.split(","))
    except ValueError:
        shares = ()
    if not shares or not all(0.05 <= share <= 1 for share in shares):
        raise BadInput(f"--crops {text}", "write shares of 0.05 to 1, such as 0.5,0.7")
    return shares


@dataclass(frozen=True)
class PredictionOptions:
    """How images are predicted."""

    skip_bad: bool = option("Name images that can't be used and go on.", False)
    precision: str | None = option(
        "Number format of the network; int8 after `quantize`. Default: the run's own.",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    )
    views: int | None = option(
        "Flips and 90° rotations averaged. Default: the run's own.", choices=VIEWS
    )
    crops: tuple[float, ...] = option(
        "Average over these shares of the image's side. Default: the run's own one.",
        (),
        metavar="SHARE[,SHARE...]",
        parse=parse_crops,
    )
    adapt: bool = option(
        "Re-estimate BatchNorm's statistics on these images first, for another survey's.", False
    )
    outliers: bool = option(
        "Add out-of-distribution scores of each image: energy, and distance to the nearest "
        "training galaxies.",
        False,
    )
    drift: bool = option(
        "Compare the images with as many validation galaxies, 40 or more, and warn if they differ.",
        True,
    )
    coverage: float | None = option(
        "Add each image's prediction set, such that sets hold the true class this often, as 0.9. "
        "Of a run with --loss dirichlet-multinomial: intervals that hold a fraction this often.",
        metavar="SHARE",
        parse=parse_share,
    )
    raw: bool = option("Give the model's uncalibrated probabilities, after `calibrate` too.", False)
    stretch: str | None = option(STRETCH, choices=STRETCHES)
    bands: str | None = option(BANDS, metavar=BANDS_METAVAR)


DEFAULTS = PredictionOptions()

"""The options of a prediction, as `predict` and Python take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from galaxymorph.base import BadInput, setting
from galaxymorph.base.options import option
from galaxymorph.images.rendering import STRETCHES

STRETCH = "Intensity stretch of FITS images. Default: that of the training images, or lupton."
BANDS = (
    "Bands of FITS images by name or number, red first, such as z,r,g. Default: those of the "
    "training images, or all bands of the file."
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
        raise BadInput(
            f"{setting('coverage')} {text}", "give a fraction between 0 and 1, such as 0.9"
        )
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
        raise BadInput(f"{setting('crops')} {text}", "write shares of 0.05 to 1, such as 0.5,0.7")
    return shares


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table that lists images."""

    id_column: str | None = option(
        "Column of galaxy ids in a table. Default: id, galaxy, GalaxyID, objid or another common "
        "name; without one, ids are the names of the images.",
        metavar="COLUMN",
    )
    image_column: str | None = option(
        "Column with the paths of images in a table. Default: image, image_path, path, file_loc, "
        "filename (with subfolder) or file.",
        metavar="COLUMN",
    )

    @property
    def given(self) -> dict[str, str]:
        """The columns that are named, by option."""
        named = {"id_column": self.id_column, "image_column": self.image_column}
        return {name: column for name, column in named.items() if column is not None}


@dataclass(frozen=True)
class PredictionOptions(TableColumns):
    """How images are predicted."""

    skip_bad: bool = option("Report unusable images and continue without them.", False)
    precision: str | None = option(
        "Number format of the network; int8 requires `export --format onnx-int8`. "
        "Default: the run's own.",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    )
    views: int | None = option(
        "Views averaged: 1, 4 (rotations by 90°) or 8 (rotations and flips). Default: the run's "
        "own.",
        choices=VIEWS,
    )
    crops: tuple[float, ...] = option(
        "Average over crops of these sizes, as fractions of the image's side. Default: the run's "
        "own.",
        (),
        metavar="SHARE[,SHARE...]",
        parse=parse_crops,
    )
    adapt: bool = option(
        "First re-estimate BatchNorm's statistics on these images, for images of another survey.",
        False,
    )
    outliers: bool = option(
        "Add out-of-distribution scores: energy, and distance to the nearest training galaxies. "
        "Images that a file's model refuses as unfamiliar are predicted too.",
        False,
    )
    embeddings: bool = option(
        "With -o FOLDER/: add the column `embedding`, the input of the network's last layer, for "
        "`similar` and `anomalies`.",
        False,
    )
    drift: bool = option(
        "Compare 40 images or more with validation galaxies, and warn if they differ.", True
    )
    coverage: float | None = option(
        "Add prediction sets that contain the true class with this probability, such as 0.9. For "
        "a run with --loss dirichlet-multinomial: intervals that contain the vote fraction with "
        "this probability.",
        metavar="SHARE",
        parse=parse_share,
    )
    raw: bool = option(
        "Give uncalibrated probabilities and fractions, even if the run is calibrated.", False
    )
    votes: str | None = option(
        "Give vote fractions as the volunteers of this catalogue gave them, such as "
        "galaxy-zoo-2-weighted, of those that `calibrate` knew. Default: those that the run was "
        "fitted to.",
        metavar="NAME",
    )
    stretch: str | None = option(STRETCH, choices=STRETCHES)
    bands: str | None = option(BANDS, metavar=BANDS_METAVAR)

    @property
    def of_model(self) -> dict[str, Any]:
        """The arguments of `load_predictor` that are the same for every way to predict."""
        names = ("precision", "raw", "stretch", "bands", "votes")
        return {name: getattr(self, name) for name in names}


DEFAULTS = PredictionOptions()

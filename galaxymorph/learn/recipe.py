"""Recipes: the settings of a fit, their help and limits, and rules on their combinations.

`Recipe` is a frozen dataclass whose fields have pydantic's keywords as metadata. pydantic is
imported only to validate one: the help of a command, which lists every setting, starts without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from galaxymorph.base import (
    BadInput,
    did_you_mean,
    loaded_plugins,
    naming_settings,
    say,
    setting,
    use_one_of,
)
from galaxymorph.images.rendering import FLUX_UNITS, STRETCHES, FluxInput, Rendering
from galaxymorph.learn.backbones.names import require_architecture
from galaxymorph.learn.normalisation import REMEDY, parse_normalisation
from galaxymorph.learn.sources.events import source_events
from galaxymorph.learn.sources.spec import FRACTIONS, TrainingSource, as_several, read_several
from galaxymorph.learn.targets.registry import TARGETS
from galaxymorph.learn.trackers import CALLBACKS, TRACKERS
from galaxymorph.zoo.schemas import SCHEMAS, portable_schema
from galaxymorph.zoo.schemes import SCHEMES

if TYPE_CHECKING:
    from pydantic import TypeAdapter

# Bands of flux at most, as `images.planes` reads them from a cube.
MOST_BANDS = 12
# Settings of former runs under today's names.
RENAMED = {"body_lr": "trunk_lr", "target_data": "unlabelled"}
# Settings that were removed, with the value that had no effect.
REMOVED = {"consistency": 0.0}
# Values of settings that were removed.
REMOVED_VALUES = {("adapt", "dann")}
# Where an editor has the JSON schema.
SCHEMA_KEY = "$schema"
# The width of items relative to the model's frame, so that rotated views contain sky. A square
# rotated by 45 degrees needs sqrt(2); what is missing in its corners is mirrored sky.
MARGIN = 1.25
# Values of `weights` besides a path and an encoder.
WEIGHTS = ("imagenet", "galaxymorph", "none")
# Encoders by timm's prefixes of sources; its hf_hub is an alias of hf-hub.
SOURCE = re.compile(r"(?i:(hf[-_]hub|local-dir)):(.+)")
# pydantic's errors of a number out of its range.
OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than_equal", "finite_number"}


def _setting(default: Any, description: str, group: str, **limits: Any) -> Any:
    """Declare a field with its help, its group of options, and its limits.

    Limits are pydantic's `gt`, `ge` and `le`, or `choices`: values, or a registry, whose names
    include those of plugins. `metavar` stands for the value in help.
    """
    metadata = {"description": description, "group": group, "strict": True, **limits}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Recipe:
    """The settings that determine a fit on given galaxies.

    The defaults are the published baseline. `weights="none"` requires `frozen_epochs=0` and
    `unfreeze=0`, see `resolve`.

    Example:
        >>> import galaxymorph as gm
        >>> recipe = gm.Recipe(arch="resnet34", size=128)
        >>> recipe.epochs
        3
    """

    # Read by pydantic.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    scheme: str = _setting(
        "layer1", "Label scheme, the rule from vote fractions to classes", "data", choices=SCHEMES
    )
    target: str = _setting("classes", "What the model predicts", "data", choices=TARGETS)
    schema: str = _setting(
        "galaxy-zoo-challenge",
        "Vote catalogue that defines the columns of the table, or a JSON file of your own",
        "data",
        choices=SCHEMAS,
        metavar="NAME|FILE",
    )
    id_column: str | None = _setting(
        None,
        "Column of galaxy ids, which are also the names of the images. Default: that of the "
        "schema, or GalaxyID",
        "data",
        metavar="COLUMN",
    )
    image_column: str | None = _setting(
        None,
        "Column with the paths of images, relative to the table or absolute. Default: image, "
        "image_path, path, file_loc or filename (with subfolder) if its images are there; "
        "otherwise images are named by the ids",
        "data",
        metavar="COLUMN",
    )
    split_column: str | None = _setting(
        None,
        "Column with the part of the split of each galaxy (train, valid, calibration or test), "
        "which is kept to. Parts that it lacks, but train and test, are drawn from train",
        "data",
        metavar="COLUMN",
    )
    test_data: str | None = _setting(
        None,
        "Table of the test galaxies, in the columns of --data, whose galaxies then all train",
        "data",
        metavar="PATH",
    )
    labels_column: str | None = _setting(
        None, "Column of class names, used instead of a label scheme", "data", metavar="COLUMN"
    )
    fractions: str | None = _setting(
        None,
        "Kind of vote fractions to train on and to judge by: those of all votes (counts, raw), of "
        "votes weighted by the volunteers' consistency (weighted), corrected for distance, which "
        "the picture doesn't show (debiased), or of all volunteers (cumulative). Default: the "
        "schema's first that the table has",
        "data",
        choices=tuple(FRACTIONS),
    )
    also: tuple[str, ...] = _setting(
        (),
        "Further catalogue, whose galaxies train, and neither validate nor test; may be repeated. "
        "Keys: schema, fractions; labels with scheme or answers; largest; id; weight; see "
        "docs/how-to-sources.md",
        "data",
        metavar="PATH[,KEY=VALUE…]",
    )
    arch: str = _setting(
        "resnet18",
        "Architecture from torchvision or timm; or an encoder, hf_hub:OWNER/NAME or "
        "local-dir:FOLDER, whose architecture, weights and inputs are taken",
        "model",
        metavar="NAME",
    )
    model_args: str | None = _setting(
        None,
        "Further arguments of timm's architecture as JSON, such as "
        '{"img_size": 128} for a vision transformer',
        "model",
        metavar="JSON",
    )
    weights: str = _setting(
        "imagenet",
        "Initial weights of the trunk: imagenet (downloaded once), galaxymorph (a resnet18 in "
        "this package, trained on simulated galaxies), none (random), an encoder (hf_hub:… or "
        "local-dir:…), or a file of one",
        "model",
        metavar="NAME|FILE",
    )
    normalise: str | None = _setting(
        None,
        "Mean and standard deviation of the pixels, 0 to 1, that are subtracted and divided by: "
        "imagenet, none (pixels stay as they are), or MEAN/STD. Default: those that the weights "
        "were trained with",
        "model",
        metavar="NAME|MEAN/STD",
    )
    channels: int | None = _setting(
        None,
        "Channels of the network's input: 3, or 1 (the mean of the colours). Default: that of the "
        "weights",
        "model",
        choices=(1, 3),
    )
    first_layer: str = _setting(
        "repeat",
        "Weights of pretrained networks' first layer for bands of flux: repeat (each band has "
        "those of the colour at its place), average (the mean of the colours) or zero (three bands "
        "have those of the colours, others start at 0)",
        "model",
        choices=("repeat", "average", "zero"),
    )
    interpolation: str | None = _setting(
        None,
        "Filter that resizes images to the frame. Default: that of the weights, or bicubic",
        "model",
        choices=("bicubic", "bilinear"),
    )
    head: str = _setting(
        "linear",
        "Head of the network: linear (average pooling and one linear layer) or fastai (fastai's "
        "default head)",
        "model",
        choices=("linear", "fastai"),
    )
    dropout: float | None = _setting(
        None,
        "Fraction of features dropped before the last layer; fastai's head uses 0.5 by default",
        "model",
        ge=0.0,
        le=0.95,
    )
    size: int = _setting(224, "Side of the model's input in pixels", "model", ge=32, le=1024)
    crop: float = _setting(
        1.0,
        "Side of the centred square that the model sees, as a fraction of the image's side",
        "model",
        ge=0.05,
        le=1.0,
    )
    pixels: str = _setting(
        "rgb",
        "Input of the network: rgb (pictures, to which FITS images are rendered) or flux (the "
        "bands of FITS images, see docs/flux.md)",
        "data",
        choices=("rgb", "flux"),
    )
    flux: str | None = _setting(
        None,
        f"Unit of --pixels flux: {', '.join(f'{k} ({words})' for k, words in FLUX_UNITS.items())}. "
        "Default: the first of these that all headers allow",
        "data",
        choices=FLUX_UNITS,
    )
    softening: str | None = _setting(
        None,
        "Flux of each band up to which arcsinh(flux / softening) is linear. Default: 3 times the "
        "sky's noise in the training galaxies",
        "data",
        metavar="FLUX[,FLUX…]",
    )
    missing_bands: int = _setting(
        0,
        "Number of bands of flux that an image may lack; they are 0, and some are left out in "
        "training",
        "data",
        ge=0,
        le=MOST_BANDS - 1,
    )
    stretch: str = _setting(
        "lupton",
        "Intensity stretch of FITS images; scale and white level are estimated from each image",
        "data",
        choices=STRETCHES,
    )
    bands: str | None = _setting(
        None,
        "Bands of FITS images by name or number, red first, such as i,r,g. Default: all bands of "
        "the file; red is the longest wavelength, or the last band if wavelengths are unknown. "
        "With --pixels flux: the channels, up to 12",
        "data",
        metavar="BAND[,BAND…]",
    )
    loss: str | None = _setting(None, "Loss function", "training", metavar="NAME")
    batch: int = _setting(64, "Batch size", "training", ge=2, le=4096)
    frozen_epochs: int = _setting(
        3, "Epochs with a frozen trunk, before fine-tuning", "training", ge=0, le=1000
    )
    frozen_lr: float = _setting(
        3e-4, "Learning rate of the frozen epochs", "training", gt=0.0, le=1.0
    )
    epochs: int = _setting(3, "Epochs of fine-tuning", "training", ge=0, le=1000)
    lr: float = _setting(1e-4, "Learning rate of fine-tuning", "training", gt=0.0, le=1.0)
    trunk_lr: float = _setting(
        1.0, "Learning rate of the trunk, as a fraction of the head's", "training", gt=0.0, le=1.0
    )
    layer_decay: float = _setting(
        1.0,
        "Factor of the trunk's learning rate from each fine-tuned stage to the one before it; 1: "
        "one rate for all",
        "training",
        gt=0.0,
        le=1.0,
    )
    unfreeze: int = _setting(
        1,
        "Number of stages fine-tuned with the head, counted from the last; 0 for all",
        "training",
        ge=0,
        le=100,
    )
    weight_decay: float = _setting(0.01, "Weight decay of AdamW", "training", ge=0.0, le=1.0)
    class_weights: float = _setting(
        1.0,
        "Exponent p of the class weights, which are proportional to (training count)^-p",
        "training",
        ge=0.0,
        le=2.0,
    )
    label_smoothing: float = _setting(
        0.0,
        "Fraction of the label that is spread evenly over all classes",
        "training",
        ge=0.0,
        le=0.5,
    )
    mixup: float = _setting(
        0.0,
        "Mix each training image and its loss with another's, by shares from the distribution "
        "Beta(a, a) of this a, such as 0.4; 0: not at all",
        "augmentation",
        ge=0.0,
        le=10.0,
    )
    flips: bool = _setting(
        True,
        "Mirror images at random in training. With --no-flips, predictions do not mirror either; "
        "for classes that differ in handedness",
        "augmentation",
    )
    rotate: float = _setting(
        180.0, "Largest random rotation, in degrees", "augmentation", ge=0.0, le=180.0
    )
    zoom: float = _setting(
        1.0, "Largest random factor of enlargement or reduction", "augmentation", ge=1.0, le=2.0
    )
    shift: float = _setting(
        0.0, "Largest random shift, as a fraction of the frame", "augmentation", ge=0.0, le=0.5
    )
    brightness: float = _setting(
        0.15, "Largest random change of brightness, as a fraction", "augmentation", ge=0.0, le=0.9
    )
    contrast: float = _setting(
        0.15, "Largest random change of contrast, as a fraction", "augmentation", ge=0.0, le=0.9
    )
    colour: float = _setting(
        0.0, "Largest random scaling of each colour, as a fraction", "augmentation", ge=0.0, le=0.9
    )
    blur: float = _setting(
        0.0,
        "Largest sigma of random Gaussian blur, in pixels of the model's input",
        "augmentation",
        ge=0.0,
        le=20.0,
    )
    noise: float = _setting(
        0.0, "Largest sigma of random noise, as a fraction of white", "augmentation", ge=0.0, le=0.9
    )
    degraded: float = _setting(
        1.0,
        "Fraction of views that are blurred and, drawn independently, fraction of views with noise",
        "augmentation",
        gt=0.0,
        le=1.0,
    )
    trunk_views: int = _setting(
        2,
        "Random views of each galaxy that are passed through the frozen stages once and stored; 0 "
        "draws new views in each epoch",
        "augmentation",
        ge=0,
        le=1000,
    )
    unlabelled: tuple[str, ...] = _setting(
        (),
        "Folder or zip of unlabelled images, of the catalogue's survey or another; may be "
        "repeated. --adapt is their use",
        "training",
        metavar="PATH",
    )
    adapt: str = _setting(
        "none",
        "Use of --unlabelled images: equal predictions of several views of an image "
        "(mean-teacher, the default), or embeddings aligned with those of the training images by "
        "Deep CORAL (coral, for another survey)",
        "training",
        choices=("none", "mean-teacher", "coral"),
    )
    adapt_weight: float = _setting(
        1.0, "Weight of the penalty of --adapt in the loss", "training", gt=0.0, le=1e6
    )
    keep: str = _setting(
        "best",
        "Weights to keep: those of the best epoch by validation macro-F1 (classes), loss (soft3) "
        "or RMSE (tree), those of the last epoch, or their running average (average)",
        "training",
        choices=("best", "last", "average"),
    )
    early_stopping: int = _setting(
        0,
        "End a stage of the fit after so many epochs without a better value of what --keep best "
        "compares; 0: never",
        "training",
        ge=0,
        le=1000,
    )
    callback: tuple[str, ...] = _setting(
        (),
        "Callback of a plugin, see docs/how-to-trackers.md; may be repeated",
        "training",
        choices=CALLBACKS,
        metavar="NAME",
    )
    track: tuple[str, ...] = _setting(
        (), "Tracker that the fit is logged to; may be repeated", "training", choices=TRACKERS
    )
    members: int = _setting(
        1,
        "Networks in a deep ensemble, trained from different seeds on one split; predictions are "
        "their mean",
        "training",
        ge=1,
        le=50,
    )
    seed: int = _setting(42, "Seed of all random choices", "training", ge=0, le=2**31 - 1)
    views: int = _setting(
        1,
        "Views averaged in predictions: 1, 4 (rotations by 90°) or 8 (rotations and flips)",
        "evaluation",
        choices=(1, 4, 8),
    )
    held_out: float = _setting(
        0.3,
        "Fraction of the galaxies not used for training: half for validation, half for testing",
        "evaluation",
        gt=0.0,
        le=0.9,
    )
    calibration: float = _setting(
        0.1,
        "Fraction of the galaxies reserved for calibration, taken from the training part. With 0, "
        "the split has the three published parts, and calibration uses the validation part",
        "evaluation",
        ge=0.0,
        le=0.4,
    )
    folds: int = _setting(
        0, "Number of cross-validation folds; 0 for a single split", "evaluation", ge=0, le=50
    )
    precision: str = _setting(
        "auto",
        "Number format of training; auto: bf16 if it is faster",
        "hardware",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    pipeline: str = _setting(
        "fast",
        "Image pipeline: fast, or plain (fastai's own transforms, memory layout and progress "
        "bars, for comparison)",
        "hardware",
        choices=("fast", "plain"),
    )
    workers: int = _setting(0, "Number of processes that load images", "hardware", ge=0, le=64)

    @property
    def rendering(self) -> Rendering:
        """The rendering of image files."""
        interpolation = self.interpolation or Rendering.interpolation
        if self.pixels == "rgb":
            return Rendering(self.stretch, self.bands, interpolation)
        flux = FluxInput(
            self.flux_bands,
            self.flux or FluxInput.unit,
            tuple(map(float, self.softening.split(","))) if self.softening else (),
            self.missing_bands,
        )
        return Rendering(interpolation=interpolation, flux=flux)

    @property
    def flux_bands(self) -> tuple[str, ...]:
        """The bands of flux, in the order of channels; none of RGB."""
        if self.pixels == "rgb":
            return ()
        return tuple(band.strip() for band in (self.bands or "").split(","))

    @property
    def image_channels(self) -> int:
        """The channels of an image: three of RGB, or a band each of flux."""
        return len(self.flux_bands) or 3

    @property
    def timm_args(self) -> dict[str, Any]:
        """The further arguments of timm's architecture."""
        return json.loads(self.model_args) if self.model_args else {}

    @staticmethod
    def model_json_schema() -> dict[str, Any]:
        """Return the JSON schema of a recipe, for completion and checks in an editor."""
        schema = _adapter().json_schema()
        for declared in fields(Recipe):
            # A schema may be a file, too.
            if declared.name != "schema" and (choices := choices_of(declared)):
                null = [None] if declared.default is None else []
                described = schema["properties"][declared.name]
                # The items of a list, if it is one.
                described.get("items", described)["enum"] = [*choices, *null]
        schema["properties"][SCHEMA_KEY] = {"type": "string"}
        return schema

    @property
    def truth(self) -> str:
        """The source of the true classes: `volunteers`, or `labels` of the user's column."""
        return "volunteers" if self.labels_column is None else "labels"


def choices_of(declared: Field[Any]) -> list[Any]:
    """Return the choices of a setting, with those of loaded plugins; empty if there are none."""
    if declared.name == "loss":
        return list(dict.fromkeys(name for target in TARGETS.values() for name in target.losses))
    return list(declared.metadata.get("choices", ()))


def help_of(declared: Field[Any]) -> str:
    """Return a setting's description, with the entries of targets and losses."""
    words = declared.metadata["description"]
    if declared.name == "schema":
        entries = [", ".join(SCHEMAS)]
    elif declared.name == "target":
        entries = [f"{name} ({target.words})" for name, target in TARGETS.items()]
    elif declared.name == "loss":
        entries = [f"{', '.join(target.losses)} for {name}" for name, target in TARGETS.items()]
    else:
        return words
    return f"{words}: {'; '.join(entries)}"


@dataclass(frozen=True)
class Rule:
    """A combination of settings that excludes itself, or in which one has no effect.

    Args:
        broken: tells whether a recipe has it.
        fault: begins with the setting at fault; `{name}` is a setting's name for the user, and
            `{r.name}` its value.
        remedy: for the user.
        given: a setting without which, if the user didn't give it, the rule doesn't apply.
    """

    broken: Callable[[Recipe], object]
    fault: str
    remedy: str = "leave it out"
    given: str = ""


def _plain(recipe: Recipe) -> bool:
    return recipe.pipeline == "plain"


def _flux(recipe: Recipe) -> bool:
    return recipe.pixels == "flux"


def _soft(recipe: Recipe) -> bool:
    return TARGETS[recipe.target].soft


def _nothing_stored(recipe: Recipe) -> bool:
    """Tell whether no outputs of frozen stages can be stored for the fit."""
    fresh = recipe.weights == "none" or bool(recipe.unlabelled) or recipe.mixup > 0
    return recipe.unfreeze == 0 or _plain(recipe) or fresh


def _of_challenge(recipe: Recipe) -> bool:
    return recipe.schema == Recipe.schema


FROM_THE_FIRST = "{}: with {{weights}} none all layers are trained from the first epoch"
RULES = (
    Rule(
        lambda r: _flux(r) and r.bands is None,
        "{pixels}: flux needs the names of the bands",
        "give {bands}, such as g,r,i,z",
    ),
    Rule(
        lambda r: _flux(r) and _plain(r),
        "{pixels}: flux needs the fast pipeline",
        "leave out {pipeline} plain",
    ),
    Rule(
        lambda r: _flux(r) and r.channels is not None,
        "{channels} {r.channels}: flux has a channel for each band",
    ),
    Rule(
        lambda r: _flux(r) and r.missing_bands >= len(r.flux_bands),
        "{missing_bands} {r.missing_bands}: as many as there are",
        "give fewer",
    ),
    Rule(
        lambda r: not _flux(r) and (r.flux or r.softening or r.missing_bands),
        "{flux}, {softening} and {missing_bands} are settings of flux, and the pixels are rgb",
        "give {pixels} flux, or leave them out",
    ),
    Rule(
        lambda r: _flux(r),
        "{stretch} {r.stretch}: flux isn't stretched, see softening",
        given="stretch",
    ),
    Rule(
        lambda r: _flux(r),
        "{contrast} {r.contrast}: flux has a zero, so that it has no contrast to change",
        given="contrast",
    ),
    Rule(
        lambda r: not _flux(r) or r.weights == "none",
        "{first_layer} {r.first_layer}: it is for bands of flux and pretrained weights",
        given="first_layer",
    ),
    Rule(
        lambda r: _plain(r) and (r.crop < 1 or r.shift),
        "{pipeline}: plain uses the whole frame",
        "leave out {crop} and {shift}",
    ),
    Rule(
        lambda r: _plain(r) and r.brightness != r.contrast,
        "{pipeline}: plain has one range for brightness and contrast",
        "make them equal",
    ),
    Rule(
        lambda r: _plain(r) and (r.colour or r.blur or r.noise),
        "{pipeline}: plain does not support colour, blur and noise",
        "leave out {colour}, {blur} and {noise}",
    ),
    Rule(
        lambda r: _soft(r) and r.labels_column is not None,
        "{target} {r.target} needs vote fractions, but column {r.labels_column!r} has class names",
        "leave out one of the two",
    ),
    Rule(
        lambda r: r.fractions is not None and r.labels_column is not None,
        "{fractions} {r.fractions}: the labels are in column {r.labels_column!r}",
        "leave out one of the two",
    ),
    Rule(
        lambda r: r.split_column and r.test_data,
        "{test_data}: the split is in column {r.split_column!r} already",
        "leave out one of the two",
    ),
    Rule(
        lambda r: (r.split_column or r.test_data) and r.folds,
        "{folds} {r.folds}: the catalogue has a split of its own",
        "leave out one of the two",
    ),
    Rule(
        lambda r: r.split_column or r.test_data,
        "{held_out} {r.held_out}: the catalogue has a split of its own",
        given="held_out",
    ),
    Rule(
        lambda r: r.also and r.target != "tree",
        "{also}: further catalogues train the answers of a tree, and the target is {r.target}",
        "use {target} tree",
    ),
    Rule(
        lambda r: r.also and r.loss == "mse",
        "{also}: the loss mse takes fractions of all answers, and further catalogues know some",
        "use another loss",
    ),
    Rule(
        lambda r: r.adapt != "none" and not r.unlabelled,
        "{adapt} is {r.adapt!r}, and there are no unlabelled images",
        "give {unlabelled} PATH",
    ),
    Rule(
        lambda r: r.unlabelled and (_plain(r) or r.epochs == 0),
        "{unlabelled}: it needs the fast pipeline and an epoch of fine-tuning",
    ),
    Rule(
        lambda r: r.mixup and r.unlabelled,
        "{mixup} {r.mixup}: it cannot be combined with {unlabelled}",
        "leave out one of the two",
    ),
    Rule(
        lambda r: not _of_challenge(r) and r.target != "tree",
        "{schema}: label schemes are defined on the columns of Kaggle's challenge only",
        "use {target} tree",
    ),
    Rule(
        lambda r: r.frozen_epochs + r.epochs == 0,
        "{epochs}: there are no epochs",
        "give one or more",
    ),
    Rule(
        lambda r: r.folds and r.members > 1,
        "{members} {r.members}: it cannot be combined with {folds} {r.folds}",
        "leave out one of the two",
    ),
    Rule(
        lambda r: _soft(r) and r.class_weights,
        "{class_weights} {r.class_weights}: it is for {target} classes",
        given="class_weights",
    ),
    Rule(
        lambda r: _soft(r) and r.label_smoothing,
        "{label_smoothing} {r.label_smoothing}: it is for {target} classes",
        given="label_smoothing",
    ),
    Rule(
        lambda r: r.weights == "none" and r.frozen_epochs,
        FROM_THE_FIRST.format("{frozen_epochs} {r.frozen_epochs}"),
        given="frozen_epochs",
    ),
    Rule(
        lambda r: r.weights == "none" and r.unfreeze,
        FROM_THE_FIRST.format("{unfreeze} {r.unfreeze}"),
        given="unfreeze",
    ),
    Rule(
        lambda r: not r.unlabelled,
        "{adapt_weight}: there are no unlabelled images",
        "give {unlabelled} PATH",
        given="adapt_weight",
    ),
    Rule(
        lambda r: not (r.blur or r.noise),
        "{degraded} {r.degraded}: there is no blur and no noise",
        "give {blur} or {noise}",
        given="degraded",
    ),
    Rule(
        lambda r: r.trunk_views and _nothing_stored(r),
        "{trunk_views} {r.trunk_views}: it has no effect, because no stage is frozen, the pipeline "
        "is plain, or {unlabelled} or {mixup} is given",
        given="trunk_views",
    ),
    Rule(
        lambda r: not _of_challenge(r),
        "{scheme} {r.scheme}: label schemes are defined on the columns of Kaggle's challenge only",
        "leave out {scheme} or {schema}",
        given="scheme",
    ),
    Rule(
        lambda r: r.labels_column is not None,
        "{scheme} {r.scheme}: the labels are in column {r.labels_column!r}",
        "leave out {scheme} or {labels_column}",
        given="scheme",
    ),
    Rule(
        lambda r: r.epochs == 0 or (r.unfreeze == 1 and r.weights != "none"),
        "{layer_decay} {r.layer_decay}: no more than one stage is fine-tuned",
        "give {epochs} and {unfreeze}, where 0 is all stages",
        given="layer_decay",
    ),
    Rule(
        lambda r: _plain(r),
        "{interpolation} {r.interpolation}: pipeline plain resizes as fastai does",
        given="interpolation",
    ),
    Rule(
        lambda r: r.folds,
        "{held_out} {r.held_out}: with {folds} every galaxy is tested once",
        given="held_out",
    ),
)


def changed_recipe(recipe: Recipe, changes: Mapping[str, object]) -> Recipe:
    """Return the recipe with changed settings, resolved.

    Raises:
        BadInput: settings are unknown, out of range, exclude each other or have no effect; all
            faults are named.
    """
    values: dict[str, Any] = asdict(recipe)
    if "target" in changes:
        values["loss"] = None
        if changes["target"] == "classes" and recipe.target != "classes":
            # They are 0 in the recipe of a soft target.
            for name in ("class_weights", "label_smoothing"):
                values[name] = getattr(Recipe, name)
    values |= changes
    recipe = _validated(values, given=changes)
    if "arch" in changes and not is_source(recipe.arch):
        require_architecture(recipe.arch)
    require_views(recipe, recipe.views if "views" in changes else None)
    if recipe.weights == "none" and "epochs" in changes:
        recipe = replace(recipe, frozen_epochs=0)
    return resolve(recipe)


def without_effect(recipe: Recipe) -> set[str]:
    """Return the settings that have no effect in a recipe, because of others."""
    idle = {
        # Schemes are rules on the challenge's columns, and a column of labels needs none.
        "scheme": recipe.labels_column is not None or not _of_challenge(recipe),
        "schema": recipe.labels_column is not None,
        "fractions": recipe.labels_column is not None,
        "class_weights": _soft(recipe),
        "label_smoothing": _soft(recipe),
        "frozen_lr": recipe.frozen_epochs == 0,
        "degraded": not (recipe.blur or recipe.noise),
        "adapt": not recipe.unlabelled,
        "adapt_weight": not recipe.unlabelled,
        "layer_decay": recipe.epochs == 0 or recipe.unfreeze == 1,
        "held_out": bool(recipe.folds or recipe.split_column or recipe.test_data),
        **dict.fromkeys(("stretch", "contrast", "channels"), _flux(recipe)),
        **dict.fromkeys(("flux", "softening", "missing_bands"), not _flux(recipe)),
        "first_layer": not _flux(recipe) or recipe.weights == "none",
    }
    return {name for name, is_idle in idle.items() if is_idle}


def shown_setting(recipe: Recipe, name: str) -> object:
    """Return a setting's value for people: of a schema its name, where it is the whole of one."""
    value = getattr(recipe, name)
    return SCHEMAS.find(value).tree.name if name == "schema" else value


def require_weights_file(recipe: Recipe) -> None:
    """Raise BadInput if a recipe's weights are neither of `WEIGHTS` nor a file."""
    weights = recipe.weights
    if weights not in WEIGHTS and not is_source(weights) and not Path(weights).is_file():
        raise BadInput(
            f"{setting('weights', weights)}: no such file",
            f"{use_one_of(weights, WEIGHTS)}; or give the path of a state dict, "
            "hf_hub:OWNER/NAME or local-dir:FOLDER",
        )


def is_source(name: str) -> bool:
    """Tell whether a name is that of an encoder, `hf_hub:…` or `local-dir:…`."""
    return SOURCE.fullmatch(name) is not None


def require_views(recipe: Recipe, views: int | None) -> None:
    """Raise BadInput for mirrored views of a model that is trained without them."""
    if views == 8 and not recipe.flips:
        raise BadInput(
            f"{setting('views', 8)}: four of them are mirrored, but the model was trained with "
            f"{setting('flips', False)}",
            f"use {setting('views', 4)} (rotations)",
        )


@contextmanager
def naming_missing_plugins(plugins: Iterable[str]) -> Iterator[None]:
    """Let an unusable recipe's error name the plugins that it was made with and that are missing.

    Args:
        plugins: that were loaded when the recipe was written.

    Raises:
        BadInput: the block raised it.
    """
    try:
        yield
    except BadInput as error:
        missing = [name for name in plugins if name not in loaded_plugins()]
        if not missing:
            raise
        fault = str(error).partition(";")[0]
        raise BadInput(
            f"{fault}, and the plugins that it was made with aren't loaded",
            f"add {' '.join(setting('plugin', plugin) for plugin in missing)}",
        ) from error


def recipe_from_dict(values: object, name: str) -> Recipe:
    """Return the recipe with these settings; others are those of `baseline`.

    Args:
        values: settings, or the object of a run's `recipe.json`.
        name: of the file, for errors.

    Raises:
        BadInput: settings are unknown, removed, of the wrong type, out of range, or exclude each
            other; all faults are named.
    """
    if isinstance(values, dict) and isinstance(values.get("recipe"), dict):
        values = values["recipe"]
    if not isinstance(values, dict):
        raise BadInput(f"{name}: not a recipe", "it must be a JSON object of settings")
    values = {RENAMED.get(str(key), str(key)): value for key, value in values.items()}
    values.pop(SCHEMA_KEY, None)
    for key, value in list(values.items()):
        if key in REMOVED and value == REMOVED[key]:
            _say_removed(name, key)
            del values[key]
        elif key in REMOVED or (isinstance(value, str) and (key, value) in REMOVED_VALUES):
            raise BadInput(
                f"{name}: {key} {value!r} was removed",
                "leave it out, or use the galaxymorph version that wrote the file",
            )
    with naming_settings(_as_key):
        return _validated(values, f"{name}: ")


def _as_key(name: str, value: object) -> str | None:
    """Return a setting as the key of a recipe's file; None of what is no setting of recipes."""
    if name not in Recipe.__dataclass_fields__:
        return None
    return name if value is None else f"{name} {value}"


# A run's recipe is read many times in a process.
@lru_cache
def _say_removed(name: str, key: str) -> None:
    say(f"{name}: the setting {key} was removed; it is ignored, since its value had no effect")


def resolve(recipe: Recipe) -> Recipe:
    """Return the recipe with the values that follow from its other settings."""
    default_dropout = 0.5 if recipe.head == "fastai" else 0.0
    changes: dict[str, Any] = {
        "dropout": default_dropout if recipe.dropout is None else recipe.dropout,
        "loss": recipe.loss or next(iter(TARGETS[recipe.target].losses)),
    }
    if _soft(recipe):
        changes |= {"class_weights": 0.0, "label_smoothing": 0.0}
    if recipe.schema != Recipe.schema:
        changes["schema"] = portable_schema(recipe.schema)
    if Path(recipe.weights).is_file():
        changes["weights"] = str(Path(recipe.weights).absolute())
    if recipe.test_data is not None:
        changes["test_data"] = str(Path(recipe.test_data).absolute())
    if recipe.also:
        changes["also"] = tuple(
            str(replace(source, path=str(Path(source.path).absolute()), schema=_located(source)))
            for source in read_sources(recipe)
        )
    if recipe.unlabelled:
        changes["unlabelled"] = tuple(str(Path(path).absolute()) for path in recipe.unlabelled)
        changes["adapt"] = "mean-teacher" if recipe.adapt == "none" else recipe.adapt
    if recipe.weights == "none":
        epochs = recipe.frozen_epochs + recipe.epochs
        changes |= {"frozen_epochs": 0, "epochs": epochs, "unfreeze": 0}
    if not recipe.flips and recipe.views == 8:
        # Rotations only: a mirrored galaxy may be of another class.
        changes["views"] = 4
    if _nothing_stored(recipe):
        changes["trunk_views"] = 0
    return replace(recipe, **changes)


def _located(source: TrainingSource) -> str | None:
    """Return the schema of a source, the path of a user's file absolute."""
    is_file = source.schema is not None and source.schema not in list(SCHEMAS)
    return str(Path(source.schema or "").absolute()) if is_file else source.schema


def read_sources(recipe: Recipe) -> list[TrainingSource]:
    """Return the further sources of a recipe."""
    return read_several(recipe.also)


def item_frame(recipe: Recipe) -> tuple[float, int]:
    """Return the crop and the side of items: those of the model's frame, with its margin."""
    margin = min(MARGIN, 1 / recipe.crop)
    return recipe.crop * margin, round(recipe.size * margin)


def recipe_to_dict(recipe: Recipe) -> dict[str, object]:
    """Return the settings as JSON takes them."""
    return asdict(recipe)


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Recipe]:
    from pydantic import TypeAdapter

    return TypeAdapter(Recipe)


def _validated(
    values: Mapping[str, object], where: str = "", given: Mapping[str, object] | None = None
) -> Recipe:
    """Return the recipe with some values; raise a BadInput that names all faults.

    Args:
        values: by setting.
        where: before each fault, such as a file.
        given: values that the user gave.
    """
    settings = {declared.name: declared for declared in fields(Recipe)}
    unknown = [name for name in values if name not in settings]
    faults = [
        (f"setting {name!r} is unknown", did_you_mean(name, list(settings), "settings are"))
        for name in unknown
    ]
    known = {
        name: as_several(value) if settings[name].type.startswith("tuple") else value
        for name, value in values.items()
        if name in settings
    }
    if isinstance(also := known.get("also"), tuple):
        known["also"] = tuple(map(str, read_several(also)))
    recipe, wrong = _instance(known)
    for name, value in known.items():
        if name in wrong:
            faults.append(_fault_of(settings[name], value, wrong[name]))
        elif name == "loss" or (value is None and settings[name].default is None):
            continue
        elif name == "schema" and isinstance(value, str):
            SCHEMAS.find(value, f"{where}{setting('schema')}")
        elif "choices" in settings[name].metadata:
            choices = choices_of(settings[name])
            several = settings[name].type.startswith("tuple")
            for each in cast(Iterable[object], value) if several else (value,):
                if each not in choices:
                    fault = f"{setting(name)} is {each!r}"
                    missing = f"it needs a {setting('plugin')}"
                    remedy = use_one_of(each, choices) if choices else missing
                    faults.append((fault, remedy))
    if recipe and not faults:
        faults = [*_parsed(recipe), *_conflicts(recipe, given or {})]
    if recipe is None or faults:
        raise BadInput(". ".join(f"{where}{fault}; {remedy}" for fault, remedy in faults))
    return recipe


def _instance(values: dict[str, object]) -> tuple[Recipe | None, dict[str, str]]:
    """Return the recipe, or None and pydantic's kind of error by setting."""
    from pydantic import ValidationError

    try:
        return _adapter().validate_python(values), {}
    except ValidationError as error:
        return None, {str(fault["loc"][0]): fault["type"] for fault in error.errors()}


def _fault_of(declared: Field[Any], value: object, kind: str) -> tuple[str, str]:
    name = setting(declared.name)
    if kind not in OUT_OF_RANGE:
        return f"{name} is {value!r}", f"it takes a value of type {declared.type.split(' ')[0]}"
    above, least, most = (declared.metadata.get(key) for key in ("gt", "ge", "le"))
    lower = f"over {above}" if least is None else f"{least}"
    return f"{name} is {value}", f"it takes {lower} to {most}"


def _parsed(recipe: Recipe) -> list[tuple[str, str]]:
    """Return the faults of settings that have a form of their own."""
    faults = []
    if recipe.normalise is not None:
        try:
            parse_normalisation(recipe.normalise, recipe.image_channels)
        except BadInput as error:
            faults.append((str(error).partition(";")[0], REMEDY))
    if _flux(recipe) and recipe.bands is not None:
        faults += _flux_faults(recipe)
    if recipe.model_args is not None:
        try:
            is_object = isinstance(json.loads(recipe.model_args), dict)
        except ValueError:
            is_object = False
        if not is_object:
            fault = f"{setting('model_args')} is {recipe.model_args!r}"
            faults.append((fault, 'it takes a JSON object, such as {"img_size": 128}'))
    return faults


def _flux_faults(recipe: Recipe) -> list[tuple[str, str]]:
    bands = recipe.flux_bands
    if not all(bands) or len({band.casefold() for band in bands}) < len(bands):
        return [(f"{setting('bands')} is {recipe.bands!r}", "name each band once, such as g,r,i,z")]
    if len(bands) > MOST_BANDS:
        return [(f"{setting('bands')} has {len(bands)} bands", f"name up to {MOST_BANDS}")]
    if recipe.softening is None:
        return []
    try:
        values = [float(part) for part in recipe.softening.split(",")]
    except ValueError:
        values = []
    if len(values) == len(bands) and all(0 < value < float("inf") for value in values):
        return []
    fault = f"{setting('softening')} is {recipe.softening!r}"
    return [(fault, f"give {len(bands)} numbers over 0, one for each band")]


def _conflicts(recipe: Recipe, given: Mapping[str, object]) -> list[tuple[str, str]]:
    faults = []
    losses = TARGETS[recipe.target].losses
    if recipe.loss is not None and recipe.loss not in losses:
        fault = f"{setting('loss')} is {recipe.loss!r}, and the target is {recipe.target}"
        words = f"use {' or '.join(losses)}"
        faults.append((fault, use_one_of(recipe.loss, list(losses), words)))
    if recipe.also and recipe.target == "tree":
        tree = SCHEMAS.find(recipe.schema).tree
        for source in read_sources(recipe):
            source_events([source], tree)
    names = {declared.name: setting(declared.name) for declared in fields(Recipe)}
    for rule in RULES:
        if (not rule.given or rule.given in given) and rule.broken(recipe):
            fault, remedy = (words.format(r=recipe, **names) for words in (rule.fault, rule.remedy))
            faults.append((fault, remedy))
    return faults

"""Recipes: every setting of a fit, as presets, options or a JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from galaxymorph.base import BadInput, did_you_mean, loaded_plugins, use_one_of
from galaxymorph.images.rendering import STRETCHES, Rendering
from galaxymorph.learn.targets.registry import TARGETS
from galaxymorph.zoo.schemas import SCHEMAS
from galaxymorph.zoo.schemes import SCHEMES


def _setting(default, about: str, group: str, **limits):
    """Declare a field: its help text and group, and `choices`, or `above`, `least` and `most`."""
    return field(default=default, metadata={"about": about, "group": group, **limits})


# How much wider than the model's frame the items are, so that turning brings in sky. A square
# turned by 45 degrees reaches sqrt(2) as far; beyond a quarter more, what comes into its corners
# is mirrored sky, as cheap as it is harmless.
MARGIN = 1.25
# Settings of runs of before under today's names, and those that there are no more.
RENAMED, REMOVED = {"body_lr": "trunk_lr"}, {"consistency"}
# What `weights` takes besides a path.
WEIGHTS = ("imagenet", "galaxymorph", "none")


@dataclass(frozen=True)
class Recipe:
    """All that decides what a fit does with the galaxies it is given.

    The defaults are the published baseline. A frozen trunk of random weights learns nothing, so
    `weights="none"` goes with `frozen_epochs=0` and `unfreeze=0`: see `resolve`.
    """

    scheme: str = _setting(
        "layer1",
        "Label scheme, the rule from vote fractions to classes",
        "data",
        choices=tuple(SCHEMES),
    )
    target: str = _setting("classes", "What is predicted: " + "; ".join(
        f"{name}, {target.words}" for name, target in TARGETS.items()
    ), "data", choices=tuple(TARGETS))  # fmt: skip
    schema: str = _setting("galaxy-zoo-challenge", "Vote catalogue whose columns the table has",
                           "data", choices=tuple(SCHEMAS))  # fmt: skip
    id_column: str | None = _setting(None, "Column that names the galaxies and their images. "
                                     "Default: the schema's own, or GalaxyID", "data",
                                     metavar="COLUMN")  # fmt: skip
    labels_column: str | None = _setting(None, "Column of class names, in place of a scheme",
                                         "data", metavar="COLUMN")  # fmt: skip
    arch: str = _setting("resnet18", "Architecture, of torchvision or timm", "model",
                         metavar="NAME")  # fmt: skip
    weights: str = _setting("imagenet", "Where the trunk's weights start: imagenet (downloaded "
                            "once), galaxymorph (a resnet18 trained on simulated galaxies, in this "
                            "package), none (random), or a file", "model",
                            metavar="NAME|FILE")  # fmt: skip
    head: str = _setting("linear", "What follows the trunk: linear, average pooling and one layer; "
                         "or fastai, its own head", "model",
                         choices=("linear", "fastai"))  # fmt: skip
    dropout: float | None = _setting(None, "Share of features dropped before the last layer; "
                                     "0.5 in fastai's head unless given", "model",
                                     least=0.0, most=0.95)  # fmt: skip
    size: int = _setting(224, "Side of the model's input in pixels", "model", least=32, most=1024)
    crop: float = _setting(1.0, "Share of the image's side that the model sees, about the centre",
                           "model", least=0.05, most=1.0)  # fmt: skip
    stretch: str = _setting("lupton", "How FITS images are brightened; scale and white come from "
                            "each image", "data", choices=tuple(STRETCHES))  # fmt: skip
    bands: str | None = _setting(None, "Bands of FITS images by name or number, the red first, as "
                                 "i,r,g. Default: the file's own, the longest wavelength as red, "
                                 "the last where none is known", "data",
                                 metavar="BAND[,BAND,BAND]")  # fmt: skip
    loss: str | None = _setting(None, "Loss, of the target's: " + "; ".join(
        f"{name} has {', '.join(target.losses)}" for name, target in TARGETS.items()
    ), "training",
                                metavar="NAME")  # fmt: skip
    batch: int = _setting(64, "Galaxies in a batch", "training", least=2, most=4096)
    frozen_epochs: int = _setting(3, "Epochs with a frozen trunk, before the fine-tuning",
                                  "training", least=0, most=1000)  # fmt: skip
    frozen_lr: float = _setting(3e-4, "Learning rate of those epochs", "training",
                                above=0.0, most=1.0)  # fmt: skip
    epochs: int = _setting(3, "Epochs of fine-tuning", "training", least=0, most=1000)
    lr: float = _setting(1e-4, "Learning rate of fine-tuning", "training", above=0.0, most=1.0)
    trunk_lr: float = _setting(1.0, "The trunk's learning rate as a share of the head's",
                               "training", above=0.0, most=1.0)  # fmt: skip
    unfreeze: int = _setting(1, "Stages fine-tuned with the head, counted from the last; 0 for all",
                             "training", least=0, most=100)  # fmt: skip
    weight_decay: float = _setting(0.01, "Weight decay of AdamW", "training", least=0.0, most=1.0)
    class_weights: float = _setting(1.0, "Class weights are train counts to the minus this power",
                                    "training", least=0.0, most=2.0)  # fmt: skip
    label_smoothing: float = _setting(0.0, "Share of the label spread over all classes",
                                      "training", least=0.0, most=0.5)  # fmt: skip
    flips: bool = _setting(True, "Mirror at random while training. With --no-flips nothing is "
                           "mirrored in predictions either: for classes that differ in handedness",
                           "augmentation")  # fmt: skip
    rotate: float = _setting(180.0, "Rotate at random up to this many degrees", "augmentation",
                             least=0.0, most=180.0)  # fmt: skip
    zoom: float = _setting(1.0, "Enlarge or shrink at random up to this factor", "augmentation",
                           least=1.0, most=2.0)  # fmt: skip
    shift: float = _setting(0.0, "Shift at random up to this share of the frame", "augmentation",
                            least=0.0, most=0.5)  # fmt: skip
    brightness: float = _setting(0.15, "Brighten or dim at random up to this share",
                                 "augmentation", least=0.0, most=0.9)  # fmt: skip
    contrast: float = _setting(0.15, "Change contrast at random up to this share",
                               "augmentation", least=0.0, most=0.9)  # fmt: skip
    colour: float = _setting(0.0, "Scale each colour at random up to this share",
                             "augmentation", least=0.0, most=0.9)  # fmt: skip
    blur: float = _setting(0.0, "Blur by a Gaussian of random sigma, up to this many pixels of "
                           "the model's input", "augmentation", least=0.0, most=20.0)  # fmt: skip
    noise: float = _setting(0.0, "Add noise of random sigma, up to this share of white",
                            "augmentation", least=0.0, most=0.9)  # fmt: skip
    degraded: float = _setting(1.0, "Share of the views that are blurred, and, drawn anew, of "
                               "those with noise", "augmentation", above=0.0, most=1.0)  # fmt: skip
    trunk_views: int = _setting(3, "Random views of each galaxy that go through the frozen stages, "
                                "once for the whole fit; 0: new ones every epoch", "augmentation",
                                least=0, most=1000)  # fmt: skip
    target_data: str | None = _setting(None, "Folder or zip of another survey's images, without "
                                       "labels, for --adapt", "training",
                                       metavar="PATH")  # fmt: skip
    adapt: str = _setting("none", "Align the embeddings of those images with the training images', "
                          "by Deep CORAL (coral) or domain-adversarial training (dann)",
                          "training", choices=("none", "coral", "dann"))  # fmt: skip
    adapt_weight: float = _setting(1.0, "Weight of that beside the loss", "training",
                                   above=0.0, most=1e6)  # fmt: skip
    keep: str = _setting("best", "Weights that are kept: of the best epoch by validation macro-F1 "
                         "(classes), loss (soft3) or RMSE (tree), or of the last", "training",
                         choices=("best", "last"))  # fmt: skip
    members: int = _setting(1, "Train a deep ensemble of this many networks, from as many seeds, "
                            "on one split; predictions are their mean", "training",
                            least=1, most=50)  # fmt: skip
    seed: int = _setting(42, "Seed of every random choice", "training", least=0, most=2**31 - 1)
    views: int = _setting(1, "Flips and 90° rotations averaged when predicting; 4 are rotations "
                          "alone", "evaluation", choices=(1, 4, 8))  # fmt: skip
    held_out: float = _setting(0.3, "Share of the galaxies that don't train: half select the "
                               "model, half test it", "evaluation",
                               above=0.0, most=0.9)  # fmt: skip
    calibration: float = _setting(0.1, "Share of the galaxies that calibrate the model only, taken "
                                  "from those that train; 0: the three published parts, and "
                                  "validation calibrates", "evaluation",
                                  least=0.0, most=0.4)  # fmt: skip
    folds: int = _setting(0, "Cross-validate in this many folds; 0 for one split", "evaluation",
                          least=0, most=50)  # fmt: skip
    precision: str = _setting("auto", "Number format of training; auto: bf16 where it is faster",
                              "hardware", choices=("auto", "fp32", "bf16", "fp16"))  # fmt: skip
    pipeline: str = _setting("fast", "Image pipeline: fast; or plain, fastai's own transforms, "
                             "memory layout and progress, to compare with", "hardware",
                             choices=("fast", "plain"))  # fmt: skip
    workers: int = _setting(0, "Processes that load images", "hardware", least=0, most=64)

    @property
    def rendering(self) -> Rendering:
        """How FITS becomes what the model sees."""
        return Rendering(self.stretch, self.bands)

    @property
    def truth(self) -> str:
        """Who says the true class: volunteers, or labels in a column of the user's own."""
        return "volunteers" if self.labels_column is None else "labels"


# A thousand galaxies or so: the frame that galaxies fill, more turns through the data, and
# early stages left as ImageNet made them. A few galaxies of a rare class can't tell epochs
# apart, so the last is kept.
SMALL = Recipe(
    arch="tf_efficientnet_lite0",
    dropout=0.2,
    size=160,
    crop=0.5,
    batch=32,
    frozen_epochs=0,
    epochs=24,
    lr=2e-3,
    trunk_lr=0.3,
    unfreeze=5,
    weight_decay=0.05,
    class_weights=0.25,
    label_smoothing=0.1,
    zoom=1.2,
    shift=0.02,
    views=8,
    keep="last",
    trunk_views=0,
)

# A few hundred galaxies in under a minute, without a download: the package's own backbone, its last
# two stages fine-tuned on stored features of six views.
QUICK = Recipe(
    weights="galaxymorph",
    size=128,
    crop=0.7,
    batch=32,
    frozen_epochs=0,
    epochs=12,
    lr=2e-3,
    trunk_lr=0.3,
    unfreeze=2,
    weight_decay=0.05,
    class_weights=0.5,
    label_smoothing=0.1,
    zoom=1.2,
    shift=0.02,
    views=8,
    keep="last",
    trunk_views=6,
)

PRESETS: dict[str, Recipe] = {
    # The published settings; PyTorch's default weight decay for AdamW is 0.01.
    "baseline": Recipe(),
    "quick": QUICK,
    "small": SMALL,
    # `small` that has seen worse nights: noise beyond the published 0.08, and blur beyond its 1.5
    # pixels of a whole frame at 224, which are 2.1 of this input. Where every view is degraded,
    # clean galaxies are the strange ones, and lose.
    "robust": replace(
        SMALL, brightness=0.35, contrast=0.25, colour=0.1, blur=3.0, noise=0.12, degraded=0.5
    ),
    # A network without pretrained weights wants a larger rate and more turns through the data.
    "scratch": Recipe(
        weights="none", frozen_epochs=0, epochs=30, lr=2e-3, unfreeze=0, batch=32, views=8
    ),
    # The same by fastai's own means throughout: what the fast pipeline is measured against.
    "plain": Recipe(pipeline="plain", precision="fp32", workers=2),
    # The project's own backbone: every answer of the tree, in pictures made worse in every way
    # that a survey knows, so that what it learns is of galaxies and not of one camera.
    "pretrain": Recipe(
        target="tree",
        weights="none",
        frozen_epochs=0,
        epochs=4,
        lr=2e-3,
        unfreeze=0,
        size=128,
        crop=0.7,
        zoom=1.3,
        shift=0.03,
        brightness=0.3,
        contrast=0.3,
        colour=0.15,
        blur=1.0,
        noise=0.05,
        weight_decay=0.05,
        keep="last",
        held_out=0.06,
        calibration=0.0,
    ),
}


# What each preset is for, in a line.
PRESET_NOTES = {
    "baseline": "the published settings: resnet18 from ImageNet, head first, then its last stage",
    "quick": "a few hundred galaxies, in a minute and without a download: this package's backbone",
    "small": "a thousand galaxies or so: tf_efficientnet_lite0 from ImageNet, fine-tuned whole",
    "robust": "small, trained on blurred and noisy images too",
    "scratch": "no pretrained weights: 30 epochs of every layer",
    "plain": "the baseline by fastai's own transforms, in float32, to compare with",
    "pretrain": "a backbone for --weights: all 37 answers of the tree, every layer",
}


def make_recipe(source: str, changes: Mapping[str, object]) -> Recipe:
    """Return a preset, or the recipe in a JSON file, with some settings changed.

    Args:
        source: a preset's name, or the path of a JSON file: a recipe, or a run's `recipe.json`.
        changes: settings that replace the source's.

    Raises:
        BadInput: the source doesn't exist, or a setting is unknown or out of its range.
    """
    if source in PRESETS:
        return _changed(PRESETS[source], changes)
    path = Path(source)
    if not path.is_file():
        raise BadInput(
            f"recipe {source!r} is neither a preset nor a file",
            f"{use_one_of(source, list(PRESETS))}, or give a path",
        )
    return _changed(recipe_from_dict(_read_json(path), str(path)), changes)


def _changed(recipe: Recipe, changes: Mapping[str, object]) -> Recipe:
    """Return the recipe with some settings changed, none of them to no effect."""
    if "target" in changes:
        recipe = replace(recipe, loss=None)
        if changes["target"] == "classes" and recipe.target != "classes":
            # A soft target's recipe has them off.
            own = Recipe()
            recipe = replace(
                recipe, class_weights=own.class_weights, label_smoothing=own.label_smoothing
            )
    recipe = replace(recipe, **changes)
    _refuse_idle(recipe, changes)
    if recipe.weights == "none":
        for name in ("frozen_epochs", "unfreeze"):
            if changes.get(name):
                raise BadInput(
                    f"--{name.replace('_', '-')} {changes[name]}: with --weights none every layer "
                    "trains from the first epoch",
                    "leave it out",
                )
        if "epochs" in changes:
            recipe = replace(recipe, frozen_epochs=0)
    require_views(recipe, changes.get("views"))
    if "adapt_weight" in changes and recipe.adapt == "none":
        raise BadInput("--adapt-weight: nothing is adapted to", "give --adapt and --target-data")
    if "degraded" in changes and not (recipe.blur or recipe.noise):
        raise BadInput(
            f"--degraded {recipe.degraded}: there is no blur and no noise", "give --blur or --noise"
        )
    if changes.get("trunk_views") and resolve(recipe).trunk_views == 0:
        raise BadInput(
            f"--trunk-views {recipe.trunk_views}: no stage stays frozen, the pipeline is plain, or "
            "the fit adapts to other images",
            "leave it out",
        )
    if "scheme" in changes and recipe.schema != Recipe.schema:
        raise BadInput(
            f"--scheme {recipe.scheme}: schemes are rules on the challenge's columns",
            "leave out --scheme or --schema",
        )
    if recipe.folds and "held_out" in changes:
        raise BadInput(
            f"--held-out {recipe.held_out}: with --folds every galaxy is tested once",
            "leave it out",
        )
    if recipe.folds and recipe.members > 1:
        raise BadInput(
            f"--members {recipe.members}: not with --folds {recipe.folds}",
            "leave out one of the two",
        )
    if "scheme" in changes and recipe.labels_column is not None:
        raise BadInput(
            f"--scheme {recipe.scheme}: the labels are in column {recipe.labels_column!r}",
            "leave out --scheme or --labels-column",
        )
    return resolve(recipe)


def _refuse_idle(recipe: Recipe, changes: Mapping[str, object]) -> None:
    """Raise BadInput for a setting that a soft target has no use for."""
    if recipe.target not in TARGETS or not TARGETS[recipe.target].soft:
        return
    for name in ("class_weights", "label_smoothing"):
        if changes.get(name):
            raise BadInput(
                f"--{name.replace('_', '-')} {changes[name]}: it is for --target classes",
                "leave it out",
            )


def without_effect(recipe: Recipe) -> set[str]:
    """Return the settings whose value changes nothing in a fit by a recipe, because of others."""
    idle = {
        # Labels of a column follow neither; schemes are rules on the challenge's columns.
        "scheme": recipe.labels_column is not None or recipe.schema != Recipe.schema,
        "schema": recipe.labels_column is not None,
        "class_weights": TARGETS[recipe.target].soft,
        "label_smoothing": TARGETS[recipe.target].soft,
        "frozen_lr": recipe.frozen_epochs == 0,
        "degraded": not (recipe.blur or recipe.noise),
        "adapt_weight": recipe.adapt == "none",
        "held_out": recipe.folds > 0,
    }
    return {name for name, is_idle in idle.items() if is_idle}


def require_weights_file(recipe: Recipe) -> None:
    """Raise BadInput if a recipe's weights are neither of `WEIGHTS` nor a file."""
    if recipe.weights not in WEIGHTS and not Path(recipe.weights).is_file():
        raise BadInput(
            f"--weights {recipe.weights}: no such file",
            f"{use_one_of(recipe.weights, WEIGHTS)}; or give the path of a state dict",
        )


@contextmanager
def naming_missing_plugins(plugins: Iterable[str]) -> Iterator[None]:
    """Let a recipe that can't be used name the plugins of its run that aren't loaded.

    Raises:
        BadInput: the block raised it; its remedy is the first missing plugin, if one is.
    """
    try:
        yield
    except BadInput as error:
        missing = [name for name in plugins if name not in loaded_plugins()]
        if not missing:
            raise
        fault = str(error).partition(";")[0]
        raise BadInput(
            f"{fault}, and the run was made with a plugin", f"add --plugin {missing[0]}"
        ) from error


def recipe_from_dict(values: object, name: str) -> Recipe:
    """Return the recipe with these settings; what isn't given stays as in `baseline`.

    Raises:
        BadInput: an unknown setting, or a value of the wrong type or out of its range; `name`
            says in which file.
    """
    if isinstance(values, dict) and isinstance(values.get("recipe"), dict):
        values = values["recipe"]
    if not isinstance(values, dict):
        raise BadInput(f"{name}: not a recipe", "it must hold a JSON object of settings")
    values = {RENAMED.get(str(name), name): value for name, value in values.items()}
    values = {name: value for name, value in values.items() if name not in REMOVED}
    known = [setting.name for setting in fields(Recipe)]
    for unknown in [name for name in values if name not in known]:
        raise BadInput(
            f"{name}: setting {unknown!r} is unknown",
            did_you_mean(str(unknown), list(known), "settings are"),
        )
    return _checked(Recipe(**values), f"{name}: ")


def resolve(recipe: Recipe) -> Recipe:
    """Return the recipe as it will run: checked, and with what follows from its settings."""
    recipe = _checked(recipe, "--")
    if recipe.dropout is None:
        recipe = replace(recipe, dropout=0.5 if recipe.head == "fastai" else 0.0)
    recipe = replace(recipe, loss=recipe.loss or next(iter(TARGETS[recipe.target].losses)))
    if TARGETS[recipe.target].soft:
        recipe = replace(recipe, class_weights=0.0, label_smoothing=0.0)
    if Path(recipe.weights).is_file():
        recipe = replace(recipe, weights=str(Path(recipe.weights).absolute()))
    if recipe.target_data is not None:
        recipe = replace(recipe, target_data=str(Path(recipe.target_data).absolute()))
    if recipe.weights == "none":
        recipe = replace(
            recipe,
            frozen_epochs=0,
            epochs=recipe.frozen_epochs + recipe.epochs,
            unfreeze=0,
        )
    if not recipe.flips and recipe.views == 8:
        # Rotations alone: a mirrored galaxy may be of another class.
        recipe = replace(recipe, views=4)
    if recipe.unfreeze == 0 or recipe.pipeline == "plain" or recipe.adapt != "none":
        recipe = replace(recipe, trunk_views=0)
    return recipe


def require_views(recipe: Recipe, views: int | None) -> None:
    """Raise BadInput if views would mirror the galaxies of a model whose training never did."""
    if views == 8 and not recipe.flips:
        raise BadInput(
            "--views 8: four of them are mirrored, and the model is trained with --no-flips",
            "use --views 4, which are rotations",
        )


def item_frame(recipe: Recipe) -> tuple[float, int]:
    """Return the items' crop and side: the model's frame with its margin, where there is one."""
    margin = min(MARGIN, 1 / recipe.crop)
    return recipe.crop * margin, round(recipe.size * margin)


def recipe_to_dict(recipe: Recipe) -> dict[str, object]:
    """Return the settings as JSON takes them."""
    return asdict(recipe)


def _checked(recipe: Recipe, prefix: str) -> Recipe:
    for setting in fields(Recipe):
        _check(getattr(recipe, setting.name), setting, prefix)
    if recipe.pipeline == "plain" and (recipe.crop < 1 or recipe.shift):
        raise BadInput(f"{prefix}pipeline: plain sees the whole frame", "leave out crop and shift")
    if recipe.pipeline == "plain" and recipe.brightness != recipe.contrast:
        raise BadInput(
            f"{prefix}pipeline: plain has one range for brightness and contrast", "make them equal"
        )
    if recipe.pipeline == "plain" and (recipe.colour or recipe.blur or recipe.noise):
        raise BadInput(
            f"{prefix}pipeline: plain changes no colour and adds no blur or noise",
            "leave out colour, blur and noise",
        )
    target = TARGETS[recipe.target]
    if recipe.loss is not None and recipe.loss not in target.losses:
        raise BadInput(
            f"{prefix}loss is {recipe.loss!r}, and the target is {recipe.target}",
            use_one_of(recipe.loss, list(target.losses), f"use {' or '.join(target.losses)}"),
        )
    if target.soft and recipe.labels_column is not None:
        raise BadInput(
            f"{prefix}target {recipe.target} takes vote fractions, and the labels are in column "
            f"{recipe.labels_column!r}",
            "leave out one of the two",
        )
    if (recipe.adapt == "none") != (recipe.target_data is None):
        raise BadInput(
            f"{prefix}adapt is {recipe.adapt!r}, target-data {recipe.target_data!r}",
            "give both, coral or dann and a folder of images, or neither",
        )
    if recipe.adapt != "none" and (recipe.pipeline == "plain" or recipe.epochs == 0):
        raise BadInput(
            f"{prefix}adapt: needs the fast pipeline and an epoch of fine-tuning", "leave it out"
        )
    if recipe.schema != Recipe.schema and recipe.target != "tree":
        raise BadInput(
            f"{prefix}schema {recipe.schema}: label schemes are rules on the challenge's columns",
            "use --target tree",
        )
    if recipe.frozen_epochs + recipe.epochs == 0:
        raise BadInput(f"{prefix}epochs: no epoch at all", "ask for one or more")
    return recipe


def _check(value: object, setting, prefix: str) -> None:
    name = f"{prefix}{setting.name.replace('_', '-') if prefix == '--' else setting.name}"
    kind = setting.type.split(" ")[0]
    takes = {"int": int, "float": (int, float), "bool": bool, "str": str}[kind]
    if value is None and "None" in setting.type:
        return
    if not isinstance(value, takes) or (isinstance(value, bool) and kind != "bool"):
        raise BadInput(f"{name} is {value!r}", f"it takes a value of type {kind}")
    limits = setting.metadata
    if "choices" in limits and value not in limits["choices"]:
        raise BadInput(f"{name} is {value!r}", use_one_of(value, limits["choices"]))
    least, above, most = (limits.get(key) for key in ("least", "above", "most"))
    if most is None:
        return
    # NaN is in no range, so the comparisons ask what holds rather than what fails.
    if not ((least is None or value >= least) and (above is None or value > above)) or not (
        value <= most
    ):
        lower = f"over {above}" if least is None else f"{least}"
        raise BadInput(f"{name} is {value}", f"it takes {lower} to {most}")


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not readable as JSON ({error})", "correct the file") from None

"""Options that commands share: a recipe's settings as options, and a run's path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import click

from galaxymorph.base import say
from galaxymorph.images.rendering import STRETCHES
from galaxymorph.learn.recipes import Recipe
from galaxymorph.zoo.schemas import SCHEMAS

RUN = click.argument("run", type=click.Path(path_type=Path))
DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="Where the catalogue is now, if it has moved."
)
LABELS_COLUMN = click.option(
    "--labels-column", help="Column of class names, for a table without vote fractions."
)
ID_COLUMN = click.option(
    "--id-column",
    help="Column that names the galaxies and their images. Default: the schema's own, or GalaxyID.",
)
SCHEMA = click.option(
    "--schema",
    type=click.Choice(list(SCHEMAS)),
    default=Recipe.schema,
    show_default=True,
    help="The vote catalogue whose columns the table has.",
)
SKIP_BAD = click.option(
    "--skip-bad", is_flag=True, help="Set bad rows aside in rejected.csv and go on."
)
SKIP_BAD_IMAGES = click.option(
    "--skip-bad", is_flag=True, help="Name images that can't be used and go on."
)
SKIPPED_SHOWN = 10
DEVICES = ("auto", "cpu", "cuda", "mps")


def _use_device(context: click.Context, option: click.Parameter, name: str) -> None:
    if name != "auto" and not context.resilient_parsing:
        from galaxymorph.learn import use_device

        use_device(name)


DEVICE = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    expose_value=False,
    callback=_use_device,
    help="Where networks run; auto takes a GPU if there is one.",
)


def rendering_options(command: Callable) -> Callable:
    """Give a command --stretch and --bands: how FITS images are rendered, None for the default."""
    for option in (
        click.option(
            "--bands",
            metavar="BAND[,BAND,BAND]",
            help="Bands of FITS images by name or number, the red first, as z,r,g. Default: those "
            "that the model is trained on, or the file's own.",
        ),
        click.option(
            "--stretch",
            type=click.Choice(STRETCHES),
            help="How FITS images are brightened. Default: as the model is trained on, or lupton.",
        ),
    ):
        command = option(command)
    return command


def say_rendering(stretch: str | None, bands: str | None) -> None:
    """Say in one line that FITS is rendered otherwise than a model was told, if it is."""
    options = {"--stretch": stretch, "--bands": bands}
    given = [f"{name} {value}" for name, value in options.items() if value is not None]
    if given:
        say(f"FITS images: {' and '.join(given)}, in place of what the model is trained on")


def say_skipped(faults: Sequence[str]) -> None:
    """Name the first images that can't be used, a line each, and count the others by kind."""
    from galaxymorph.predict import kind_of

    for fault in faults[:SKIPPED_SHOWN]:
        say(f"skipped: {fault}")
    if rest := Counter(map(kind_of, faults[SKIPPED_SHOWN:])):
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in rest.most_common())
        say(f"skipped: {rest.total():,} more ({kinds})")


def recipe_options(command: Callable) -> Callable:
    """Give a command an option for every setting of a recipe; those not given arrive as None."""
    for setting in reversed(fields(Recipe)):
        command = _option(setting)(command)
    return command


def given(settings: dict[str, object]) -> dict[str, object]:
    """Return the settings that the user gave."""
    return {name: value for name, value in settings.items() if value is not None}


def _option(setting) -> Callable:
    dashed = setting.name.replace("_", "-")
    kind = setting.type.split(" ")[0]
    about = f"{setting.metadata['about'].capitalize()}."
    if kind == "bool":
        return click.option(f"--{dashed}/--no-{dashed}", setting.name, default=None, help=about)
    choices = setting.metadata.get("choices")
    name = {"int": int, "float": float, "str": str}[kind]
    metavar = "|".join(map(str, choices)) if choices else kind.upper()
    return click.option(
        f"--{dashed}", setting.name, type=name, default=None, metavar=metavar,
        help=f"{about} Baseline: {setting.default}." if setting.default is not None else about,
    )  # fmt: skip

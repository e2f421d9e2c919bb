"""Options that commands share: a recipe's settings as options, and a run's path."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.commands import Choice, Command, Option
from galaxymorph.images.rendering import STRETCHES
from galaxymorph.learn.recipe import Recipe, make_recipe
from galaxymorph.report.figures.style import use_formats
from galaxymorph.zoo.schemas import SCHEMAS


def _require_run(context: click.Context, argument: click.Parameter, path: Path) -> Path:
    """Refuse what is no trained run before anything that takes seconds is imported."""
    from galaxymorph.learn import Run
    from galaxymorph.predict import is_run

    if not context.resilient_parsing and is_run(path):
        Run(path).require_trained()
    return path


RUN = click.argument("run", type=click.Path(path_type=Path), callback=_require_run)
DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="Where the catalogue is now, if it has moved."
)
LABELS_COLUMN = click.option(
    "--labels-column",
    metavar="COLUMN",
    help="Column of class names, for a table without vote fractions.",
)
ID_COLUMN = click.option(
    "--id-column",
    metavar="COLUMN",
    help="Column that names the galaxies and their images. Default: the schema's own, or GalaxyID.",
)
SCHEMA = click.option(
    "--schema",
    type=Choice(list(SCHEMAS)),
    default=Recipe.schema,
    show_default=True,
    help="The vote catalogue whose columns the table has.",
)
SKIP_BAD = click.option(
    "--skip-bad",
    cls=Option,
    group="data",
    is_flag=True,
    help="Set bad rows aside in rejected.csv and go on.",
)
SKIP_BAD_IMAGES = click.option(
    "--skip-bad", is_flag=True, help="Name images that can't be used and go on."
)
SKIPPED_SHOWN = 10
DEVICES = ("auto", "cpu", "cuda", "mps")
# Of a fit's options, in the order of its help.
GROUPS = ("run", "data", "model", "training", "augmentation", "evaluation", "hardware")


def _use_device(context: click.Context, option: click.Parameter, name: str) -> None:
    if name != "auto" and not context.resilient_parsing:
        from galaxymorph.learn import use_device

        use_device(name)


DEVICE = click.option(
    "--device",
    cls=Option,
    group="hardware",
    type=Choice(DEVICES),
    default="auto",
    show_default=True,
    expose_value=False,
    callback=_use_device,
    help="Where networks run; auto: a GPU if there is one.",
)


def _use_formats(context: click.Context, option: click.Parameter, value: str) -> None:
    if not context.resilient_parsing:
        use_formats([name.strip().lower() for name in value.split(",")])


FIGURES = click.option(
    "--figures",
    cls=Option,
    group="evaluation",
    metavar="pdf,svg,png",
    default="png",
    expose_value=False,
    callback=_use_formats,
    help="Formats that figures are written in beside PNG, which the page shows: at the size of a "
    "journal's column or page.",
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
            type=Choice(list(STRETCHES)),
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


def say_uncalibrated(run, what: str) -> None:
    """Say that a run's prediction sets or intervals are those of a model nobody calibrated."""
    from galaxymorph.judge import load_calibrators

    if load_calibrators(run) is None:
        beside = "; sets hold as promised, probabilities may not" if what == "sets" else ""
        say(
            f"{run.path} isn't calibrated: {what} are of its bare model{beside}; calibrate it "
            f"with: python cli.py calibrate {shlex.quote(str(run.path))}"
        )


def say_skipped(faults: Sequence[str]) -> None:
    """Name the first images that can't be used, a line each, and count the others by kind."""
    from galaxymorph.predict import error_kind

    for fault in faults[:SKIPPED_SHOWN]:
        say(f"skipped: {fault}")
    if rest := Counter(map(error_kind, faults[SKIPPED_SHOWN:])):
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


class RecipeCommand(Command):
    """A command with an option for every setting, its help in groups.

    Defaults in it are those of the recipe: `preset`, or what the command line gives with --recipe.
    """

    def __init__(self, *names, preset: str = "baseline", **settings):
        super().__init__(*names, **settings)
        self.preset = preset

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep which recipe is asked for, since --help is answered before it is read."""
        ctx.obj = self.preset
        for word, following in zip(args, [*args, ""][1:], strict=True):
            if word == "--recipe" or word.startswith("--recipe="):
                ctx.obj = word.partition("=")[2] or following
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups' options one group after the other, then the others."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for group in (*GROUPS, ""):
            rows = [
                row
                for each in options
                if getattr(each, "group", "") == group and (row := each.get_help_record(ctx))
            ]
            if rows:
                with formatter.section(group.capitalize() or "Options"):
                    formatter.write_dl(rows)


class Setting(Option):
    """The option of a recipe's setting."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Return the option and its help, with the value in the recipe at hand."""
        names, words = super().get_help_record(ctx)
        try:
            value = getattr(make_recipe(ctx.obj, {}), self.name)
        except BadInput:
            value = getattr(Recipe, self.name)
        if isinstance(value, bool):
            value = self.name if value else f"no-{self.name}"
        return names, words if value is None else f"{words}  [default: {value}]"


def _option(setting) -> Callable:
    dashed = setting.name.replace("_", "-")
    kind, about = setting.type.split(" ")[0], setting.metadata
    choices = about.get("choices")
    settings = {"cls": Setting, "default": None, "help": f"{about['about']}.",
                "group": about["group"]}  # fmt: skip
    if kind == "bool":
        return click.option(f"--{dashed}/--no-{dashed}", setting.name, **settings)
    name = {"int": int, "float": float, "str": str}[kind]
    words = {"int": "INTEGER", "float": "NUMBER", "str": "TEXT"}
    metavar = "|".join(map(str, choices)) if choices else about.get("metavar", words[kind])
    return click.option(f"--{dashed}", setting.name, type=name, metavar=metavar, **settings)

"""Options that commands share: a run's path, a recipe's settings, and how images are rendered."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.commands import Choice, Command, Option
from galaxymorph.learn.presets import RECIPES, make_recipe
from galaxymorph.learn.recipe import Recipe, choices_of, help_of, resolve
from galaxymorph.predict.options import PredictionOptions
from galaxymorph.report.figures.style import use_formats

# What click decorates, and makes of it: its own types say no more.
Function = Callable[..., Any]
PATH = click.Path(path_type=Path)
DEVICES = ("auto", "cpu", "cuda", "mps")
# Of a fit's options, in the order of its help.
GROUPS = ("run", "data", "model", "training", "augmentation", "evaluation", "hardware")


def dataclass_options(kind: type, argument: str) -> Callable[[Function], Function]:
    """Give a command the options of a dataclass, see `base.options`, as an argument, an instance.

    Args:
        kind: the dataclass; its other fields are options that the command declares itself.
        argument: its name.
    """
    names = {each.name for each in fields(kind)}

    def decorate(command: Function) -> Function:
        @functools.wraps(command)
        def call(*arguments: object, **values: object) -> object:
            options = kind(**{key: values.pop(key) for key in names & values.keys()})
            return command(*arguments, **values, **{argument: options})

        return several(*(_field_option(each) for each in fields(kind) if each.metadata))(call)

    return decorate


def _field_option(each: Field[Any]) -> Callable[[Function], Function]:
    about = each.metadata
    # The type is text where annotations are postponed, and `X | None` is X here.
    named = each.type.__name__ if isinstance(each.type, type) else str(each.type)
    kind = named.split(" ")[0].rpartition(".")[2]
    flag = f"--{each.name.replace('_', '-')}"
    settings: dict[str, Any] = {
        "cls": Option,
        "help": about["about"],
        "group": about["group"],
        "default": each.default,
        "show_default": each.default is not None and about["parse"] is None,
    }
    if kind == "bool":
        if each.default:
            return click.option(f"{flag}/--no-{flag[2:]}", each.name, **settings)
        flags = about["flags"] or [flag]
        return click.option(*flags, each.name, is_flag=True, **{**settings, "show_default": False})
    settings["metavar"] = about["metavar"]
    low, high = about["limits"]
    if about["choices"]:
        values = {str(value): value for value in about["choices"]}
        settings["type"] = Choice(list(values))
        settings["callback"] = lambda context, option, text: values.get(text, text)
    elif parse := about["parse"]:
        settings |= {"default": None, "callback": _parsed(parse, each.default)}
    elif kind == "Path":
        settings["type"] = PATH
    elif kind == "int":
        settings["type"] = click.IntRange(low, high)
    return click.option(*(about["flags"] or [flag]), each.name, **settings)


def _parsed(parse: Callable[[str], Any], default: object) -> Function:
    def callback(context: click.Context, option: click.Parameter, text: str | None) -> object:
        return default if text is None else parse(text)

    return callback


def several(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Return the decorator that gives a command several options, in this order."""

    def decorate(command: Function) -> Function:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _require_run(context: click.Context, argument: click.Parameter, path: Path) -> Path:
    """Refuse what is no trained run before anything that takes seconds is imported."""
    from galaxymorph.learn import Run
    from galaxymorph.predict import is_run

    if not context.resilient_parsing and is_run(path):
        Run(path).require_trained()
    return path


RUN = click.argument("run", type=PATH, callback=_require_run)
DATA = click.option("--data", type=PATH, help="New location of the catalogue, if it has moved.")
MOST = click.option(
    "--most",
    type=click.IntRange(1, 200),
    default=20,
    show_default=True,
    help="Galaxies per gallery.",
)
# How FITS images are rendered, None for the default.
RENDERING = several(
    *(
        _field_option(each)
        for each in fields(PredictionOptions)
        if each.name in ("stretch", "bands")
    )
)
SKIP_BAD_IMAGES = _field_option(
    next(each for each in fields(PredictionOptions) if each.name == "skip_bad")
)


def device_option(callback: Function | None, expose: bool) -> Callable[[Function], Function]:
    """Return the option of the device on which networks run.

    Args:
        callback: uses the device.
        expose: whether the command gets its name.
    """
    return click.option(
        "--device",
        cls=Option,
        group="hardware",
        type=Choice(DEVICES),
        default="auto",
        show_default=True,
        expose_value=expose,
        callback=callback,
        help="Device for networks; auto: a GPU if there is one.",
    )


def _use_device(context: click.Context, option: click.Parameter, name: str) -> None:
    if name != "auto" and not context.resilient_parsing:
        from galaxymorph.learn import use_device

        use_device(name)


DEVICE = device_option(_use_device, expose=False)


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
    help="File formats of figures in addition to PNG, at the width of a journal's column or page.",
)


def say_rendering(stretch: str | None, bands: str | None) -> None:
    """Say in one line that FITS is rendered otherwise than the model is trained on, if it is."""
    options = {"--stretch": stretch, "--bands": bands}
    given = [f"{name} {value}" for name, value in options.items() if value is not None]
    if given:
        say(f"FITS images: {' and '.join(given)}, in place of what the model is trained on")


def require_output(output: Path | None, endings: tuple[str, ...], remedy: str) -> None:
    """Raise BadInput for an output that doesn't end so, or whose folder isn't there.

    Args:
        output: the option's value.
        endings: of which it has one, with the dot.
        remedy: for another ending.
    """
    if output is None:
        return
    if output.suffix not in endings:
        raise BadInput(f"-o {output}: ending {output.suffix!r}", remedy)
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise BadInput(f"-o {output}: not a file in a folder that exists", "make the folder first")


def recipe_options(command: Function) -> Function:
    """Give a command an option for every setting of a recipe; those not given arrive as None."""
    return several(*map(_option, fields(Recipe)))(command)


def given(settings: dict[str, object]) -> dict[str, object]:
    """Return the settings that the user gave."""
    return {name: value for name, value in settings.items() if value is not None}


class RecipeCommand(Command):
    """A command with an option for every setting, its help in groups.

    Defaults in it are those of the recipe: `preset`, or what the command line gives with --recipe.
    """

    def __init__(self, *names: Any, preset: str = "baseline", **settings: Any):
        super().__init__(*names, **settings)
        self.preset = preset

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the name of the recipe, since --help is answered before it is read."""
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

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and its help, with the value in the recipe at hand."""
        record = super().get_help_record(ctx)
        if record is None or self.name is None:
            return record
        try:
            value = getattr(_recipe_of(ctx.obj), self.name)
        except BadInput:
            value = getattr(Recipe, self.name)
        if isinstance(value, bool):
            value = self.name if value else f"no-{self.name}"
        names, words = record
        return names, words if value is None else f"{words}  [default: {value}]"


def _recipe_of(source: str) -> Recipe:
    """Return a recipe for its defaults; a preset needs no validation, which takes time to import.

    Raises:
        BadInput: it is neither a preset nor a sound file.
    """
    return resolve(RECIPES[source].recipe) if source in RECIPES else make_recipe(source, {})


def _option(setting: Field[Any]) -> Callable[[Function], Function]:
    dashed = setting.name.replace("_", "-")
    kind, metadata = str(setting.type).split(" ")[0], setting.metadata
    choices = [] if setting.name == "loss" else choices_of(setting)
    settings: dict[str, Any] = {
        "cls": Setting,
        "default": None,
        "help": f"{help_of(setting)}.",
        "group": metadata["group"],
    }
    if kind == "bool":
        return click.option(f"--{dashed}/--no-{dashed}", setting.name, **settings)
    number = {"int": int, "float": float, "str": str}[kind]
    words = {"int": "INTEGER", "float": "NUMBER", "str": "TEXT"}
    metavar = "|".join(map(str, choices)) if choices else metadata.get("metavar", words[kind])
    return click.option(f"--{dashed}", setting.name, type=number, metavar=metavar, **settings)

"""Options that commands share: a run's path, a recipe's settings, and how images are rendered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from galaxymorph.base import BadInput, say
from galaxymorph.base.options import is_multiple, options_in, type_name
from galaxymorph.cli.commands import Choice, Command, Option
from galaxymorph.learn.presets import RECIPES, make_recipe
from galaxymorph.learn.recipe import Recipe, choices_of, help_of, resolve

# What click decorates, and makes of it: its own types say no more.
Function = Callable[..., Any]
PATH = click.Path(path_type=Path)
# Of many options, in the order of help.
GROUPS = ("run", "data", "model", "training", "augmentation", "evaluation", "hardware")


def options_of(
    kind: type, but: Collection[str] = (), required: Collection[str] = ()
) -> Callable[[Function], Function]:
    """Give a command the options of a dataclass, see `base.options`.

    Args:
        kind: the dataclass.
        but: options that the command declares itself.
        required: options that have to be given.
    """
    return several(
        *(
            _field_option(each, each.name in required)
            for each in options_in(kind)
            if each.name not in but
        )
    )


def _field_option(each: Field[Any], required: bool = False) -> Callable[[Function], Function]:
    about, kind = each.metadata, type_name(each)
    flags = about["flags"] or [f"--{each.name.replace('_', '-')}"]
    settings: dict[str, Any] = {
        "cls": Option,
        "help": about["about"],
        "group": about["group"],
        "default": each.default,
        "show_default": not (each.default is None or about["parse"] or is_multiple(each)),
    }
    if kind == "bool":
        if each.default:
            return click.option(f"{flags[0]}/--no-{flags[0][2:]}", each.name, **settings)
        return click.option(*flags, each.name, is_flag=True, **{**settings, "show_default": False})
    settings |= {"metavar": about["metavar"], "multiple": is_multiple(each), "required": required}
    low, high = about["limits"]
    if about["choices"]:
        values = {str(value): value for value in about["choices"]}
        settings["type"] = Choice(list(values))
        if not is_multiple(each):
            settings["callback"] = lambda context, option, text: values.get(text, text)
    elif parse := about["parse"]:
        settings |= {"default": None, "callback": _parsed(parse, each.default)}
    elif kind == "Path":
        settings["type"] = PATH
    elif kind == "int":
        settings["type"] = int if low is None and high is None else click.IntRange(low, high)
    return click.option(*flags, each.name, **settings)


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


def _require_run(
    context: click.Context, argument: click.Parameter, path: Path | None
) -> Path | None:
    """Refuse what is no trained run before anything that takes seconds is imported."""
    from galaxymorph.learn import Run
    from galaxymorph.predict import is_run

    if path is not None and not context.resilient_parsing and is_run(path):
        Run(path).require_trained()
    return path


def _require_runs(
    context: click.Context, argument: click.Parameter, paths: tuple[Path, ...]
) -> tuple[Path, ...]:
    for path in paths:
        _require_run(context, argument, path)
    return paths


RUN = click.argument("run", type=PATH, callback=_require_run)
RUNS = click.argument(
    "runs", nargs=-1, required=True, type=PATH, metavar="RUN RUN...", callback=_require_runs
)
# Without it, the model of the package.
OPTIONAL_RUN = click.argument("run", type=PATH, callback=_require_run, required=False)


def say_rendering(options: Mapping[str, Any]) -> None:
    """Say in one line that FITS is rendered otherwise than the model is trained on, if it is."""
    values = {f"--{name}": options[name] for name in ("stretch", "bands")}
    given = [f"{name} {value}" for name, value in values.items() if value is not None]
    if given:
        say(f"FITS images: {' and '.join(given)} instead of the model's own settings")


def recipe_options(command: Function) -> Function:
    """Give a command an option for every setting of a recipe; those not given arrive as None."""
    return several(*map(_option, fields(Recipe)))(command)


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the user gave."""
    return {name: value for name, value in settings.items() if value is not None}


class GroupedCommand(Command):
    """A command with many options, its help in groups."""

    def __init__(self, *names: Any, groups: Sequence[str] = GROUPS, **settings: Any):
        super().__init__(*names, **settings)
        self.groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups' options one group after the other, then the others."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for group in (*self.groups, ""):
            rows = [
                row
                for each in options
                if getattr(each, "group", "") == group and (row := each.get_help_record(ctx))
            ]
            if rows:
                with formatter.section(group.capitalize() or "Options"):
                    formatter.write_dl(rows)


class RecipeCommand(GroupedCommand):
    """A command with an option for every setting.

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
    if kind.startswith("tuple"):
        # Not given, click's empty tuple would replace the recipe's.
        settings |= {"multiple": True, "callback": lambda context, option, values: values or None}
        kind = "str"
    number = {"int": int, "float": float, "str": str}[kind]
    words = {"int": "INTEGER", "float": "NUMBER", "str": "TEXT"}
    metavar = metadata.get("metavar") or "|".join(map(str, choices)) or words[kind]
    return click.option(f"--{dashed}", setting.name, type=number, metavar=metavar, **settings)

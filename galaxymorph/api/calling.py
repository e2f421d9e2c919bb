"""How public functions take the options of their command: as keywords of the same names."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import Field
from functools import wraps
from inspect import Parameter
from typing import Any, TypeVar, cast

from galaxymorph.base.options import options_in, read_options
from galaxymorph.report.figures.style import figure_formats

Function = TypeVar("Function", bound=Callable[..., Any])
SETTINGS = 'settings: of the recipe, in place of its own: `size=64`, `target="tree"`.'


def takes(kind: type, settings: bool = False) -> Callable[[Function], Function]:
    """Give a function the options of a dataclass as keywords, in its signature and docstring too.

    The function is called with the checked value of every option. `device` and `figures` hold for
    the call alone.

    Args:
        kind: the dataclass, see `base.options`.
        settings: whether other keywords are settings of a recipe, which the function checks.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        named = [
            each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD
        ]
        options = [each for each in options_in(kind) if each.name not in signature.parameters]
        known = {each.name for each in options}

        @wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            passed = {each.name for each in named} & keywords.keys()
            others = keywords.keys() - known if settings else passed
            given = {name: value for name, value in keywords.items() if name not in others}
            read = read_options(kind, given, function.__name__)
            chosen = {name: value for name, value in read.items() if name in known}
            with (
                _device(chosen.get("device", "auto")),
                figure_formats(chosen.get("figures", "png")),
            ):
                return function(*arguments, **{name: keywords[name] for name in others}, **chosen)

        parameters = [*named, *map(_keyword, options)]
        if settings:
            parameters.append(Parameter("settings", Parameter.VAR_KEYWORD))
        lines = [f"{each.name}: {_in_words(each)}" for each in options] + [SETTINGS] * settings
        call.__dict__["__signature__"] = signature.replace(parameters=parameters)
        call.__dict__["options"] = kind
        call.__doc__ = _with_arguments(inspect.getdoc(function) or "", lines)
        return cast(Function, call)

    return decorate


def split_options(kind: type[Any], values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the options among the values, as an instance of their dataclass, and the others."""
    names = {each.name for each in options_in(kind)}
    options = kind(**{name: value for name, value in values.items() if name in names})
    return options, {name: value for name, value in values.items() if name not in names}


@contextmanager
def _device(name: str) -> Iterator[None]:
    """Let networks run on a device; `auto` leaves the choice as it stands."""
    if name == "auto":
        yield
        return
    from galaxymorph.learn import on_device

    with on_device(name):
        yield


def _keyword(option: Field[Any]) -> Parameter:
    return Parameter(
        option.name, Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type
    )


def _in_words(option: Field[Any]) -> str:
    """Return an option's help as a docstring has it; its default is in the signature."""
    words = re.sub(r"  \[default: (.*)\]", r" Default: \1.", option.metadata["about"])
    choices = option.metadata["choices"]
    if isinstance(choices, tuple) and choices:
        words += f" One of {', '.join(map(str, choices))}."
    return words


def _with_arguments(doc: str, lines: list[str]) -> str:
    """Return a docstring with further lines in its section of arguments."""
    if not lines:
        return doc
    added = textwrap.indent("\n".join(lines), "    ")
    if "\nArgs:\n" in doc:
        return re.sub(
            r"(\nArgs:\n(?:    .*\n?)+)", lambda found: f"{found[1].rstrip()}\n{added}\n", doc
        )
    section = re.search(r"\n(Returns|Raises|Example):\n", doc)
    at = section.start() if section else len(doc)
    return f"{doc[:at].rstrip()}\n\nArgs:\n{added}\n{doc[at:]}"

"""Options that are fields of a dataclass, on the command line."""

from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from galaxymorph.api.options import RobustnessOptions
from galaxymorph.base import BadInput
from galaxymorph.base.options import option
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import options_of
from galaxymorph.predict import PredictionOptions


def doubled(text: str) -> int:
    return 2 * int(text)


@dataclass(frozen=True)
class Options:
    place: Path | None = option("A place.")
    number: int = option("A number.", 3, limits=(1, 5))
    views: int | None = option("Views.", choices=(1, 4, 8))
    twice: int = option("Twice.", 7, parse=doubled)
    quiet: bool = option("Quiet.", False, flags=("--hush",))
    drift: bool = option("Drift.", True)
    unasked: str = "as it is"


def parsed(*words: str) -> Options:
    @click.command(cls=Command)
    @options_of(Options)
    def command(**options: object) -> Options:
        return Options(**options)

    return command.main(list(words), standalone_mode=False)


def test_options_that_are_not_given_keep_their_defaults():
    assert parsed() == Options()


def test_options_arrive_with_their_types():
    words = "--place a/b --number 5 --views 4 --twice 4 --hush --no-drift"
    assert parsed(*words.split()) == Options(Path("a/b"), 5, 4, 8, True, False)


@pytest.mark.parametrize("words", [["--number", "6"], ["--views", "3"], ["--unasked", "x"]])
def test_other_values_and_fields_that_are_no_options_are_refused(words):
    with pytest.raises(click.UsageError):
        parsed(*words)


@pytest.mark.parametrize(
    ("kind", "name", "text", "value"),
    [
        (PredictionOptions, "crops", "0.5,1", (0.5, 1.0)),
        (PredictionOptions, "coverage", "0.9", 0.9),
        (RobustnessOptions, "severities", "1, 3", (1, 3)),
    ],
)
def test_texts_become_values_or_are_refused_by_the_options_name(kind, name, text, value):
    parse = kind.__dataclass_fields__[name].metadata["parse"]
    assert parse(text) == value
    with pytest.raises(BadInput, match=f"^{name} 0.01,x"):
        parse("0.01,x")

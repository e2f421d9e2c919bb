"""The command line: one module a family of commands, each imported when it is called."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import signal
import sys
import threading
from typing import NoReturn

import click

from galaxymorph import __version__
from galaxymorph.base import (
    BadInput,
    as_utf8,
    command_line_words,
    load_installed_plugins,
    load_plugin,
    one_line,
    print_anything,
    say,
)
from galaxymorph.base.process import own_process
from galaxymorph.base.progress import printed_log
from galaxymorph.cli.commands import Group

# Command: its module's variable, and its line in --help, which imports none of them.
COMMANDS = {
    "fit": ("galaxymorph.cli.fit:fit", "Train a model and evaluate it."),
    "interpret": (
        "galaxymorph.cli.interpret:interpret",
        "Draw the galaxies with the largest losses, the most confident mistakes and each "
        "confusion.",
    ),
    "explain": (
        "galaxymorph.cli.explain:explain",
        "Draw attribution maps, which show the parts of an image that predictions depend on, and "
        "test them.",
    ),
    "calibrate": (
        "galaxymorph.cli.calibrate:calibrate",
        "Calibrate the probabilities of a run and add prediction sets.",
    ),
    "uncertainty": (
        "galaxymorph.cli.uncertainty:uncertainty",
        "Compare sources of uncertainty with each other and with the disagreement of volunteers.",
    ),
    "predict": (
        "galaxymorph.cli.predict:predict",
        "Predict the classes or vote fractions of images.",
    ),
    "pretrain": (
        "galaxymorph.cli.pretrain:pretrain",
        "Train a backbone on simulated galaxies, for --weights.",
    ),
    "triage": (
        "galaxymorph.cli.triage:triage",
        "Select images for volunteers to classify on Zooniverse.",
    ),
    "similar": (
        "galaxymorph.cli.similar:similar",
        "Find the galaxies of a catalogue that are most like one.",
    ),
    "anomalies": (
        "galaxymorph.cli.similar:anomalies",
        "Rank the most anomalous galaxies of a catalogue.",
    ),
    "volunteers": (
        "galaxymorph.cli.volunteers:volunteers",
        "Read volunteers' answers from Zooniverse as votes, or simulate them.",
    ),
    "export": ("galaxymorph.cli.export:export", "Export a run as one file, or convert it to int8."),
    "judge": (
        "galaxymorph.cli.judge:judge",
        "Judge predictions of any model, from a table, by labels or votes.",
    ),
    "compare": (
        "galaxymorph.cli.compare:compare",
        "Compare runs by all metrics, in the terminal or on a page.",
    ),
    "robustness": (
        "galaxymorph.cli.robustness:robustness",
        "Measure the performance of a run on corrupted test images.",
    ),
    "report": ("galaxymorph.cli.report:report", "Write the report and the model card of a run."),
    "serve": ("galaxymorph.cli.serve:serve", "Serve the model of a run as a local web page."),
    "survey": (
        "galaxymorph.cli.survey:survey",
        "Simulate galaxies with votes, and draw contact sheets.",
    ),
    "data": (
        "galaxymorph.cli.data:data",
        "Check a catalogue of galaxies, or fetch images by coordinates.",
    ),
    "schema": ("galaxymorph.cli.schema:schema", "Show decision trees, or propose one for a table."),
    "reproduce": (
        "galaxymorph.cli.reproduce:reproduce",
        "Train a run again and compare weights and metrics.",
    ),
}


# Former names of commands, which aren't listed.
RENAMED = {"doubt": "uncertainty", "quantize": "export --format onnx-int8"}

DEPENDENCIES = "install it, or galaxymorph with all its dependencies"


class LateGroup(Group):
    """A group whose commands are imported when they are called, each with `--debug`."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the commands in the order of use rather than of the alphabet."""
        return list(COMMANDS)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return a command, by its former name too, and its arguments."""
        if new := RENAMED.get(arguments[0]):
            say(f"{arguments[0]} is now called {new}")
            arguments = [*new.split(), *arguments[1:]]
        return super().resolve_command(context, arguments)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import and return a command."""
        if name not in COMMANDS:
            return None
        module, variable = COMMANDS[name][0].split(":")
        return getattr(importlib.import_module(module), variable)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LateGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="galaxymorph")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--plugin",
    multiple=True,
    metavar="MODULE|FILE.py",
    help="Import a module that registers your own label schemes, losses, metrics and so on.",
)
def cli(debug: bool, plugin: tuple[str, ...]) -> None:
    """GalaxyMorph: train and test galaxy morphology models on Galaxy Zoo images and votes.

    Start with `fit`. If there is no data, it simulates galaxies and prints a message.

    \b
    Example:
      python cli.py fit --simulate 600 --name first
      python cli.py predict exports/first galaxy.jpg

    COMMAND --help describes a command. --debug and --plugin may be given before or after it.
    """


class Terminated(KeyboardInterrupt):
    """What SIGTERM raises: a scheduler or a shutdown stops a command as Ctrl-C does."""


def _end_on_sigterm() -> None:
    owner = os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() == owner:
            raise Terminated
        # A process that was forked, such as a loader's, just ends.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    print_anything()
    # Python's last look for cycles takes a second once PyTorch is there; all goes with the process.
    atexit.register(gc.freeze)
    _end_on_sigterm()
    own_process()
    with printed_log(), command_line_words():
        _run(arguments)


def _run(arguments: list[str]) -> NoReturn:
    debug = "--debug" in arguments
    arguments = [word for word in arguments if word != "--debug"]
    try:
        for word in arguments:
            _require_utf8(word)
        plugins, arguments = _without_plugins(arguments)
        load_installed_plugins()
        for plugin in plugins:
            load_plugin(plugin)
        status = cli.main(arguments, prog_name="galaxymorph", standalone_mode=False)
    except click.ClickException as error:
        _end_usage(error)
    except (click.Abort, KeyboardInterrupt) as error:
        # click makes one of its own of what was raised.
        stop = error.__cause__ or error
        say(f"stopped{f'; {stop}' if str(stop) else ''}")
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))
    except BadInput as error:
        _end(error, 2, debug)
    except OSError as error:
        _end(error, 1, debug)
    except ModuleNotFoundError as error:
        module = str(error.name).split(".")[0]
        if module == "galaxymorph":
            _end(f"{error} (a bug of galaxymorph's: --debug shows where)", 1, debug)
        _end(f"this needs {module}, which isn't installed; {DEPENDENCIES}", 2, debug)
    except Exception as error:
        _end(
            f"{type(error).__name__}: {error} (a bug of galaxymorph's: --debug shows where)",
            1,
            debug,
        )
    sys.exit(status if isinstance(status, int) else 0)


def _without_plugins(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the values of `--plugin`, wherever it stands, and the other arguments.

    Options take their choices from registries when a command's module is imported, so plugins are
    loaded before click reads the command line.

    Raises:
        click.BadOptionUsage: the last argument is `--plugin`, without a value.
    """
    plugins, others = [], []
    words = iter(arguments)
    for word in words:
        if word == "--":
            others += [word, *words]
        elif word.startswith("--plugin="):
            plugins.append(word.partition("=")[2])
        elif word == "--plugin":
            value = next(words, None)
            if value is None:
                raise click.BadOptionUsage("--plugin", "Option '--plugin' requires an argument.")
            plugins.append(value)
        else:
            others.append(word)
    return plugins, others


def _require_utf8(word: str) -> None:
    """Raise BadInput for a path whose bytes aren't UTF-8: no table of a run could hold it."""
    if as_utf8(word) != word:
        raise BadInput(
            f"{as_utf8(word)}: the name is not valid UTF-8", "rename it, or make a link to it"
        )


def _end_usage(error: click.ClickException) -> NoReturn:
    """Print what click refuses in one line, without the two lines of usage that it adds."""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        # A group without a command, whose message is its help.
        error.show()
        sys.exit(error.exit_code)
    context = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split())
    text = text[:1].lower() + text[1:].rstrip(".")
    if context is not None and not text.endswith("?"):
        command = " ".join([*context.command_path.split()[1:], "--help"])
        text += f"; see `{command}`"
    say(f"error: {one_line(text)}")
    sys.exit(error.exit_code)


def _end(error: object, status: int, debug: bool) -> NoReturn:
    if debug:
        raise
    say(f"error: {error}")
    sys.exit(status)

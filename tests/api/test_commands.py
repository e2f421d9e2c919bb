"""Each command is one public function with options of the same names."""

import inspect
import re

import click
import pytest

import galaxymorph as gm
from galaxymorph import api
from galaxymorph.cli import COMMANDS, cli
from galaxymorph.learn.recipe import Recipe
from tests.conftest import galaxymorph

# Commands in groups, each with its function.
GROUPS = {
    "survey": {"simulate": "simulate", "show": "show"},
    "data": {"check": "check", "cutouts": "cutouts"},
    "volunteers": {"read": "read_volunteers", "simulate": "simulate_volunteers"},
    "schema": {"show": "show_schema", "guess": "guess_schema"},
}
# What concerns the terminal alone, a former name, and a hint to where bad rows are listed.
OF_THE_TERMINAL = {
    "compare": {"everything"},
    "predict": {"as_json"},
    "check": {"skip_bad"},
    "export": {"int8"},
}


def commands() -> list[tuple[str, click.Command]]:
    found = []
    for name in COMMANDS:
        command = cli.get_command(None, name)
        if name in GROUPS:
            found += [(called, command.commands[sub]) for sub, called in GROUPS[name].items()]
            assert set(command.commands) == set(GROUPS[name])
        else:
            found.append((name, command))
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda each: str(each))
def test_a_command_has_a_public_function_with_the_same_options(name, command):
    assert callable(getattr(gm, name))
    parameters = inspect.signature(getattr(api, name)).parameters
    takes_settings = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    settings = set(Recipe.__dataclass_fields__) if takes_settings else set()
    options = {each.name for each in command.params}
    terminal = OF_THE_TERMINAL.get(name, set())
    assert terminal <= options
    assert options - terminal <= parameters.keys() | settings
    # And nothing that only Python has.
    required = {key for key, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
    # `predict` takes runs and images as one list of names.
    assert required <= options | {"runs", "settings"} | ({"run"} if name == "predict" else set())


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda each: str(each))
def test_the_defaults_are_the_same(name, command):
    parameters = inspect.signature(getattr(api, name)).parameters
    for each in command.params:
        if each.name not in parameters or isinstance(each, click.Argument) or each.required:
            continue
        default = parameters[each.name].default
        # What stands for a default that the function documents.
        given = each.default if each.default != click.core.UNSET else None
        if isinstance(given, list | tuple):
            given = tuple(given)
        assert given == default or (given is None and default in ((), None)), each.name


def test_a_mistyped_option_has_a_suggestion():
    with pytest.raises(TypeError, match=r"explain\(\) got .* 'limt'. Did you mean 'limit'"):
        gm.explain("exports/RUN", limt=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gm.robustness("r", limit=3), "limit 3 is out of range; give 16 or more"),
        (lambda: gm.robustness("r", suite="all"), "suite 'all' is unknown; use one of"),
        (lambda: gm.explain("r", limit="many"), "limit 'many' is no whole number"),
        (lambda: gm.interpret("r", part="tests"), "did you mean test"),
        (lambda: gm.calibrate("r", coverage=1.2), "coverage 1.2; give a fraction"),
        (lambda: gm.report("r", figures="gif"), "figures gif: no such format"),
        (lambda: gm.open_run("nowhere"), "nowhere: no such run"),
        (lambda: gm.fit("nowhere", recipe="quick"), "nowhere: no such file or folder"),
        (lambda: gm.fit(recipe="quick", epoch=3), "setting 'epoch' is unknown; did you mean"),
        (lambda: gm.check("nowhere"), "nowhere"),
    ],
)
def test_an_error_is_an_exception_in_one_line(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(gm.BadInput) as error:
        call()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_message_names_what_its_reader_has(tmp_path, monkeypatch, capsys):
    """Options on the command line, arguments in Python; a command or a path in it stays."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a --data").mkdir()
    assert galaxymorph("similar", "a --data") == 2
    assert "give --galaxy ID or --image FILE" in capsys.readouterr().err
    with pytest.raises(gm.BadInput, match="; give galaxy ID or image FILE$"):
        gm.similar("a --data")
    filled = "`predict CATALOGUE -o FOLDER/ --embeddings` filled"
    with pytest.raises(gm.BadInput, match=re.escape(filled)):
        gm.similar("a--data", galaxy="1")
    with pytest.raises(gm.BadInput, match="leave out labels_column; or flips=False, output x$"):
        raise gm.BadInput("a", "leave out --labels-column; or --no-flips, -o x")


def test_a_package_named_like_a_function_is_called_like_it():
    import galaxymorph.predict
    import galaxymorph.report

    assert inspect.signature(gm.predict) == inspect.signature(api.predict)
    assert galaxymorph.predict.load_predictor is gm.load_predictor
    with pytest.raises(gm.BadInput, match="no such run"):
        gm.report("nowhere")

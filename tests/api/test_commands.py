"""Each command is one public function with options of the same names."""

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import galaxymorph as gm
from galaxymorph import api
from galaxymorph.base import command_line_words, setting
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
        (lambda: gm.report("r", figures="gif"), "figures='gif': no such format"),
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
    with command_line_words():
        assert setting("flux", "stored") == "--flux stored"
        assert [setting("flips", False), setting("id_column")] == ["--no-flips", "--id-column"]
        assert setting("output", Path("a --b")) == "-o a --b"
    assert setting("flux", "stored") == "flux='stored'"
    assert [setting("flips", False), setting("id_column")] == ["flips=False", "id_column"]
    assert setting("output", Path("a --b")) == "output='a --b'"


def test_a_recipe_file_is_refused_in_its_own_words(tmp_path, capsys):
    """Its keys in place of options, but options of others as the command line has them."""
    file = tmp_path / "a --b.json"
    file.write_text(json.dumps({"mixup": 0.5, "unlabelled": ["x"], "colour": 0}))
    assert galaxymorph("fit", "--recipe", file) == 2
    fault = f"{file}: mixup 0.5: it cannot be combined with unlabelled; leave out one of the two"
    assert fault in capsys.readouterr().err
    file.write_text(json.dumps({"schema": "unknown"}))
    assert galaxymorph("fit", "--recipe", file) == 2
    printed = capsys.readouterr().err
    assert f"{file}: schema: vote schema 'unknown' is unknown" in printed
    assert "an entry of a plugin needs --plugin" in printed


def _texts(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the texts of a module that can be in messages: not docstrings, nor options' help."""
    for node in ast.iter_child_nodes(tree):
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        of_option = isinstance(node, ast.Call) and ast.unparse(node.func) in ("option", "_setting")
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            yield node
        elif not (is_docstring or of_option):
            yield from _texts(node)


def test_every_setting_that_a_message_names_is_an_option():
    """And no text spells an option itself, except in a command or in the command line's code."""
    package = Path(gm.__file__).parent
    parameters = [each for _, command in (("", cli), *commands()) for each in command.params]
    flags = {flag.removeprefix("--") for each in parameters for flag in each.opts}
    options, named = {flag.replace("-", "_") for flag in flags}, []
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for call in ast.walk(tree):
            of_setting = isinstance(call, ast.Call) and ast.unparse(call.func) == "setting"
            if of_setting and isinstance(call.args[0], ast.Constant):
                named.append(call.args[0].value)
        if path.parent.name == "cli" or path.name == "settings.py":
            continue
        for text in _texts(tree):
            words = re.sub(r"`[^`]*`|python cli.py.*", "", ast.unparse(text))
            # A space before it: not the flags in a command's list of arguments.
            assert not re.search(r"\s--[a-z{]|\s-o\b|[\"']--[^\"']*\s", words), (path, words)
    assert len(named) > 250
    assert sorted(set(named) - options) == []


def test_a_package_named_like_a_function_is_called_like_it():
    import galaxymorph.predict
    import galaxymorph.report

    assert inspect.signature(gm.predict) == inspect.signature(api.predict)
    assert galaxymorph.predict.load_predictor is gm.load_predictor
    with pytest.raises(gm.BadInput, match="no such run"):
        gm.report("nowhere")

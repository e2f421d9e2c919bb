"""The world around a command: what can't be printed, written or named loses no answer."""

import functools
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import galaxymorph.report as reports
from tests.conftest import QUICK, RECIPE, galaxymorph
from tests.processes import run_command

ROOT = Path(__file__).parents[2]


def command(*words, env=None, **settings) -> subprocess.CompletedProcess:
    """Run a command in a process of its own."""
    variables = {name: value for name, value in (os.environ | (env or {})).items() if value}
    return subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *map(str, words)],
        env=variables,
        **{"cwd": ROOT, "capture_output": True, "stdin": subprocess.DEVNULL} | settings,
    )


@pytest.fixture
def image(simple) -> Path:
    return min((simple / "images_training_rev1").glob("*.jpg"))


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda env: "-".join(env.values()),
)
def test_what_an_output_cant_print_is_escaped(image, tmp_path, env):
    shutil.copy(image, tmp_path / "gal→axy [bold].jpg")
    # By the package's model, which predicts a few images without PyTorch and its import.
    done = command("predict", ".", env=env, cwd=tmp_path)
    # Without UTF-8 anywhere such a name isn't one of the file system's: it is passed over.
    assert done.returncode == (2 if "PYTHONUTF8" in env else 0), done.stderr
    assert b"a bug of galaxymorph's" not in done.stderr
    assert (b"elliptical" in done.stdout) == (done.returncode == 0)


@pytest.mark.parametrize(
    "name", ["a b", "it's", 'q"q', "100%s", "new\nline", "[bold]x", "-dash", "ünï→", ":smile:"]
)
def test_any_name_is_printed_and_written_as_it_is(run, image, tmp_path, name, capsys):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(image, folder / f"{name}.jpg")
    assert galaxymorph("predict", run, folder, "-o", folder / "o.csv") == 0
    (row,) = pd.read_csv(folder / "o.csv", dtype=str).to_dict("records")
    assert (row["galaxy"], row["image"]) == (name, str(folder / f"{name}.jpg"))
    capsys.readouterr()
    assert galaxymorph("predict", run, folder) == 0
    assert f"{name}.jpg".split("\n")[-1] in capsys.readouterr().out
    assert galaxymorph("predict", run, folder / f"{name}.jpg", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["galaxy"] == name


def test_a_name_that_isnt_utf8_is_refused_in_a_line(run, image, tmp_path):
    odd = os.fsencode(tmp_path) + b"/bad\xff.jpg"
    with open(odd, "wb") as stream:  # noqa: PTH123, a path of bytes
        stream.write(image.read_bytes())
    done = command("predict", run, os.fsdecode(odd))
    assert done.returncode == 2
    assert b"bad\\udcff.jpg: the name is not valid UTF-8; rename it" in done.stderr


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_output_may_have_the_longest_name(run, image, tmp_path, ending):
    output = tmp_path / f"{'x' * (254 - len(ending))}.{ending}"
    assert galaxymorph("predict", run, image, "-o", output) == 0
    assert output.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


@pytest.mark.parametrize(
    ("closed", "models"), [([1], []), ([2], []), ([1, 2], ["run"])], ids=["1", "2", "pytorch"]
)
def test_a_closed_stream_loses_no_table(image, tmp_path, closed, models, request):
    def close():
        for stream in closed:
            os.close(stream)

    output = tmp_path / "o.csv"
    streams = dict.fromkeys(("stdin", "stdout", "stderr")) | {"capture_output": False}
    words = [*map(request.getfixturevalue, models), image, "-o", output]
    done = command("predict", *words, preexec_fn=close, **streams)
    assert done.returncode == 0
    assert len(pd.read_csv(output)) == 1


def test_a_reader_that_has_gone_ends_a_command_without_a_word(image):
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"capture_output": False, "stdout": writing, "stderr": subprocess.PIPE}
    done = command("predict", image, "--json", **streams)
    os.close(writing)
    # But for the line that says which model it is.
    said = [line for line in done.stderr.splitlines() if not line.startswith(b"model: ")]
    assert (done.returncode, said) == (1, [])


@pytest.mark.parametrize(
    "env",
    [
        {"HOME": "", "GALAXYMORPH_CACHE": ""},
        {"HOME": "/proc", "GALAXYMORPH_CACHE": "", "TMPDIR": "/nonexistent"},
    ],
    ids=lambda env: "-".join(f"{name}={value}" for name, value in env.items()),
)
def test_predicting_needs_no_home_and_no_temporary_folder(run, image, env):
    done = command("predict", run, image, env=env)
    assert done.returncode == 0, done.stderr
    assert b"elliptical" in done.stdout


def print_to(path: str) -> None:
    """Make a file or a terminal the output of this process."""
    handle = os.open(path, os.O_WRONLY | os.O_NOCTTY)
    os.dup2(handle, 1)
    os.close(handle)


def on_a_terminal(*words, columns: int) -> str:
    """Return what a command prints to a terminal of so many columns."""
    leader, follower = pty.openpty()
    variables = {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    terminal = functools.partial(print_to, os.ttyname(follower))
    done = run_command(*words, prepare=terminal, env=os.environ | variables)
    assert done.returncode == 0, done.stderr
    os.close(follower)
    printed = b""
    try:
        while part := os.read(leader, 1 << 16):
            printed += part
    except OSError:
        # A terminal whose other end is closed ends so on Linux.
        os.close(leader)
    return printed.decode().replace("\r\n", "\n")


def test_a_narrow_terminal_gets_every_cell_whole(run, image):
    printed = on_a_terminal("predict", run, image, columns=40)
    assert f"image: {image.name}\n" in printed
    assert "predicted: " in printed
    assert "…" not in printed
    wide = on_a_terminal("predict", run, image, columns=300)
    assert "predicted: " not in wide
    assert image.name in wide


@pytest.mark.parametrize("step", ["draw_run", "write_report", "print_metrics"])
def test_a_fit_whose_last_steps_fail_is_kept_and_goes_on(
    simple, tmp_path, step, monkeypatch, capsys
):
    out, broken = tmp_path / "ru ns", OSError("the font is broken")

    def fail(*arguments):
        raise broken

    # No figure is looked at.
    monkeypatch.setattr(reports, "draw_run", lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(reports, step, fail)
        words = ["fit", "--data", simple, "--recipe", RECIPE, *QUICK, "--out", out, "--name", "r"]
        assert galaxymorph(*words) == 1
    run, told = out / "r", capsys.readouterr().err
    assert "the font is broken" in told
    assert (run / "model.pkl").exists()
    assert len(pd.read_parquet(run / "predictions_test.parquet")) == 9
    assert (run / "report.html").exists() == (step == "print_metrics")
    if step != "print_metrics":
        assert f"fit --resume '{run}'" in told
    assert galaxymorph("fit", "--resume", run) == 0
    assert (run / "report.html").exists()

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from galaxymorph.cli import COMMANDS, cli
from tests.conftest import NO_DRAWING, RECIPE, fits_that, galaxymorph

ROOT = Path(__file__).parents[2]


def test_help_imports_neither_torch_nor_fastai_nor_pandas():
    script = (
        "import sys; sys.argv = ['cli.py', '--help']\n"
        "from galaxymorph.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'fastai', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [*COMMANDS, "data check"])
def test_every_command_has_help(command, capsys):
    assert galaxymorph(*command.split(), "--help") == 0
    assert "Usage:" in capsys.readouterr().out


def test_the_line_in_the_list_of_commands_is_the_commands_own_subject(capsys):
    for name in COMMANDS:
        assert cli.get_command(None, name).name == name
    assert galaxymorph("--help") == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert all(f"{name} {line}" in listed for name, (_, line) in COMMANDS.items())


def test_a_fault_has_one_line_and_a_traceback_only_with_debug(tmp_path):
    plain = subprocess.run(
        [sys.executable, "cli.py", "predict", str(tmp_path), "x.jpg"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert plain.returncode == 2
    assert plain.stderr.startswith("error: ")
    assert len(plain.stderr.splitlines()) == 1
    debug = subprocess.run(
        [sys.executable, "cli.py", "predict", str(tmp_path), "x.jpg", "--debug"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "Traceback" in debug.stderr


def test_a_command_without_its_libraries_names_the_package(run, simple):
    script = (
        "import sys; sys.modules['torch'] = sys.modules['fastai'] = None\n"
        f"sys.argv = ['cli.py', 'predict', {str(run)!r}, {str(simple)!r}]\n"
        "from galaxymorph.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: this needs torch, which isn't installed; install it, or galaxymorph with all its "
        "dependencies"
    ]


def test_clicks_own_variable_prints_the_script_that_completes_commands():
    done = subprocess.run(
        [sys.executable, "-c", "from galaxymorph.cli import main; main([])"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "_GALAXYMORPH_COMPLETE": "zsh_source"},
    )
    assert done.returncode == 0 and "_GALAXYMORPH_COMPLETE=zsh_complete" in done.stdout


@pytest.mark.usefixtures("unrefreshed")
def test_interpret_takes_folds_either_part_and_moved_data(simple, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(simple, data)
    out = ["--out", tmp_path, "--name", "cv", "--recipe", RECIPE, "--size", "32"]
    with fits_that(NO_DRAWING):
        assert galaxymorph("fit", "--data", data, *out, "--epochs", "1", "--folds", "2") == 0
    data.rename(tmp_path / "moved")
    capsys.readouterr()
    assert galaxymorph("interpret", tmp_path / "cv", "--part", "valid") == 2
    assert "give the catalogue's present path with --data" in capsys.readouterr().err
    moved = ["--data", tmp_path / "moved"]
    assert galaxymorph("interpret", tmp_path / "cv", "--part", "valid", *moved) == 0
    drawn = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert tmp_path / "cv" / "figures" / "top_losses_valid.png" in drawn
    assert all(path.exists() for path in drawn)


def test_data_that_cannot_be_told_are_not_passed_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "data" / "images_training_rev1"
    images.mkdir(parents=True)
    (images / "1.jpg").write_bytes(b"")
    assert galaxymorph("fit") == 2
    assert "data/: no catalogue found, only images_training_rev1" in (capsys.readouterr().err)


@pytest.mark.usefixtures("unrefreshed")
def test_interpret_draws_the_galleries(run, capsys):
    assert galaxymorph("interpret", run) == 0
    drawn = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert run / "figures" / "top_losses_test.png" in drawn
    with Image.open(run / "figures" / "top_losses_test.png") as sheet:
        caption = sheet.text["Description"]
    # These galaxies aren't trained on, and have no training loss.
    assert caption.startswith("Largest losses of the test part") and "training" not in caption
    assert "The loss is the loss function of the fit (cross-entropy" in caption
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_first_fit_without_data_simulates_and_says_where_the_real_thing_goes(
    one_worker, plain, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    quick = ["--size", "32", "--epochs", "1", "--frozen-epochs", "1", "--batch", "8"]
    # Of so few galaxies, too few have a clear class for a split of each.
    quick += ["--target", "soft3"]
    assert galaxymorph("fit", "--simulate", "60", *quick) == 0
    captured = capsys.readouterr()
    first = captured.err.splitlines()[0]
    assert "No data: simulating 60 galaxies in data/simulated" in first
    assert "images_training_rev1.zip" in first
    run = Path(captured.out.splitlines()[-1])
    assert (run / "metrics.json").exists()
    assert json.loads((run / "recipe.json").read_text())["recipe"]["weights"] == "galaxymorph"
    before = (tmp_path / "data" / "simulated" / "truth.parquet").read_bytes()
    assert galaxymorph("fit", *quick, "--name", "again") == 0
    assert "No data: using the 60 galaxies in data/simulated" in capsys.readouterr().err
    assert (tmp_path / "data" / "simulated" / "truth.parquet").read_bytes() == before


def test_nothing_is_simulated_beside_data(simple, tmp_path, monkeypatch, capsys):
    for data in (simple, "missing"):
        assert galaxymorph("fit", "--data", data, "--simulate", "50") == 2
        error = capsys.readouterr().err
        assert f"--simulate 50 simulates in data/simulated/, and --data {data} names" in error
    monkeypatch.chdir(tmp_path)
    shutil.copytree(simple, "data")
    assert galaxymorph("fit", "--simulate", "50") == 2
    assert "--simulate 50: there is a catalogue already, data/" in capsys.readouterr().err


def test_a_catalogue_that_is_not_there_is_told_before_weights_are_fetched(
    tmp_path, monkeypatch, capsys
):
    def fetched(recipe):
        raise AssertionError("the network was asked for first")

    monkeypatch.setattr("galaxymorph.learn.require_network", fetched)
    assert galaxymorph("fit", "--data", tmp_path / "nowhere", "--out", tmp_path) == 2
    assert "nowhere: no such file or folder; " in capsys.readouterr().err

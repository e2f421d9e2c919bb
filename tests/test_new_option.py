"""A setting added to the package: two edits make it an option of `fit` that reaches the learner."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.conftest import QUICK, RECIPE
from tests.processes import import_anew, run_command

ROOT = Path(__file__).parents[1]
# File, line, and the line in its place.
EDITS = (
    (
        "learn/recipe.py",
        "    flips: bool = _setting(\n",
        '    adam_eps: float = _setting(1e-8, "Epsilon of AdamW", "training", gt=0.0, le=1.0)\n'
        "    flips: bool = _setting(\n",
    ),
    ("learn/learner.py", "AdamW, fused=True)", "AdamW, fused=True, eps=recipe.adam_eps)"),
)


class Recorded(torch.optim.AdamW):
    """Prints its epsilon."""

    def __init__(self, *arguments, **settings):
        print("epsilon", settings["eps"], flush=True)
        super().__init__(*arguments, **settings)


def import_patched(folder: Path) -> None:
    """Let this process, which runs one command, import the edited package."""
    import_anew(folder)
    torch.optim.AdamW = Recorded
    import galaxymorph.report as reports

    reports.draw_run = reports.write_report = lambda *_: None


@pytest.fixture(scope="module")
def patched(new_folder) -> Path:
    """A folder with the package, edited."""
    folder = new_folder("patched")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "galaxymorph", folder / "galaxymorph", ignore=ignored)
    for name, line, edited in EDITS:
        path = folder / "galaxymorph" / name
        text = path.read_text()
        assert text.count(line) == 1
        path.write_text(text.replace(line, edited))
    return folder


def patched_main(patched: Path, *words) -> str:
    """Run the edited package's command line; return what it prints."""
    done = run_command(*words, cwd=patched, prepare=partial(import_patched, patched))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_setting_is_an_option_of_fit(patched):
    help_text = patched_main(patched, "fit", "--help")
    assert "--adam-eps" in help_text and "Epsilon of AdamW" in help_text


def test_the_setting_reaches_the_learner_and_is_recorded(patched, simple, tmp_path):
    words = ["--data", simple, "--recipe", RECIPE, *QUICK, "--out", tmp_path, "--name", "run"]
    printed = patched_main(patched, "fit", *words, "--adam-eps", "0.25")
    assert {line for line in printed.splitlines() if line.startswith("epsilon")} == {"epsilon 0.25"}
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())["recipe"]
    assert recipe["adam_eps"] == 0.25

"""A disk that takes no more: one line that names the file, nothing half-written, and on it goes."""

import functools
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.cli.test_faults import files
from tests.conftest import QUICK, RECIPE, galaxymorph, linked
from tests.processes import run_command

resource = pytest.importorskip("resource")


def on_a_full_disk(words: list, size: int) -> CompletedProcess[str]:
    """Run a command that can't write a file of more than `size` bytes."""
    limit = (size, resource.RLIM_INFINITY)
    full = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, limit)
    return run_command(*words, prepare=full)


def words_of(what: str, run: Path, simple: Path, at: Path) -> list:
    images = simple / "images_training_rev1"
    return {
        "fit": [
            "fit",
            "--data",
            simple,
            "--recipe",
            RECIPE,
            *QUICK,
            "--out",
            at,
            "--name",
            "again",
        ],
        "table": ["predict", run, images, "-o", at / "table.csv"],
        "catalogue": ["predict", run, images, "-o", f"{at}/out/"],
        "calibrate": ["calibrate", at / "run"],
        "export": ["export", run, "--format", "safetensors", "-o", at / "model.safetensors"],
        "report": ["report", at / "run"],
        "simulate": ["survey", "simulate", "--n", "8", "--seed", "5", at / "sky"],
    }[what]


@pytest.mark.parametrize(
    ("what", "size"),
    [
        # PyTorch 2.8 writes a module of its own of over 500 bytes when it is imported.
        ("fit", 30_000),
        ("table", 3_000),
        ("catalogue", 3_000),
        ("calibrate", 3_000),
        ("export", 30_000),
        ("report", 30_000),
        ("simulate", 3_000),
    ],
)
def test_a_full_disk_is_told_in_a_line_and_loses_nothing(what, size, run, simple, tmp_path):
    if what in ("calibrate", "report"):
        linked(run, tmp_path / "run")
    before = files(tmp_path)
    words = words_of(what, run, simple, tmp_path)
    done = on_a_full_disk(words, size)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {tmp_path}") and "can't be written (File too large)" in last
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if ".tmp" in name.name]
    # With room again the same command, or its --resume, ends as if nothing had been.
    again = ["fit", "--resume", tmp_path / "again"] if what == "fit" else words
    assert galaxymorph(*again) == 0
    if what == "fit":
        assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
            run / "model.safetensors"
        ).read_bytes()

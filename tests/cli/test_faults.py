"""What other programs do to a run, its images and its folder while a command is at work."""

import ctypes
import hashlib
from pathlib import Path

import pandas as pd
import pytest

from galaxymorph.learn import Run, locked
from tests.conftest import NO_DRAWING, QUICK, RECIPE, fits_that, galaxymorph, linked
from tests.processes import run_command
from tests.simple import simple_galaxies

IMAGES = "images_training_rev1"
# By device, inode, size and time of the last change.
DIGESTS: dict[tuple[int, int, int, int], str] = {}
# Of capset(2) and capabilities(7): root writes where it may not, unless it drops this.
CAPABILITY_VERSION, CAP_DAC_OVERRIDE = 0x20080522, 1


def files(folder: Path) -> dict[Path, str]:
    """Return the digests of a folder's files; the contents of hundreds of runs are too much."""
    return {
        path.relative_to(folder): digest(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def digest(path: Path) -> str:
    """Return the digest of a file, computed once for all links to it while it is not changed."""
    about = path.stat()
    key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
    if key not in DIGESTS:
        DIGESTS[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return DIGESTS[key]


def without_roots_rights() -> None:
    """Drop the capability from the effective ones of this process."""
    libc, header = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    # Effective, permitted and inheritable ones: the first 32, then the others.
    capabilities = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, capabilities) == 0
    capabilities[0] &= ~(1 << CAP_DAC_OVERRIDE)
    assert libc.capset(header, capabilities) == 0


WRITING = {
    "calibrate": [],
    "uncertainty": [],
    "explain": ["--limit", "4", "--method", "gradcam"],
    "interpret": [],
    "export": ["--format", "onnx-int8"],
    "report": [],
    "robustness": ["--suite", "published", "--limit", "16"],
}


@pytest.fixture
def copied(run, tmp_path) -> Path:
    """A copy of the run; its files may be replaced, but not written into."""
    return linked(run, tmp_path / "run")


@pytest.mark.parametrize("command", WRITING)
def test_a_command_that_writes_into_a_run_refuses_while_another_process_does(
    command, copied, capsys
):
    before = files(copied)
    with locked(Run(copied)):
        assert galaxymorph(command, copied, *WRITING[command]) == 2
    assert "another process is working on it; wait for it or stop it" in capsys.readouterr().err
    assert files(copied) == before


@pytest.mark.parametrize("command", WRITING)
def test_a_run_that_cannot_be_written_into_is_told_in_a_line(command, copied):
    before = files(copied)
    folders = [copied, *(path for path in copied.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    done = run_command(command, copied, *WRITING[command], prepare=without_roots_rights)
    for folder in folders:
        folder.chmod(0o755)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {copied}") and "can't be written (Permission denied)" in last
    assert files(copied) == before


@pytest.mark.parametrize("what", ["fit", "table", "catalogue", "simulate"])
def test_an_output_that_cannot_be_written_is_told_in_a_line(what, run, simple, tmp_path):
    tmp_path.chmod(0o555)
    words = {
        "fit": ["fit", "--data", simple, "--recipe", RECIPE, *QUICK, "--out", tmp_path],
        "table": ["predict", run, simple / IMAGES, "-o", tmp_path / "table.csv"],
        "catalogue": ["predict", run, simple / IMAGES, "-o", f"{tmp_path}/out/"],
        "simulate": ["survey", "simulate", "--n", "8", tmp_path / "sky"],
    }[what]
    done = run_command(*words, prepare=without_roots_rights)
    tmp_path.chmod(0o755)
    assert done.returncode in (1, 2)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and str(tmp_path) in last and "Permission denied" in last
    assert "[Errno" not in last
    assert not files(tmp_path)


@pytest.fixture(scope="module")
def own(new_folder) -> tuple[Path, Path]:
    """Galaxies of this module's own, and a run on them."""
    folder = new_folder("own")
    data = simple_galaxies(folder / "data", seed=2, number=60)
    words = ["--data", data, "--recipe", RECIPE, *QUICK, "--out", folder, "--name", "run"]
    with fits_that(NO_DRAWING):
        assert galaxymorph("fit", *words) == 0
    return data, folder / "run"


@pytest.mark.parametrize("command", ["uncertainty", "explain", "interpret", "export", "robustness"])
def test_an_image_that_vanished_since_the_fit_is_named_and_nothing_is_lost(command, own, capsys):
    data, run = own
    galaxy = pd.read_parquet(run / "predictions_test.parquet")["galaxy"].iloc[0]
    image = data / IMAGES / f"{galaxy}.jpg"
    kept, before = image.read_bytes(), files(run)
    image.unlink()
    status = galaxymorph(command, run, *WRITING[command])
    image.write_bytes(kept)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2
    assert said.startswith("error: ") and f"{galaxy}.jpg" in said
    after = files(run)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if ".tmp" in name.name]


@pytest.mark.usefixtures("unrefreshed")
@pytest.mark.parametrize("command", ["calibrate", "report", "robustness"])
def test_a_catalogue_that_changed_since_the_fit_changes_nothing(command, own, capsys):
    data, run = own
    table = data / "training_solutions_rev1.csv"
    kept = table.read_bytes()
    assert galaxymorph(command, run, *WRITING[command]) == 0
    before = files(run)
    # The other way round: who was certainly smooth is certainly not.
    votes = pd.read_csv(table)
    votes[votes.columns[1:]] = 1 - votes[votes.columns[1:]]
    votes.to_csv(table, index=False)
    status = galaxymorph(command, run, *WRITING[command])
    table.write_bytes(kept)
    assert status == 0
    scores = f"{'calibration' if command == 'calibrate' else 'robustness'}.json"
    assert before.get(Path(scores)) == files(run).get(Path(scores))

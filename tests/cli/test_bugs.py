"""A bug in code that reads files is named as a bug, with a traceback, and never as damage."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.conftest import galaxymorph
from tests.makers import (
    folder_of_files,
    folder_of_files_and_parquet,
    folder_of_zips,
    outer_zip_of_deflated_zips,
    outer_zip_of_stored_zips,
)

BUGS = [AttributeError("no such attribute"), KeyError("key"), TypeError("not callable")]
# A function that a reader calls, and the catalogue that takes it there.
OF_CATALOGUES = {
    "galaxymorph.zoo.delimited._encoding": folder_of_files,
    "galaxymorph.zoo.checks.as_numbers": folder_of_files,
    "galaxymorph.zoo.checks._check_ids": folder_of_files,
    "galaxymorph.zoo.table_formats._arrow_cells": folder_of_files_and_parquet,
    "galaxymorph.zoo.votes.broken_sums": folder_of_files,
    "galaxymorph.base.archives._stamp_of": folder_of_zips,
    "galaxymorph.base.archives._data_offset": outer_zip_of_stored_zips,
    "galaxymorph.base.archives._unpacked_once": outer_zip_of_deflated_zips,
    "galaxymorph.images.decoding._require_picture": folder_of_files,
    "galaxymorph.images.decoding._as_rgb": folder_of_files,
}
# Likewise, and the command, the run's path in place of RUN.
OF_RUNS = {
    "galaxymorph.learn.runs.fingerprint": ["interpret", "RUN"],
    "galaxymorph.learn.runs.predicted_columns": ["interpret", "RUN"],
    "galaxymorph.judge.calibration.stored_calibration.read_calibrators": [
        "predict",
        "RUN",
        "IMAGES",
    ],
    "galaxymorph.predict.overlap._first_parts": ["predict", "RUN", "IMAGES"],
}


def plant(monkeypatch: pytest.MonkeyPatch, function: str, bug: Exception) -> None:
    def fail(*_, **__):
        raise bug

    monkeypatch.setattr(function, fail)


def require_bug(capsys: pytest.CaptureFixture, bug: Exception) -> None:
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    (line,) = errors
    assert line.startswith(f"error: {type(bug).__name__}: ")
    assert "bug of galaxymorph's" in line and "--debug" in line and "damaged" not in line


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: type(bug).__name__)
@pytest.mark.parametrize("function", OF_CATALOGUES)
def test_a_bug_in_a_reader_of_catalogues_is_named_as_one(
    function, bug, tmp_path, monkeypatch, capsys
):
    path = OF_CATALOGUES[function](tmp_path / "data", 4)
    monkeypatch.setenv("GALAXYMORPH_CACHE", str(tmp_path / "cache"))
    plant(monkeypatch, function, bug)
    assert galaxymorph("data", "check", path) == 1
    require_bug(capsys, bug)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: type(bug).__name__)
@pytest.mark.parametrize("function", OF_RUNS)
def test_a_bug_in_a_reader_of_runs_is_named_as_one(
    function, bug, run, simple, tmp_path, monkeypatch, capsys
):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    if "calibration" in function:
        (copy / "calibration.json").write_text("{}")
    plant(monkeypatch, function, bug)
    places = {"RUN": copy, "IMAGES": simple / "images_training_rev1"}
    words = [str(places.get(word, word)) for word in OF_RUNS[function]]
    assert galaxymorph(*words) == 1
    require_bug(capsys, bug)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: type(bug).__name__)
@pytest.mark.parametrize("name", ["planes._kind_and_rank", "planes._distinct", "fits.stretched"])
def test_a_bug_in_the_reader_of_fits_is_named_as_one(name, bug, tmp_path, monkeypatch):
    from galaxymorph.images import decode

    path = tmp_path / "galaxy.fits"
    fits.PrimaryHDU(np.random.default_rng(0).normal(size=(32, 32))).writeto(path)
    decode(str(path))
    plant(monkeypatch, f"galaxymorph.images.{name}", bug)
    with pytest.raises(type(bug)):
        decode(str(path))


def test_debug_shows_where_a_bug_is(tmp_path, monkeypatch):
    path = folder_of_files(tmp_path / "data", 4)
    plant(monkeypatch, "galaxymorph.zoo.delimited._encoding", AttributeError("planted"))
    from galaxymorph.cli import main

    with pytest.raises(AttributeError, match="planted"):
        main(["data", "check", str(path), "--debug"])


def test_damage_has_its_cause(tmp_path):
    from galaxymorph.base import BadInput, read_json

    path = Path(tmp_path / "metrics.json")
    path.write_text("{")
    with pytest.raises(BadInput, match="metrics.json: damaged") as caught:
        read_json(path)
    assert isinstance(caught.value.__cause__, ValueError)

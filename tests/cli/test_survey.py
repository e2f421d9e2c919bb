"""`survey simulate` and `survey show`, as a user runs them."""

import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galaxymorph.base import BadInput
from galaxymorph.survey import read_masks
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, read_catalogue, vote_counts
from tests.conftest import galaxymorph
from tests.processes import Command

ANSWERS = GALAXY_ZOO_CHALLENGE.columns
ONE = ["--workers", "1"]
# The galaxies of most tests, a block of 16 and some of another.
MIX = ["--survey", "sdss,hsc", "--seed", "5", "--masks"]
SKY = ["--n", "28", *MIX]


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def sky(new_folder) -> Path:
    """Galaxies of two surveys, with masks."""
    folder = new_folder("sky") / "sky"
    assert galaxymorph("survey", "simulate", folder, *SKY, *ONE) == 0
    return folder


def test_a_simulated_catalogue_passes_data_check(sky, capsys):
    assert galaxymorph("data", "check", sky) == 0
    assert "28 sound, 0 with a problem" in " ".join(capsys.readouterr().out.split())


def test_the_tables_agree_with_each_other_and_with_the_tree(sky):
    fractions = pd.read_csv(sky / "training_solutions_rev1.csv")
    votes = pd.read_parquet(sky / "votes.parquet")
    truth = pd.read_parquet(sky / "truth.parquet")
    assert list(fractions.columns) == ["GalaxyID", *ANSWERS]
    assert (votes["GalaxyID"] == fractions["GalaxyID"]).all()
    assert (truth["GalaxyID"] == fractions["GalaxyID"]).all()
    assert (votes[ANSWERS].max(axis=1) <= votes["shown"]).all()
    exact = votes[ANSWERS].div(votes["shown"], axis=0)
    assert fractions[ANSWERS].to_numpy() == pytest.approx(exact.to_numpy(), abs=1e-9)
    tree = GALAXY_ZOO_CHALLENGE
    expected = truth[[f"expected_{answer}" for answer in ANSWERS]].to_numpy()
    for values in (fractions[ANSWERS].to_numpy(), expected):
        sums = values @ tree.membership.T
        reached = np.where(tree.asked_of_all, 1.0, values @ tree.leads.T)
        assert sums == pytest.approx(reached, abs=1e-5)
    assert set(truth["survey"]) == {"sdss", "hsc"}


def test_images_are_as_galaxy_zoos(sky):
    images = sorted((sky / "images_training_rev1").iterdir())
    assert len(images) == 28
    with Image.open(images[0]) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (424, 424), "RGB")


def test_settings_are_written_with_versions_and_what_the_masks_bits_mean(sky):
    settings = json.loads((sky / "survey.json").read_text())
    assert settings["simulation"]["seed"] == 5
    assert settings["surveys"]["hsc"]["pixel"] == 0.168
    assert {"galaxymorph", "galsim", "numpy"} <= set(settings["versions"])
    truth = pd.read_parquet(sky / "truth.parquet").set_index("GalaxyID")
    barred = truth.index[(truth["bar_fraction"] > 0) & (truth["companion_kind"] == "none")][0]
    assert read_masks(sky / "masks" / f"{barred}.png")["bar"].any()
    smooth = truth.index[(truth["kind"] == "elliptical")][0]
    assert not read_masks(sky / "masks" / f"{smooth}.png")["arms"].any()


def test_a_galaxy_is_the_same_whatever_the_workers_and_the_others(sky, tmp_path):
    few = ["--n", "20", *MIX, "--workers", "2"]
    assert galaxymorph("survey", "simulate", tmp_path / "few", *few) == 0
    before, after = hashes(sky), hashes(tmp_path / "few")
    pictures = [name for name in after if name.endswith((".jpg", ".png"))]
    assert len(pictures) == 40
    assert all(after[name] == before[name] for name in pictures)
    for name in ("votes.parquet", "truth.parquet"):
        few = pd.read_parquet(tmp_path / "few" / name)
        pd.testing.assert_frame_equal(few, pd.read_parquet(sky / name).head(20))


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(sky, tmp_path):
    folder = tmp_path / "sky"
    command = ["survey", "simulate", folder, *SKY, *ONE]
    process = Command(*command)
    images = folder / "images_training_rev1"
    deadline = time.monotonic() + 60
    while not (images.exists() and len(list(images.iterdir())) > 16):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert not (folder / "training_solutions_rev1.csv").exists()
    assert galaxymorph(*command) == 0
    assert hashes(folder) == hashes(sky)


def test_a_finished_folder_is_left_alone(sky, capsys):
    before = {path: path.stat().st_mtime_ns for path in sky.rglob("*")}
    assert galaxymorph("survey", "simulate", sky, *SKY) == 0
    assert "already contains these galaxies" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in sky.rglob("*")}


def test_a_second_process_while_the_first_tidies_up_simulates_nothing(
    sky, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "sky"
    arguments = ["survey", "simulate", folder, *SKY, *ONE]
    remove, begun = shutil.rmtree, []

    def remove_late(path, **options):
        if not begun:
            begun.append(path)
            assert galaxymorph(*arguments) == 0
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", remove_late)
    assert galaxymorph(*arguments) == 0
    assert "already contains these galaxies" in capsys.readouterr().err
    assert begun == [folder / ".blocks"] and not begun[0].exists()
    assert hashes(folder) == hashes(sky)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--survey", "lsst"], "survey 'lsst' is unknown; use one of sdss, decals"),
        (["--n", "0"], "0 galaxies cannot be simulated"),
        (["--redshift", "near"], "--redshift 'near' is no number"),
        (["--redshift", "0.5-0.1"], "redshift 0.5-0.1 is no range"),
        (["--seed", "-1"], "seed -1 is negative"),
    ],
)
def test_what_cannot_be_simulated_is_one_line_and_exit_2(arguments, words, tmp_path, capsys):
    assert galaxymorph("survey", "simulate", tmp_path / "sky", *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "sky").exists()


def test_a_folder_of_something_else_is_refused(sky, tmp_path, capsys):
    arguments = [*SKY, "--seed", "6"]
    before = hashes(sky)
    assert galaxymorph("survey", "simulate", sky, *arguments) == 2
    assert "simulated with seed 5, not 6; give a new folder" in capsys.readouterr().err
    assert hashes(sky) == before
    (tmp_path / "notes.txt").write_text("mine")
    assert galaxymorph("survey", "simulate", tmp_path) == 2
    assert "contains files, but no survey.json" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_galaxies_are_moved_to_higher_redshift(tmp_path):
    arguments = ["--n", "12", "--redshift", "0.3-0.4", *ONE]
    assert galaxymorph("survey", "simulate", tmp_path / "far", *arguments) == 0
    truth = pd.read_parquet(tmp_path / "far" / "truth.parquet")
    assert truth["observed_redshift"].between(0.3, 0.4).all()
    assert (truth["redshift"] <= 0.25).all()


@pytest.mark.parametrize("options", [[], ["--scheme", "hubble"]])
def test_show_draws_a_sheet(sky, tmp_path, options, capsys):
    sheet = tmp_path / "sheet.png"
    assert galaxymorph("survey", "show", sky, "-o", sheet, "--n", "12", *options) == 0
    assert capsys.readouterr().out.strip() == str(sheet)
    with Image.open(sheet) as image:
        assert image.size[0] == 8 * 216
        assert np.asarray(image).std() > 20


def test_show_refuses_another_ending(sky, tmp_path, capsys):
    assert galaxymorph("survey", "show", sky, "-o", tmp_path / "sheet.gif") == 2
    assert "name a .png file" in capsys.readouterr().err


def test_votes_beside_the_fractions_are_the_counts_that_a_loss_takes(sky):
    counts = vote_counts(read_catalogue(sky))
    written = pd.read_parquet(sky / "votes.parquet")[ANSWERS]
    assert np.array_equal(counts.to_numpy(), written.to_numpy())
    fractions = read_catalogue(sky).table[ANSWERS].to_numpy()
    shown = pd.read_parquet(sky / "votes.parquet")["shown"].to_numpy()
    assert np.allclose(counts.to_numpy() / shown[:, None], fractions, atol=1e-9)


def test_a_galaxy_without_votes_beside_it_is_named(sky, tmp_path):
    copy = tmp_path / "sky"
    shutil.copytree(sky, copy)
    votes = pd.read_parquet(copy / "votes.parquet")
    votes.iloc[1:].to_parquet(copy / "votes.parquet")
    with pytest.raises(BadInput, match="Class1.1_count is nan, not a number of votes"):
        vote_counts(read_catalogue(copy))
    (copy / "votes.parquet").write_bytes(b"no table")
    with pytest.raises(BadInput, match="votes.parquet: "):
        vote_counts(read_catalogue(copy))
    (copy / "votes.parquet").unlink()
    with pytest.raises(BadInput, match="or votes.parquet beside it"):
        vote_counts(read_catalogue(copy))


def test_show_draws_plain_labels_and_other_campaigns(tmp_path, capsys):
    from tests.learn.test_vote_catalogues import catalogue

    votes = catalogue(tmp_path, "galaxy-zoo-decals", ".csv")
    command = ["survey", "show", votes, "-o", tmp_path / "sheet.png", "--n", 4, "--columns", 4]
    schema = ["--schema", "galaxy-zoo-decals"]
    assert galaxymorph(*command, *schema) == 0
    label = ["--labels-column", "bar_no", "--id-column", "iauname"]
    assert galaxymorph(*command, *label) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 4 * 216
    capsys.readouterr()
    assert galaxymorph(*command, *schema, "--scheme", "hubble") == 2
    assert "label schemes are defined on the columns" in capsys.readouterr().err

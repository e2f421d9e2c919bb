"""Simulation of a catalogue in several processes, resumable after an interruption.

A galaxy depends on the seed and its id alone. Galaxies are simulated in blocks: a block's images
are written, then its record; a resumed simulation repeats the blocks without a record. The tables
are made from the records at the end, so that they don't depend on the order of the blocks.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from galaxymorph.base import (
    BadInput,
    Progress,
    file_lock,
    make_folder,
    read_json,
    reading,
    remove_leftovers,
    replacing,
    require_key,
    say,
    setting,
    write_json,
)
from galaxymorph.base.process import map_in_processes
from galaxymorph.survey.surveys import SURVEYS
from galaxymorph.zoo import EXPECTED, GALAXY_ZOO_CHALLENGE

if TYPE_CHECKING:
    from galaxymorph.survey.galaxies import Galaxy
    from galaxymorph.survey.observing import Observation
    from galaxymorph.survey.volunteers import Ballot

FIRST = 100001
BLOCK = 16
IMAGES, MASKS, FLUX, BLOCKS = "images_training_rev1", "masks", "flux", ".blocks"
SETTINGS, TABLE = "survey.json", "training_solutions_rev1.csv"
TRUTH, VOTES = "truth.parquet", "votes.parquet"
VERSIONED = ("galaxymorph", "galsim", "astropy", "numpy", "scipy", "pillow", "pandas")
# Independent streams of random numbers; a new one comes last, so that the others don't change.
STREAMS = ("structure", "conditions", "field", "exposure", "votes", "further_bands")


@dataclass(frozen=True)
class Simulation:
    """Settings of a simulation; `redshift` is the range observed at, by default as drawn."""

    number: int
    surveys: tuple[str, ...]
    seed: int
    redshift: tuple[float, float] | None = None
    masks: bool = False
    fits: bool = False

    def __post_init__(self) -> None:
        if self.number < 1:
            raise BadInput(
                f"{setting('n')}: {self.number} galaxies cannot be simulated", "use 1 or more"
            )
        if not self.surveys:
            raise BadInput(f"{setting('survey')}: no survey is named", "name one")
        if self.seed < 0:
            raise BadInput(f"{setting('seed', self.seed)} is negative", "use 0 or more")
        for name in self.surveys:
            SURVEYS.find(name)
        low, high = self.redshift or (0.01, 0.01)
        if not 0 < low <= high <= 8:
            raise BadInput(
                f"{setting('redshift')} {low:g}-{high:g} is no range within 0 to 8",
                "write 0.3 or 0.1-0.5",
            )


def simulate(folder: str | Path, simulation: Simulation, workers: int | None = None) -> Path:
    """Simulate galaxies into a folder in Galaxy Zoo's format, or resume a simulation there.

    Writes images_training_rev1/<GalaxyID>.jpg, training_solutions_rev1.csv (cumulative vote
    fractions), votes.parquet (counts), truth.parquet (structure, conditions, visibility and
    expected fractions), survey.json (settings, versions) and, with masks, masks/<GalaxyID>.png.
    With FITS, flux/ is a catalogue of the same galaxies in bands of flux, see `flux_file`.

    Args:
        folder: a new one, or one of the same simulation.
        simulation: what to simulate.
        workers: processes; all cores by default. The result doesn't depend on it.

    Raises:
        BadInput: the folder holds something else.
    """
    folder = Path(folder)
    if _is_done(folder, simulation):
        say(f"{folder} already contains these galaxies")
        # Left by a process that was killed, or being removed by one that ends.
        shutil.rmtree(folder / BLOCKS, ignore_errors=True)
        return folder
    further = [MASKS] * simulation.masks + [FLUX] * simulation.fits
    for name in (IMAGES, BLOCKS, *further):
        make_folder(folder / name)
    with file_lock(folder / BLOCKS / "lock", wait=False) as locked:
        if not locked:
            raise BadInput(f"{folder}: another process is simulating there", "wait for it")
        # Another process may have ended since.
        if not (folder / TABLE).exists():
            remove_leftovers(folder)
            write_json(folder / SETTINGS, _description(simulation))
            _simulate_blocks(folder, simulation, workers or len(os.sched_getaffinity(0)))
            _write_tables(folder, simulation)
    shutil.rmtree(folder / BLOCKS, ignore_errors=True)
    return folder


def simulate_galaxy(
    simulation: Simulation, galaxy_id: int
) -> tuple[Observation, Ballot, dict[str, Any]]:
    """Return a galaxy of a simulation: its observation, its ballot and its row of truth."""
    from galaxymorph.survey.galaxies import draw_galaxy
    from galaxymorph.survey.observing import observe
    from galaxymorph.survey.volunteers import vote

    seeds = np.random.SeedSequence([simulation.seed, galaxy_id]).spawn(len(STREAMS))
    rngs = dict(zip(STREAMS, map(np.random.default_rng, seeds), strict=True))
    galaxy = draw_galaxy(rngs["structure"])
    name = simulation.surveys[int(rngs["conditions"].integers(len(simulation.surveys)))]
    redshift = None
    if simulation.redshift:
        # The model lacks the detail that a galaxy would have at a smaller distance.
        redshift = max(galaxy.redshift, rngs["conditions"].uniform(*simulation.redshift))
    observation = observe(
        galaxy,
        SURVEYS.find(name),
        rngs["field"],
        rngs["exposure"],
        redshift,
        rngs["further_bands"] if simulation.fits else None,
    )
    ballot = vote(observation, rngs["votes"])
    truth = {
        "GalaxyID": galaxy_id,
        "survey": name,
        "observed_redshift": galaxy.redshift if redshift is None else redshift,
        "frame": observation.frame,
        "native_pixel": observation.pixel,
        "seeing": observation.seeing,
        "noise": observation.noise,
        **_rotated(galaxy, observation.turn).row(),
        **{f"visible_{name}": value for name, value in ballot.visibility.items()},
        "shown": ballot.shown,
        **{
            EXPECTED + column: value
            for column, value in zip(GALAXY_ZOO_CHALLENGE.columns, ballot.expected, strict=True)
        },
    }
    return observation, ballot, truth


def _rotated(galaxy: Galaxy, turn: float) -> Galaxy:
    """Return the galaxy with its position angles in its rotated image."""
    return replace(
        galaxy,
        position_angle=(galaxy.position_angle + turn) % 180,
        companion_angle=(galaxy.companion_angle + turn) % 360,
        tail_angle=(galaxy.tail_angle + turn) % 360,
    )


def _description(simulation: Simulation) -> dict[str, object]:
    from galaxymorph.survey.masks import MASK_BITS

    return {
        "simulation": _as_json(simulation),
        "surveys": {name: asdict(SURVEYS.find(name)) for name in simulation.surveys},
        "mask_bits": MASK_BITS if simulation.masks else None,
        "versions": {name: _version(name) for name in VERSIONED},
    }


def _as_json(simulation: Simulation) -> dict[str, object]:
    return json.loads(json.dumps(asdict(simulation)))


def _version(name: str) -> str:
    from galaxymorph import __version__

    return __version__ if name == "galaxymorph" else importlib.metadata.version(name)


def _is_done(folder: Path, simulation: Simulation) -> bool:
    """Tell whether a folder holds all of a simulation; raise if it holds something else."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise BadInput(f"{folder}: a file, not a folder", "give a new folder")
    if not (folder / SETTINGS).exists():
        # A simulation that was killed before it wrote anything leaves empty folders.
        if any(path.is_file() and path.name != "lock" for path in folder.rglob("*")):
            raise BadInput(f"{folder}: contains files, but no {SETTINGS}", "give a new folder")
        return False
    record = read_json(folder / SETTINGS, "give a new folder")
    with reading(folder / SETTINGS, "give a new folder"):
        before = require_key(record, "simulation", dict)
        versions = require_key(record, "versions", dict)
    # Simulations of former versions, which wrote no FITS.
    before.setdefault("fits", False)
    ours = _as_json(simulation)
    differing = [name for name in ours if before.get(name) != ours[name]]
    if differing:
        name = differing[0]
        raise BadInput(
            f"{folder}: simulated with {name} {before.get(name)}, not {ours[name]}",
            "give a new folder, or the same settings to continue",
        )
    if (folder / TABLE).exists():
        return True
    changed = [name for name in VERSIONED if versions.get(name) != _version(name)]
    if changed:
        raise BadInput(
            f"{folder}: begun with {changed[0]} {versions.get(changed[0])}, here is "
            f"{_version(changed[0])}",
            "give a new folder",
        )
    return False


def _simulate_blocks(folder: Path, simulation: Simulation, workers: int) -> None:
    blocks = range(-(-simulation.number // BLOCK))
    todo = [block for block in blocks if not _record(folder, block).exists()]
    done = simulation.number - sum(len(_ids(simulation, block)) for block in todo)
    if done:
        say(f"continuing {folder}: {done:,} of {simulation.number:,} galaxies exist")
    simulate_block = partial(_simulate_block, folder, simulation)
    with Progress("simulating", simulation.number - done, "galaxies") as progress:
        for finished in map_in_processes(simulate_block, todo, workers):
            progress.advance(finished)


def _ids(simulation: Simulation, block: int) -> range:
    return range(FIRST + block * BLOCK, FIRST + min((block + 1) * BLOCK, simulation.number))


def _record(folder: Path, block: int) -> Path:
    return folder / BLOCKS / f"{block:06d}.parquet"


def _simulate_block(folder: Path, simulation: Simulation, block: int) -> int:
    """Write a block's images, then its record; return how many galaxies it has."""
    from PIL import Image

    from galaxymorph.survey.flux_files import flux_file
    from galaxymorph.survey.masks import mask_png

    rows = []
    for galaxy_id in _ids(simulation, block):
        observation, ballot, truth = simulate_galaxy(simulation, galaxy_id)
        stream = io.BytesIO()
        quality = SURVEYS.find(truth["survey"]).quality
        Image.fromarray(observation.image).save(stream, "JPEG", quality=quality)
        _write(folder / IMAGES / f"{galaxy_id}.jpg", stream.getvalue())
        if simulation.masks:
            _write(
                folder / MASKS / f"{galaxy_id}.png", mask_png(observation.light, observation.turn)
            )
        if simulation.fits:
            data = flux_file(observation, truth["survey"])
            _write(folder / FLUX / f"{galaxy_id}.fits", data)
        counts = zip(GALAXY_ZOO_CHALLENGE.columns, ballot.counts, strict=True)
        rows.append(truth | dict(counts))
    with replacing(_record(folder, block)) as temporary:
        pd.DataFrame(rows).to_parquet(temporary, index=False)
    return len(rows)


def _write(path: Path, data: bytes) -> None:
    # Not synced to the disk: a block without its record is simulated again.
    with replacing(path, sync=False) as temporary:
        temporary.write_bytes(data)


def _write_tables(folder: Path, simulation: Simulation) -> None:
    """Write the tables; `TABLE`, by which a simulation is known to be complete, is the last."""
    blocks = range(-(-simulation.number // BLOCK))
    table = pd.concat(
        [pd.read_parquet(_record(folder, block)) for block in blocks], ignore_index=True
    )
    answers = GALAXY_ZOO_CHALLENGE.columns
    with replacing(folder / TRUTH) as temporary:
        table.drop(columns=answers).to_parquet(temporary, index=False)
    with replacing(folder / VOTES) as temporary:
        table[["GalaxyID", "shown", *answers]].to_parquet(temporary, index=False)
    fractions = table[answers].div(table["shown"], axis=0).round(10)
    fractions.insert(0, "GalaxyID", table["GalaxyID"])
    if simulation.fits:
        for name in (SETTINGS, TRUTH, VOTES):
            with replacing(folder / FLUX / name) as temporary:
                shutil.copy(folder / name, temporary)
    for part in [folder / FLUX] * simulation.fits + [folder]:
        with replacing(part / TABLE) as temporary:
            fractions.to_csv(temporary, index=False)

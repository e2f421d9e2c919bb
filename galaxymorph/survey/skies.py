"""The simulation on which the backbone is pretrained, and that of a fit without data.

They have no galaxies in common, so that the second can test the first.
"""

from __future__ import annotations

from pathlib import Path

from galaxymorph.base import counted, read_json, reading, require_key, say, setting
from galaxymorph.survey.simulation import SETTINGS, TABLE, Simulation, simulate

# A survey's probability is proportional to how often it is named; most users' images are of SDSS.
PRETRAINING = Simulation(
    40_000, ("sdss", "sdss", "sdss", "decals", "hsc", "euclid", "hst"), 1001, (0.01, 0.25)
)
EMBEDDED = Simulation(3_000, ("sdss", "sdss", "decals"), 7)


def embedded_sky(folder: Path, number: int | None = None) -> Path:
    """Return a folder of simulated galaxies for a fit without data; simulate them if necessary.

    Args:
        folder: used as it is if it holds a finished simulation of that many galaxies; if it holds
            one of another number, a folder beside it is used, with the number in its name.
        number: of galaxies to simulate; by default those that are there, or as `EMBEDDED`.

    Raises:
        BadInput: the folder holds something else, or a package is missing.
    """
    there = _simulated(folder)
    if there is not None and number not in (None, there):
        folder = folder.with_name(f"{folder.name}-{number}")
        there = _simulated(folder)
    chosen = there or number or EMBEDDED.number
    say(
        f"No data: {'simulating' if there is None else 'using the'} {counted(chosen, 'galaxy')} "
        f"in {folder}. To use real galaxies, put images_training_rev1.zip and "
        "training_solutions_rev1.zip of Kaggle's Galaxy Zoo challenge into data/, or give "
        f"{setting('data')}."
    )
    if there is not None:
        return folder
    return simulate(folder, Simulation(chosen, EMBEDDED.surveys, EMBEDDED.seed))


def _simulated(folder: Path) -> int | None:
    """Return how many galaxies a folder's finished simulation has, None if it holds none."""
    if not (folder / TABLE).exists():
        return None
    record = read_json(folder / SETTINGS, "give a new folder")
    with reading(folder / SETTINGS, "give a new folder"):
        return require_key(require_key(record, "simulation", dict), "number", int)

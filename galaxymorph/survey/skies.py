"""The simulation on which the backbone is pretrained, and that of a fit without data.

They have no galaxies in common, so that the second can test the first.
"""

from __future__ import annotations

from pathlib import Path

from galaxymorph.base import say
from galaxymorph.survey.simulation import TABLE, Simulation, simulate

# A survey's probability is proportional to how often it is named; most users' images are of SDSS.
PRETRAINING = Simulation(
    32_000, ("sdss", "sdss", "sdss", "decals", "hsc", "euclid", "hst"), 1001, (0.01, 0.25)
)
EMBEDDED = Simulation(3_000, ("sdss", "sdss", "decals"), 7)


def embedded_sky(folder: Path, number: int = EMBEDDED.number) -> Path:
    """Return a folder of simulated galaxies for a fit without data; simulate them if necessary.

    Args:
        folder: used if it contains a finished simulation.
        number: of galaxies to simulate.

    Raises:
        BadInput: the folder holds something else, or a package is missing.
    """
    there = (folder / TABLE).exists()
    say(
        f"No data: {'using the' if there else f'simulating {number:,}'} galaxies in {folder}. To "
        "use real galaxies, put images_training_rev1.zip and training_solutions_rev1.zip of "
        "Kaggle's Galaxy Zoo challenge into data/, or give --data."
    )
    if there:
        return folder
    return simulate(folder, Simulation(number, EMBEDDED.surveys, EMBEDDED.seed))

"""What the answers of volunteers on triaged galaxies gain, beside those on random galaxies.

python benchmarks/volunteers.py --sky sky/ --work WORK --out volunteers.json

The sky is simulated (`survey simulate sky --n 1500 --seed 11`). Its first 300 galaxies, or fewer,
have votes, the next 800 are the pool, the last 400 judge. A tree is fitted on the first; `triage`
chooses 100 of the pool, the sky's volunteers classify them, and their export is read and trained on
too. The same is done with 100 random galaxies of the pool, for several draws. All fits have the
same recipe and seed. The error is the RMSE of the vote fractions of the 400.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import numpy as np
import pandas as pd

import galaxymorph as gm
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE

ANSWERS = GALAXY_ZOO_CHALLENGE.columns
TABLE, IMAGES = "training_solutions_rev1.csv", "images_training_rev1"
MOST_LABELLED, POOL, CHOSEN = 300, 800, 100
RESAMPLES = 2000


@click.command()
@click.option("--sky", type=click.Path(path_type=Path), required=True)
@click.option("--work", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--recipe", default="quick")
@click.option("--labelled", "number", type=click.IntRange(30, MOST_LABELLED), default=300)
@click.option("--draws", default=3, help="Random choices of the pool.")
def main(sky: Path, work: Path, out: Path, recipe: str, number: int, draws: int) -> None:
    """Measure both, and write the errors."""
    work.mkdir(parents=True)
    votes = pd.read_csv(sky / TABLE)
    labelled = sky / "labelled.csv"
    votes[:number].to_csv(labelled, index=False)
    pool = votes["GalaxyID"][MOST_LABELLED : MOST_LABELLED + POOL]
    kept = votes[MOST_LABELLED + POOL :].reset_index(drop=True)

    def squared_errors(name: str, also: list[Path]) -> np.ndarray:
        """Return the squared error of every judging galaxy, of a fit with further answers."""
        run = gm.fit(
            labelled,
            recipe=recipe,
            target="tree",
            out=work,
            name=name,
            also=[str(path) for path in also],
        )
        images = [str(sky / IMAGES / f"{galaxy}.jpg") for galaxy in kept["GalaxyID"]]
        predicted = run.predict(images)
        return ((predicted[ANSWERS].to_numpy() - kept[ANSWERS].to_numpy()) ** 2).mean(axis=1)

    errors = {"labelled": squared_errors("before", [])}
    images = [str(sky / IMAGES / f"{galaxy}.jpg") for galaxy in pool]
    gm.triage(work / "before", images, work / "triaged", number=CHOSEN)
    errors["and 100 triaged"] = squared_errors("after", [answered(sky, work / "triaged")])
    for draw in range(draws):
        folder = work / f"random-{draw}"
        folder.mkdir()
        chosen = pool.sample(CHOSEN, random_state=draw)
        for galaxy in chosen:
            shutil.copy(sky / IMAGES / f"{galaxy}.jpg", folder)
        pd.DataFrame({"galaxy": chosen}).to_csv(folder / "manifest.csv", index=False)
        name = f"and 100 random, draw {draw}"
        errors[name] = squared_errors(f"after-{draw}", [answered(sky, folder)])
    random = np.mean([errors[name] for name in errors if "random" in name], axis=0)
    result = {
        "recipe": recipe,
        "labelled": number,
        "rmse": {name: float(np.sqrt(values.mean())) for name, values in errors.items()},
        "random minus triaged": difference(random, errors["and 100 triaged"]),
        "before minus triaged": difference(errors["labelled"], errors["and 100 triaged"]),
    }
    out.write_text(json.dumps(result, indent=2) + "\n")
    click.echo(out.read_text())


def answered(sky: Path, folder: Path) -> Path:
    """Let the sky's volunteers classify a folder's galaxies; return their votes."""
    export = gm.simulate_volunteers(
        sky, folder / "classifications.csv", manifest=folder / "manifest.csv"
    )
    gm.read_volunteers(export, output=folder / "votes.csv")
    return folder / "votes.csv"


def difference(one: np.ndarray, other: np.ndarray) -> list[float]:
    """Return the difference of two RMSEs with its 95 % interval, over the same galaxies."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(one), size=(RESAMPLES, len(one)))
    drawn = np.sqrt(one[rows].mean(axis=1)) - np.sqrt(other[rows].mean(axis=1))
    ends = np.quantile(drawn, [0.025, 0.975])
    return [float(np.sqrt(one.mean()) - np.sqrt(other.mean())), *map(float, ends)]


if __name__ == "__main__":
    main()

"""What each further source of labels buys a tree: errors on held-out galaxies of three kinds.

python benchmarks/sources.py --real DATA --work WORK --out sources.json

DATA has the folders galaxy-zoo-challenge, galaxy-zoo-challenge-weak, gz2-five, galaxy-zoo-2,
galaxy-zoo-challenge-test and efigi. Half of galaxy-zoo-2 and of gz2-five and a fifth of
galaxy-zoo-challenge are kept aside, by name, and train nowhere. For each setting, number of
labelled galaxies and seed a tree is fitted on the challenge's votes and the setting's sources, and
judged by

- the RMSE of all 37 answers on the kept galaxies of the challenge,
- the root-mean-square error of the conditional fractions of the kept half of galaxy-zoo-2 (weighted
  fractions of volunteers), each weighted by the fraction of volunteers who reached its question,
- the macro-F1 of the classes of the kept half of gz2-five: the class whose conditions hold by
  the largest margin.

Kept galaxies whose picture is in a catalogue that trains are left out.
"""

from __future__ import annotations

import itertools
import json
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import logit
from sklearn.metrics import f1_score

from galaxymorph import load_predictor
from galaxymorph.api.fitting import start_fit
from galaxymorph.api.options import FitOptions
from galaxymorph.images import find_copies, image_thumbnail
from galaxymorph.judge.metrics.vote_fractions import conditional_square_errors
from galaxymorph.learn import Run, train_run
from galaxymorph.learn.sources.events import Event, source_meanings
from galaxymorph.learn.sources.spec import TrainingSource
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, read_catalogue, translate_fractions

TREE = GALAXY_ZOO_CHALLENGE
IMAGES = "images_training_rev1"
WEAK = (
    "{real}/galaxy-zoo-challenge-weak,largest=largest_answer,labels=features_arms_and_odd,"
    "answers=yes:Class1.2>0.5&Class4.1>0.5&Class6.1>0.5|no:!yes"
)
FIVE = "{work}/gz2-five-train,labels=label,scheme=gz2-five"
GZ2 = "{work}/galaxy-zoo-2-train,schema=galaxy-zoo-2,fractions=weighted,id=asset_id"
EFIGI = "{real}/efigi,attributes=efigi,id=PGCname"
UNLABELLED = [
    "{real}/galaxy-zoo-challenge-test/images_test_rev1",
    "{real}/galaxy-zoo-challenge-weak/images_training_rev1",
]
# Table of the catalogue, and one in how many of its galaxies is kept aside.
KEPT = {
    "galaxy-zoo-challenge": ("training_solutions_rev1.csv", 5),
    "galaxy-zoo-2": ("gz2_hart16.csv", 2),
    "gz2-five": ("labels.csv", 2),
}
# By name: the further catalogues, and the folders of unlabelled images.
SETTINGS: dict[str, tuple[list[str], list[str]]] = {
    "votes": ([], []),
    "weak": ([WEAK], []),
    "five": ([FIVE], []),
    "gz2": ([GZ2], []),
    "efigi": ([EFIGI], []),
    "unlabelled": ([], UNLABELLED),
    "weak+five": ([WEAK, FIVE], []),
    "weak+five+gz2": ([WEAK, FIVE, GZ2], []),
    "all": ([WEAK, FIVE, GZ2], UNLABELLED[:1]),
}


@dataclass(frozen=True)
class KeptAside:
    """The galaxies that judge: images of two catalogues with fractions, and of gz2-five."""

    challenge: list[str]
    challenge_fractions: np.ndarray
    gz2: list[str]
    gz2_fractions: np.ndarray
    five: list[str]
    labels: list[str]


@click.command()
@click.option("--real", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder for runs.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file of the results.")
@click.option("--settings", default=",".join(SETTINGS), show_default=True)
@click.option("--labels", default="all", show_default=True, help="Labelled galaxies: 100,300,all.")
@click.option("--seeds", default="42,43,44", show_default=True)
@click.option("--recipe", default="small", show_default=True)
@click.option("--option", "options", multiple=True, help="Of the recipe, such as epochs=30.")
def main(real, work, out, settings, labels, seeds, recipe, options) -> None:
    """Fit every setting by every number of labels and seed, and print a line for each."""
    real, work = real.absolute(), work.absolute()
    kept = keep_aside(real, work)
    changes = dict(option.split("=", 1) for option in options)
    changes = {name: _number(value) for name, value in changes.items()}
    results = []
    for number, seed, name in itertools.product(
        labels.split(","), map(int, seeds.split(",")), settings.split(",")
    ):
        also, unlabelled = (
            [path.format(real=real, work=work) for path in paths] for paths in SETTINGS[name]
        )
        more = {"target": "tree", "seed": seed, "also": also, "unlabelled": unlabelled}
        fit = FitOptions(
            data=labelled(work, number, seed),
            recipe=recipe,
            out=work / "runs",
            name=f"{name}-{number}-{seed}",
        )
        run, seconds = fitted(fit, changes | more)
        results.append({"setting": name, "labels": number, "seed": seed, "seconds": seconds})
        results[-1] |= scores(run, kept)
        print(json.dumps(results[-1]), flush=True)
        if out:
            out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    table = pd.DataFrame(results).drop(columns="seed")
    print(table.groupby(["labels", "setting"], sort=False).agg(["mean", "std"]).round(4))


def _number(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


def keep_aside(real: Path, work: Path) -> KeptAside:
    """Write the galaxies that train as catalogues of their own; return the others."""
    kept = {}
    for name, (table, every) in KEPT.items():
        rows = pd.read_csv(real / name / table)
        numbers = rows.iloc[:, 0].map(lambda galaxy: zlib.crc32(str(galaxy).encode()))
        for part, chosen in (("train", numbers % every > 0), ("test", numbers % every == 0)):
            write_catalogue(rows[chosen], real / name / IMAGES, work / f"{name}-{part}" / table)
        kept[name] = work / f"{name}-test"
    trained = [*sorted((real / "galaxy-zoo-challenge-weak" / IMAGES).iterdir())]
    for name in KEPT:
        trained += sorted((work / f"{name}-train" / IMAGES).iterdir())
    known = thumbnails(trained)
    gz2 = read_catalogue(kept["galaxy-zoo-2"], None, "galaxy-zoo-2", "asset_id", "weighted")
    challenge = read_catalogue(kept["galaxy-zoo-challenge"], None, "galaxy-zoo-challenge")
    five = read_catalogue(kept["gz2-five"], "label").table
    new, new_challenge, new_five = (
        find_copies(known, thumbnails(table["image"])) < 0
        for table in (gz2.table, challenge.table, five)
    )
    print(
        f"kept aside: {new_challenge.sum()} of galaxy-zoo-challenge, {new.sum()} of galaxy-zoo-2, "
        f"{new_five.sum()} of gz2-five",
        flush=True,
    )
    assert gz2.tree is not None
    fractions = translate_fractions(gz2.tree, TREE, gz2.table[gz2.tree.columns].to_numpy(float))
    return KeptAside(
        list(challenge.table["image"][new_challenge]),
        challenge.table.loc[new_challenge, TREE.columns].to_numpy(float),
        list(gz2.table["image"][new]),
        fractions[new],
        list(five["image"][new_five]),
        list(five["label"][new_five]),
    )


def write_catalogue(rows: pd.DataFrame, images: Path, table: Path) -> None:
    """Write some rows of a table, with links to their images beside it."""
    (table.parent / IMAGES).mkdir(parents=True, exist_ok=True)
    for galaxy in rows.iloc[:, 0]:
        link = table.parent / IMAGES / f"{galaxy}.jpg"
        if not link.is_symlink():
            link.symlink_to(images / link.name)
    rows.to_csv(table, index=False)


def labelled(work: Path, number: str, seed: int) -> Path:
    """Return the catalogue of the challenge that trains: all of it, or a random sample."""
    whole = work / "galaxy-zoo-challenge-train"
    if number == "all":
        return whole
    table = KEPT["galaxy-zoo-challenge"][0]
    rows = pd.read_csv(whole / table).sample(int(number), random_state=seed)
    path = work / f"galaxy-zoo-challenge-{number}-{seed}"
    write_catalogue(rows.sort_index(), whole / IMAGES, path / table)
    return path


def thumbnails(images: Iterable[str | Path]) -> np.ndarray:
    """Return the thumbnails of some image files."""
    return np.array([image_thumbnail(Image.open(image)) for image in images])


def fitted(options: FitOptions, changes: dict) -> tuple[Run, float]:
    """Train a run, unless it is there; return it and the seconds that it took."""
    assert options.out is not None
    path = Path(options.out) / str(options.name)
    start = time.perf_counter()
    if not path.exists():
        train_run(*start_fit(options, changes))
    return Run(path), round(time.perf_counter() - start, 1)


def scores(run: Run, kept: KeptAside) -> dict[str, float]:
    """Return the three scores of a run."""
    predictor = load_predictor(run.path)
    challenge = predictor.predict(kept.challenge)[TREE.columns].to_numpy(float)
    error = challenge - kept.challenge_fractions
    five = predictor.predict(kept.five)[TREE.columns]
    source = TrainingSource("five", labels="label", scheme="gz2-five")
    meanings = source_meanings(source, TREE)
    margins = [least_margin(meaning.event, five) for meaning in meanings.values()]
    predicted = np.array(list(meanings))[np.argmax(margins, axis=0)]
    gz2 = predictor.predict(kept.gz2)[TREE.columns].to_numpy(float)
    return {
        "challenge_rmse": float(np.sqrt(np.mean(error**2))),
        "gz2_conditional": conditional_error(gz2, kept.gz2_fractions),
        "five_macro_f1": float(f1_score(kept.labels, predicted, average="macro")),
    }


def least_margin(event: Event, fractions: pd.DataFrame) -> np.ndarray:
    """Return by how much the least certain condition of an event holds, logits of shape (n,)."""
    parts = event.conditions
    return np.min([logit(part.value(fractions)) - logit(part.least) for part in parts], axis=0)


def conditional_error(predicted: np.ndarray, fractions: np.ndarray) -> float:
    """Return the RMSE of conditional fractions, weighted by the reach of their questions."""
    squares, weights = conditional_square_errors(TREE, fractions, predicted)
    return float(np.sqrt(squares.sum() / weights.sum()))


if __name__ == "__main__":
    main()

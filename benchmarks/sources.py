"""What each further source of labels buys a tree: errors on held-out galaxies of three kinds.

python benchmarks/sources.py --real DATA --work WORK --out sources.json

DATA has the folders galaxy-zoo-challenge, galaxy-zoo-challenge-weak, gz2-five, galaxy-zoo-2 and
galaxy-zoo-challenge-test. Half of galaxy-zoo-2 and of gz2-five are kept aside, by name, and train
nowhere. For each setting and seed a tree is fitted on the challenge's votes and the setting's
sources, and judged by

- the RMSE of all 37 answers on the challenge's test part,
- the root-mean-square error of the conditional fractions of the kept half of galaxy-zoo-2 (weighted
  fractions of volunteers), each weighted by the fraction of volunteers who reached its question,
- the macro-F1 of the classes of the kept half of gz2-five: the class whose conditions hold by
  the largest margin.

Kept galaxies whose picture is in a catalogue that trains are left out.
"""

from __future__ import annotations

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
from galaxymorph.learn import Run, train_run
from galaxymorph.learn.sources.events import Event, source_meanings
from galaxymorph.learn.sources.spec import TrainingSource
from galaxymorph.zoo import (
    GALAXY_ZOO_CHALLENGE,
    reached,
    read_catalogue,
    to_conditional,
    translate_fractions,
)

TREE = GALAXY_ZOO_CHALLENGE
IMAGES = "images_training_rev1"
WEAK = (
    "{real}/galaxy-zoo-challenge-weak,largest=largest_answer,labels=features_arms_and_odd,"
    "answers=yes:Class1.2>0.5&Class4.1>0.5&Class6.1>0.5|no:!yes"
)
FIVE = "{work}/gz2-five-train,labels=label,scheme=gz2-five"
GZ2 = "{work}/galaxy-zoo-2-train,schema=galaxy-zoo-2,fractions=weighted,id=asset_id"
UNLABELLED = "{real}/galaxy-zoo-challenge-test/images_test_rev1"
# By name: the further catalogues, and the folders of unlabelled images.
SETTINGS: dict[str, tuple[list[str], list[str]]] = {
    "votes": ([], []),
    "weak": ([WEAK], []),
    "five": ([FIVE], []),
    "gz2": ([GZ2], []),
    "unlabelled": ([], [UNLABELLED]),
    "weak+five": ([WEAK, FIVE], []),
    "weak+five+gz2": ([WEAK, FIVE, GZ2], []),
    "all": ([WEAK, FIVE, GZ2], [UNLABELLED]),
}


@dataclass(frozen=True)
class KeptAside:
    """The galaxies that judge: images of galaxy-zoo-2 with fractions, and of gz2-five."""

    gz2: list[str]
    fractions: np.ndarray
    five: list[str]
    labels: list[str]


@click.command()
@click.option("--real", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder for runs.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file of the results.")
@click.option("--settings", default=",".join(SETTINGS), show_default=True)
@click.option("--seeds", default="42,43,44", show_default=True)
@click.option("--recipe", default="small", show_default=True)
@click.option("--option", "options", multiple=True, help="Of the recipe, such as epochs=30.")
def main(real, work, out, settings, seeds, recipe, options) -> None:
    """Fit every setting by every seed, and print a line for each."""
    kept = keep_aside(real.absolute(), work.absolute())
    changes = dict(option.split("=", 1) for option in options)
    changes = {name: _number(value) for name, value in changes.items()}
    results = []
    for name in settings.split(","):
        for seed in map(int, seeds.split(",")):
            also, unlabelled = (
                [path.format(real=real.absolute(), work=work.absolute()) for path in paths]
                for paths in SETTINGS[name]
            )
            more = {"target": "tree", "seed": seed, "also": also, "unlabelled": unlabelled}
            run, seconds = fitted(real, recipe, changes | more, work / "runs" / f"{name}-{seed}")
            result = {"setting": name, "seed": seed, "seconds": seconds, **scores(run, kept)}
            results.append(result)
            print(json.dumps(result), flush=True)
    print(pd.DataFrame(results).drop(columns="seed").groupby("setting", sort=False).mean().round(4))
    if out:
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _number(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


def keep_aside(real: Path, work: Path) -> KeptAside:
    """Write the halves that train as catalogues of their own; return the others."""
    kept = {}
    for name, table in (("galaxy-zoo-2", "gz2_hart16.csv"), ("gz2-five", "labels.csv")):
        rows = pd.read_csv(real / name / table)
        aside = rows.iloc[:, 0].map(lambda galaxy: zlib.crc32(str(galaxy).encode()) % 2 == 0)
        for part, chosen in (("train", ~aside), ("test", aside)):
            folder = work / f"{name}-{part}"
            (folder / IMAGES).mkdir(parents=True, exist_ok=True)
            for galaxy in rows.loc[chosen].iloc[:, 0]:
                link = folder / IMAGES / f"{galaxy}.jpg"
                if not link.is_symlink():
                    link.symlink_to(real / name / IMAGES / link.name)
            rows[chosen].to_csv(folder / table, index=False)
        kept[name] = work / f"{name}-test"
    gz2 = read_catalogue(kept["galaxy-zoo-2"], None, "galaxy-zoo-2", "asset_id", "weighted")
    assert gz2.tree is not None
    fractions = translate_fractions(gz2.tree, TREE, gz2.table[gz2.tree.columns].to_numpy(float))
    five = read_catalogue(kept["gz2-five"], "label").table
    trained = [*sorted((real / "galaxy-zoo-challenge-weak" / IMAGES).iterdir())]
    for folder in (
        real / "galaxy-zoo-challenge",
        work / "galaxy-zoo-2-train",
        work / "gz2-five-train",
    ):
        trained += sorted((folder / IMAGES).iterdir())
    known = thumbnails(trained)
    new, new_five = (
        find_copies(known, thumbnails(table["image"])) < 0 for table in (gz2.table, five)
    )
    print(f"kept aside: {new.sum()} of galaxy-zoo-2, {new_five.sum()} of gz2-five", flush=True)
    five = five[new_five]
    return KeptAside(
        list(gz2.table["image"][new]), fractions[new], list(five["image"]), list(five["label"])
    )


def thumbnails(images: Iterable[str | Path]) -> np.ndarray:
    """Return the thumbnails of some image files."""
    return np.array([image_thumbnail(Image.open(image)) for image in images])


def fitted(real: Path, recipe: str, changes: dict, path: Path) -> tuple[Run, float]:
    """Train a run, unless it is there; return it and the seconds that it took."""
    start = time.perf_counter()
    if not path.exists():
        options = FitOptions(
            data=real / "galaxy-zoo-challenge", recipe=recipe, out=path.parent, name=path.name
        )
        train_run(*start_fit(options, changes))
    return Run(path), round(time.perf_counter() - start, 1)


def scores(run: Run, kept: KeptAside) -> dict[str, float]:
    """Return the three scores of a run."""
    predictor = load_predictor(run.path)
    test = run.predictions("test")
    error = test[TREE.columns].to_numpy() - test[[f"target_{a}" for a in TREE.columns]].to_numpy()
    five = predictor.predict(kept.five)[TREE.columns]
    source = TrainingSource("five", labels="label", scheme="gz2-five")
    meanings = source_meanings(source, TREE)
    margins = [least_margin(meaning.event, five) for meaning in meanings.values()]
    predicted = np.array(list(meanings))[np.argmax(margins, axis=0)]
    gz2 = predictor.predict(kept.gz2)[TREE.columns].to_numpy(float)
    return {
        "challenge_rmse": float(np.sqrt(np.mean(error**2))),
        "gz2_conditional": conditional_error(gz2, kept.fractions),
        "five_macro_f1": float(f1_score(kept.labels, predicted, average="macro")),
    }


def least_margin(event: Event, fractions: pd.DataFrame) -> np.ndarray:
    """Return by how much the least certain condition of an event holds, logits of shape (n,)."""
    parts = event.conditions
    return np.min([logit(part.value(fractions)) - logit(part.least) for part in parts], axis=0)


def conditional_error(predicted: np.ndarray, fractions: np.ndarray) -> float:
    """Return the RMSE of conditional fractions, weighted by the reach of their questions."""
    weights = reached(TREE, fractions) @ TREE.membership
    true = to_conditional(TREE, fractions)
    known = np.isfinite(true) & (weights > 0)
    squares = (np.nan_to_num(to_conditional(TREE, predicted)) - np.nan_to_num(true)) ** 2
    return float(np.sqrt((squares * weights)[known].sum() / weights[known].sum()))


if __name__ == "__main__":
    main()

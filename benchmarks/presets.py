"""What each preset reaches with how many galaxies: macro-F1 on one test set, and seconds.

python benchmarks/presets.py --data LABELS --labels-column label --out presets.json

The catalogue's galaxies are divided once, stratified by class, into a test set and the rest. Of the
rest `--repeats` samples of each size are drawn; each recipe is fitted on each by the command
`fit`, and predicts the test set by the command `predict`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from galaxymorph.zoo import read_catalogue

ROOT = Path(__file__).parents[1]


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--labels-column", required=True)
@click.option("--tests", default=500, show_default=True, help="Galaxies in the test set.")
@click.option("--sizes", default="100,300,1000,3000", show_default=True)
@click.option("--repeats", default=3, show_default=True, help="Samples of each size.")
@click.option(
    "--recipes",
    default="quick,small,baseline",
    show_default=True,
    help="Presets or files; `default` for the choice of a fit without --recipe.",
)
@click.option("--option", "options", multiple=True, help="Passed to fit, such as --weights=none.")
@click.option("--work", required=True, type=click.Path(path_type=Path), help="A folder for runs.")
def main(data, labels_column, tests, sizes, repeats, recipes, options, work) -> None:
    """Fit every recipe on samples of every size, and print a table."""
    table = read_catalogue(data, labels_column=labels_column).table
    rest, test = train_test_split(table, test_size=tests, random_state=0, stratify=table["label"])
    work.mkdir(parents=True, exist_ok=True)
    images = write_catalogue(work / "test", test) / "images_training_rev1"
    results = []
    for size in map(int, sizes.split(",")):
        for repeat in range(repeats if size < len(rest) else 1):
            sample = rest
            if size < len(rest):
                sample, _ = train_test_split(
                    rest, train_size=size, random_state=repeat, stratify=rest["label"]
                )
            catalogue = write_catalogue(work / f"sample-{len(sample)}-{repeat}", sample)
            for recipe in recipes.split(","):
                name = f"{Path(recipe).stem}-{len(sample)}-{repeat}"
                result = fitted(catalogue, recipe, options, work / "runs" / name, images, test)
                result = {
                    "recipe": recipe,
                    "options": " ".join(options),
                    "galaxies": len(sample),
                    "repeat": repeat,
                    **result,
                }
                results.append(result)
                print(json.dumps(result), flush=True)
    summary = pd.DataFrame(results).groupby(["recipe", "galaxies"])
    print(summary.agg({"macro_f1": ["mean", "min", "max"], "seconds": "mean"}).round(3))


def write_catalogue(folder: Path, table: pd.DataFrame) -> Path:
    """Write a table of labels beside links to its images; return the folder."""
    images = folder / "images_training_rev1"
    images.mkdir(parents=True, exist_ok=True)
    for galaxy, image in zip(table["galaxy"], table["image"], strict=True):
        link = images / f"{galaxy}{Path(image).suffix}"
        if not link.is_symlink():
            link.symlink_to(Path(image).resolve())
    columns = {"galaxy": "GalaxyID", "label": "label"}
    table[list(columns)].rename(columns=columns).to_csv(folder / "labels.csv", index=False)
    return folder


def fitted(data: Path, recipe: str, options, run: Path, images: Path, test: pd.DataFrame) -> dict:
    """Return a fit's seconds and its macro-F1 and accuracy on the test set."""
    start = time.perf_counter()
    words = ["fit", "--data", data, "--labels-column", "label"]
    words += [word for option in options for word in option.split("=")]
    if recipe != "default":
        words += ["--recipe", recipe]
    call(*words, "--out", run.parent, "--name", run.name)
    seconds = time.perf_counter() - start
    predictions = json.loads(call("predict", run, images, "--json"))
    table = pd.DataFrame(predictions).astype({"galaxy": str}).set_index("galaxy")
    labels = test["galaxy"].astype(str).map(table["predicted"])
    return {
        "macro_f1": round(float(f1_score(test["label"], labels, average="macro")), 4),
        "accuracy": round(float(np.mean(labels.to_numpy() == test["label"].to_numpy())), 4),
        "seconds": round(seconds, 1),
    }


def call(*words: object) -> str:
    """Return what a command of this checkout prints.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done.stdout


if __name__ == "__main__":
    main()

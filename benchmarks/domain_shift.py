"""What another survey costs a run, what recovers it, and how well outliers are detected.

    python benchmarks/domain_shift.py transfer RUN --target CATALOGUE --labels GZ1 --fit
    python benchmarks/domain_shift.py outliers RUN --other NAME=FOLDER ...
    python benchmarks/domain_shift.py simulate FOLDER --n 2000

`simulate` writes the same galaxies as seen by every survey, and farther away by the first: fit a
run on one folder and transfer it to the others. `transfer` halves the target: one half, without
labels, is adapted to, and lends 10, 50 and 200 labels to a new last layer; macro-F1 is of the
other. Where the target has the run's own galaxies, those of its test part are tested, at home too,
and the others lent. `--fit` trains the run's own recipe again with Deep CORAL, on
the run's own training galaxies. `outliers` gives the AUROC of the
outlier scores for sky, stars and artifacts, made of the run's own images, and for other folders.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from galaxymorph.base import write_json
from galaxymorph.images import corrupt, decode
from galaxymorph.judge import METRICS, Predictions, drift_between
from galaxymorph.learn import (
    Run,
    embed,
    gather_galaxies,
    image_loader,
    load_network,
    read_embeddings,
    start_run,
    train_run,
)
from galaxymorph.predict import load_predictor
from galaxymorph.predict.images import expand_images
from galaxymorph.predict.outliers import outlier_scores
from galaxymorph.zoo import label_catalogue, read_catalogue

# What Galaxy Zoo 1 calls layer1's classes; its face-on spirals have none there.
GZ1 = {"elliptical": "elliptical", "edge_on": "spiral", "merger": "irregular"}
LABELLED, DRAWS = (10, 50, 200), 5
SURVEYS = ("sdss", "decals", "hsc", "euclid")
FARTHER = "0.15-0.3"
SEED = 0


def main() -> None:
    """Measure, print, and write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("transfer")
    one.add_argument("--target", type=Path, required=True)
    one.add_argument("--labels", choices=["scheme", "GZ1"], default="scheme")
    one.add_argument("--fit", action="store_true", help="train again with Deep CORAL")
    one.add_argument("--adapt-weight", type=float, default=1.0)
    one.set_defaults(measure=transfer)
    two = commands.add_parser("outliers")
    two.add_argument("--other", action="append", default=[], metavar="NAME=FOLDER")
    two.set_defaults(measure=outliers)
    three = commands.add_parser("simulate")
    three.add_argument("run", type=Path, metavar="FOLDER")
    three.add_argument("--n", type=int, default=2000)
    three.set_defaults(measure=simulate_pairs)
    for command in (one, two):
        command.add_argument("run", type=Path)
        command.add_argument("--limit", type=int, default=1000)
    for command in (one, two, three):
        command.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    result = arguments.measure(arguments)
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json(arguments.output, result)


def simulate_pairs(arguments: argparse.Namespace) -> dict:
    """Write one sky as seen by each survey, and farther away by the first; return the folders."""
    from galaxymorph.survey.simulation import Simulation, simulate

    low, high = map(float, FARTHER.split("-"))
    skies = {name: (name, None) for name in SURVEYS}
    skies[f"{SURVEYS[0]}-farther"] = (SURVEYS[0], (low, high))
    return {
        name: str(
            simulate(arguments.run / name, Simulation(arguments.n, (visited,), 7, redshift, False))
        )
        for name, (visited, redshift) in skies.items()
    }


def transfer(arguments: argparse.Namespace) -> dict:
    """Return the scores of a run at home, abroad, and abroad after each mending."""
    run = Run(arguments.run)
    table = target_table(run, arguments)
    rng = np.random.default_rng(SEED)
    table = table.iloc[rng.permutation(len(table))[: arguments.limit]].reset_index(drop=True)
    home = run.predictions("test")
    lent, tested = halves(run, table)
    table = pd.concat([lent, tested])
    paired = home["galaxy"].isin(tested["galaxy"])
    if paired.any():
        home = home[paired]
    result = {
        "run": run.path.name,
        "target": arguments.target.name,
        "galaxies": {"lent": len(lent), "tested": len(tested)},
        "classes": tested["label"].value_counts().to_dict(),
        "paired": bool(paired.any()),
        "home": scored(home, run.classes),
        "abroad": scored(predicted(run, tested), run.classes),
        "batchnorm": scored(predicted(run, tested, list(lent["image"])), run.classes),
    }
    vectors, _ = embedded(run, list(table["image"]))
    shift = drift_between(read_embeddings(run).of("valid"), vectors, SEED)
    result["drift"] = {"p": shift.p, "auroc": shift.auroc, "warns": shift.warns}
    new, old = vectors[len(lent) :], vectors[: len(lent)]
    for n in LABELLED:
        if n <= len(lent):
            scores = [refitted(old, lent, new, tested, n, draw) for draw in range(DRAWS)]
            result[f"last layer, {n} labels"] = {
                "mean": round(float(np.mean(scores)), 4),
                "deviation": round(float(np.std(scores)), 4),
            }
    if arguments.fit:
        result["coral"] = scored(adapted_fit(run, lent, tested, arguments), run.classes)
    return result


def halves(run: Run, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the target galaxies that are lent, and those that are tested."""
    split = run.split
    if table["galaxy"].isin(split["galaxy"]).any():
        tested = table["galaxy"].isin(split.loc[split["split"] == "test", "galaxy"])
        return table[~tested].reset_index(drop=True), table[tested].reset_index(drop=True)
    half = len(table) // 2
    return table.iloc[:half], table.iloc[half:].reset_index(drop=True)


def target_table(run: Run, arguments: argparse.Namespace) -> pd.DataFrame:
    """Return galaxy, image and label of a target catalogue, in the run's classes."""
    column = "label" if arguments.labels == "GZ1" else run.recipe.labels_column
    catalogue = read_catalogue(arguments.target, column)
    table, _ = label_catalogue(catalogue, run.recipe.scheme)
    if arguments.labels == "GZ1":
        table = table.assign(label=table["label"].map(GZ1)).dropna(subset=["label"])
    return table[table["label"].isin(run.classes)].reset_index(drop=True)


def predicted(run: Run, table: pd.DataFrame, adapt_to: list[str] | None = None) -> pd.DataFrame:
    """Return a run's predictions of a table's images, beside their labels."""
    predictor = load_predictor(run.path, adapt_to=adapt_to)
    output = predictor.predict(list(table["image"]))
    return output.assign(label=table["label"].to_numpy())


def scored(table: pd.DataFrame, classes: Sequence[str]) -> dict:
    """Return macro-F1 over the classes that are there, and accuracy, with intervals."""
    predictions = Predictions(table, classes, SEED)
    result = {name: METRICS[name].judge(predictions) for name in ("macro_f1", "accuracy")}
    # A class that isn't there has an F1 of 0 in the mean over all.
    times = len(classes) / table["label"].nunique()
    return result | {
        "macro_f1": {end: round(times * value, 4) for end, value in result["macro_f1"].items()}
    }


def embedded(run: Run, images: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return a run's embeddings and logits of images."""
    return embed(load_network(run), image_loader(images, run.recipe))


def refitted(
    old: np.ndarray, lent: pd.DataFrame, new: np.ndarray, tested: pd.DataFrame, n: int, draw: int
) -> float:
    """Return the macro-F1 of a last layer fitted to n labelled target galaxies alone."""
    order = lent["label"].sample(frac=1, random_state=draw)
    # One of each class first: a draw without a class says nothing of it.
    first = order.groupby(order).head(1)
    rows = pd.concat([first, order.drop(first.index)]).index[:n]
    layer = LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000)
    scale = np.linalg.norm(old, axis=1).mean() / 10
    layer.fit(old[rows] / scale, lent["label"].loc[rows])
    return float(f1_score(tested["label"], layer.predict(new / scale), average="macro"))


def adapted_fit(
    run: Run, lent: pd.DataFrame, tested: pd.DataFrame, arguments: argparse.Namespace
) -> pd.DataFrame:
    """Train the run's recipe again with Deep CORAL; return its predictions on the target."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "target"
        images.mkdir()
        for image in lent["image"]:
            (images / Path(image).name).symlink_to(Path(image).absolute())
        recipe = replace(
            run.recipe,
            adapt="coral",
            unlabelled=(str(images),),
            adapt_weight=arguments.adapt_weight,
        )
        galaxies = gather_galaxies(run.data["path"], recipe, skip_bad=True)
        again = start_run(Path(folder) / "coral", recipe, galaxies)
        train_run(again, galaxies)
        return predicted(again, tested)


def outliers(arguments: argparse.Namespace) -> dict:
    """Return the AUROC of each outlier score for images of other kinds against tested galaxies."""
    run = Run(arguments.run)
    tested = list(run.predictions("test")["image"])[: arguments.limit]
    usual = scores_with_baseline(run, tested)
    result = {"run": run.path.name, "tested": len(tested)}
    with tempfile.TemporaryDirectory() as folder:
        kinds = {name: written(Path(folder) / name, tested, make) for name, make in KINDS.items()}
        for other in arguments.other:
            name, _, path = other.partition("=")
            kinds[name] = expand_images([path])[: arguments.limit]
        for name, images in kinds.items():
            new = scores_with_baseline(run, images)
            is_new = np.repeat([False, True], [len(usual), len(new)])
            result[name] = {"images": len(images)} | {
                score: round(roc_auc_score(is_new, np.concatenate([usual[score], new[score]])), 4)
                for score in ("distance", "energy", "uncertainty")
            }
    return result


def scores_with_baseline(run: Run, images: Sequence[str]) -> pd.DataFrame:
    """Return the outlier columns and, to compare with, 1 minus the largest probability."""
    table = outlier_scores(run, images)
    _, logits = embedded(run, list(images))
    confidence = torch.from_numpy(logits).softmax(dim=1).max(dim=1).values
    return table.assign(uncertainty=1 - confidence.numpy())


def written(folder: Path, images: Sequence[str], make: Callable) -> list[str]:
    """Write what `make` makes of images; return the files."""
    folder.mkdir()
    for image in images:
        pixels = np.asarray(decode(image), np.float32) / 255
        name = Path(image).stem
        made = make(torch.from_numpy(pixels).permute(2, 0, 1)[None], name)[0].permute(1, 2, 0)
        Image.fromarray((made.numpy() * 255).round().astype(np.uint8)).save(folder / f"{name}.png")
    return expand_images([str(folder)])


def blank_sky(image: torch.Tensor, name: str) -> torch.Tensor:
    """Return an image tiled with its own corner, a sixth of the side, mirrored at the seams."""
    side = image.shape[-1]
    corner = image[..., : side // 6, : side // 6]
    pair = torch.cat([corner, corner.flip(-1)], dim=-1)
    tile = torch.cat([pair, pair.flip(-2)], dim=-2).repeat(1, 1, 4, 4)
    return tile[..., :side, :side]


def star(image: torch.Tensor, name: str) -> torch.Tensor:
    """Return a star in the middle of its blank sky: Moffat, FWHM 6.5 pixels, 1.3 arcsec."""
    sky = blank_sky(image, name)
    at = torch.arange(sky.shape[-1]) - (sky.shape[-1] - 1) / 2
    squared = at[:, None] ** 2 + at[None] ** 2
    return (sky + 3 * (1 + squared / 5.75**2) ** -2.5).clamp(0, 1)


def artifact(image: torch.Tensor, name: str) -> torch.Tensor:
    """Return blank sky with a satellite's trail, dead columns and a saturated star."""
    sky = blank_sky(image, name)
    scale = sky.shape[-1] / 224
    for corruption in ("satellite_trail", "dead_columns", "bright_star"):
        sky = corrupt(sky, corruption, 5, [name], scale)
    return sky


KINDS = {"blank sky": blank_sky, "stars": star, "artifacts": artifact}


if __name__ == "__main__":
    main()

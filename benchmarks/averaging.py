"""What averaging over views, crops and runs is worth on galaxies that no model had seen.

    python benchmarks/averaging.py RUN [RUN...] [-o FILE.json]

The runs learnt the tree or shares of classes, on the same galaxies, and share their split: the same
seed, the same `--folds`. Every fold predicts its own test part, with one view and the run's crop,
then with more, then with the mean over the runs. Scores are the RMSE over all outputs and galaxies
with bootstrap intervals; `gain` is what it falls by against the first run with one view, on the
same resamples.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from galaxymorph.base import write_json
from galaxymorph.judge import bootstrap, true_and_predicted
from galaxymorph.learn import Run, environment, predicted_columns, with_images
from galaxymorph.predict import average_predictors, load_predictor
from galaxymorph.report import print_rows

WIDER, NARROWER = 1.2, 1 / 1.2


def main() -> None:
    """Measure, print, and write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    runs = [Run(path) for path in arguments.runs]
    for run in runs:
        run.require_trained()
    require_one_split(runs)
    truth = np.concatenate([true_of(run) for run in runs[0].members])
    result = {
        words: np.concatenate(
            [
                predictions(members, *how)
                for members in zip(*(r.members for r in chosen), strict=True)
            ]
        )
        for words, (chosen, *how) in ways(runs).items()
    }
    rows = scored(truth, result, runs[0].recipe.seed)
    print_rows(f"RMSE, {len(truth):,} galaxies", rows)
    if arguments.output:
        record = {"runs": [run.path.name for run in runs], "galaxies": len(truth), "scores": rows}
        write_json(arguments.output, record | {"environment": environment()})


def require_one_split(runs: Sequence[Run]) -> None:
    """Stop unless every run holds the same galaxies out, fold by fold."""
    for run in runs[1:]:
        for ours, theirs in zip(runs[0].members, run.members, strict=True):
            if tested(ours).tolist() != tested(theirs).tolist():
                raise SystemExit(f"{run.path} tests other galaxies than {runs[0].path}")


def tested(member: Run):
    """Return the galaxies of a member's test part."""
    return member.split.loc[member.split["split"] == "test", "galaxy"].sort_values()


def true_of(member: Run) -> np.ndarray:
    """Return what volunteers said of a member's test part, shape (n, outputs)."""
    return true_and_predicted(member, member.predictions("test"))[0]


def ways(runs: list[Run]) -> dict[str, tuple]:
    """Return, in words, which runs are asked, with how many views and which crops."""
    first = runs[:1]
    crop = first[0].recipe.crop
    crops = [round(crop * scale, 3) for scale in (NARROWER, 1, WIDER) if crop * scale <= 1]
    result = {f"{views} views": (first, views, []) for views in (1, 4, 8)}
    result |= {f"1 view, crops {', '.join(map(str, crops))}": (first, 1, crops)}
    result |= {f"8 views, crops {', '.join(map(str, crops))}": (first, 8, crops)}
    if len(runs) > 1:
        result |= {f"8 views, {run.path.name} alone": ([run], 8, []) for run in runs[1:]}
        result |= {f"{views} views, {len(runs)} runs": (runs, views, []) for views in (1, 8)}
    return result


def predictions(members: Sequence[Run], views: int, crops: list[float]) -> np.ndarray:
    """Return the mean of some members' predictions of the test part, shape (n, outputs)."""
    table = with_images(members[0].predictions("test"))
    predictors = [load_predictor(member.path) for member in members]
    chosen = average_predictors(predictors, [member.path for member in members], views, crops)
    recipe, classes = members[0].recipe, members[0].classes
    return chosen.predict(list(table["image"]))[predicted_columns(recipe, classes)].to_numpy(float)


def scored(truth: np.ndarray, predictions: dict[str, np.ndarray], seed: int) -> list[dict]:
    """Return RMSE and gain, with their intervals, of each way of predicting."""
    errors = {words: np.square(item - truth).mean(axis=1) for words, item in predictions.items()}
    plain = errors["1 views"]
    rows = []
    for words, item in errors.items():
        scores = bootstrap(
            lambda at, item=item: {
                "rmse": np.sqrt(item[at].mean()),
                "gain": np.sqrt(plain[at].mean()) - np.sqrt(item[at].mean()),
            },
            len(truth),
            seed,
        )
        rows.append({"way": words.replace("1 views", "1 view"), **scores})
    return rows


if __name__ == "__main__":
    main()

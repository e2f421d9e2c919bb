"""How well scores on embeddings find galaxies that people call odd: AUROC, and the first hundred.

    for SET in galaxy-zoo-challenge galaxy-zoo-challenge-weak galaxy-zoo-2 galaxy-zoo-1 efigi; do
        python cli.py predict REAL/$SET/IMAGES -o PREDICTED/$SET/ --embeddings
    done
    python benchmarks/anomalies.py --real REAL --predicted PREDICTED

Each set is ranked by itself, without labels: a galaxy is scored by the embeddings and predictions
of all the set's galaxies, and those that trained the model are then left out. Odd are, of Kaggle's
challenge, those of which most volunteers answered "odd" (Class6.1 above 0.5); of its weak labels
those whose largest answer that is; of Galaxy Zoo 2 those of a weighted fraction above 0.5, and
stars and artifacts likewise; of Galaxy Zoo 1 mergers; of EFIGI those of a perturbation, or of
several galaxies in one, of 0.75 or 1. Intervals are 95 %, by 200 resamplings of the galaxies.
`odd answer` is not a detector: it is the model's predicted fraction of "odd", which it was trained
on. Results go to benchmarks/results/anomalies.json.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from galaxymorph.base import Progress, write_json
from galaxymorph.judge import unit_vectors
from galaxymorph.predict.anomalies import DETECTORS
from galaxymorph.predict.embedded_catalogue import open_embedded

RESULTS = Path(__file__).parent / "results" / "anomalies.json"
FIRST, RESAMPLED = 100, 200
STAR = "t01_smooth_or_features_a03_star_or_artifact_weighted_fraction"
ODD = "t06_odd_a14_yes_weighted_fraction"
# Of a set: its table, the column of ids, and which of its rows are odd.
TASKS: dict[str, tuple[str, str, str, Callable[[pd.DataFrame], pd.Series]]] = {
    "odd, challenge": (
        "galaxy-zoo-challenge",
        "training_solutions_rev1.csv",
        "GalaxyID",
        lambda table: table["Class6.1"] > 0.5,
    ),
    "odd, weak labels": (
        "galaxy-zoo-challenge-weak",
        "labels.csv",
        "GalaxyID",
        lambda table: table["largest_answer"] == "Class6.1",
    ),
    "odd, Galaxy Zoo 2": (
        "galaxy-zoo-2",
        "gz2_hart16.csv",
        "asset_id",
        lambda table: table[ODD] > 0.5,
    ),
    "star or artifact, Galaxy Zoo 2": (
        "galaxy-zoo-2",
        "gz2_hart16.csv",
        "asset_id",
        lambda table: table[STAR] > 0.5,
    ),
    "merger, Galaxy Zoo 1": (
        "galaxy-zoo-1",
        "labels.csv",
        "GalaxyID",
        lambda table: table["label"] == "merger",
    ),
    "perturbed, EFIGI": (
        "efigi",
        "labels.csv",
        "PGCname",
        lambda table: table["Perturbation"] >= 0.75,
    ),
    "multiple, EFIGI": (
        "efigi",
        "labels.csv",
        "PGCname",
        lambda table: table["Multiplicity"] >= 0.75,
    ),
}


def main() -> None:
    """Score, judge, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, default=os.environ.get("GALAXYMORPH_REAL_DATA"))
    parser.add_argument("--predicted", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.real is None:
        parser.error("give --real or set GALAXYMORPH_REAL_DATA")
    scores: dict[str, tuple[pd.DataFrame, dict[str, np.ndarray]]] = {}
    result: dict[str, dict] = {}
    with Progress("judging", len(TASKS), "tasks") as progress:
        for task, (name, file, identity, is_odd) in TASKS.items():
            if not (arguments.predicted / name).exists():
                print(f"{task}: {name} isn't predicted")
                continue
            if name not in scores:
                scores[name] = scored(arguments.predicted / name, arguments.seed)
            predicted, by_detector = scores[name]
            table = pd.read_csv(Path(arguments.real) / name / file, dtype={identity: str})
            table = table.set_index(identity)
            known = predicted["galaxy"].isin(table.index).to_numpy()
            if "part" in predicted:
                known = known & (predicted["part"] != "train").to_numpy()
            odd = is_odd(table.loc[predicted["galaxy"][known]]).to_numpy(bool)
            result[task] = {"galaxies": len(odd), "odd": int(odd.sum())}
            if odd.sum() >= 5:
                result[task] |= {
                    each: judged(odd, score[known], arguments.seed)
                    for each, score in by_detector.items()
                }
            progress.advance()
    write_json(RESULTS, result)
    for task, row in result.items():
        print(f"{task}: {row['galaxies']:,} galaxies, {row['odd']} odd")
        shown = pd.DataFrame({k: v for k, v in row.items() if isinstance(v, dict)}).T
        if len(shown):
            print(shown.to_string(), "\n")


def scored(folder: Path, seed: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return the predictions of a folder, and each detector's scores, greater of anomalous ones."""
    catalogue = open_embedded(folder)
    vectors = np.concatenate(list(catalogue.vectors()))
    table = catalogue.predictions().to_pandas()
    usable = np.isfinite(vectors).all(axis=1)
    table, units = table[usable].reset_index(drop=True), unit_vectors(vectors[usable])
    return table, {**detectors(units, seed), **of_predictions(table)}


def detectors(units: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return the scores of detectors on embeddings of length 1, shape (n,) each.

    The first two are the package's.
    """
    narrow = PCA(32, random_state=seed).fit_transform(units)
    forest = IsolationForest(n_estimators=200, random_state=seed).fit(narrow)
    factor = LocalOutlierFactor(n_neighbors=20).fit(units)
    mixture = GaussianMixture(8, reg_covar=1e-5, random_state=seed).fit(narrow)
    ten = NearestNeighbors(n_neighbors=10).fit(units).kneighbors()[0]
    return {
        **{name: detector.fit(units)(units) for name, detector in DETECTORS.items()},
        "tenth neighbour, not whitened": ten[:, -1],
        "isolation forest": -forest.score_samples(narrow),
        "local outlier factor": -factor.negative_outlier_factor_,
        "Gaussian mixture": -mixture.score_samples(narrow),
    }


def of_predictions(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the scores that predictions give; those of galaxies without one are the greatest."""
    columns = {"training distance": "distance", "entropy": "entropy", "odd answer": "Class6.1"}
    scores = {name: table[column] for name, column in columns.items() if column in table}
    return {name: score.fillna(score.max() + 1).to_numpy(float) for name, score in scores.items()}


def judged(odd: np.ndarray, score: np.ndarray, seed: int) -> dict[str, list[float]]:
    """Return AUROC and the odd among the first `FIRST`, each with the ends of its interval."""
    rng = np.random.default_rng(seed)
    values = [measures(odd, score)]
    while len(values) <= RESAMPLED:
        drawn = rng.integers(len(odd), size=len(odd))
        if 0 < odd[drawn].sum() < len(odd):
            values.append(measures(odd[drawn], score[drawn]))
    ends = np.quantile(values[1:], (0.025, 0.975), axis=0)
    return {
        name: [round(float(number), 3) for number in (values[0][at], *ends[:, at])]
        for at, name in enumerate(("auroc", f"recall among {FIRST}", f"odd among {FIRST}"))
    }


def measures(odd: np.ndarray, score: np.ndarray) -> tuple[float, float, float]:
    """Return AUROC, recall among the first, and their share of odd ones."""
    first = odd[np.argsort(-score, kind="stable")[:FIRST]]
    return float(roc_auc_score(odd, score)), first.sum() / odd.sum(), float(first.mean())


if __name__ == "__main__":
    main()

"""Vote fractions of distant galaxies turned into those of nearby ones, where the truth is known.

python benchmarks/debiasing.py --work WORK --real DATA --out debiasing.json

Each galaxy of a simulated sky is voted on twice: as observed at its own redshift, and at a larger
one, where details are lost. The same galaxy has the same unexplained scatter in both. The fractions
that its nearby votes are drawn from are the truth. From the votes at the larger redshift, it is
estimated by

- the raw fractions,
- quantile matching: in bins of redshift, a fraction is replaced by the nearby one of the same
  rank, as the debiasing of Galaxy Zoo 2 matches distributions (Hart et al. 2016, MNRAS 461, 3663,
  section 3),
- gradient boosting from all raw fractions with and without the redshift, cross-validated.

On the real galaxies of DATA/galaxy-zoo-2, which have no redshifts, it is measured how much of the
difference between weighted and debiased fractions follows from the weighted ones. The votes of the
challenge are compared with each kind of fraction for the galaxies whose picture is in both sets.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_predict

from galaxymorph.images import find_copies
from galaxymorph.images.copies import decoded_thumbnails
from galaxymorph.survey import Simulation
from galaxymorph.survey.simulation import simulate_galaxy
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, read_catalogue, translate_fractions
from galaxymorph.zoo.columns import EXPECTED

TREE = GALAXY_ZOO_CHALLENGE
# The cumulative fractions that are estimated.
ANSWERS = {
    "smooth": "Class1.1",
    "bar": "Class3.1",
    "spiral arms": "Class4.1",
    "something odd": "Class6.1",
}
FARTHEST = 0.25
BINS, FOLDS, DRAWS = 8, 5, 500
KINDS = ("weighted", "debiased")
# The answers of which the table has raw fractions too.
RAW = {
    "Class1.1": "t01_smooth_or_features_a01_smooth_fraction",
    "Class1.2": "t01_smooth_or_features_a02_features_or_disk_fraction",
}
SEED = 0


@click.command()
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder for votes.")
@click.option("--real", type=click.Path(path_type=Path, exists=True), help="Folder of real sets.")
@click.option("--n", "number", default=2000, show_default=True, help="Number of galaxies.")
@click.option("--workers", default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="JSON file of the results.")
def main(work: Path, real: Path | None, number: int, workers: int, out: Path | None) -> None:
    """Measure each way on the simulated sky, then compare kinds of fractions on real galaxies."""
    work.mkdir(parents=True, exist_ok=True)
    results: dict[str, object] = {"simulated": on_simulated_sky(voted(work, number, workers))}
    if real is not None:
        results["galaxy-zoo-2"] = on_galaxy_zoo_2(real)
        results["challenge"] = beside_challenge(real)
    print(json.dumps(results, indent=1))
    if out:
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def voted(work: Path, number: int, workers: int) -> pd.DataFrame:
    """Return raw fractions at a larger redshift, the redshift, and the nearby truth, by galaxy."""
    path = work / f"votes-{number}.parquet"
    if not path.exists():
        with ProcessPoolExecutor(workers) as pool:
            rows = list(pool.map(votes_of, range(100001, 100001 + number), chunksize=20))
        pd.DataFrame(rows).to_parquet(path)
    return pd.read_parquet(path)


def votes_of(galaxy: int) -> dict[str, float]:
    """Return the votes on a galaxy at a larger redshift, and the truth at its own."""
    near = Simulation(number=1, surveys=("sdss",), seed=SEED)
    _, _, nearby = simulate_galaxy(near, galaxy)
    _, ballot, truth = simulate_galaxy(replace(near, redshift=(0.02, FARTHEST)), galaxy)
    raw = ballot.counts / ballot.shown
    return {
        "own": nearby["observed_redshift"],
        "redshift": truth["observed_redshift"],
        **dict(zip(TREE.columns, raw, strict=True)),
        **{EXPECTED + name: nearby[EXPECTED + name] for name in TREE.columns},
        **{f"far_{name}": truth[EXPECTED + name] for name in TREE.columns},
    }


def on_simulated_sky(votes: pd.DataFrame) -> dict[str, object]:
    """Return the errors of each way by answer, of galaxies that are moved."""
    moved = votes[votes["redshift"] > votes["own"]].reset_index(drop=True)
    raw, redshift = moved[TREE.columns].to_numpy(float), moved[["redshift"]].to_numpy(float)
    results: dict[str, object] = {
        "galaxies": len(moved),
        "median own redshift": round(float(moved["own"].median()), 3),
        "median redshift": round(float(moved["redshift"].median()), 3),
    }
    for words, answer in ANSWERS.items():
        truth = moved[EXPECTED + answer].to_numpy(float)
        observed = moved[answer].to_numpy(float)
        ways = {
            "raw": observed,
            "quantiles": matched(observed, redshift[:, 0], truth),
            "map without redshift": mapped(raw, truth),
            "map": mapped(np.hstack([raw, redshift]), truth),
        }
        results[words] = {
            "mean": round(float(truth.mean()), 3),
            "rmse of expected fractions": error(moved[f"far_{answer}"].to_numpy(float), truth),
            **{f"rmse, {way}": error(values, truth) for way, values in ways.items()},
            **{
                f"bias, {way}": round(float((values - truth).mean()), 3)
                for way, values in ways.items()
            },
        }
    return results


def matched(observed: np.ndarray, redshift: np.ndarray, nearby: np.ndarray) -> np.ndarray:
    """Return fractions of the same rank among nearby ones, by bins of redshift.

    The distribution of nearby fractions is taken as that of the whole population.
    """
    edges = np.quantile(redshift, np.linspace(0, 1, BINS + 1)[1:-1])
    number, result = np.digitize(redshift, edges), np.empty(len(observed))
    for each in range(BINS):
        here = number == each
        # Equal fractions have the mean of their ranks.
        ranks = pd.Series(observed[here]).rank(pct=True) - 0.5 / here.sum()
        result[here] = np.quantile(nearby, ranks)
    return result


def mapped(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return cross-validated predictions of gradient boosting."""
    model = HistGradientBoostingRegressor(max_iter=80, learning_rate=0.08, max_leaf_nodes=12)
    folds = KFold(FOLDS, shuffle=True, random_state=SEED)
    return np.clip(cross_val_predict(model, features, truth, cv=folds), 0, 1)


def error(values: np.ndarray, truth: np.ndarray) -> list[float]:
    """Return the RMSE over galaxies with its 95 % interval by the bootstrap."""
    squares = (values - truth) ** 2
    rng = np.random.default_rng(SEED)
    draws = [rng.choice(squares, len(squares)).mean() ** 0.5 for _ in range(DRAWS)]
    low, high = np.quantile(draws, (0.025, 0.975))
    return [round(float(each), 4) for each in (squares.mean() ** 0.5, low, high)]


def galaxy_zoo_2(real: Path) -> tuple[pd.Series, dict[str, np.ndarray]]:
    """Return the images of Galaxy Zoo 2's galaxies, and their cumulative fractions by kind."""
    tables = {}
    for kind in KINDS:
        read = read_catalogue(real / "galaxy-zoo-2", None, "galaxy-zoo-2", "asset_id", kind)
        assert read.tree is not None
        values = read.table[read.tree.columns].to_numpy(float)
        fractions = translate_fractions(read.tree, TREE, values)
        tables[kind] = pd.DataFrame(fractions, read.table["galaxy"])
    # Of a few galaxies, fractions of one kind are unknown.
    galaxies = tables["weighted"].index
    for each in tables.values():
        galaxies = galaxies.intersection(each.index)
    images = read.table.set_index("galaxy")["image"].loc[galaxies]
    return images, {kind: table.loc[galaxies].to_numpy() for kind, table in tables.items()}


def on_galaxy_zoo_2(real: Path) -> dict[str, object]:
    """Return how near weighted fractions come to debiased ones, as they are and mapped."""
    _, by_kind = galaxy_zoo_2(real)
    weighted, debiased = by_kind["weighted"], by_kind["debiased"]
    results: dict[str, object] = {"galaxies": len(weighted)}
    for words, answer in ANSWERS.items():
        at = TREE.columns.index(answer)
        results[words] = {
            "rmse, weighted": error(weighted[:, at], debiased[:, at]),
            "rmse, map without redshift": error(mapped(weighted, debiased[:, at]), debiased[:, at]),
        }
    return results


def beside_challenge(real: Path) -> dict[str, object]:
    """Return the differences of the challenge's votes from each kind, of galaxies in both sets."""
    sets = [read_catalogue(real / f"galaxy-zoo-challenge{name}") for name in ("", "-2")]
    challenge = pd.concat([each.table for each in sets], ignore_index=True)
    images, by_kind = galaxy_zoo_2(real)
    places = find_copies(*(decoded_thumbnails(list(each)) for each in (challenge["image"], images)))
    both = np.flatnonzero(places >= 0)
    votes = challenge[TREE.columns].to_numpy(float)[places[both]]
    results: dict[str, object] = {"galaxies": len(both)}
    at = [TREE.columns.index(name) for name in RAW]
    table = pd.read_csv(real / "galaxy-zoo-2" / "gz2_hart16.csv", dtype={"asset_id": str})
    raw = table.set_index("asset_id").loc[images.index[both], list(RAW.values())].to_numpy(float)
    first = {"raw": raw, **{kind: values[both][:, at] for kind, values in by_kind.items()}}
    results["smooth and features"] = {
        kind: round(float(np.sqrt(((values - votes[:, at]) ** 2).mean())), 4)
        for kind, values in first.items()
    }
    results["37 cumulative fractions"] = {
        kind: round(float(np.sqrt(((values[both] - votes) ** 2).mean())), 4)
        for kind, values in by_kind.items()
    }
    return results


if __name__ == "__main__":
    main()

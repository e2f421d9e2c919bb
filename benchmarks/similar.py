"""Galaxies alike: recall, memory and time of indexes, and whether neighbours look alike.

    python cli.py predict REAL/galaxy-zoo-challenge/images_training_rev1 \
        -o PREDICTED/galaxy-zoo-challenge/ --embeddings
    python benchmarks/similar.py index --predicted PREDICTED --numbers 10000 100000 1000000
    python benchmarks/similar.py meaning --real REAL --predicted PREDICTED

`index` takes vectors between a real galaxy's embedding and that of one of its ten nearest, with
noise of half their distance, so that the vectors are as many as wanted and lie as real ones do. It
compares indexes on 200 further ones: the share of the ten nearest by exact search that they give,
the size of their file, the processor's seconds of the build, and milliseconds of a query with one
thread. Indexes of one library are tried if it is installed.

`meaning` judges the ten nearest of each galaxy of a set: the share of the same class (gz2-five, by
five clean classes; Galaxy Zoo 1), and the mean difference of all vote fractions (Kaggle's
challenge; Galaxy Zoo 2, weighted); against ten random galaxies, and against neighbours by 22 image
statistics (see realism.py). PREDICTED may have the sets by several models: name its folders with
--predicted MODEL=FOLDER. Intervals are 95 %, by 500 resamplings of the galaxies.

    python benchmarks/similar.py rotated --real REAL
    python benchmarks/similar.py simulated --simulated SKY --predicted PREDICTED

`rotated` embeds 200 galaxies of Galaxy Zoo 2 and seven mirrored or rotated copies of 25 of them by
the package's model, and counts the copies whose nearest is their original. `simulated` takes the
predictions in PREDICTED/sky of a simulated sky: the mean difference of the neighbours' true
parameters, in ranks from 0 to 1, of each that both galaxies have.

Results go to benchmarks/results/similar-index.json, similar-meaning.json and so on.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from realism import image_statistics

from galaxymorph.base import Progress, read_json, write_json
from galaxymorph.judge import true_concepts, unit_vectors
from galaxymorph.predict import load_predictor
from galaxymorph.predict.embedded_catalogue import open_embedded
from galaxymorph.predict.predictors.recording import record_embeddings
from galaxymorph.predict.similar_index import empty_index

RESULTS = Path(__file__).parent / "results"
QUERIES, NEAREST, RESAMPLED = 200, 10, 500


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("index", "meaning", "rotated", "simulated"))
    parser.add_argument("--real", type=Path, default=os.environ.get("GALAXYMORPH_REAL_DATA"))
    parser.add_argument("--predicted", action="append", default=[], metavar="[MODEL=]FOLDER")
    parser.add_argument("--simulated", type=Path, help="folder of a simulated sky")
    parser.add_argument("--numbers", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--only", default="", help="indexes whose names contain this")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folders = dict(named(text) for text in arguments.predicted)
    rng = np.random.default_rng(arguments.seed)
    if arguments.what == "index":
        (folder, *_) = folders.values()
        result = measure_indexes(folder, arguments.numbers, arguments.only, rng)
    elif arguments.what == "simulated":
        (folder, *_) = folders.values()
        result = measure_simulated(arguments.simulated, folder / "sky", rng)
    elif arguments.what == "rotated":
        result = measure_rotated(Path(arguments.real) / "galaxy-zoo-2" / "images_training_rev1")
    else:
        if arguments.real is None:
            parser.error("give --real or set GALAXYMORPH_REAL_DATA")
        result = measure_meaning(Path(arguments.real), folders, rng)
    write_json(RESULTS / f"similar-{arguments.what}.json", result)


def named(text: str) -> tuple[str, Path]:
    """Return a model's name and the folder of its predictions."""
    name, _, folder = text.rpartition("=")
    return name or "model", Path(folder)


def vectors_of(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the galaxies of a folder of predictions, and their embeddings of length 1."""
    catalogue = open_embedded(folder)
    vectors = np.concatenate(list(catalogue.vectors()))
    usable = np.isfinite(vectors).all(axis=1)
    table = catalogue.predictions().to_pandas()[usable].reset_index(drop=True)
    return table, unit_vectors(vectors[usable])


# Indexes.


def measure_indexes(
    predicted: Path, numbers: list[int], only: str, rng: np.random.Generator
) -> dict:
    """Return the measures of each index by number of vectors, added to those of earlier calls."""
    path = RESULTS / "similar-index.json"
    result: dict[str, Any] = read_json(path) if path.exists() else {}
    folders = [path.parent for path in sorted(predicted.glob("*/_catalogue.json"))]
    real = np.concatenate([vectors_of(folder)[1] for folder in folders])
    nearest = np.argsort(-(real @ real.T), axis=1)[:, 1 : NEAREST + 1]
    result |= {"real vectors": len(real), "features": real.shape[1]}
    for number in numbers:
        known = between(real, nearest, number, rng)
        queries = between(real, nearest, QUERIES, rng)
        exact = search_exactly(known, queries)
        rows = result.setdefault(f"{number}", {})
        for name, make in indexes(number, real.shape[1]).items():
            if only not in name:
                continue
            try:
                row = measured(make, known, queries, exact)
            except ImportError:
                continue
            rows[name] = row
            write_json(path, result)
            print(f"{number:,} {name}: {row}", flush=True)
    return result


def between(
    real: np.ndarray, nearest: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Return vectors between real ones and one of their nearest, shape (number, features)."""
    spread = real.std(axis=0) / np.linalg.norm(real.std(axis=0))
    made = np.empty((number, real.shape[1]), np.float32)
    for start in range(0, number, 50_000):
        part = made[start : start + 50_000]
        one = rng.integers(len(real), size=len(part))
        other = nearest[one, rng.integers(NEAREST, size=len(part))]
        share = rng.uniform(size=(len(part), 1)).astype(np.float32)
        away = np.linalg.norm(real[one] - real[other], axis=1, keepdims=True)
        noise = rng.standard_normal(part.shape, np.float32) * spread
        part[:] = unit_vectors(share * real[one] + (1 - share) * real[other] + 0.5 * away * noise)
    return made


def search_exactly(known: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the places of the nearest of each query, shape (queries, NEAREST)."""
    best = np.full((len(queries), NEAREST), -np.inf, np.float32)
    places = np.zeros((len(queries), NEAREST), int)
    for start in range(0, len(known), 50_000):
        near = queries @ known[start : start + 50_000].T
        both = np.concatenate([best, near], axis=1)
        at = np.concatenate(
            [places, np.broadcast_to(np.arange(start, start + near.shape[1]), near.shape)], axis=1
        )
        order = np.argpartition(-both, NEAREST, axis=1)[:, :NEAREST]
        best, places = (np.take_along_axis(each, order, axis=1) for each in (both, at))
    return places


def indexes(number: int, features: int) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return functions that build an index of vectors: its search, and how it is written."""
    clusters = int(4 * number**0.5)
    return {
        "faiss, as `similar` has it": lambda known: of_faiss(empty_index(number, features), known),
        f"faiss PCA256,IVF{clusters},SQfp16": lambda known: of_factory(
            f"PCA256,IVF{clusters},SQfp16", known
        ),
        "faiss PCA128,HNSW16,SQfp16": lambda known: of_factory("PCA128,HNSW16,SQfp16", known),
        f"faiss PCA64,IVF{clusters},SQfp16": lambda known: of_factory(
            f"PCA64,IVF{clusters},SQfp16", known
        ),
        "faiss Flat (exact)": lambda known: of_factory("Flat", known),
        "usearch HNSW, 128 components, f16": of_usearch,
    }


def of_factory(words: str, known: np.ndarray) -> Any:
    """Return a trained and filled index of faiss by its description."""
    import faiss

    index = faiss.index_factory(known.shape[1], words)
    if "IVF" in words:
        faiss.extract_index_ivf(index).nprobe = 32
    return of_faiss(index, known)


def of_faiss(index: Any, known: np.ndarray) -> Any:
    """Return an index of faiss, trained and filled, as search and writer."""
    import faiss

    some = known[:: max(1, len(known) // 200_000)]
    index.train(some)
    index.add(known)
    return (
        lambda query: index.search(query[None], NEAREST)[1][0],
        lambda path: faiss.write_index(index, str(path)),
    )


def of_usearch(known: np.ndarray) -> Any:
    """Return an index of usearch on principal components, as search and writer."""
    from usearch.index import Index

    mean = known[:20_000].mean(axis=0)
    axes = np.linalg.svd(known[:20_000] - mean, full_matrices=False)[2][:128].T
    index = Index(ndim=axes.shape[1], metric="l2sq", dtype="f16")
    for start in range(0, len(known), 50_000):
        part = known[start : start + 50_000]
        index.add(np.arange(start, start + len(part)), (part - mean) @ axes)
    return (
        lambda query: index.search((query - mean) @ axes, NEAREST).keys,
        lambda path: index.save(str(path)),
    )


def measured(make: Callable, known: np.ndarray, queries: np.ndarray, exact: np.ndarray) -> dict:
    """Return the recall, size and times of an index."""
    start, processor = time.perf_counter(), time.process_time()
    search, write = make(known)
    built, worked = time.perf_counter() - start, time.process_time() - processor
    results, times, worked_times = [], [], []
    for query in queries:
        start, at = time.perf_counter(), time.process_time()
        results.append(search(query))
        times.append(time.perf_counter() - start)
        worked_times.append(time.process_time() - at)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "index")
        size = (Path(folder) / "index").stat().st_size
    shares = [len(set(a) & set(b)) / NEAREST for a, b in zip(results, exact, strict=True)]
    return {
        "recall@10": round(float(np.mean(shares)), 3),
        "MB": round(size / 1e6, 1),
        "build_s": round(built, 1),
        "build_processor_s": round(worked, 1),
        "query_ms_median": round(1000 * float(np.median(times)), 2),
        "query_processor_ms_mean": round(1000 * float(np.mean(worked_times)), 2),
    }


# Meaning.


def measure_meaning(real: Path, folders: dict[str, Path], rng: np.random.Generator) -> dict:
    """Return the likeness of neighbours by set and by what they are neighbours in."""
    result: dict[str, dict] = {}
    for name, read in SETS.items():
        galaxies, truth, kind = read(real / name)
        spaces: dict[str, np.ndarray] = {}
        for model, folder in folders.items():
            if not (folder / name).exists():
                continue
            table, units = vectors_of(folder / name)
            at = pd.Series(range(len(table)), table["galaxy"])
            if not spaces:
                galaxies_here = [galaxy for galaxy in galaxies if galaxy in at]
                images = table["image"].iloc[at[galaxies_here]]
            spaces[model] = units[at[galaxies_here].to_numpy()]
        if not spaces:
            print(f"{name}: not predicted")
            continue
        values = truth.loc[galaxies_here].to_numpy()
        with Progress("image statistics", len(images), "images") as progress:
            rows = []
            for image in images:
                rows.append(image_statistics(image))
                progress.advance()
        statistics = pd.DataFrame(rows).fillna(0).to_numpy(float)
        spaces["22 image statistics"] = (statistics - statistics.mean(0)) / (
            statistics.std(0) + 1e-9
        )
        likeness = same_class if kind == "class" else difference
        chance = rng.integers(len(values), size=(len(values), NEAREST))
        result[name] = {"galaxies": len(values), "measure": kind}
        result[name]["chance"] = interval(likeness(values, chance), rng)
        for space, points in spaces.items():
            result[name][space] = interval(likeness(values, neighbours(points)), rng)
        print(name, result[name], flush=True)
    return result


def measure_simulated(sky: Path, folder: Path, rng: np.random.Generator) -> dict:
    """Return the difference of neighbours' true parameters, by parameter, and by chance."""
    table, units = vectors_of(folder)
    truth = pd.read_parquet(sky / "truth.parquet")
    truth = truth.set_index(truth["GalaxyID"].astype(str)).loc[table["galaxy"]]
    near = neighbours(units)
    chance = rng.integers(len(units), size=near.shape)
    result: dict[str, Any] = {"galaxies": len(units)}
    for words, values in true_concepts(truth).items():
        ranks = pd.Series(values).rank(pct=True).to_numpy()
        with np.errstate(invalid="ignore"):
            rows = [np.abs(ranks[places] - ranks[:, None]) for places in (near, chance)]
        has = [np.isfinite(row).any(axis=1) for row in rows]
        if min(map(np.sum, has)) < 30:
            continue
        means = [np.nanmean(row[one], axis=1) for row, one in zip(rows, has, strict=True)]
        result[words] = {
            "neighbours": interval(means[0], rng),
            "chance": interval(means[1], rng),
            "galaxies": int(has[0].sum()),
        }
        print(words, result[words], flush=True)
    return result


def measure_rotated(images: Path, number: int = 200, queries: int = 25) -> dict:
    """Return the share of mirrored and rotated copies whose nearest is their original."""
    predictor = load_predictor()
    pixels = [np.asarray(Image.open(path)) for path in sorted(images.iterdir())[:number]]
    copies = [
        np.ascontiguousarray(np.rot90(each[:, ::-1] if view >= 4 else each, view % 4))
        for each in pixels[:queries]
        for view in range(1, 8)
    ]
    result: dict[str, Any] = {"galaxies": number, "copies": len(copies)}
    for views in (1, 8):
        changed = predictor.changed(views=views)
        units = []
        for sources in (pixels, copies):
            with record_embeddings(changed) as recorded:
                changed.outputs_of_each(sources, None, {})
            units.append(unit_vectors(np.concatenate(recorded.mean)))
        away = np.linalg.norm(units[1][:, None] - units[0][None], axis=2)
        own = np.repeat(np.arange(queries), 7)
        rows = np.arange(len(copies))
        others = away.copy()
        others[rows, own] = np.inf
        result[f"{views} views"] = {
            "nearest is the original": round(float((away.argmin(axis=1) == own).mean()), 4),
            "distance from it, of that to the nearest other": round(
                float(np.median(away[rows, own] / others.min(axis=1))), 4
            ),
        }
        print(result, flush=True)
    return result


def neighbours(points: np.ndarray) -> np.ndarray:
    """Return the places of the nearest others of each point, shape (n, NEAREST)."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=NEAREST).fit(points).kneighbors()[1]


def same_class(classes: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return the share of each galaxy's neighbours that have its class, shape (n,)."""
    return (classes[near] == classes[:, None]).mean(axis=1)


def difference(fractions: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference from the neighbours' fractions, shape (n,)."""
    return np.abs(fractions[near] - fractions[:, None]).mean(axis=(1, 2))


def interval(values: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Return a mean and the ends of its interval."""
    drawn = values[rng.integers(len(values), size=(RESAMPLED, len(values)))].mean(axis=1)
    return [round(float(each), 4) for each in (values.mean(), *np.quantile(drawn, (0.025, 0.975)))]


def _classes(name: str) -> Callable[[Path], tuple[list[str], pd.Series, str]]:
    def read(folder: Path) -> tuple[list[str], pd.Series, str]:
        table = pd.read_csv(folder / name, dtype={"GalaxyID": str}).set_index("GalaxyID")
        table = table[table["label"] != "unknown"]
        return list(table.index), table["label"], "class"

    return read


def _fractions(name: str, identity: str, ending: str) -> Callable:
    def read(folder: Path) -> tuple[list[str], pd.DataFrame, str]:
        table = pd.read_csv(folder / name, dtype={identity: str}).set_index(identity)
        columns = [
            column
            for column in table
            if (column.startswith(("Class", "t0", "t1")) and column.endswith(ending))
        ]
        return list(table.index), table[columns].fillna(0), "vote fractions"

    return read


SETS: dict[str, Callable] = {
    "gz2-five": _classes("labels.csv"),
    "galaxy-zoo-1": _classes("labels.csv"),
    "galaxy-zoo-challenge": _fractions("training_solutions_rev1.csv", "GalaxyID", ""),
    "galaxy-zoo-2": _fractions("gz2_hart16.csv", "asset_id", "_weighted_fraction"),
}


if __name__ == "__main__":
    main()

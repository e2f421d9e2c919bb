"""How far simulated galaxies are from real ones: statistics, morphometry, votes, separability.

    python cli.py survey simulate SIMULATED --n 6000 --seed 11
    python benchmarks/realism.py --real REAL --simulated SIMULATED --each 100

REAL holds galaxy-zoo-challenge/ (a catalogue in the Kaggle layout, every p_max >= 0.7) and
gz2-five/ (labels.csv and images of ordinary spirals). Groups are the kept classes of `layer1`
(its `spiral` is called edge-on here) and gz2-five's spirals; a group has as many simulated as
real galaxies, so that no mix of classes tells the two apart. Two-sample Kolmogorov-Smirnov
statistics: 0 is the same distribution, 1 is no overlap. Results go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage, stats

from galaxymorph.base import Progress, write_json
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMES, assign_labels, read_catalogue

RESULTS = Path(__file__).parent / "results"
LAYER1 = {"elliptical": "elliptical", "spiral": "edge-on", "irregular": "irregular"}
EDGE = 40
MORPHOMETRY = ("gini", "m20", "concentration", "asymmetry", "smoothness", "sersic_n")
BINS = {
    "red": (0, 255),
    "green": (0, 255),
    "blue": (0, 255),
    "red-blue": (-100, 200),
    "half-light radius": (0, 80),
    "visible radius": (0, 180),
}


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, default=os.environ.get("GALAXYMORPH_REAL_DATA"))
    parser.add_argument("--simulated", type=Path, required=True)
    parser.add_argument(
        "--each", type=int, default=100, help="galaxies a group, real and simulated"
    )
    parser.add_argument("--morphometry", type=int, default=40, help="of those, through statmorph")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.real is None:
        parser.error("give --real or set GALAXYMORPH_REAL_DATA")
    galaxies = choose(Path(arguments.real), arguments.simulated, arguments.each, arguments.seed)
    print(galaxies.groupby(["group", "origin"]).size().unstack().to_string(), "\n")
    images = measured(galaxies, image_statistics, "image statistics")
    some = galaxies.groupby(["group", "origin"]).head(arguments.morphometry)
    shapes = measured(some, morphometry, "statmorph")
    shapes = shapes[shapes["flag"] <= 1]
    result = {
        "galaxies": len(galaxies),
        "ks_image": ks_table(images, list(BINS)),
        "ks_morphometry": ks_table(shapes, list(MORPHOMETRY)),
        "medians": medians(pd.concat([images, shapes]), [*BINS, *MORPHOMETRY]),
        "histograms": histograms(images),
        "votes": votes(Path(arguments.real), arguments.simulated),
        "separability": separability(galaxies, images, arguments.seed),
    }
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "realism.json", result)
    for name in ("ks_image", "ks_morphometry", "medians"):
        print(name, pd.DataFrame(result[name]).T.to_string(float_format="%.2f"), "", sep="\n")
    for name in ("votes", "separability"):
        print(name, json.dumps(result[name], indent=2), "", sep="\n")


def choose(real: Path, simulated: Path, each: int, seed: int) -> pd.DataFrame:
    """Return the galaxies to compare: image, group, origin; as many of each origin a group."""
    spirals = pd.read_csv(real / "gz2-five" / "labels.csv").query("label == 'spiral'")
    folder = real / "gz2-five" / "images_training_rev1"
    ours = read_catalogue(simulated).table
    results = {
        "real": pd.concat(
            [
                grouped(read_catalogue(real / "galaxy-zoo-challenge").table),
                pd.DataFrame(
                    {
                        "image": [str(folder / f"{name}.jpg") for name in spirals["GalaxyID"]],
                        "group": "spiral",
                    }
                ),
            ]
        ),
        "simulated": pd.concat(
            [
                grouped(ours),
                kept(ours, "gz2-five").query("label == 'spiral'").assign(group="spiral"),
            ]
        ),
    }
    rows = []
    for group in (*LAYER1.values(), "spiral"):
        pools = {origin: table[table["group"] == group] for origin, table in results.items()}
        number = min(each, *map(len, pools.values()))
        for origin, pool in pools.items():
            rows.append(pool.sample(number, random_state=seed).assign(origin=origin))
    return pd.concat(rows, ignore_index=True)[["image", "group", "origin"]]


def kept(table: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """Return the galaxies that a scheme keeps, with their label."""
    labels = assign_labels(SCHEMES.find(scheme), table)
    return table.assign(label=labels["label"])[labels["kept"]]


def grouped(table: pd.DataFrame) -> pd.DataFrame:
    """Return what `layer1` keeps, with its group."""
    table = kept(table, "layer1")
    return table.assign(group=table["label"].map(LAYER1))


def measured(galaxies: pd.DataFrame, function, label: str) -> pd.DataFrame:
    """Return the galaxies with what a function measures on each image."""
    with ProcessPoolExecutor() as pool, Progress(label, len(galaxies), "images") as progress:
        rows = []
        for row in pool.map(function, galaxies["image"], chunksize=4):
            rows.append(row)
            progress.advance()
    return pd.concat([galaxies, pd.DataFrame(rows, index=galaxies.index)], axis=1)


def image_statistics(path: str) -> dict[str, float]:
    """Return brightness (0-255), colour, sizes (pixels) and noise of one image."""
    pixels = np.asarray(Image.open(path)).astype(float)
    side = pixels.shape[0]
    middle = slice(side // 2 - 8, side // 2 + 8)
    red, green, blue = pixels[middle, middle].mean((0, 1))
    frame = np.ones((side, side), bool)
    frame[EDGE:-EDGE, EDGE:-EDGE] = False
    sky = pixels[frame]
    background = np.median(sky, axis=0)
    spread = 1.4826 * np.median(np.abs(sky - background), axis=0)
    grey = ndimage.gaussian_filter(pixels.mean(-1) - background.mean(), 3)
    labels, _ = ndimage.label(grey > 12)
    own = labels == labels[side // 2, side // 2] if labels[side // 2, side // 2] else grey < -1e9
    light = np.where(own, grey, 0.0)
    rows, columns = np.indices(light.shape) - (side - 1) / 2
    away = np.hypot(rows, columns).ravel()
    order = np.argsort(away)
    growth = np.cumsum(light.ravel()[order])
    half = away[order][np.searchsorted(growth, growth[-1] / 2)] if growth[-1] > 0 else 0.0
    corner = pixels[:60, :60].mean(-1)
    corner = np.clip(corner - np.median(corner), -15, 15)
    lags = {
        f"lag {lag}": float((corner[:, :-lag] * corner[:, lag:]).mean() / ((corner**2).mean() + 1))
        for lag in (1, 2, 4, 8)
    }
    outskirts = own & (grey < 40)
    colour = (pixels[outskirts] - background).mean(0) if outskirts.any() else np.zeros(3)
    return {
        "red": red,
        "green": green,
        "blue": blue,
        "red-blue": red - blue,
        "half-light radius": half,
        "visible radius": float(np.sqrt(own.sum() / np.pi)),
        **{f"sky {name}": value for name, value in zip("rgb", background, strict=True)},
        **{f"noise {name}": value for name, value in zip("rgb", spread, strict=True)},
        "outskirts r-g": colour[0] - colour[1],
        "outskirts b-g": colour[2] - colour[1],
        "black": float((sky < 2).mean()),
        "bright": float((sky > 60).mean()),
        "bytes": float(Path(path).stat().st_size),
        **lags,
    }


def morphometry(path: str) -> dict[str, float]:
    """Return statmorph's measures (Rodriguez-Gomez et al. 2019, MNRAS 483, 4140) of one image."""
    import statmorph
    from photutils.segmentation import detect_sources

    small = Image.open(path).convert("L").resize((212, 212), Image.Resampling.BOX)
    image = np.asarray(small).astype(float)
    sky = np.concatenate([image[:20].ravel(), image[-20:].ravel()])
    image = image - np.median(sky)
    noise = max(1.4826 * np.median(np.abs(sky - np.median(sky))), 1.0)
    results = detect_sources(ndimage.gaussian_filter(image, 1.5), 2 * noise, n_pixels=20)
    nothing = dict.fromkeys(MORPHOMETRY, np.nan) | {"flag": 4}
    if results is None or results.data[106, 106] == 0:
        return nothing
    own = (results.data == results.data[106, 106]).astype(int)
    others = (results.data > 0) & (own == 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shape = statmorph.source_morphology(
                image, own, mask=others, gain=1.0, sersic_fitting_args={"maxiter": 100}
            )[0]
        except Exception:  # statmorph raises of many kinds where there is nothing to measure
            return nothing
    return {name: float(getattr(shape, name)) for name in MORPHOMETRY} | {"flag": shape.flag}


def ks_table(table: pd.DataFrame, names: list[str]) -> dict[str, dict[str, float]]:
    """Return the two-sample KS statistic of every measure, group by group."""
    result = {}
    for group, rows in table.groupby("group", sort=False):
        parts = [rows[rows["origin"] == origin] for origin in ("real", "simulated")]
        result[group] = {
            name: round(
                float(stats.ks_2samp(*(part[name].dropna() for part in parts)).statistic), 3
            )
            for name in names
        }
    return result


def medians(table: pd.DataFrame, names: list[str]) -> dict[str, dict[str, float]]:
    """Return each measure's median by group and origin."""
    results = table.groupby(["group", "origin"])[names].median().round(3)
    return {f"{group}, {origin}": row.to_dict() for (group, origin), row in results.iterrows()}


def histograms(table: pd.DataFrame, bins: int = 16) -> dict[str, dict[str, list]]:
    """Return the counts of every image measure, for drawing."""
    return {
        name: {
            origin: np.histogram(rows[name], bins, limits)[0].tolist()
            for origin, rows in table.groupby("origin")
        }
        for name, limits in BINS.items()
    }


def votes(real: Path, simulated: Path) -> dict[str, object]:
    """Compare p_max and each question's vote entropy (nats) where p_max is at least 0.7."""
    theirs = pd.read_csv(real / "galaxy-zoo-challenge" / "solutions_high_confidence.csv.gz")
    ours = read_catalogue(simulated).table
    labels = assign_labels(SCHEMES.find("layer1"), ours)
    share = labels["label"].value_counts(normalize=True)
    kept_ours, kept_theirs = kept(ours, "layer1"), kept(theirs, "layer1")
    value = {
        origin: assign_labels(SCHEMES.find("layer1"), table)["value"]
        for origin, table in (("real", kept_theirs), ("simulated", kept_ours))
    }
    entropy = {
        question.name: round(
            float(stats.ks_2samp(*(entropies(t, question) for t in (kept_theirs, kept_ours)))[0]), 3
        )
        for question in GALAXY_ZOO_CHALLENGE.questions
    }
    return {
        "simulated argmax shares (whole Kaggle file: 0.672, 0.097, 0.231)": {
            name: round(float(share[name]), 3) for name in LAYER1
        },
        "simulated share of p_max >= 0.7 (whole Kaggle file: 0.274)": round(
            float(labels["kept"].mean()), 3
        ),
        "ks of p_max, where >= 0.7": round(float(stats.ks_2samp(*value.values()).statistic), 3),
        "ks of vote entropy, by question": entropy,
        "mean entropy, question 1, real and simulated": [
            round(float(entropies(t, GALAXY_ZOO_CHALLENGE.questions[0]).mean()), 3)
            for t in (kept_theirs, kept_ours)
        ],
    }


def entropies(table: pd.DataFrame, question) -> np.ndarray:
    """Return the entropy (nats) of a question's answers where a tenth of the voters reached it."""
    values = table[[answer.column for answer in question.answers]].to_numpy(float)
    values = values[values.sum(1) >= 0.1]
    return stats.entropy(values, axis=1)


def separability(galaxies: pd.DataFrame, images: pd.DataFrame, seed: int) -> dict[str, float]:
    """Return the 5-fold accuracy of classifiers told to separate simulated from real galaxies."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    simulated = (galaxies["origin"] == "simulated").to_numpy()
    numbers = images.drop(columns=["image", "group", "origin"]).to_numpy(float)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    trials = {
        "image statistics, gradient boosting": (
            HistGradientBoostingClassifier(random_state=seed),
            numbers,
        ),
        "image statistics, logistic": (linear, numbers),
        "lite0 features at 224, logistic": (linear, lite0_features(list(galaxies["image"]), 424)),
        "lite0 features, centre 212, logistic": (
            linear,
            lite0_features(list(galaxies["image"]), 212),
        ),
    }
    return {
        name: round(float(cross_val_score(model, inputs, simulated, cv=folds).mean()), 3)
        for name, (model, inputs) in trials.items()
    }


def lite0_features(paths: list[str], crop: int) -> np.ndarray:
    """Return pooled features of ImageNet's `tf_efficientnet_lite0`, shape (n, 1280)."""
    import timm
    import torch

    from galaxymorph.images import centre_frame
    from galaxymorph.learn.backbones.initial_weights import LITE0, lite0_state

    model = timm.create_model(LITE0, num_classes=0)
    model.load_state_dict(lite0_state(), strict=False)
    model.eval().to(memory_format=torch.channels_last)
    features = []
    with torch.inference_mode(), Progress("lite0", len(paths), "images") as progress:
        for at in range(0, len(paths), 16):
            some = paths[at : at + 16]
            frames = np.stack([centre_frame(Image.open(path), crop / 424, 224) for path in some])
            batch = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
            features.append(model(batch.contiguous(memory_format=torch.channels_last)).numpy())
            progress.advance(len(some))
    return np.concatenate(features)


if __name__ == "__main__":
    main()

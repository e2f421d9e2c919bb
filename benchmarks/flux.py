"""What bands of flux buy over pictures, on the same simulated galaxies.

    python benchmarks/flux.py simulate SKIES --n 800 --tested 200
    python benchmarks/flux.py measure SKIES -o benchmarks/results/flux.json

`simulate` writes SDSS's view of a sky as JPEG and as FITS, and its first galaxies, which are
tested, as other conditions show them: shallower, in worse seeing, farther away, and by another
survey. `measure` fits a decision tree on the others from ImageNet weights, with equal settings, for
each kind of input, and writes the RMSE of the fractions that volunteers are expected to give, and
the calibration error, with bootstrap intervals, and the difference from JPEG of the same galaxies.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import galaxymorph as gm
from galaxymorph.api.fitting import start_fit
from galaxymorph.api.options import FitOptions
from galaxymorph.base import write_json
from galaxymorph.learn import Run, train_run
from galaxymorph.survey import SURVEYS, Survey
from galaxymorph.survey.colours import FURTHER
from galaxymorph.survey.simulation import FLUX, TABLE, TRUTH, Simulation, simulate
from galaxymorph.zoo import EXPECTED, GALAXY_ZOO_CHALLENGE

HOME, SEED, RESAMPLES, BINS = "sdss", 11, 1000, 10
SPLIT = "part"
# Of the fits, from the command line.
SETTINGS = ("arch", "weights", "size", "epochs", "seed")
# By how much the depth of `shallow` is worse, in magnitudes, and the seeing of `blurred`.
SHALLOWER, WIDER = 1.0, 1.6
FARTHER = (0.15, 0.3)
# Settings of each kind of input; the catalogue is the sky's own or that of its FITS. Flux is, by
# default, that of a square arcsecond.
INPUTS: dict[str, dict[str, object]] = {
    "JPEG": {},
    "FITS rendered as RGB": {"bands": "i,r,g"},
    "flux r": {"pixels": "flux", "bands": "r"},
    "flux g,r,i": {"pixels": "flux", "bands": "g,r,i"},
    "flux g,r,i, a pixel": {"pixels": "flux", "bands": "g,r,i", "flux": "calibrated"},
    "flux g,r,i, averaged first layer": {
        "pixels": "flux",
        "bands": "g,r,i",
        "first_layer": "average",
    },
    "flux u,g,r,i,z": {"pixels": "flux", "bands": "u,g,r,i,z"},
}


def conditions() -> dict[str, tuple[str, tuple[float, float] | None]]:
    """Return the survey and the redshifts of each condition; register those that are made up."""
    sdss = SURVEYS[HOME]
    if "sdss-shallow" not in SURVEYS:
        depth = tuple(magnitude - SHALLOWER for magnitude in sdss.depth)
        shallow = {
            name: replace(band, depth=band.depth - SHALLOWER) for name, band in sdss.further.items()
        }
        SURVEYS.register("sdss-shallow", replace(sdss, depth=depth, further=shallow))
        seeing = tuple(fwhm * WIDER for fwhm in sdss.seeing)
        # With the noise of SDSS, which `depth` alone would lower: a point source is wider.
        wider = 2.5 * np.log10(WIDER)
        deep = tuple(magnitude - wider for magnitude in sdss.depth)
        blurred = {
            name: replace(band, seeing=band.seeing * WIDER, depth=band.depth - wider)
            for name, band in sdss.further.items()
        }
        SURVEYS.register("sdss-blurred", replace(sdss, seeing=seeing, depth=deep, further=blurred))
    return {
        HOME: (HOME, None),
        "1 mag shallower": ("sdss-shallow", None),
        "seeing x 1.6": ("sdss-blurred", None),
        "redshift 0.15-0.3": (HOME, FARTHER),
        "decals": ("decals", None),
    }


def simulated(arguments: argparse.Namespace) -> dict:
    """Write the skies; return their folders."""
    folders = {}
    for name, (survey, redshift) in conditions().items():
        number = arguments.n if name == HOME else arguments.tested
        folder = arguments.skies / name.replace(" ", "-")
        # Another process doesn't know the surveys that are made up here.
        workers = 1 if "-" in survey else None
        simulate(folder, Simulation(number, (survey,), SEED, redshift, False, True), workers)
        folders[name] = str(folder)
    home = Path(folders[HOME])
    for place in (home, home / FLUX):
        table = pd.read_csv(place / TABLE)
        parts = np.full(len(table), "train", object)
        parts[: arguments.tested] = "test"
        table.assign(**{SPLIT: parts}).to_csv(place / TABLE, index=False)
    return folders


def measured(arguments: argparse.Namespace) -> dict:
    """Return the scores of each kind of input under each condition."""
    home = arguments.skies / HOME
    result: dict = {"inputs": {}}
    errors: dict[str, dict[str, np.ndarray]] = {}
    for name in arguments.inputs or INPUTS:
        settings = INPUTS[name]
        is_fits = "bands" in settings
        start = time.monotonic()
        shutil.rmtree(arguments.skies / "runs" / "fit", ignore_errors=True)
        changes = {
            "target": "tree",
            "split_column": SPLIT,
            **{key: getattr(arguments, key) for key in SETTINGS},
            **settings,
        }
        options = FitOptions(
            data=home / FLUX if is_fits else home,
            recipe="small",
            out=arguments.skies / "runs",
            name="fit",
        )
        run, galaxies = start_fit(options, changes)
        train_run(run, galaxies)
        result |= {"galaxies": run.split["split"].value_counts().to_dict()}
        scores = {"seconds": round(time.monotonic() - start)}
        for condition, (survey, _) in conditions().items():
            if not is_of_survey(settings, SURVEYS[survey]):
                continue
            folder = arguments.skies / condition.replace(" ", "-")
            squares, calibration = judged(run, folder, is_fits, arguments.tested)
            errors.setdefault(condition, {})[name] = squares
            scores[condition] = {"rmse": rooted(squares), "calibration_error": calibration}
            if name != "JPEG" and "JPEG" in errors[condition]:
                scores[condition]["minus_jpeg"] = paired(squares, errors[condition]["JPEG"])
        result["inputs"][name] = scores
        print(name, json.dumps(scores), flush=True)
    keys = (*SETTINGS, "tested")
    return {"settings": {key: getattr(arguments, key) for key in keys}, **result}


def is_of_survey(settings: dict[str, object], survey: Survey) -> bool:
    """Tell whether a survey has the bands of an input; DECaLS has neither u nor z here."""
    bands = str(settings.get("bands", "")).split(",")
    return not set(bands) & set(FURTHER) - survey.further.keys()


def judged(run: Run, folder: Path, is_fits: bool, number: int) -> tuple[np.ndarray, dict]:
    """Return each galaxy's mean squared error, shape (n,), and the calibration error."""
    truth = pd.read_parquet(folder / TRUTH).iloc[:number]
    ending = f"{FLUX}/{{}}.fits" if is_fits else "images_training_rev1/{}.jpg"
    images = [str(folder / ending.format(galaxy)) for galaxy in truth["GalaxyID"]]
    answers = list(GALAXY_ZOO_CHALLENGE.columns)
    predicted = gm.load_predictor(run.path).predict(images)[answers].to_numpy(float)
    expected = truth[[EXPECTED + name for name in answers]].to_numpy(float)
    return ((predicted - expected) ** 2).mean(axis=1), calibration_error(predicted, expected)


def calibration_error(predicted: np.ndarray, expected: np.ndarray) -> dict:
    """Return the mean difference of predicted and expected fractions in bins of the predicted.

    The bins have equal numbers of answers; galaxies are resampled for the interval.
    """

    def error(rows: np.ndarray) -> float:
        order = np.argsort(predicted[rows], axis=None)
        gaps = (predicted[rows] - expected[rows]).ravel()[order]
        return float(np.mean([abs(part.mean()) for part in np.array_split(gaps, BINS)]))

    return interval(error, len(predicted))


def rooted(squares: np.ndarray) -> dict:
    """Return the RMSE over galaxies and answers."""
    return interval(lambda rows: float(np.sqrt(squares[rows].mean())), len(squares))


def paired(squares: np.ndarray, others: np.ndarray) -> dict:
    """Return the difference of two RMSE of the same galaxies."""
    return interval(
        lambda rows: float(np.sqrt(squares[rows].mean()) - np.sqrt(others[rows].mean())),
        len(squares),
    )


def interval(statistic, number: int) -> dict:
    """Return a statistic and its 95 % percentile interval over resampled galaxies."""
    rng = np.random.default_rng(SEED)
    values = [statistic(rng.integers(0, number, number)) for _ in range(RESAMPLES)]
    low, high = np.percentile(values, [2.5, 97.5])
    whole = statistic(np.arange(number))
    return {"value": round(whole, 4), "low": round(low, 4), "high": round(high, 4)}


def main() -> None:
    """Simulate or measure, print, and write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, work in (("simulate", simulated), ("measure", measured)):
        command = commands.add_parser(name)
        command.add_argument("skies", type=Path)
        command.add_argument("--tested", type=int, default=200)
        command.add_argument("-o", "--output", type=Path)
        command.set_defaults(work=work)
        if name == "simulate":
            command.add_argument("--n", type=int, default=800)
            continue
        command.add_argument("--inputs", nargs="+", choices=INPUTS, help="JPEG first; all")
        command.add_argument("--arch", default="tf_efficientnet_lite0")
        command.add_argument("--weights", default="imagenet")
        command.add_argument("--size", type=int, default=64)
        command.add_argument("--epochs", type=int, default=6)
        command.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    result = arguments.work(arguments)
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()

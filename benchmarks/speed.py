"""Speed of fit and predict against plain fastai: the same images, epochs, seeds and machine.

    python benchmarks/speed.py --images 2000 --repeats 3
    python benchmarks/speed.py --data CATALOGUE --labels-column label --weights FILE
    python benchmarks/speed.py --images 500 2000 20000 --variants fast --repeats 1

The variants take turns, each command a process of its own with an empty cache, so that a machine
whose speed drifts slows all of them. Without --weights all start from one file of random ones: the
stages are the published ones and the work is the same, only the scores mean little. Results go to
benchmarks/results/ as JSON, with hardware and commit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from galaxymorph.base import read_bytes
from galaxymorph.learn import environment
from galaxymorph.survey import Simulation, simulate
from galaxymorph.zoo import read_catalogue

ROOT = Path(__file__).parents[1]
# Up to "fast" each adds a means to the one before, the first being fastai's own.
LADDER = {
    "plain": ["--recipe", "plain"],
    "fast, float32, every epoch through all stages": ["--precision", "fp32", "--trunk-views", "0"],
    "fast, every epoch through all stages": ["--trunk-views", "0"],
    "fast, three views": ["--trunk-views", "3"],
    "fast": [],
}
PREDICT_PLAIN = """
import sys
from pathlib import Path
from fastai.vision.all import *
learn = load_learner(sys.argv[1])
files = get_image_files(sys.argv[2])
with learn.no_bar(), learn.no_logging():
    learn.get_preds(dl=learn.dls.test_dl(files, num_workers=2))
"""
NETWORK_ALONE = """
import sys, time, torch
from galaxymorph.base.process import own_process
from galaxymorph.learn import keep_freed_memory
from galaxymorph.predict import load_predictor
own_process()
keep_freed_memory()
predictor = load_predictor(sys.argv[1], sys.argv[3])
batch = torch.randn(64, 3, predictor.recipe.size, predictor.recipe.size)
network = predictor.models[0]
times = int(sys.argv[2]) // 64
with torch.inference_mode():
    network(batch)
    before = time.perf_counter()
    for _ in range(times):
        network(batch)
print(64 * times / (time.perf_counter() - before))
"""
INT8_ALONE = """
import sys, time, numpy
from galaxymorph.predict import load_predictor
predictor = load_predictor(sys.argv[1], "int8")
batch = numpy.random.rand(16, 3, predictor.recipe.size, predictor.recipe.size).astype("float32")
times = int(sys.argv[2]) // 16
predictor.batch_outputs(batch)
before = time.perf_counter()
for _ in range(times):
    predictor.batch_outputs(batch)
print(16 * times / (time.perf_counter() - before))
"""


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[2000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, help="a catalogue; simulated galaxies if none")
    parser.add_argument("--labels-column", help="of a catalogue without votes")
    parser.add_argument("--weights", type=Path, help="of a resnet18; random ones if none")
    parser.add_argument("--variants", nargs="+", choices=LADDER, default=["plain", "fast"])
    arguments = parser.parse_args()
    for images in arguments.images:
        with tempfile.TemporaryDirectory(prefix="galaxymorph-bench-") as folder:
            report(measure(arguments, images, Path(folder)), images, arguments.data is not None)


def measure(arguments: argparse.Namespace, images: int, work: Path) -> list[dict]:
    """Run every variant once a seed; return a row a command."""
    data = make_catalogue(arguments.data, arguments.labels_column, work, images)
    fixed = ["--data", data, "--weights", arguments.weights or random_weights(work)]
    if arguments.labels_column:
        fixed += ["--labels-column", arguments.labels_column]
    rows = []
    for seed in range(arguments.repeats):
        for variant in arguments.variants:
            rows.append(measure_fit(variant, fixed, work, seed))
            print(rows[-1], flush=True)
        for variant in arguments.variants:
            rows += measure_predict(variant, data, work, seed, images)
            print(rows[-1], flush=True)
    return rows


def make_catalogue(source: Path | None, column: str | None, work: Path, images: int) -> Path:
    """Write a catalogue of that many galaxies, some repeated if there are too few."""
    source = source or simulate(work / "sky", Simulation(1000, ("sdss",), seed=1))
    table = read_catalogue(source, column).table
    data = work / "data"
    (data / "images_training_rev1").mkdir(parents=True)
    rows = table.iloc[np.arange(images) % len(table)].drop(columns=["row", "galaxy", "image"])
    for at in range(images):
        # A comment after the image's end makes repeated ones differ, as galaxies do.
        content = read_bytes(table["image"].iloc[at % len(table)]) + str(at).encode()
        (data / "images_training_rev1" / f"{at + 1}.jpg").write_bytes(content)
    rows.insert(0, "GalaxyID", range(1, images + 1))
    name = "labels.csv" if column else "training_solutions_rev1.csv"
    rows.to_csv(data / name, index=False)
    return data


def random_weights(work: Path) -> Path:
    """Write a state dict of a resnet18 without ImageNet's weights."""
    import torch
    import torchvision

    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), work / "resnet18.pth")
    return work / "resnet18.pth"


def measure_fit(variant: str, fixed: list, work: Path, seed: int) -> dict:
    """Fit in a process of its own, with an empty cache; return what it took and scored."""
    run, cache = run_folder(variant, work, seed), work / "cache"
    command = ["fit", *fixed, *LADDER[variant], "--out", work, "--name", run.name, "--seed", seed]
    row, _ = timed(command, cache)
    shutil.rmtree(cache, ignore_errors=True)
    metrics = json.loads((run / "metrics.json").read_text())
    return {
        "job": "fit",
        "variant": variant,
        "seed": seed,
        **row,
        "valid_macro_f1": metrics["valid"]["macro_f1"]["value"],
    }


def measure_predict(variant: str, data: Path, work: Path, seed: int, images: int) -> list[dict]:
    """Predict every image, each way in a process of its own: the fast variant in int8 too."""
    run, folder = run_folder(variant, work, seed), data / "images_training_rev1"
    about = {"job": "predict", "seed": seed}
    if variant == "plain":
        row, _ = timed(["-c", PREDICT_PLAIN, run / "model.pkl", folder], work, cli=False)
        return [{**about, "variant": variant, **row}]
    predict = ["predict", run, folder, "-o", work / "out.parquet"]
    rows = [{**about, "variant": variant, **timed(predict, work)[0]}]
    rows[0]["network_alone"] = network_alone(run, images, "auto")
    if variant == "fast":
        _, output = timed(["export", run, "--format", "onnx-int8"], work)
        row, _ = timed([*predict, "--precision", "int8"], work)
        rows.append({**about, "variant": "fast, int8", **row, "cost": output.splitlines()[-1]})
        rows[1]["network_alone"] = network_alone(run, images, "int8")
    return rows


def network_alone(run: Path, images: int, precision: str) -> float:
    """Return the images a second of a run's network on a tensor."""
    code = INT8_ALONE if precision == "int8" else NETWORK_ALONE
    done = subprocess.run(
        [sys.executable, "-c", code, str(run), str(images), precision],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return round(float(done.stdout.split()[-1]), 1)


def run_folder(variant: str, work: Path, seed: int) -> Path:
    """Return where a variant's run is."""
    return work / f"{list(LADDER).index(variant)}-{seed}"


def timed(command: list, cache: Path, cli: bool = True) -> tuple[dict, str]:
    """Run a command of ours, or python's; return what it took, workers included, and printed."""
    start = [sys.executable, *([str(ROOT / "cli.py")] if cli else [])]
    variables = {**os.environ, "GALAXYMORPH_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    before = time.perf_counter()
    process = subprocess.Popen(
        [*start, *map(str, command)],
        start_new_session=True,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = [0]
    watcher = threading.Thread(target=watch_memory, args=(process, peak))
    watcher.start()
    output, error = process.communicate()
    seconds = time.perf_counter() - before
    watcher.join()
    if process.returncode:
        raise SystemExit(error[-2000:])
    # The last progress line of the work itself: the rate without starting and writing.
    printed = [line for line in error.splitlines() if line.startswith("predicting:")]
    rate = printed[-1].split("images, ")[1].split(" ")[0] if printed else None
    took = {"seconds": round(seconds, 2), "peak_mib": peak[0] >> 20, "said_rate": rate}
    return took, output


def watch_memory(process: subprocess.Popen, peak: list[int]) -> None:
    """Keep the largest proportional set size of a process and its workers, in bytes."""
    while process.poll() is None:
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(stat.read_text().rsplit(")", 1)[1].split()[2]) == process.pid:
                    lines = (stat.parent / "smaps_rollup").read_text().splitlines()
                    total += sum(1024 * int(x.split()[1]) for x in lines if x.startswith("Pss:"))
            except (OSError, IndexError):
                continue
        peak[0] = max(peak[0], total)
        time.sleep(2)


def report(rows: list[dict], images: int, real: bool) -> None:
    """Print medians and ratios, and save everything with hardware and commit."""
    results = pd.DataFrame(rows)
    summary: dict = {}
    for (job, variant), part in results.groupby(["job", "variant"], sort=False):
        about = {
            "median_seconds": part["seconds"].median(),
            "peak_mib": int(part["peak_mib"].max()),
        }
        summary[f"{job}: {variant}"] = about
        plain = results[(results["job"] == job) & (results["variant"] == "plain")].set_index("seed")
        if plain.empty:
            continue
        ratios = (plain["seconds"] / part.set_index("seed")["seconds"]).round(2)
        about |= {"median_ratio": round(ratios.median(), 2), "ratios": ratios.tolist()}
        if job == "fit" and variant != "plain" and len(part) > 1:
            gains = part.set_index("seed")["valid_macro_f1"] - plain["valid_macro_f1"]
            half = stats.t.ppf(0.975, len(gains) - 1) * gains.sem()
            about["macro_f1_minus_plain"] = [
                round(value, 4)
                for value in (gains.mean(), gains.mean() - half, gains.mean() + half)
            ]
    result = {"images": images, "environment": environment(), "summary": summary, "rows": rows}
    print(json.dumps(summary, indent=2))
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"speed-{'real' if real else 'simple'}-{images}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main()

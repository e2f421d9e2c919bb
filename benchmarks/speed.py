"""Speed of fit and predict against plain fastai: the same images, epochs and machine.

    python benchmarks/speed.py --images 2000 --repeats 3

The two take turns, each as a process of its own, so that a machine whose speed drifts slows both.
ImageNet weights may not be at hand, so both start from one file of random ones: the stages are
the published ones, and the work is the same. Results go to benchmarks/results/ as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from galaxymorph.learn import environment
from galaxymorph.survey import simple_galaxies

ROOT = Path(__file__).parents[1]
PREDICT_PLAIN = """
import sys
from pathlib import Path
from fastai.vision.all import *
learn = load_learner(sys.argv[1])
files = get_image_files(sys.argv[2])
with learn.no_bar(), learn.no_logging():
    learn.get_preds(dl=learn.dls.test_dl(files, num_workers=2))
"""


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, help="a catalogue to repeat, simple galaxies if none")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="galaxymorph-bench-") as folder:
        work = Path(folder)
        data = repeat_catalogue(arguments.data, work, arguments.images)
        weights = random_weights(work)
        rows = []
        for repeat in range(arguments.repeats):
            for recipe in ("plain", "baseline"):
                rows.append(measure_fit(recipe, data, weights, work, repeat))
                print(rows[-1], flush=True)
            for recipe in ("plain", "baseline"):
                rows.append(measure_predict(recipe, data, work, repeat, arguments.images))
                print(rows[-1], flush=True)
    report(rows, arguments.images)


def repeat_catalogue(source: Path | None, work: Path, images: int) -> Path:
    """Write a catalogue of that many galaxies, copies under new ids; return its folder."""
    source = source or simple_galaxies(work / "simple", seed=1)
    table = pd.read_csv(source / "training_solutions_rev1.csv")
    data = work / "data"
    (data / "images_training_rev1").mkdir(parents=True)
    rows = table.iloc[[at % len(table) for at in range(images)]].copy()
    for new, old in enumerate(rows["GalaxyID"], 1):
        original = source / "images_training_rev1" / f"{old}.jpg"
        # A comment after the image's end makes copies differ, as galaxies do.
        copy = data / "images_training_rev1" / f"{new}.jpg"
        copy.write_bytes(original.read_bytes() + str(new).encode())
    rows["GalaxyID"] = range(1, images + 1)
    rows.to_csv(data / "training_solutions_rev1.csv", index=False)
    return data


def random_weights(work: Path) -> Path:
    """Write a state dict of a resnet18 without ImageNet's weights."""
    import torch
    import torchvision

    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), work / "resnet18.pth")
    return work / "resnet18.pth"


def measure_fit(recipe: str, data: Path, weights: Path, work: Path, repeat: int) -> dict:
    """Fit in a process of its own, with an empty cache; return what it took and scored."""
    run = work / f"{recipe}-{repeat}"
    command = ["fit", "--data", data, "--recipe", recipe, "--weights", weights, "--out", work]
    row = timed([*command, "--name", run.name, "--seed", repeat], work / f"cache-{run.name}")
    metrics = json.loads((run / "metrics.json").read_text())
    return {"job": "fit", "recipe": recipe, "repeat": repeat, **row,
            "valid_macro_f1": metrics["valid"]["macro_f1"]["value"]}  # fmt: skip


def measure_predict(recipe: str, data: Path, work: Path, repeat: int, images: int) -> dict:
    """Predict every image in a process of its own."""
    run, folder = work / f"{recipe}-{repeat}", data / "images_training_rev1"
    if recipe == "plain":
        row = timed(["-c", PREDICT_PLAIN, run / "model.pkl", folder], work, cli=False)
    else:
        row = timed(["predict", run, folder, "-o", work / "out.parquet"], work)
    rate = round(images / row["seconds"], 1)
    return {"job": "predict", "recipe": recipe, "repeat": repeat, **row, "images_per_second": rate}


def timed(command: list, cache: Path, cli: bool = True) -> dict:
    """Run a command of ours, or python's; return its seconds and peak memory, workers included."""
    start = [sys.executable, *([str(ROOT / "cli.py")] if cli else [])]
    variables = {**os.environ, "GALAXYMORPH_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    before = time.perf_counter()
    process = subprocess.Popen(
        [*start, *map(str, command)],
        env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(error.decode()[-2000:])
    return {
        "seconds": round(time.perf_counter() - before, 2),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }


def report(rows: list[dict], images: int) -> None:
    """Print medians and ratios, and save everything with hardware and commit."""
    found = pd.DataFrame(rows)
    summary = {}
    for job, part in found.groupby("job"):
        medians = part.groupby("recipe")["seconds"].median()
        pairs = part.pivot(index="repeat", columns="recipe", values="seconds")
        ratio = (pairs["plain"] / pairs["baseline"]).tolist()
        summary[job] = {
            "plain_seconds": medians["plain"],
            "fast_seconds": medians["baseline"],
            "ratio": round(statistics.median(ratio), 2),
            "ratios": [round(value, 2) for value in ratio],
        }
        print(f"{job}, {images:,} images: {summary[job]}")
    result = {"images": images, "environment": environment(), "summary": summary, "rows": rows}
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"speed-{images}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main()

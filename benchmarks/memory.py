"""Watch the memory of long runs: a fit over epochs, and predictions of many images.

    python benchmarks/memory.py -o memory.json

It simulates galaxies (or takes `--data`), fits a network to the first of them, and has all of them
predicted, into one table and into a folder of partitions. Every second it sums the resident memory
of the command and its processes. What counts is how much later parts of a run hold over the
earlier: a run whose memory is flat holds as much in its last quarter as in its second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from galaxymorph.base import write_json

ROOT = Path(__file__).parents[1]
IMAGES = "images_training_rev1"
VOTES = "training_solutions_rev1.csv"


def main() -> None:
    """Run, watch, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="catalogue in Kaggle's layout")
    parser.add_argument("--images", type=int, default=20_000, help="to predict")
    parser.add_argument("--fitted", type=int, default=10_000, help="of these, to fit")
    parser.add_argument("--epochs", type=int, default=9, help="after the frozen ones")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GALAXYMORPH_CACHE"] = str(folder / "cache")
        data = arguments.data or simulated(folder / "sky", arguments.images)
        first = some_of(data, folder / "some", arguments.fitted)
        run, images = folder / "run", data / IMAGES
        # The tree keeps every galaxy; classes would keep those of a clear vote.
        fit = ["--target", "tree", "--epochs", arguments.epochs, "--weights", "galaxymorph"]
        commands = {
            "fit": ["fit", "--data", first, *fit, "--out", folder, "--name", "run"],
            "predict": ["predict", run, images, "-o", folder / "table.csv"],
            "predict, partitions": ["predict", run, images, "-o", f"{folder}/out/"],
        }
        result = {what: watched(words) for what, words in commands.items()}
    shown = {
        what: {k: v for k, v in item.items() if k != "every_5_s_mib"}
        for what, item in result.items()
    }
    print(json.dumps(shown, indent=2))
    if arguments.output:
        settings = {
            "images": arguments.images,
            "fitted": arguments.fitted,
            "epochs": arguments.epochs,
        }
        write_json(arguments.output, settings | {"commands": result})


def simulated(sky: Path, number: int) -> Path:
    """Return a folder of new galaxies."""
    subprocess.run(
        [sys.executable, ROOT / "cli.py", "survey", "simulate", "--n", str(number), sky], check=True
    )
    return sky


def some_of(data: Path, folder: Path, number: int) -> Path:
    """Return a folder of the data's first rows, with the same images."""
    folder.mkdir()
    (folder / IMAGES).symlink_to((data / IMAGES).resolve())
    pd.read_csv(data / VOTES, nrows=number).to_csv(folder / VOTES, index=False)
    return folder


def watched(words: list) -> dict:
    """Return a command's seconds, and its resident memory every second, whole and by quarters."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, ROOT / "cli.py", *map(str, words)])
    mib = []
    for tick in itertools.count(1):
        try:
            process.wait(max(0, start + tick - time.monotonic()))
            break
        except subprocess.TimeoutExpired:
            mib.append(resident(process.pid) >> 20)
    seconds = time.monotonic() - start
    if process.returncode:
        sys.exit(f"error: the command exits with status {process.returncode}: {words}")
    return {"seconds": round(seconds, 1)} | by_quarters(mib)


def by_quarters(mib: list[int]) -> dict:
    """Return what memory of each second says of a run, and every fifth of it."""
    parts = np.array_split(mib, 4)
    return {
        "peak_mib": max(mib),
        "quarters_median_mib": [round(float(np.median(part))) for part in parts],
        "quarters_highest_mib": [int(part.max()) for part in parts],
        "every_5_s_mib": mib[::5],
    }


def resident(pid: int) -> int:
    """Return the bytes that a process and those it started hold, shared ones in each of them."""
    total = 0
    try:
        main = psutil.Process(pid)
        for item in (main, *main.children(recursive=True)):
            total += item.memory_info().rss
    except psutil.NoSuchProcess:
        return total
    return total


if __name__ == "__main__":
    main()

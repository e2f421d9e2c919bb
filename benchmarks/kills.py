"""Kill commands at random moments, give them again, and compare with what was never disturbed.

    python benchmarks/kills.py --kills 30 -o kills.json

Each of `fit`, `predict`, `survey simulate` and `calibrate` runs twice undisturbed, which tells what
repeats byte for byte, and how long it takes. Then it is killed (SIGKILL) at a moment drawn evenly
from that time, with the processes that it started or, one time in three, without them, and given
again until it ends; `fit` goes on by --resume. A find is a file that differs from the undisturbed
one's, is missing or left over, or a command that doesn't go on. Run it in the checkout: it takes
the tests' simple galaxies.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from galaxymorph.base import Progress, write_json
from tests.simple import simple_galaxies

ROOT = Path(__file__).parents[1]
FIT = ["--recipe", ROOT / "tests" / "quick.json", "--size", "32", "--epochs", "4", "--seed", "3"]


@dataclass(frozen=True)
class Victim:
    """A command: what it starts from, its words, and those that go on, in a folder of its own."""

    prepare: Callable[[Path], None]
    words: Callable[[Path], list]
    go_on: Callable[[Path], list]


def main() -> None:
    """Kill, compare, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one of the commands")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GALAXYMORPH_CACHE"] = str(folder / "cache")
        victims = make_victims(folder)
        if arguments.only:
            victims = {arguments.only: victims[arguments.only]}
        result = {
            what: campaign(victim, folder / what, arguments.kills, rng, what)
            for what, victim in victims.items()
        }
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json(arguments.output, {"seed": arguments.seed, "commands": result})
    sys.exit(any(item["finds"] for item in result.values()))


def make_victims(folder: Path) -> dict[str, Victim]:
    """Return the commands, on galaxies and a run that are made here."""
    data = simple_galaxies(folder / "data", seed=1, number=60)
    run(["fit", "--data", data, *FIT, "--out", folder, "--name", "run"])
    images = data / "images_training_rev1"
    simulated = ["survey", "simulate", "--n", "120", "--seed", "5", "--masks", "--survey", "sdss"]

    def fit(at: Path) -> list:
        return ["fit", "--data", data, *FIT, "--out", at, "--name", "run"]

    def fit_on(at: Path) -> list:
        return ["fit", "--resume", at / "run"] if (at / "run").exists() else fit(at)

    def predict(at: Path) -> list:
        out = ["-o", f"{at}/out/", "--partition", "10", "--embeddings"]
        return ["predict", folder / "run", images, *out]

    def simulate(at: Path) -> list:
        return [*simulated, at / "sky"]

    def calibrate(at: Path) -> list:
        return ["calibrate", at / "run"]

    def copied(at: Path) -> None:
        shutil.copytree(folder / "run", at / "run")

    return {
        "fit": Victim(nothing, fit, fit_on),
        "predict": Victim(nothing, predict, predict),
        "survey simulate": Victim(nothing, simulate, simulate),
        "calibrate": Victim(copied, calibrate, calibrate),
    }


def nothing(at: Path) -> None:
    """Start from an empty folder."""


def campaign(victim: Victim, folder: Path, kills: int, rng: np.random.Generator, what: str) -> dict:
    """Return how long a command takes, when it was killed, and what differed."""
    at = folder / "at"
    whole, seconds = [], []
    for _ in range(2):
        fresh(victim, at)
        start = time.monotonic()
        run(victim.words(at))
        seconds.append(time.monotonic() - start)
        whole.append(digests(at))
    known = {name for name in whole[0] if whole[1].get(name) == whole[0][name]}
    moments, finds, ended = [], [], 0
    with Progress(f"killing {what}", kills, "kills") as progress:
        for number in range(kills):
            moment = rng.uniform(0, seconds[1])
            fresh(victim, at)
            killed = run(victim.words(at), moment, alone=number % 3 == 2)
            ended += not killed
            done = run(victim.go_on(at), check=False)
            moments.append(round(moment, 3))
            if fault := done or difference(whole[0], digests(at), known):
                finds.append({"moment": round(moment, 3), "fault": fault})
            progress.advance(1)
    shutil.rmtree(folder)
    return {
        "seconds": round(seconds[1], 2),
        "compared_files": len(known),
        "other_files": sorted(whole[0].keys() - known),
        "kills": kills - ended,
        "ended_before": ended,
        "moments": moments,
        "finds": finds,
    }


def fresh(victim: Victim, at: Path) -> None:
    """Make the folder anew: the same path each time, since some files name it."""
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir(parents=True)
    victim.prepare(at)


def run(words: list, kill_after: float | None = None, alone: bool = False, check: bool = True):
    """Run a command.

    Args:
        words: after `cli.py`.
        kill_after: seconds; then True is returned if it was killed.
        alone: kill it without the processes that it started.
        check: stop at an error rather than return what the command said of it.
    """
    process = subprocess.Popen(
        [sys.executable, "cli.py", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        if alone:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        return True
    if kill_after is not None:
        return False
    if process.returncode and check:
        sys.exit(f"{' '.join(map(str, words))}\n{output}")
    return output[-2000:] if process.returncode else ""


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder, by its path there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def difference(whole: dict[str, str], repeated: dict[str, str], known: set[str]) -> str:
    """Return in a line how files differ from the undisturbed ones, or nothing."""
    faults = [
        ("missing", sorted(whole.keys() - repeated.keys())),
        ("left over", sorted(repeated.keys() - whole.keys())),
        (
            "differ",
            sorted(name for name in known if name in repeated and repeated[name] != whole[name]),
        ),
    ]
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in faults if names)


if __name__ == "__main__":
    main()

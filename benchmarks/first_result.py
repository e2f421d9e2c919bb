"""How long each command takes to its first line and to its end, on 200 simulated galaxies.

python benchmarks/first_result.py
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from galaxymorph.survey import Simulation, simulate

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run every command once and print a table."""
    with tempfile.TemporaryDirectory(prefix="galaxymorph-first-") as folder:
        work = Path(folder)
        data = simulate(work / "sky", Simulation(200, ("sdss",), seed=1))
        image = next((data / "images_training_rev1").iterdir())
        run = work / "run"
        fit = ["fit", "--data", data, "--weights", "galaxymorph", "--out", work, "--name", "run"]
        commands = [
            ["--help"],
            ["data", "check", data],
            fit,
            ["interpret", run],
            ["predict", image],
            ["predict", run, image],
            ["predict", run, image, "--precision", "auto"],
            ["export", run, "--format", "onnx-int8"],
            ["predict", run, image, "--precision", "int8"],
            ["reproduce", run],
        ]
        print(f"{'first line':>10}  {'end':>6}  command")
        for command in commands:
            first, end = timed(command, work / "cache")
            shown = " ".join("RUN" if word == run else str(word) for word in command)
            print(f"{first:9.2f}s  {end:5.2f}s  {shown.replace(str(work), '…')}", flush=True)
        for model in ([], [run]):
            first, end = served(model, image, work / "cache")
            shown = " ".join(["serve", *("RUN" for _ in model)])
            print(f"{first:9.2f}s  {end:5.2f}s  {shown}, to its first answer", flush=True)


def served(model: list, image: Path, cache: Path) -> tuple[float, float]:
    """Return the seconds to the address of a server, and to its answer to an image."""
    start = time.perf_counter()
    command = [sys.executable, str(ROOT / "cli.py"), "serve", *map(str, model), "--port", "0"]
    variables = {**os.environ, "GALAXYMORPH_CACHE": str(cache)}
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        address = process.stdout.readline().strip()
        first = time.perf_counter() - start
        request = urllib.request.Request(f"{address}predict", image.read_bytes())
        # An image that is unlike galaxies is answered by a refusal.
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=60).read()
        end = time.perf_counter() - start
        process.terminate()
    return first, end


def timed(command: list, cache: Path) -> tuple[float, float]:
    """Return the seconds to a command's first line, on either stream, and to its end."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), *map(str, command)],
        env={**os.environ, "GALAXYMORPH_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    line = process.stdout.readline()
    first = time.perf_counter() - start
    rest = process.stdout.read()
    if process.wait():
        raise SystemExit(line + rest[-2000:])
    return first, time.perf_counter() - start


if __name__ == "__main__":
    main()

"""Inputs that atheris makes, so that they reach new code, to everything that reads a file.

    pip install atheris
    python benchmarks/fuzz_guided.py --inputs 6000 --keep finds/ -o fuzz-guided.json

The readers, their sound files and what counts as a find are those of `fuzz.py`; here each has
a process of its own, in which atheris (libFuzzer) watches the branches that an input takes through
this package and the standard library's parsers, and changes further whatever took a new one.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
WATCHED = ["galaxymorph", "zipfile", "gzip", "astropy.io.fits"]
with atheris.instrument_imports(include=WATCHED):
    from benchmarks import fuzz
    from galaxymorph.base import write_json
    from galaxymorph.learn import environment


def main() -> None:
    """Start a process a reader, one after another; add up, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=6_000, help="of each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="one of the readers")
    parser.add_argument("--keep", type=Path, default=Path("finds"))
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--found", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    readers = fuzz.sound_files()
    if arguments.found:
        guided(arguments.only, readers[arguments.only], arguments)
    record = {"inputs": 0, "seed": arguments.seed, "outcomes": {}, "finds": []}
    for name in [arguments.only] if arguments.only else readers:
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "found.json"
            words = [sys.executable, __file__, "--only", name, "--found", result]
            words += ["--inputs", arguments.inputs, "--seed", arguments.seed]
            done = subprocess.run(
                [*map(str, words), "--keep", str(arguments.keep)], capture_output=True, text=True
            )
            if not result.exists():
                sys.exit(f"error: {name}: {done.stderr[-2000:]}")
            of_reader = json.loads(result.read_text())
        print(name, of_reader["outcomes"], *of_reader["finds"], sep="\n", flush=True)
        record["inputs"] += sum(of_reader["outcomes"].values())
        record["outcomes"][name] = of_reader["outcomes"]
        record["finds"] += of_reader["finds"]
    if arguments.output:
        write_json(arguments.output, record | {"environment": environment()})
    sys.exit(1 if record["finds"] else 0)


def guided(name: str, reader: fuzz.Reader, arguments: argparse.Namespace) -> None:
    """Feed one reader, write what came of it after its last input, and end the process."""
    outcomes, finds = Counter(), []

    def feed(data: bytes) -> None:
        outcome, words = fuzz.fed(reader, data)
        outcomes[outcome] += 1
        if outcome == "find":
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / f"guided-{name}-{sum(outcomes.values())}").write_bytes(data)
            finds.append(f"{name}: {words}")
        if sum(outcomes.values()) >= arguments.inputs:
            write_json(arguments.found, {"outcomes": dict(outcomes), "finds": finds})
            sys.exit(0)

    # What is imported late is watched too.
    with atheris.instrument_imports(include=WATCHED):
        fuzz.require_sound({name: reader})
    with tempfile.TemporaryDirectory() as corpus:
        for number, sound in enumerate(reader.sound):
            (Path(corpus) / str(number)).write_bytes(sound)
        longest = 2 * max(map(len, reader.sound))
        flags = [f"-seed={arguments.seed}", f"-max_len={longest}", "-len_control=0"]
        # Time is watched by fuzz.py, whose alarm is the same signal.
        flags += ["-handle_alrm=0", "-timeout=0", "-rss_limit_mb=0"]
        # On the way out libFuzzer keeps its last input as if it had crashed.
        flags += [f"-artifact_prefix={corpus}/"]
        atheris.Setup([sys.argv[0], *flags, corpus], feed)
        fuzz.watch_time()
        atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Damaged files by the ten thousand to everything that reads one.

    python benchmarks/fuzz.py --inputs 100000 --keep finds/

Each input is a sound file with some of its bytes flipped, cut, doubled, spliced or replaced by what
breaks parsers. It may be read, or refused by `BadInput` in one line; any other error, ten seconds,
two gigabytes more of memory, or a file that appears anywhere but where it should is a find, and is
kept with what it did. Run it in the checkout: it takes the makers of the tests' files.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import logging
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from galaxymorph.base import BadInput, Progress, write_json
from galaxymorph.cli import main as cli
from galaxymorph.images import decode_bytes
from galaxymorph.judge.calibration.stored_calibration import load_calibrators, sets_of
from galaxymorph.learn import Run, environment, make_recipe
from galaxymorph.learn.recipe import recipe_to_dict
from galaxymorph.learn.run_files import DESCRIPTION, WEIGHTS
from galaxymorph.predict import load_predictor
from galaxymorph.predict.listing import list_images
from galaxymorph.zoo import read_catalogue, read_votes
from tests.makers import IMAGES, TABLE, galaxy_images, image_bytes, table_bytes, zip_bytes
from tests.simple import simple_galaxies
from tests.zoo.test_votes import made_votes

QUICK = Path(__file__).parents[1] / "tests" / "quick.json"
SECONDS, MEMORY = 10, 2 << 30
NASTY = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"NaN",
    b"nan",
    b"inf",
    b"-1",
    b"1e999",
    b"1e-320",
    b"9" * 400,
    b"''",
    b'"',
    b"\n\n",
    b"\r",
    b",,,",
    b"{}",
    b"[" * 500,
    b"null",
    b"true",
    b"../../x",
    b"/etc/passwd",
    b"%s%n",
    "\u202e\u0000".encode(),
    b"\x80\x81",
    b"PK\x03\x04",
    b"\x1f\x8b",
]
VALUES = [
    "null",
    "true",
    "-1",
    "0",
    "0.5",
    "1e308",
    "1" + "0" * 30,
    "NaN",
    '""',
    '"x"',
    '"\\u202e"',
    "[]",
    "{}",
    "[[]]",
    '["a", "a"]',
    '{"a": 1}',
    "[" + "0, " * 5000 + "0]",
]


@dataclass(frozen=True)
class Reader:
    """What is read: sound bytes, and how often of a hundred inputs it is chosen."""

    sound: list[bytes]
    read: Callable[[Path, bytes], object]
    weight: int


def main() -> None:
    """Feed, count, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one of the readers")
    parser.add_argument("--keep", type=Path, default=Path("finds"))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    readers = sound_files()
    if arguments.only:
        readers = {arguments.only: readers[arguments.only]}
    watch_time()
    require_sound(readers)
    rng = np.random.default_rng(arguments.seed)
    names = list(readers)
    odds = np.array([readers[name].weight for name in names], float)
    drawn = rng.choice(names, arguments.inputs, p=odds / odds.sum())
    outcomes, finds, start = Counter(), [], time.perf_counter()
    with Progress("feeding", len(drawn), "inputs") as progress:
        for number, name in enumerate(drawn):
            reader = readers[name]
            sound = reader.sound[rng.integers(len(reader.sound))]
            data = damaged(sound, rng)
            outcome, words = fed(reader, data)
            outcomes[f"{name}: {outcome}"] += 1
            if outcome == "find":
                arguments.keep.mkdir(parents=True, exist_ok=True)
                (arguments.keep / f"{name}-{number}").write_bytes(data)
                finds.append({"reader": name, "input": number, "what": words})
            progress.advance()
    record = {
        "inputs": len(drawn),
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - start, 1),
        "outcomes": dict(sorted(outcomes.items())),
        "kinds_of_find": dict(Counter(find["what"].splitlines()[-1] for find in finds)),
        "environment": environment(),
    }
    print(json.dumps({key: record[key] for key in ("outcomes", "kinds_of_find")}, indent=1))
    for find in finds[:20]:
        print(find["reader"], find["input"], find["what"], sep="\n", end="\n\n")
    if arguments.output:
        write_json(arguments.output, record)
    sys.exit(1 if finds else 0)


def watch_time() -> None:
    """Let the alarm of `fed` stop what takes too long."""
    signal.signal(signal.SIGALRM, _too_long)


def require_sound(readers: dict[str, Reader]) -> None:
    """End the process unless each reader takes its sound files: a refused one tries little."""
    for name, reader in readers.items():
        for sound in reader.sound:
            outcome, words = fed(reader, sound)
            if outcome != "read":
                sys.exit(f"error: {name}: its sound file is no longer read: {outcome} {words}")


def fed(reader: Reader, data: bytes) -> tuple[str, str]:
    """Return read, refused or find, and of a find its traceback."""
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "inside"
        inside.mkdir()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.alarm(SECONDS)
        try:
            reader.read(inside, data)
            outcome, words = "read", ""
        except BadInput as error:
            lines = len(str(error).splitlines())
            outcome, words = ("refused", "") if lines == 1 else ("find", f"{lines} lines: {error}")
        except Exception:
            outcome, words = "find", traceback.format_exc(limit=-4)
        finally:
            signal.alarm(0)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > MEMORY:
            return "find", f"{grown:,} bytes of memory"
        strays = [path.name for path in Path(folder).iterdir() if path.name != "inside"]
        return ("find", f"wrote {strays}") if strays else (outcome, words)


def damaged(sound: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes changed in one to four places, or JSON with other values."""
    if sound[:1] == b"{" and rng.random() < 0.5:
        return misled(sound, rng)
    data = bytearray(sound)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(len(data) + 1))
        # Headers are short, and most of what breaks is there.
        at = min(at, int(rng.integers(1, 600))) if rng.random() < 0.5 else at
        many = int(rng.integers(1, 40))
        kind = rng.integers(6)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] = int(rng.integers(256))
        elif kind == 1:
            del data[at : at + many]
        elif kind == 2:
            data[at:at] = data[at : at + many]
        elif kind == 3:
            word = NASTY[rng.integers(len(NASTY))]
            data[at : at + len(word)] = word
        elif kind == 4:
            other = int(rng.integers(len(data) + 1))
            data[at:at] = data[other : other + many]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def misled(sound: bytes, rng: np.random.Generator) -> bytes:
    """Return JSON in which one to three values are of another kind or gone."""
    value = json.loads(sound)
    for _ in range(rng.integers(1, 4)):
        holder, key = value, None
        while isinstance(holder, dict | list) and holder:
            inside, keys = holder, list(holder if isinstance(holder, dict) else range(len(holder)))
            key = keys[rng.integers(len(keys))]
            holder = inside[key]
            if rng.random() < 0.3:
                break
        if key is None:
            break
        if rng.random() < 0.2:
            del inside[key]
        else:
            inside[key] = json.loads(VALUES[rng.integers(len(VALUES))])
    return json.dumps(value).encode()


def sound_files() -> dict[str, Reader]:
    """Return the readers by name."""
    images = galaxy_images(6)
    votes = {
        ending: _written(made_votes(name, 8), ending)
        for name, ending in (("galaxy-zoo-2", ".csv"), ("galaxy-zoo-decals", ".parquet"))
    }
    listing = pd.DataFrame({"id": range(6), "image": list(images)})
    fits = _written(made_votes("galaxy-zoo-2", 8), ".fits")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8))
    recipe = json.dumps({"recipe": recipe_to_dict(make_recipe("small", {}))}).encode()
    whole = zip_bytes({TABLE: table_bytes(6), **{f"{IMAGES}/{k}": v for k, v in images.items()}})
    return {
        "kaggle table": Reader([table_bytes(6)], _kaggle(TABLE, images), 16),
        "packed table": Reader([gzip.compress(table_bytes(6))], _kaggle(f"{TABLE}.gz", images), 6),
        "zip": Reader(
            [whole], lambda folder, data: read_catalogue(_put(folder, "all.zip", data)), 10
        ),
        "votes csv": Reader([votes[".csv"]], _votes(".csv"), 8),
        "votes parquet": Reader([votes[".parquet"]], _votes(".parquet"), 6),
        "votes fits": Reader([fits], _votes(".fits"), 6),
        "images of votes": Reader([votes[".csv"]], _images_of_votes, 4),
        "listing": Reader(
            [_written(listing, ".csv"), b"id,image\n1,a.jpg"],
            lambda folder, data: list(list_images(_put(folder, "list.csv", data))),
            6,
        ),
        "listing parquet": Reader(
            [_written(listing, ".parquet")],
            lambda folder, data: list(list_images(_put(folder, "list.parquet", data))),
            4,
        ),
        "listing fits": Reader(
            [_written(listing, ".fits")],
            lambda folder, data: list(list_images(_put(folder, "list.fits", data))),
            4,
        ),
        "jpeg": Reader([image_bytes(picture)], _image("a.jpg"), 12),
        "png": Reader([image_bytes(picture, "PNG")], _image("a.png"), 8),
        "fits image": Reader(_fits_images(), _image("a.fits"), 8),
        "recipe": Reader(
            [recipe], lambda folder, data: make_recipe(str(_put(folder, "r.json", data)), {}), 10
        ),
        "run": _in_run("recipe.json", _settings),
        "split": _in_run("split.csv", lambda run: run.split),
        "predictions": _in_run("predictions_test.parquet", lambda run: run.predictions("test")),
        "calibration": _in_run("calibration.json", _mended),
        "model words": _model(DESCRIPTION, 4),
        "model weights": _model(WEIGHTS, 2),
    }


def _put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _written(table: pd.DataFrame, ending: str) -> bytes:
    if ending == ".csv":
        return table.to_csv(index=False).encode()
    stream = io.BytesIO()
    if ending == ".parquet":
        table.to_parquet(stream, index=False)
        return stream.getvalue()
    from astropy.table import Table

    Table.from_pandas(table).write(stream, format="fits")
    return stream.getvalue()


def _kaggle(name: str, images: dict[str, bytes]) -> Callable[[Path, bytes], object]:
    def read(folder: Path, data: bytes) -> object:
        (folder / IMAGES).mkdir()
        for image in images:
            (folder / IMAGES / image).touch()
        _put(folder, name, data)
        catalogue = read_catalogue(folder)
        return catalogue.rejected()

    return read


def _votes(ending: str) -> Callable[[Path, bytes], object]:
    return lambda folder, data: read_votes(_put(folder, f"votes{ending}", data))


def _images_of_votes(folder: Path, data: bytes) -> object:
    (folder / IMAGES).mkdir()
    for number in range(8):
        (folder / IMAGES / f"J{number:04}.jpg").touch()
    return read_catalogue(_put(folder, "v.csv", data), schema="galaxy-zoo-2")


def _image(name: str) -> Callable[[Path, bytes], object]:
    return lambda folder, data: np.asarray(decode_bytes(data, name))


def _fits_images() -> list[bytes]:
    from astropy.io import fits

    result = []
    for values in (np.ones((24, 24)), np.random.default_rng(1).normal(0, 1, (3, 24, 24))):
        stream = io.BytesIO()
        fits.PrimaryHDU(values.astype("float32")).writeto(stream)
        result += [stream.getvalue(), gzip.compress(stream.getvalue())]
    return result[::2]


@cache
def _sound_run() -> Run:
    """Return a finished and calibrated run of the smallest network of timm."""
    folder = Path(_folder().name)
    simple_galaxies(folder / "data", seed=1, number=36)
    made = ["--arch", "test_resnet", "--size", "32", "--epochs", "1", "--no-cache"]
    words = ["--data", folder / "data", "--recipe", QUICK, "--out", folder, "--name", "run", *made]
    for command in (["fit", *words], ["calibrate", folder / "run"]):
        output = io.StringIO()
        try:
            with redirect_stdout(output), redirect_stderr(output):
                cli([str(word) for word in command])
        except SystemExit as stop:
            if stop.code:
                sys.exit(f"error: no sound run: {output.getvalue()[-2000:]}")
    return Run(folder / "run")


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


def _in_run(name: str, read: Callable[[Run], object]) -> Reader:
    """Return the reader of one file of a run, whose others are sound."""
    sound = _sound_run().path

    def reader(folder: Path, data: bytes) -> object:
        for path in sound.iterdir():
            (folder / path.name).symlink_to(path)
        (folder / name).unlink()
        _put(folder, name, data)
        return read(Run(folder))

    return Reader([(sound / name).read_bytes()], reader, 4)


def _settings(run: Run) -> object:
    run.require_trained()
    return run.recipe, run.classes, run.outputs, run.data


def _mended(run: Run) -> object:
    bare = np.full((2, len(run.classes)), 1 / len(run.classes))
    mended = [calibrator(bare) for calibrator in load_calibrators(run)]
    return mended, sets_of(run, bare[None], 0.9)


def _model(name: str, weight: int) -> Reader:
    """Return the reader of one of the two files that hold a model."""
    sound = {item: (_sound_run().path / item).read_bytes() for item in (DESCRIPTION, WEIGHTS)}
    image = image_bytes(Image.new("RGB", (24, 24)))

    def read(folder: Path, data: bytes) -> object:
        for item in sound:
            _put(folder, item, data if item == name else sound[item])
        return load_predictor(folder / WEIGHTS).predict([_put(folder, "a.jpg", image)])

    return Reader([sound[name]], read, weight)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"over {SECONDS} s")


if __name__ == "__main__":
    main()

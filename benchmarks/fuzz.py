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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from galaxymorph.base import BadInput, Progress, write_json
from galaxymorph.images import decode_bytes
from galaxymorph.learn import Run, environment, make_recipe
from galaxymorph.learn.recipes import recipe_to_dict
from galaxymorph.predict import load_predictor
from galaxymorph.predict.listing import list_images
from galaxymorph.zoo import read_catalogue, read_vote_catalogue, read_votes
from tests.makers import IMAGES, TABLE, galaxy_images, image_bytes, table_bytes, zip_bytes
from tests.zoo.test_votes import made_votes

SECONDS, MEMORY = 10, 2 << 30
NASTY = [
    b"", b"\0", b"\xff\xfe", b"NaN", b"nan", b"inf", b"-1", b"1e999", b"1e-320", b"9" * 400, b"''",
    b'"', b"\n\n", b"\r", b",,,", b"{}", b"[" * 500, b"null", b"true", b"../../x", b"/etc/passwd",
    b"%s%n", "\u202e\u0000".encode(), b"\x80\x81", b"PK\x03\x04", b"\x1f\x8b",
]  # fmt: skip


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
    """Return bytes changed in one to four places."""
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
    about, weights = _model()
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
        "images of votes": Reader(
            [votes[".csv"]],
            lambda folder, data: read_vote_catalogue(_put(folder, "v.csv", data), "galaxy-zoo-2"),
            4,
        ),
        "listing": Reader(
            [_written(listing, ".csv"), b"id,image\n"],
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
        "run": Reader([recipe], _run, 6),
        "model words": Reader([about], _model_reader(weights, "model.json"), 1),
        "model weights": Reader([weights], _model_reader(about, "model.safetensors"), 1),
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


def _image(name: str) -> Callable[[Path, bytes], object]:
    return lambda folder, data: np.asarray(decode_bytes(data, name))


def _fits_images() -> list[bytes]:
    from astropy.io import fits

    found = []
    for values in (np.ones((24, 24)), np.random.default_rng(1).normal(0, 1, (3, 24, 24))):
        stream = io.BytesIO()
        fits.PrimaryHDU(values.astype("float32")).writeto(stream)
        found += [stream.getvalue(), gzip.compress(stream.getvalue())]
    return found[::2]


def _run(folder: Path, data: bytes) -> object:
    _put(folder, "recipe.json", data)
    _put(folder, "calibration.json", data)
    run = Run(folder)
    run.require_trained()
    return run.recipe, run.classes, run.data


def _model() -> tuple[bytes, bytes]:
    import torch
    from safetensors.torch import save

    from galaxymorph.learn import build_model, pixel_stats
    from galaxymorph.learn.description import describe_model

    recipe = make_recipe("scratch", {"size": 32})
    model = build_model(recipe, 3)
    about = describe_model(recipe, ["a", "b", "c"], ["a", "b", "c"], pixel_stats(recipe.arch))
    torch.manual_seed(0)
    # A header and the start of its tensors: whole weights would be 45 MB an input.
    some = dict(list(model.state_dict().items())[:4])
    return json.dumps(about).encode(), save(some)


def _model_reader(other: bytes, name: str) -> Callable[[Path, bytes], object]:
    def read(folder: Path, data: bytes) -> object:
        beside = "model.safetensors" if name == "model.json" else "model.json"
        _put(folder, beside, other)
        return load_predictor(_put(folder, name, data))

    return read


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"over {SECONDS} s")


if __name__ == "__main__":
    main()

"""Active learning: the galaxies to be classified next, as a folder for Zooniverse."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from galaxymorph.base import (
    BadInput,
    Progress,
    as_utf8,
    counted,
    read_bytes,
    replace_folder,
    say,
    setting,
    sniff,
)
from galaxymorph.images import (
    THUMBNAIL,
    Inspection,
    Rendering,
    decode_bytes,
    first_copies,
    inspect_images,
    require_fits,
)
from galaxymorph.judge import choose_for_labelling, decompose_uncertainty, entropies_of
from galaxymorph.learn import Run, label_words
from galaxymorph.predict.images import drop_empty_frames, expand_catalogues, usable_images
from galaxymorph.predict.listing import NO_COLUMNS, ListedImage
from galaxymorph.predict.options import TableColumns
from galaxymorph.predict.overlap import COLUMN, describe_parts, load_split_parts
from galaxymorph.predict.prediction import say_skipped
from galaxymorph.predict.uncertainty_sources import open_uncertainty_source
from galaxymorph.zoo.image_files import galaxy_name

MANIFEST = "manifest.csv"
# Formats that Zooniverse shows, and the largest size in bytes (its help page on subject sets).
SHOWN = {"JPEG": ".jpg", "PNG": ".png"}
MAX_BYTES = 1_000_000
# Qualities tried for an image that is rendered, before it is shrunk.
QUALITIES = (95, 90, 80)


def choose_galaxies(
    run: Run, listed: Sequence[ListedImage], folder: Path, number: int = 100, source: str = "views"
) -> pd.DataFrame:
    """Write the chosen galaxies' images and a manifest into a new folder; return the manifest.

    Galaxies are chosen by mutual information, or by entropy with a single prediction, and for
    diversity; see `choose_for_labelling`. Of images with equal content or perceptual hash, only the
    most uncertain is a candidate. The manifest has `image`, a file beside it, `galaxy`, its id, and
    `#part`, that of the run's split. Zooniverse hides columns that start with # from volunteers,
    whom the model must not influence. JPEG and PNG under 1 MB are copied, others rendered as for
    the model; further images of one name are numbered.

    Args:
        run: trained.
        listed: ids and references, see `expand_catalogues`.
        folder: doesn't exist.
        number: how many are chosen.
        source: of `UNCERTAINTY_SOURCES`.

    Raises:
        BadInput: the folder exists, the run hasn't that source, or an image can't be used.
    """
    run.require_model()
    if folder.exists():
        raise BadInput(f"{folder} exists already", f"choose another {setting('output')}")
    usable = set(drop_empty_frames([row.image for row in listed], run.recipe))
    listed = [row for row in listed if row.image in usable]
    images = [row.image for row in listed]
    sample = open_uncertainty_source(run, source)
    with Progress("predicting", len(images), "images") as progress:
        samples, embeddings = sample(images, progress.advance)
    uncertainty = decompose_uncertainty(samples, entropies_of(run))
    value = uncertainty.total if len(samples) == 1 else uncertainty.epistemic
    inspections = inspect_images(images, rendering=run.recipe.rendering)
    candidates = _without_copies(inspections, value)
    chosen = candidates[
        choose_for_labelling(value[candidates], embeddings[candidates], number, run.recipe.seed)
    ]
    rows = [listed[at] for at in chosen]
    table = pd.DataFrame(
        {
            "galaxy": [row.id for row in rows],
            f"#{COLUMN}": _parts(run, rows, [inspections[at].digest for at in chosen]),
            "#mutual_information": uncertainty.epistemic[chosen].round(6),
            "#entropy": uncertainty.total[chosen].round(6),
            "#predicted": _predicted_words(run, uncertainty.mean[chosen]),
            "#source": [as_utf8(row.image) for row in rows],
        }
    )
    table.insert(0, "image", _write_images(folder, [row.image for row in rows], run, table))
    return table


def _parts(run: Run, rows: Sequence[ListedImage], digests: Sequence[str]) -> list[str | None]:
    """Return the part of each image in the run's split, and print how many have one."""
    split = load_split_parts(str(run.path))
    if split is None:
        return [None] * len(rows)
    parts = split.parts([row.id for row in rows], digests)
    if line := describe_parts(Counter(parts)):
        say(line)
    return parts


def _write_images(
    folder: Path, references: Sequence[str], run: Run, manifest: pd.DataFrame
) -> list[str]:
    """Write the images and the manifest into a new folder; return the names of the files."""
    names: list[str] = []
    with replace_folder(folder) as temporary:
        for reference in references:
            data, ending = _for_display(reference, run.recipe.rendering)
            names.append(_file_name(as_utf8(galaxy_name(reference)), ending, names))
            (temporary / names[-1]).write_bytes(data)
        table = manifest.copy()
        table.insert(0, "image", names)
        table.to_csv(temporary / MANIFEST, index=False)
    return names


def triage_files(
    run: Run,
    paths: Sequence[str],
    folder: Path,
    number: int = 100,
    source: str = "views",
    skip_bad: bool = False,
    stretch: str | None = None,
    bands: str | None = None,
    columns: TableColumns = NO_COLUMNS,
) -> pd.DataFrame:
    """Choose galaxies of files, folders, zips and tables, see `choose_galaxies`.

    Args:
        run: trained.
        paths: see `expand_catalogues`.
        folder: doesn't exist.
        number: how many are chosen.
        source: of `UNCERTAINTY_SOURCES`.
        skip_bad: exclude rows and images that can't be used, in place of raising BadInput.
        stretch: of FITS images, in place of the one that the run is trained on.
        bands: of FITS images, likewise.
        columns: of tables, see `list_images`.

    Raises:
        BadInput: as `choose_galaxies`, or no image can be used.
    """
    run = run.rendered(stretch, bands)
    run.require_trained()
    listed = expand_catalogues(paths, run.recipe.flux_bands, columns)
    faults = [row.fault for row in listed if row.fault]
    if faults and not skip_bad:
        raise BadInput(faults[0], f"correct the table, or give {setting('skip_bad')}")
    references = [row.image for row in listed if not row.fault]
    require_fits(references, {"stretch": stretch, "bands": bands})
    if skip_bad:
        usable, unusable = usable_images(references, [run.recipe.rendering])
        say_skipped(faults + unusable)
        if not usable:
            raise BadInput("none of the images can be used", "see the lines above")
        if left_out := len(listed) - len(usable):
            say(f"{left_out:,} of {counted(len(listed), 'image')} unusable and excluded")
        kept = set(usable)
        listed = [row for row in listed if row.image in kept]
    return choose_galaxies(run, listed, folder, number, source)


def _without_copies(inspections: Sequence[Inspection], value: np.ndarray) -> np.ndarray:
    """Return the positions of images in order, of copies only the most uncertain."""
    order = np.argsort(-value, kind="stable")
    # A uniform image is a copy of none by its looks, so that bytes are compared too.
    _, same = np.unique([inspections[at].digest or f"{at}" for at in order], return_inverse=True)
    alike = first_copies(np.array([_thumbnail(inspections[at]) for at in order]))
    keep = np.zeros(len(order), bool)
    known: set[int] = set()
    for at, (content, first) in enumerate(zip(same, alike, strict=True)):
        keep[at] = first == at and content not in known
        known.add(content)
    if left_out := int((~keep).sum()):
        say(f"{counted(left_out, 'copy')} of other images excluded")
    return np.sort(order[keep])


def _thumbnail(inspection: Inspection) -> np.ndarray:
    uniform = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
    return uniform if inspection.thumbnail is None else inspection.thumbnail


def _predicted_words(run: Run, mean: np.ndarray) -> list[str]:
    """Return each prediction's class, or the likeliest answer to a tree's first question."""
    names = list(label_words(run.recipe).values()) or run.classes
    return [names[at] for at in mean[:, : len(names)].argmax(axis=1)]


def _for_display(reference: str, rendering: Rendering) -> tuple[bytes, str]:
    """Return an image in a format that Zooniverse shows, and its ending."""
    data = read_bytes(reference)
    ending = SHOWN.get(sniff(data) or "")
    if ending and len(data) < MAX_BYTES:
        return data, ending
    image = decode_bytes(data, reference, rendering)
    while True:
        for quality in QUALITIES:
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=quality)
            if stream.tell() < MAX_BYTES:
                return stream.getvalue(), SHOWN["JPEG"]
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)


def _file_name(galaxy: str, ending: str, others: Sequence[str]) -> str:
    """Return a name for a galaxy's file that differs from others, also without regard to case."""
    taken = {MANIFEST, *map(str.lower, others)}
    numbered = (f"{galaxy}-{number}{ending}" for number in count(2))
    return next(
        name for name in chain([f"{galaxy}{ending}"], numbered) if name.lower() not in taken
    )

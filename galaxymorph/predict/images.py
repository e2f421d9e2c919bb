"""The images that paths, tables and Python objects name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import cast

from PIL import Image

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, as_utf8, say, setting, warn
from galaxymorph.images import (
    NO_CONTENT,
    NoContent,
    Rendering,
    Source,
    decode,
    inspect_images,
    require_some,
)
from galaxymorph.learn.recipe import Recipe
from galaxymorph.predict.listing import (
    NO_COLUMNS,
    ListedImage,
    image_folder,
    list_images,
    refuse_columns,
)
from galaxymorph.predict.options import TableColumns
from galaxymorph.zoo import (
    File,
    file_kind,
    in_test_part,
    in_training_part,
    is_zip,
    list_image_files,
    require_images,
)
from galaxymorph.zoo.band_files import one_file_a_galaxy, without_band
from galaxymorph.zoo.image_files import galaxy_name

Images = Source | Sequence[Source]


def expand_images(paths: Sequence[str], bands: Sequence[str] = ()) -> list[str]:
    """Return references of the images that the paths name: files, folders, zips, members of zips.

    A line is printed on other files of a folder or a zip.

    Args:
        paths: files, folders, zips, members of zips.
        bands: of flux, that a galaxy may have a file each of: one of them is listed.

    Raises:
        BadInput: there is no path, one is missing or is no image, or a folder or zip has none.
    """
    require_some(paths)
    return one_file_a_galaxy([file.reference for file in _files(paths)], bands)


def expand_catalogues(
    paths: Sequence[str], bands: Sequence[str] = (), columns: TableColumns = NO_COLUMNS
) -> list[ListedImage]:
    """Return the ids and references of the images that the paths name, those of tables first.

    An unreadable row of a table, or one without an image, has a fault, and no reference.

    Args:
        paths: as for `expand_images`, where ids are the files' names, and tables with ids, see
            `list_images`.
        bands: as for `expand_images`.
        columns: of the tables, see `list_images`.

    Raises:
        BadInput: as `expand_images`, or a table can't be read.
    """
    require_some(paths)
    tables = [path for path in paths if _is_table(path)]
    if not tables:
        refuse_columns(columns, "no table is given")
    files = _files([path for path in paths if path not in tables])
    listed = [row for table in tables for row in _of_table(table, columns)]
    references = one_file_a_galaxy([file.reference for file in files], bands)
    return listed + [
        ListedImage(as_utf8(without_band(galaxy_name(name), bands)), name) for name in references
    ]


def submission_images(paths: Sequence[str]) -> list[str]:
    """Return references of the test images that the paths name, for a submission to the challenge.

    Images in neither part of the challenge's layout are included, and training images only if the
    path names them.

    Raises:
        BadInput: as `expand_images`; or a folder or zip has training images and no test images.
    """
    require_some(paths)
    files = _files(paths)
    tests = [file for file in files if in_test_part(file.name)]
    if tests:
        if others := len(files) - len(tests):
            say(f"images excluded because they are not in the test part: {others:,}")
        return [file.reference for file in tests]
    training = sum(in_training_part(file.name) for file in files)
    if not training:
        return [file.reference for file in files]
    unnamed = next((path for path in paths if not in_training_part(_last_parts(path))), None)
    if unnamed is not None:
        raise BadInput(
            f"{unnamed}: {training:,} training images of the challenge and no test images",
            "put images_test_rev1.zip there, or name the images themselves",
        )
    warn(f"{training:,} images are in the training part and do not belong in a submission")
    return [file.reference for file in files]


def _files(paths: Sequence[str]) -> list[File]:
    """Return the images that the paths name, each once even if two of the folders contain it."""
    files: list[File] = []
    listed: set[str] = set()
    for path in paths:
        name = _last_parts(path)
        if not _is_place(path):
            _refuse_other_kinds(path)
            files.append(File(name, path))
            continue
        listing = list_image_files(path)
        require_images(path, listing)
        for note in listing.notes():
            say(f"{path}: {note}")
        new = [file for file in listing.images if file.reference not in listed]
        files += [File(f"{name}/{file.name}", file.reference) for file in new]
        listed.update(file.reference for file in new)
    return files


def _of_table(path: str, columns: TableColumns) -> list[ListedImage]:
    folder = Path(image_folder(path))
    rows = []
    for row in list_images(path, columns=columns):
        if row.fault or not row.image:
            fault = row.fault or f"{row.id or 'a row'} has no image"
            rows.append(ListedImage(row.id, "", f"{path}: {fault}"))
            continue
        rows.append(ListedImage(row.id, str(folder / row.image)))
    return rows


def _is_table(path: str) -> bool:
    return REFERENCE_SEPARATOR not in path and file_kind(path) == "a table"


def _refuse_other_kinds(path: str) -> None:
    """Raise BadInput if a path is that of a table, or of another file that is no image."""
    kind = file_kind(path) if REFERENCE_SEPARATOR not in path else None
    if kind == "a table":
        raise BadInput(
            f"{path}: a table, not an image",
            f"predict a catalogue with {setting('output')} FILE or {setting('output')} FOLDER/",
        )
    if kind:
        raise BadInput(f"{path}: {kind}, not an image", "give images, a folder or a zip of them")


def _is_place(path: str) -> bool:
    if is_zip(path):
        return True
    return REFERENCE_SEPARATOR not in path and not Path(path).is_file()


def _last_parts(path: str) -> str:
    """Return the name of a file, a folder or a zip, behind that of the folder it lies in."""
    *outer, last = Path(path.replace(REFERENCE_SEPARATOR, "/")).absolute().parts[-2:]
    return "/".join([*outer, last])


def as_sources(images: Images) -> list[Source]:
    """Return one source an image: a reference, bytes or pixels.

    Args:
        images: an image as `galaxymorph.images.as_image` takes it: a path, its bytes, an image of
            Pillow's, its pixels (an array of shape (height, width, 3), or a tensor), or a mapping
            from band to flux; or a sequence of them, or an array or tensor of a batch's pixels,
            with one axis more.

    Raises:
        BadInput: there is no image.
    """
    one = isinstance(images, str | Path | bytes | Image.Image | Mapping)
    if one or getattr(images, "ndim", 4) < 4:
        images = [cast(Source, images)]
    listed = cast("Iterable[Source]", images)
    sources: list[Source] = [str(image) if isinstance(image, Path) else image for image in listed]
    require_some(sources)
    return sources


def usable_images(
    references: Sequence[str], renderings: Iterable[Rendering]
) -> tuple[list[str], list[str]]:
    """Return the references that decode in each rendering, and the faults of the others.

    Those without a galaxy are included: they are rows of a prediction, with their status.
    """
    good, faults = [], []
    for reference in references:
        try:
            for rendering in renderings:
                decode(reference, rendering)
        except NoContent:
            pass
        except BadInput as error:
            faults.append(str(error))
            continue
        good.append(reference)
    return good, faults


def drop_empty_frames(references: Sequence[str], recipe: Recipe) -> list[str]:
    """Return the references whose frames can contain a galaxy; print the number of the others.

    Images that can't be used for another reason are included, and raise BadInput later.

    Args:
        references: of images.
        recipe: of the model, whose frame is inspected.
    """
    inspections = inspect_images(references, crop=recipe.crop, rendering=recipe.rendering)
    say_empty_frames(
        [inspection.fault for inspection in inspections if inspection.status in NO_CONTENT],
        inspections,
    )
    pairs = zip(references, inspections, strict=True)
    return [reference for reference, inspection in pairs if inspection.status not in NO_CONTENT]


def say_empty_frames(faults: Sequence[str], images: Sized) -> None:
    """Print how many of some images show no galaxy, with the first fault."""
    if faults:
        say(
            f"{len(faults):,} of {len(images):,} images have no prediction, for example {faults[0]}"
        )

"""The places of a catalogue's table and images: in a folder, a zip, or a zip of zips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from galaxymorph.base import FITS_ENDINGS, REFERENCE_SEPARATOR, BadInput, is_unsafe, listed, setting
from galaxymorph.zoo.band_files import without_band
from galaxymorph.zoo.image_files import (
    IMAGE_ENDINGS,
    ZIPS_DEEP,
    File,
    image_name,
    in_test_part,
    is_image,
    is_usable,
    is_zip,
    skipped_note,
    walk,
)
from galaxymorph.zoo.table_files import TABLE_ENDINGS

# Names of tables in the order of preference: Kaggle's, then those of other catalogues.
TABLES = ("training_solutions_rev1", "labels", "catalogue", "catalog")
# The challenge's endings first.
ENDINGS = tuple(dict.fromkeys((".csv", ".csv.gz", ".csv.zip", ".zip", ".parquet", *TABLE_ENDINGS)))
# FITS and zips may contain images instead, so that they are tables by a usual name only.
PLAIN_ENDINGS = tuple(set(TABLE_ENDINGS) - {*FITS_ENDINGS, ".csv.zip"})
IMAGES = "images_training_rev1"
# Tables of the challenge that are no catalogue: constant predictions.
BENCHMARK = "_benchmark"
# Written by `--skip-bad` into the current folder, which may be that of the catalogue.
REJECTED = "rejected.csv"


@dataclass(frozen=True)
class Layout:
    """References of a catalogue's table, and of its images by name without ending.

    `doubled` has further files of an image's name, such as a PNG beside the JPEG, and `skipped`
    counts files among the images that aren't images. `references` are those of images that the
    table's own column names, by galaxy, and `missing` the faults of others.
    """

    table: str
    images: dict[str, str]
    doubled: dict[str, list[str]]
    unsafe: list[str]
    skipped: Counter[str] = field(default_factory=Counter)
    references: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def image_of(self, galaxy: str) -> str | None:
        """Return the reference of a galaxy's image, None if there is none."""
        return self.references.get(galaxy) or self.images.get(self.name_of(galaxy))

    def fault_of(self, galaxy: str) -> str:
        """Return the fault of a galaxy without an image."""
        return self.missing.get(galaxy, f"no image {galaxy}.jpg")

    def name_of(self, galaxy: str) -> str:
        """Return a galaxy's name in `images`; its id may be the name of a file."""
        return galaxy if galaxy in self.images else image_name(galaxy)

    def by_galaxy(self, bands: Sequence[str]) -> Layout:
        """Return the layout with one file a galaxy, where its bands have a file each."""
        images: dict[str, str] = {}
        for name, reference in self.images.items():
            images.setdefault(without_band(name, bands), reference)
        return replace(self, images=images) if bands else self

    @property
    def note(self) -> str:
        """A line on the skipped files, empty if there are none."""
        return skipped_note(self.skipped)


def find_layout(path: str | Path, need_images: bool = True) -> Layout:
    """Return the places of the table and the images of a catalogue.

    The challenge's test images aren't of the galaxies in its training table. They belong to another
    table if there are no others.

    Args:
        path: a folder or a zip in the Kaggle layout, or a table with its images beside it.
        need_images: refuse a table without images beside it; its columns may say where they are.

    Raises:
        BadInput: the path doesn't exist, or has no table or no image.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(
            f"{path}: no such file or folder", "give a table, or the folder of Kaggle's files"
        )
    named = path.is_file() and not _is_archive(path.name)
    place, table = (path.parent, str(path)) if named else (path, None)
    fallback: Layout | None = None
    for enter in (_training_alone(place), _but_test, lambda name: True):
        if enter is None:
            continue
        unread: Counter[str] = Counter()
        files = list(walk(place, enter, unread, strict=False))
        table = table or _find_table(files)
        if table is None and enter is _but_test:
            unreadable = f" ({skipped_note(unread)})" if unread else ""
            raise BadInput(f"{path}: {_no_table(files)}{unreadable}", _no_table_remedy(files))
        if table and (layout := _layout(table, files, unread)).images:
            return layout
        if table and not need_images:
            fallback = layout
        if table and PurePosixPath(table).name.startswith(TABLES[0]) and enter is _but_test:
            break
    if fallback is not None:
        return fallback
    raise BadInput(f"no images for {table}", f"put {IMAGES}.zip or the folder {IMAGES}/ beside it")


def has_catalogue(folder: Path) -> bool:
    """Return whether a folder has a table of galaxies, or a zip that does."""
    return folder.is_dir() and _find_table(list(walk(folder, _but_test, strict=False))) is not None


def tables_and_images(folder: Path) -> list[str]:
    """Return the tables and images in a folder, and the folders of such."""
    endings = (*ENDINGS, *IMAGE_ENDINGS)
    files = walk(folder, _but_test, strict=False) if folder.is_dir() else ()
    names = {file.name.split("/")[0] for file in files if file.name.lower().endswith(endings)}
    return sorted(names - {REJECTED})


def _but_test(name: str) -> bool:
    """Return whether a folder or a zip may contain training images."""
    last = name.rpartition("/")[2]
    return not in_test_part(last) and BENCHMARK not in last


def _training_alone(place: Path) -> Callable[[str], bool] | None:
    """Return a filter for the challenge's training images, None if there are none.

    A table may be in a folder with many other files.
    """
    if not place.is_dir() or not any(item.stem == IMAGES for item in place.iterdir()):
        return None
    return lambda name: name.startswith((IMAGES, *TABLES))


def _layout(table: str, files: Sequence[File], unread: Counter[str]) -> Layout:
    files = _of_one_catalogue(table, files)
    for chosen in (_training_images(files), files):
        skipped = Counter(unread)
        groups: dict[str, list[str]] = {}
        for file in chosen:
            if not _is_table(file, table) and is_image(file, skipped):
                groups.setdefault(image_name(file.name), []).append(file.reference)
        if groups:
            break
    return Layout(
        table,
        {name: references[0] for name, references in groups.items()},
        {name: references[1:] for name, references in groups.items() if len(references) > 1},
        [file.reference for file in files if is_unsafe(file.name)],
        skipped,
    )


def _last(file: File) -> str:
    return file.name.rpartition("/")[2]


def _is_table(file: File, table: str) -> bool:
    """Return whether a file is the table, which may be FITS, as images are, but not a JPEG."""
    if not file.reference.endswith(table.rpartition("/")[2]):
        return False
    lower = table.lower()
    may_be = lower.endswith(FITS_ENDINGS) or not lower.endswith(IMAGE_ENDINGS)
    return may_be and (file.reference == table or Path(file.reference) == Path(table))


def _training_images(files: Sequence[File]) -> list[File]:
    """Return the files of the folder or zip called `IMAGES`, the uppermost if there are several."""
    depths = {
        file: parts.index(IMAGES)
        for file in files
        if IMAGES in (parts := file.name.split("/")[:-1])
    }
    uppermost = min(depths.values(), default=0)
    return [file for file, depth in depths.items() if depth == uppermost]


def _of_one_catalogue(table: str, files: Sequence[File]) -> Sequence[File]:
    """Return the files without those of subfolders with another table."""
    others = {
        f"{Path(file.reference).parent}/"
        for file in files
        if _last(file).startswith(TABLES)
        and file.name.lower().endswith(ENDINGS)
        and "/" in file.name
        and REFERENCE_SEPARATOR not in file.reference
        and not Path(file.reference).parent.name.startswith(TABLES)
        and Path(file.reference).parent != Path(table).parent
    }
    if not others:
        return files
    return [file for file in files if not file.reference.startswith(tuple(others))]


def _find_table(files: Sequence[File]) -> str | None:
    candidates = _candidates(files)
    for stem in TABLES:
        for level in candidates:
            for ending in ENDINGS:
                if stem + ending in level:
                    return level[stem + ending]
    for level in candidates:
        if tables := _other_tables(level):
            return level[tables[0]] if len(tables) == 1 else None
    return None


def _candidates(files: Sequence[File]) -> list[dict[str, str]]:
    """Return possible tables by name: outside of zips, in zips, in zips of zips, …."""
    levels: list[dict[str, str]] = [{} for _ in range(ZIPS_DEEP + 1)]
    for file in files:
        depth = file.reference.count(REFERENCE_SEPARATOR)
        if is_usable(file.name) and (depth or "/" not in file.name or file.name.startswith(TABLES)):
            levels[depth].setdefault(_last(file).lower(), file.reference)
    return levels


def _other_tables(candidates: dict[str, str]) -> list[str]:
    return [name for name in candidates if name.endswith(PLAIN_ENDINGS) and name != REJECTED]


def _no_table(files: Sequence[File]) -> str:
    several = next(filter(None, map(_other_tables, _candidates(files))), [])
    if several:
        return f"{len(several)} tables ({', '.join(several[:3])}), and none is called {TABLES[0]}"
    deeper = [
        file.name
        for file in files
        if file.name.lower().endswith((*PLAIN_ENDINGS, ".csv.zip")) and is_usable(file.name)
    ]
    return "no table of galaxies" + (f", only one in a subfolder ({deeper[0]})" if deeper else "")


def _no_table_remedy(files: Sequence[File]) -> str:
    """Return a remedy if there is no table: to write one, if folders may be classes."""
    images = [file.name for file in files if file.name.lower().endswith(IMAGE_ENDINGS)]
    folders = sorted({PurePosixPath(name).parent.name for name in images} - {""})
    if len(folders) > 1 and not any(map(_other_tables, _candidates(files))):
        return (
            f"if the folders are classes ({listed(folders, 3)}), write a table of the columns "
            "GalaxyID (a file's name) and label (its folder's) there, and give "
            f"{setting('labels_column', 'label')}"
        )
    return f"give the folder or the path of the table, or put {TABLES[0]}.csv there"


def _is_archive(name: str) -> bool:
    return is_zip(name) and not name.lower().startswith(TABLES)

"""Where a catalogue's table and images are: a folder, a zip, or a zip of zips, nothing unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, is_unsafe, list_members

# First the Kaggle names, in the order of preference, then what other catalogues are called.
TABLES = ("training_solutions_rev1", "labels", "catalogue", "catalog")
TABLE_ENDINGS = (".csv", ".csv.gz", ".csv.zip", ".zip", ".parquet")
IMAGES = "images_training_rev1"
IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz",
)  # fmt: skip
# `kaggle competitions download` leaves this one.
OUTER_ZIP = "galaxy-zoo-the-galaxy-challenge.zip"
# `--skip-bad` writes it into the current folder, which may be the catalogue's own.
REJECTED = "rejected.csv"


@dataclass(frozen=True)
class Layout:
    """A catalogue's parts as references: its table, and each image by its name without ending.

    `doubled` holds what was found under an image's name again, such as a PNG beside the JPEG.
    """

    table: str
    images: dict[str, str]
    doubled: dict[str, str]
    unsafe: list[str]


def find_layout(path: str | Path) -> Layout:
    """Find the table and the images of a catalogue.

    Args:
        path: a folder or a zip in the Kaggle layout, or a table with its images beside it.

    Raises:
        BadInput: the path isn't there, or holds no table or no image.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder", "give the folder with the Kaggle files")
    if path.is_file() and not _is_zip(path.name):
        return _layout(str(path), dict(_entries(path.parent)))
    entries = dict(_entries(path))
    table = _find_table(entries)
    if table is None:
        raise BadInput(
            f"{path}: {_what_tables(entries)}",
            f"put {TABLES[0]}.csv there, or give the path of the table itself",
        )
    return _layout(table, entries)


def has_catalogue(folder: Path) -> bool:
    """Tell whether a folder holds a table of galaxies, or a zip that does."""
    return folder.is_dir() and _find_table(dict(_entries(folder))) is not None


def tables_and_images(folder: Path) -> list[str]:
    """Return what in a folder could be meant as a catalogue: files, and folders of such."""
    endings = (*TABLE_ENDINGS, *IMAGE_ENDINGS)
    names = [name for name, _ in _entries(folder)] if folder.is_dir() else []
    found = {name.split("/")[0] for name in names if name.lower().endswith(endings)}
    return sorted(found - {REJECTED})


def image_references(path: str | Path) -> list[str]:
    """Return a reference of every image in a folder or a zip, in the order that it lists them.

    Raises:
        BadInput: the path isn't there.
    """
    if not Path(path).exists():
        raise BadInput(f"{path}: no such file or folder", "check the path")
    return [reference for name, reference in _entries(Path(path)) if _is_image(name)]


def image_name(name: str) -> str:
    """Return an image's name without its folder and its ending, both of them in .fits.gz."""
    last = PurePosixPath(name).name
    ending = max((e for e in IMAGE_ENDINGS if last.lower().endswith(e)), key=len, default="")
    return last[: -len(ending)] if ending else PurePosixPath(last).stem


def is_usable(name: str) -> bool:
    """Tell whether a file may be opened: its name stays inside, and it is no shadow of macOS's."""
    return not is_unsafe(name) and not PurePosixPath(name).name.startswith("._")


def _layout(table: str, entries: dict[str, str]) -> Layout:
    images, doubled = _by_stem(
        {name: ref for name, ref in entries.items() if IMAGES in PurePosixPath(name).parts}
    )
    if not images:
        images, doubled = _by_stem(entries)
    if not images:
        raise BadInput(
            f"no images for {table}", f"put {IMAGES}.zip or the folder {IMAGES}/ beside it"
        )
    unsafe = [reference for name, reference in entries.items() if is_unsafe(name)]
    return Layout(table, images, doubled, unsafe)


def _by_stem(entries: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    images: dict[str, str] = {}
    doubled: dict[str, str] = {}
    for name, reference in entries.items():
        if _is_image(name):
            stem = image_name(name)
            (doubled if stem in images else images)[stem] = reference
    return images, doubled


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_ENDINGS) and is_usable(name)


def _find_table(entries: dict[str, str]) -> str | None:
    candidates = _candidates(entries)
    for stem in TABLES:
        for ending in TABLE_ENDINGS:
            if stem + ending in candidates:
                return candidates[stem + ending]
    tables = _other_tables(candidates)
    return candidates[tables[0]] if len(tables) == 1 else None


def _candidates(entries: dict[str, str]) -> dict[str, str]:
    return {
        PurePosixPath(name).name: reference
        for name, reference in entries.items()
        if ("/" not in name or name.startswith(TABLES) or REFERENCE_SEPARATOR in reference)
        and is_usable(name)
    }


def _other_tables(candidates: dict[str, str]) -> list[str]:
    endings = (".csv", ".csv.gz", ".parquet")
    return [name for name in candidates if name.endswith(endings) and name != REJECTED]


def _what_tables(entries: dict[str, str]) -> str:
    several = _other_tables(_candidates(entries))
    if several:
        return f"{len(several)} tables ({', '.join(several[:3])}), and none is called {TABLES[0]}"
    deeper = [name for name in entries if name.endswith(TABLE_ENDINGS[:3]) and is_usable(name)]
    return "no table of galaxies" + (f" but {deeper[0]}, in a folder of its own" if deeper else "")


def _entries(place: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the reference of every file at most one folder or zip further in."""
    if place.is_file():
        yield from _zip_entries(str(place))
        return
    for item in sorted(place.iterdir()):
        if item.is_dir():
            yield from (
                (f"{item.name}/{file.name}", str(file))
                for file in sorted(item.iterdir())
                if file.is_file()
            )
            continue
        yield item.name, str(item)
        if item.name == OUTER_ZIP or _is_image_zip(item.name):
            yield from _zip_entries(str(item))


def _zip_entries(reference: str) -> Iterator[tuple[str, str]]:
    folder = PurePosixPath(reference.split(REFERENCE_SEPARATOR)[-1]).stem
    for member in list_members(reference):
        inside = f"{reference}{REFERENCE_SEPARATOR}{member}"
        # A zip of images may hold them bare or in the folder it is named after.
        name = f"{folder}/{member}" if "/" not in member else member
        yield name, inside
        # One zip further in and no more: a zip can be made that holds itself.
        if _is_image_zip(member) and not is_unsafe(name) and REFERENCE_SEPARATOR not in reference:
            yield from _zip_entries(inside)


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip") and not name.startswith(TABLES)


def _is_image_zip(name: str) -> bool:
    return PurePosixPath(name).name.startswith("images") and _is_zip(name) and "test" not in name

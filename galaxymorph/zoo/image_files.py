"""The images in a folder or a zip: the listing that all commands use.

Images lie at any depth, in folders and in zips of any name. Files with an unknown ending are
recognised by their first bytes. Skipped files are counted by kind.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from galaxymorph.base import (
    FITS_ENDINGS,
    FITS_HEAD,
    HEAD,
    REFERENCE_SEPARATOR,
    BadInput,
    is_fits_table,
    is_unsafe,
    list_members,
    plain_name,
    read_bytes,
    read_head,
    sniff,
)

# Endings of images, and of other files, that needn't be opened to be recognised.
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".jp2"),
    *FITS_ENDINGS,
)
OTHER_ENDINGS = (
    *(".csv", ".csv.gz", ".tsv", ".txt", ".md", ".rst", ".json", ".yaml", ".yml", ".toml"),
    *(".parquet", ".feather", ".ecsv", ".vot", ".votable", ".xml", ".html", ".htm", ".log"),
    *(".py", ".ipynb", ".pdf", ".sh"),
)
# What file managers, cameras' discs and notebooks leave, in small letters; hidden files too.
JUNK = {
    *("__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information"),
    *("thumbs.db", "desktop.ini", "lost+found", "icon\r"),
}
THUMBNAILS = {"thumbnails", "thumbnail", "thumbs"}
# The parts of the challenge by the names of their folders and zips.
TRAINING_PART, TEST_PART = (
    re.compile(rf"images?[-_ ]?{part}", re.IGNORECASE) for part in ("train", "test")
)
# Any ending; a number after a point is part of a name: J0910.47-0101.
UNKNOWN_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
# Depth of zips in zips, which is limited, because a zip can contain itself.
ZIPS_DEEP = 4
# bzip2 unpacks a block at a time, up to 900 kB of them.
BZIP2_BLOCK = 1_000_000
KINDS_NAMED = 6


class File(NamedTuple):
    """A file by its name below the place that was listed, "/" between, and its reference."""

    name: str
    reference: str


@dataclass(frozen=True)
class ImageFiles:
    """The images of a place in order, and the number of other files by kind.

    `namesakes` are pairs of images of one name that differ; `copies` counts those of one name and
    one content, of which only the first is in `images`.
    """

    images: list[File]
    skipped: Counter[str]
    namesakes: list[tuple[File, File]]
    copies: int

    def notes(self) -> list[str]:
        """Return a line for each thing that a user should know of the listing."""
        lines = [note] if (note := skipped_note(self.skipped)) else []
        if self.copies:
            lines.append(f"{_many(self.copies, 'copy', 'copies')} of images left out")
        if self.namesakes:
            one, other = (file.name for file in self.namesakes[0])
            lines.append(
                f"{_many(len(self.namesakes), 'image', 'images')} of another one's name, such as "
                f"{one} and {other}, which differ: the column `image` tells them apart"
            )
        return lines


def list_image_files(place: str | Path) -> ImageFiles:
    """List the images in a folder, a zip, or a zip inside a zip, at any depth.

    Raises:
        BadInput: the place isn't there, or a zip or a folder in it can't be read.
    """
    skipped: Counter[str] = Counter()
    files = [file for file in walk(place, skipped=skipped) if is_image(file, skipped)]
    images, namesakes = _once(files)
    return ImageFiles(images, skipped, namesakes, len(files) - len(images))


def require_images(place: str | Path, files: ImageFiles) -> None:
    """Raise BadInput, with the files that are there, if a listing has no image."""
    if files.images:
        return
    there = _counted(files.skipped)
    raise BadInput(
        f"{place}: it contains no images" + (f", but {there}" if there else ""),
        "give JPEG, PNG, TIFF or FITS files, or zips of them",
    )


def skipped_note(skipped: Counter[str]) -> str:
    """Return a line on the skipped files, empty if they are tables and texts alone."""
    if set(skipped) <= set(OTHER_ENDINGS):
        return ""
    return f"{_many(skipped.total(), 'file', 'files')} skipped: {_counted(skipped)}"


def _many(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"


def _counted(skipped: Counter[str]) -> str:
    kinds = skipped.most_common()
    words = [f"{number:,} {kind}" for kind, number in kinds[:KINDS_NAMED]]
    more = sum(number for _, number in kinds[KINDS_NAMED:])
    return ", ".join(words + ([f"{more:,} more"] if more else []))


def image_name(name: str) -> str:
    """Return an image's name without its folder and its ending, both of them in .fits.gz."""
    last = plain_name(name).rpartition("/")[2]
    lower = last.lower()
    if not lower.endswith(IMAGE_ENDINGS):
        return UNKNOWN_ENDING.sub("", last)
    return last[: -max(len(ending) for ending in IMAGE_ENDINGS if lower.endswith(ending))]


def galaxy_name(image: str) -> str:
    """Return the galaxy of an image: the file's name without its ending."""
    return image_name(image.split(REFERENCE_SEPARATOR)[-1])


def is_usable(name: str) -> bool:
    """Tell whether a file's name stays inside, and is no system's own."""
    return not is_unsafe(name) and not any(map(_is_junk, name.split("/")))


def in_test_part(name: str) -> bool:
    """Tell whether a file belongs to the challenge's test images, by its folders and zips."""
    return any(map(TEST_PART.match, name.split("/")))


def in_training_part(name: str) -> bool:
    """Tell whether a file belongs to the challenge's training images, by its folders and zips."""
    return any(map(TRAINING_PART.match, name.split("/")))


def is_zip(name: str) -> bool:
    """Tell by its name whether a file is a zip."""
    return name.lower().endswith(".zip")


def is_image(file: File, skipped: Counter[str]) -> bool:
    """Tell whether a file is an image by its ending or its first bytes; count it if it is none."""
    if is_zip(file.name):
        return False
    why = _why_not(file)
    if why:
        skipped[why] += 1
    return not why


def _why_not(file: File) -> str:
    """Return the kind of a file that is no image, empty for an image."""
    parts, lower = file.name.split("/"), file.name.lower()
    if is_unsafe(file.name):
        return "with a name that leads out of its folder"
    if any(part.lower() in THUMBNAILS for part in parts[:-1]):
        return "in folders of thumbnails"
    if lower.endswith(FITS_ENDINGS):
        return _what_of_fits(file)
    if lower.endswith(IMAGE_ENDINGS):
        return ""
    if lower.endswith(OTHER_ENDINGS):
        return _ending(lower)
    try:
        kind = sniff(read_head(file.reference, BZIP2_BLOCK if lower.endswith(".bz2") else HEAD))
    except BadInput:
        return "unreadable"
    if kind == "FITS":
        return _what_of_fits(file)
    return "" if kind else _ending(lower) or "without an ending"


def _what_of_fits(file: File) -> str:
    """Return "FITS table" for a table; empty for an image, or an unreadable file."""
    try:
        head = read_head(file.reference, FITS_HEAD)
    except BadInput:
        return ""
    return "FITS table" if is_fits_table(head) else ""


def _ending(lower: str) -> str:
    endings = PurePosixPath(lower).suffixes
    packed = len(endings) > 1 and endings[-1] in (".gz", ".bz2", ".xz")
    return "".join(endings[-2:] if packed else endings[-1:])


def _once(files: Sequence[File]) -> tuple[list[File], list[tuple[File, File]]]:
    """Return the files without copies under the same name, and the pairs of namesakes left."""
    first: dict[str, File] = {}
    images, namesakes = [], []
    for file in files:
        other = first.setdefault(image_name(file.name), file)
        if other is not file:
            if same_content(file.reference, other.reference):
                continue
            namesakes.append((other, file))
        images.append(file)
    return images, namesakes


def same_content(one: str, other: str) -> bool:
    """Tell whether two files hold the same bytes, and any at all."""
    try:
        data = read_bytes(one)
        return bool(data) and data == read_bytes(other)
    except BadInput:
        return False


def walk(
    place: str | Path,
    enter: Callable[[str], bool] = lambda name: True,
    skipped: Counter[str] | None = None,
    strict: bool = True,
) -> Iterator[File]:
    """Yield every file of a folder or a zip in the order of names, with the contents of zips.

    What systems leave (`JUNK`, hidden files) is no file. A linked folder comes last and once. A
    zip's members are named as if it were a folder. Names that lead out of a zip are yielded, for
    the caller to refuse.

    Args:
        place: a folder, a zip, or a zip inside a zip.
        enter: whether to go into a folder or a zip, by its name below the place.
        skipped: incremented by kind for files that can't be yielded.
        strict: refuse a damaged zip, rather than count it unless it is called images….

    Raises:
        BadInput: the place isn't there, or a zip or a folder in it can't be read.
    """
    skipped = Counter() if skipped is None else skipped
    if Path(place).is_dir():
        yield from _in_folder(Path(place), enter, skipped, strict)
        return
    if REFERENCE_SEPARATOR not in str(place) and not Path(place).exists():
        raise BadInput(f"{place}: no such file or folder", "check the path")
    yield from _in_zip(str(place), "", enter, skipped)


def _in_folder(place: Path, enter: Callable, skipped: Counter[str], strict: bool) -> Iterator[File]:
    known: set[tuple[int, int]] = set()
    waiting = [(str(place), "")]
    while waiting:
        stack = [_children(*waiting.pop(0), known)]
        while stack:
            child = next(stack[-1], None)
            if child is None:
                stack.pop()
                continue
            entry, name = child
            if _is_folder(entry):
                if not enter(name):
                    continue
                if entry.is_symlink():
                    waiting.append((entry.path, f"{name}/"))
                else:
                    stack.append(_children(entry.path, f"{name}/", known))
            elif why := _no_file(entry):
                skipped[why] += 1
            else:
                # As one would write it: of the folder "." too.
                path = entry.path.removeprefix("./")
                yield File(name, path)
                if is_zip(name) and enter(name) and (strict or _opens(path, skipped)):
                    yield from _in_zip(path, f"{_stem(name)}/", enter, skipped)


def _children(path: str, prefix: str, known: set) -> Iterator[tuple[os.DirEntry, str]]:
    """Yield the content of a folder with its names, in order; none of a known folder."""
    try:
        about = os.stat(path)  # noqa: PTH116, a path as text, of which there may be millions
        if (about.st_dev, about.st_ino) in known:
            return
        known.add((about.st_dev, about.st_ino))
        with os.scandir(path) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise BadInput(
            f"{path}: can't be listed ({error.strerror})", "correct its permissions"
        ) from error
    for entry in inside:
        if not _is_junk(entry.name):
            yield entry, prefix + plain_name(entry.name)


def _opens(path: str, skipped: Counter[str]) -> bool:
    """Tell whether a zip can be read; count one that can't.

    Raises:
        BadInput: it can't be read, and is one of images by its name.
    """
    try:
        list_members(path)
    except BadInput:
        if Path(path).name.lower().startswith("image"):
            raise
        skipped["unreadable zip"] += 1
        return False
    return True


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself.
        return False


def _no_file(entry: os.DirEntry) -> str:
    """Return why an entry of a folder can't be a file that is read, empty if it can."""
    if entry.is_symlink() and not Path(entry.path).exists():
        return "broken link"
    if not entry.is_file():
        return "no plain file"
    if REFERENCE_SEPARATOR in entry.name:
        return f"with {REFERENCE_SEPARATOR} in the name"
    if not entry.name.isascii() and entry.name.encode(errors="replace") != os.fsencode(entry.name):
        return "with the name is not valid UTF-8"
    return ""


def _in_zip(reference: str, prefix: str, enter: Callable, skipped: Counter[str]) -> Iterator[File]:
    deeper = reference.lower().count(f".zip{REFERENCE_SEPARATOR}") + 1 < ZIPS_DEEP
    for member in list_members(reference):
        plain = plain_name(member)
        if any(map(_is_junk, plain.split("/"))):
            continue
        file = File(prefix + plain, f"{reference}{REFERENCE_SEPARATOR}{member}")
        # Judged by the member's own name: behind a prefix "/x" would look harmless.
        if is_unsafe(member):
            yield File(member, file.reference)
            continue
        yield file
        if not is_zip(plain) or not enter(file.name):
            continue
        if deeper:
            yield from _in_zip(file.reference, f"{_stem(file.name)}/", enter, skipped)
        else:
            skipped["zip, too deep in others"] += 1


def _stem(name: str) -> str:
    return name[: -len(".zip")]


def _is_junk(part: str) -> bool:
    return (part[:1] == "." and part not in (".", "..")) or part.lower() in JUNK

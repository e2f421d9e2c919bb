"""Bytes by reference: a file, a member of a zip, or a member of a zip inside a zip.

A reference is a string, ``folder/100008.jpg`` or ``outer.zip::inner.zip::100008.jpg``: it fits into
a table's column, a fastai item and a run's ``split.csv``. Nothing is unpacked under a name that an
archive chose. Spellings of other systems are the same name: see `plain_name`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import threading
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from galaxymorph.base.errors import BadInput, MissingFile
from galaxymorph.base.files import cache_folder, replacing
from galaxymorph.base.progress import say
from galaxymorph.base.reading import FORMAT_ERRORS

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

REFERENCE_SEPARATOR = "::"
# How paths of Windows begin; a colon further on may be a right ascension's.
DRIVE = re.compile(r"[A-Za-z]:")
WINDOWS = re.compile(r"(^|/)[A-Za-z]:[\\/]|(^|/)\\\\")
ADDRESS = re.compile(r"(^|/)[A-Za-z][\w+.-]+:/")

# What zipfile raises of broken, encrypted or unknown data, besides: of offsets, and of methods.
ZIP_ERRORS = (*FORMAT_ERRORS, ValueError, RuntimeError, OverflowError)

_open_archives: dict[tuple[int, str], tuple[tuple[int, ...], zipfile.ZipFile]] = {}
_opening = threading.RLock()


def read_bytes(reference: str | Path) -> bytes:
    """Return the bytes that `reference` points to, if need be by another spelling of its name.

    Raises:
        BadInput: the file, the archive or the member is missing, damaged or encrypted.
    """
    return _read(reference, -1)


def read_head(reference: str | Path, size: int) -> bytes:
    """Return the first `size` bytes of the file that `reference` points to.

    Raises:
        BadInput: as `read_bytes`.
    """
    return _read(reference, size)


def _read(reference: str | Path, size: int) -> bytes:
    *archive, last = str(reference).split(REFERENCE_SEPARATOR)
    if not last:
        raise BadInput("no file given", "give its path")
    with _missing_or_broken(reference, "can't be read"):
        try:
            with _open(REFERENCE_SEPARATOR.join(archive), last) as stream:
                return stream.read(size)
        except (FileNotFoundError, BadInput):
            # Only now, since every stat costs a round trip to a disk.
            other = _otherwise_spelled(str(reference))
            if other is None or other == str(reference):
                raise
    return _read(other, size)


def _open(archive: str, name: str) -> IO[bytes]:
    if not archive:
        return Path(name).open("rb")
    opened = _archive(archive)
    return opened.open(_member(opened, name))


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(name)
    except KeyError as error:
        raise FileNotFoundError(name) from error


def plain_name(name: str) -> str:
    """Return a member's name as its author wrote it: "/" between folders, composed letters.

    Windows writes backslashes, macOS decomposes letters, and both have written UTF-8 without
    saying so, which Python then takes for code page 437, as a zip's standard has it.
    """
    if not name.isascii():
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
        name = unicodedata.normalize("NFC", name)
    return name.replace("\\", "/")


def _otherwise_spelled(reference: str) -> str | None:
    """Return the reference of an existing file under another spelling of the name, if any."""
    path, *members = reference.split(REFERENCE_SEPARATOR)
    other = next((spelling for spelling in _spellings(path) if Path(spelling).exists()), None)
    for member in members:
        if other is None:
            return None
        name = _by_key(other, _stamp_of(other)).get(_key(member))
        other = f"{other}{REFERENCE_SEPARATOR}{name}" if name is not None else None
    return other


def _spellings(path: str) -> list[str]:
    """Return the ways to write a path: slashes, composed letters, the ending's capitals."""
    ways = [path, path.replace("\\", "/")]
    if not path.isascii():
        ways += [unicodedata.normalize(form, way) for form in ("NFC", "NFD") for way in ways]
    cut = [os.path.splitext(way) for way in ways]  # noqa: PTH122, a path's other parts stay
    ways += [root + case(ending) for root, ending in cut for case in (str.lower, str.upper)]
    return list(dict.fromkeys(ways))


@lru_cache(maxsize=16)
def _by_key(archive: str, stamp: tuple[int, ...]) -> dict[str, str]:
    """Return an archive's members by `_key`; the stamp tells one archive from a later one."""
    return {_key(name): name for name in reversed(list_members(archive))}


def _key(member: str) -> str:
    """Return the normal form of a member's name, common to all its spellings."""
    path = PurePosixPath(plain_name(member))
    return str(path.with_suffix(path.suffix.lower()))


def list_members(reference: str | Path) -> list[str]:
    """Return the names of the files inside a zip, folders left out.

    Raises:
        BadInput: it isn't there or isn't a zip.
    """
    names = _archive(str(reference)).namelist()
    return [name for name in names if not name.endswith(("/", "\\"))]


def is_unsafe(member: str) -> bool:
    """Tell whether a member's name would leave the folder that it is unpacked into."""
    parts = member.replace("\\", "/").split("/")
    return ".." in parts or member.startswith(("/", "\\")) or bool(DRIVE.match(member))


def _archive(reference: str) -> zipfile.ZipFile:
    # A handle must not be shared with a forked worker: both would move one file position.
    key = (os.getpid(), reference)
    with _missing_or_broken(reference, "can't be read"):
        stamp = _stamp_of(reference)
    with _opening:
        known = _open_archives.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        # The former one isn't closed: another thread may be reading from it.
        archive = _open_archive(reference)
        _open_archives[key] = (stamp, archive)
        return archive


def _stamp_of(reference: str) -> tuple[int, ...]:
    """Return properties of a file that change when it is replaced."""
    stat = Path(reference.split(REFERENCE_SEPARATOR)[0]).stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _open_archive(reference: str) -> zipfile.ZipFile:
    *outer, last = reference.split(REFERENCE_SEPARATOR)
    with _missing_or_broken(reference, "not a readable zip"):
        if not outer:
            return zipfile.ZipFile(last)
        return _open_inner(_archive(REFERENCE_SEPARATOR.join(outer)), last, reference)


@contextmanager
def _missing_or_broken(reference: str | Path, fault: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingFile(f"{reference}: no such file", _missing_hint(str(reference))) from error
    except IsADirectoryError as error:
        raise BadInput(f"{reference}: {fault} (a folder)", "name the files in it") from error
    except ZIP_ERRORS as error:
        if "password" in str(error):
            raise BadInput(f"{reference}: {fault} (it is encrypted)", "unpack the zip") from error
        raise BadInput(f"{reference}: {fault} ({error})", "download it again") from error


def _missing_hint(reference: str) -> str:
    """Return a remedy for a reference without a file."""
    path, *members = reference.split(REFERENCE_SEPARATOR)
    if members and Path(path).exists():
        return _member_hint(REFERENCE_SEPARATOR.join([path, *members[:-1]]), members[-1])
    if ADDRESS.search(path):
        return "check the path: it is an address, and files are read from disk, so download it"
    if WINDOWS.search(path):
        return "check the path: it is one of Windows, so write it relative to the table"
    whole = missing = Path(path.replace("\\", "/"))
    while missing.parent != missing and not missing.parent.exists():
        missing = missing.parent
    if missing == whole:
        return "check the path"
    return f"check the path, or that its disk is mounted: there is no folder {missing}"


def _member_hint(archive: str, member: str) -> str:
    try:
        names = [name for name in list_members(archive) if not is_unsafe(name)]
    except BadInput:
        return "check the path"
    last = PurePosixPath(plain_name(member)).name
    alike = next((name for name in names if PurePosixPath(plain_name(name)).name == last), None)
    if alike:
        return f"check the path: the zip holds {alike}"
    return f"check the path: the zip holds {len(names):,} files" + (
        f", such as {names[0]}" if names else ""
    )


def _open_inner(outer: zipfile.ZipFile, member: str, reference: str) -> zipfile.ZipFile:
    info = _member(outer, member)
    if info.compress_type == zipfile.ZIP_STORED and outer.filename:
        return zipfile.ZipFile(_Window(Path(outer.filename), _data_offset(outer, info), info))
    return zipfile.ZipFile(_unpacked_once(outer, info, reference))


def _data_offset(outer: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    # The local header repeats name and extra field with lengths of its own (APPNOTE 4.3.7), so
    # the directory's entry alone doesn't tell where the bytes begin.
    with Path(str(outer.filename)).open("rb") as stream:
        stream.seek(info.header_offset)
        header = stream.read(30)
    name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return info.header_offset + 30 + name + extra


class _Window(io.RawIOBase):
    """A stored member as a file, in which seeking takes no time."""

    def __init__(self, path: Path, start: int, info: zipfile.ZipInfo):
        self._stream = path.open("rb")
        self._start, self._size, self._at = start, info.file_size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("seek before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        self._stream.seek(self._start + self._at)
        view = memoryview(buffer).cast("B")
        data = self._stream.read(max(0, min(len(view), self._size - self._at)))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _unpacked_once(outer: zipfile.ZipFile, info: zipfile.ZipInfo, reference: str) -> Path:
    """Unpack a compressed inner zip to the cache, where its members can be reached at random."""
    stamp = f"{Path(outer.filename or '').resolve()}|{info.filename}|{info.CRC}|{info.file_size}"
    target = cache_folder() / "archives" / f"{hashlib.sha256(stamp.encode()).hexdigest()[:24]}.zip"
    if target.exists():
        return target
    say(f"{reference} is compressed inside its archive: unpacking it once to {target}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(target) as temporary,
            outer.open(info) as source,
            temporary.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink, 1 << 20)
    except OSError as error:
        raise BadInput(
            f"{reference}: can't be unpacked to {target.parent} ({error.strerror or error})",
            "set the environment variable GALAXYMORPH_CACHE to a folder with enough space",
        ) from error
    return target

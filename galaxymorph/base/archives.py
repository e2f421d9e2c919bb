"""Bytes by reference: a file, a member of a zip, or a member of a zip inside a zip.

A reference is a string, ``folder/100008.jpg`` or ``outer.zip::inner.zip::100008.jpg``, so that it
fits into a table's column, a fastai item and a run's ``split.csv`` alike. Nothing is ever
unpacked under a name that an archive chose.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galaxymorph.base.errors import BadInput
from galaxymorph.base.files import cache_folder, replacing
from galaxymorph.base.progress import say

REFERENCE_SEPARATOR = "::"

_open_archives: dict[tuple[int, str], tuple[tuple[int, ...], zipfile.ZipFile]] = {}
_opening = threading.RLock()


def read_bytes(reference: str | Path) -> bytes:
    """Return the bytes that `reference` points to.

    Raises:
        BadInput: the file, the archive or the member is missing, damaged or encrypted.
    """
    *archive, last = str(reference).split(REFERENCE_SEPARATOR)
    with _naming(reference, "can't be read"):
        if not archive:
            return Path(last).read_bytes()
        return _archive(REFERENCE_SEPARATOR.join(archive)).read(last)


def list_members(reference: str | Path) -> list[str]:
    """Return the names of the files inside a zip, folders left out.

    Raises:
        BadInput: it isn't there or isn't a zip.
    """
    names = _archive(str(reference)).namelist()
    return [name for name in names if not name.endswith("/")]


def is_unsafe(member: str) -> bool:
    """Tell whether a member's name would leave the folder that it is unpacked into."""
    parts = member.replace("\\", "/").split("/")
    return ".." in parts or member.startswith(("/", "\\")) or ":" in parts[0]


def _archive(reference: str) -> zipfile.ZipFile:
    # A handle must not be shared with a forked worker: both would move one file position.
    key = (os.getpid(), reference)
    with _naming(reference, "can't be read"):
        stamp = _stamp(Path(reference.split(REFERENCE_SEPARATOR)[0]))
    with _opening:
        known, archive = _open_archives.get(key, (None, None))
        if known != stamp:
            # The former one isn't closed: another thread may be reading from it.
            archive = _open_archive(reference)
            _open_archives[key] = (stamp, archive)
        return archive


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what tells that another file has come under a name."""
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _open_archive(reference: str) -> zipfile.ZipFile:
    *outer, last = reference.split(REFERENCE_SEPARATOR)
    with _naming(reference, "not a readable zip"):
        if not outer:
            return zipfile.ZipFile(last)
        return _open_inner(_archive(REFERENCE_SEPARATOR.join(outer)), last, reference)


@contextmanager
def _naming(reference: str | Path, fault: str) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except (FileNotFoundError, KeyError):
        raise BadInput(f"{reference}: no such file", "check the path") from None
    except Exception as error:
        # zipfile and the decompressors answer broken data with errors of many types.
        raise BadInput(f"{reference}: {fault} ({error})", "download it again") from None


def _open_inner(outer: zipfile.ZipFile, member: str, reference: str) -> zipfile.ZipFile:
    info = outer.getinfo(member)
    if info.compress_type == zipfile.ZIP_STORED and outer.filename:
        return zipfile.ZipFile(_Window(Path(outer.filename), _data_offset(outer, info), info))
    return zipfile.ZipFile(_unpacked_once(outer, info, reference))


def _data_offset(outer: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    # The local header repeats name and extra field with lengths of its own (APPNOTE 4.3.7), so
    # the directory's entry alone doesn't tell where the bytes begin.
    with Path(outer.filename).open("rb") as stream:
        stream.seek(info.header_offset)
        header = stream.read(30)
    name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return info.header_offset + 30 + name + extra


class _Window(io.RawIOBase):
    """A stored member seen as a file of its own: seeking costs nothing."""

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

    def readinto(self, buffer) -> int:
        self._stream.seek(self._start + self._at)
        data = self._stream.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
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
            "name a folder with room in the environment variable GALAXYMORPH_CACHE",
        ) from None
    return target

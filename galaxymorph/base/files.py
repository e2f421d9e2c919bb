"""Files written whole or not at all: beside their name, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from galaxymorph.base.errors import BadInput
from galaxymorph.base.progress import say

# Errors of a disk, a quota or a limit of the process that is reached.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
# Bytes of a file's name, of every common file system.
LONGEST_NAME = 255
# Bytes written to find out whether a disk is full.
PROBE = 1 << 20


def _temporary(path: Path) -> Path:
    # The suffix stays last, because writers such as matplotlib read the format from it.
    ending = f".{os.getpid()}.tmp{path.suffix}"
    room = LONGEST_NAME - len(os.fsencode(f".{ending}.probe"))
    stem = os.fsdecode(os.fsencode(path.stem)[:room])
    return path.with_name(f".{stem}{ending}")


def _new_file_mode(path: Path) -> int:
    """Return the permissions that a new file has here, which the process's umask decides."""
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode


class Unwritable(OSError):
    """A file can't be written, for example because the disk is full."""

    def __str__(self) -> str:
        return f"{self.filename}: can't be written ({self.strerror}); make room, or write elsewhere"


@contextmanager
def _unwritable(path: Path, temporary: Path) -> Iterator[None]:
    """Raise Unwritable, with the file's name and the reason, for an error of writing.

    Some writers hide the reason, such as PyTorch's; after any error the disk is tested.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        if why := _why_not(error, temporary):
            raise Unwritable(why, os.strerror(why), str(path)) from error
        raise


def _why_not(error: Exception, temporary: Path) -> int | None:
    """Return the number of the error that kept a file from being written, None for others."""
    if isinstance(error, OSError):
        refused = isinstance(error, PermissionError) and error.filename == str(temporary)
        return error.errno if error.errno in FULL or refused else None
    probe = temporary.with_name(f"{temporary.name}.probe")
    try:
        probe.write_bytes(bytes(PROBE))
    except OSError as refused:
        return refused.errno
    finally:
        probe.unlink(missing_ok=True)
    return None


@contextmanager
def replacing(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` if the block succeeds.

    Args:
        path: of the file.
        sync: have it on the disk before it gets its name.

    Raises:
        Unwritable: the disk takes no more.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        with _unwritable(path, temporary):
            mode = _new_file_mode(temporary)
            yield temporary
            # safetensors, for one, makes files that nobody else may read.
            temporary.chmod(mode)
            if sync:
                with temporary.open("rb") as written:
                    os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_output(path: Path) -> Iterator[Path]:
    """Write a file that a user named as `replacing` does; print a line if it was there before."""
    is_there = path.exists()
    with replacing(path) as temporary:
        yield temporary
    if is_there:
        say(f"replaced: {path}")


def make_folder(path: str | Path) -> None:
    """Make a folder, and those that it lies in, where they aren't there.

    Raises:
        Unwritable: it can't be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unwritable(error.errno, error.strerror, str(path)) from error


@contextmanager
def replace_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder; rename it to `path`, which must not exist, on success."""
    path = Path(path)
    temporary = _temporary(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _unwritable(path, temporary):
            temporary.mkdir(parents=True)
            yield temporary
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: str | Path, name: str = "*") -> None:
    """Remove temporary files of killed processes below a folder, into which no other may write.

    Args:
        folder: searched with all its folders.
        name: of the file or folder that was to be written, without its ending.
    """
    for path in list(Path(folder).rglob(f".{name}.*.tmp*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def file_lock(path: str | Path, wait: bool = True) -> Iterator[bool]:
    """Lock a file for this process; yield whether the lock is acquired.

    Args:
        path: of the lock file, which is empty.
        wait: until another process releases it, rather than yield False at once.
    """
    # Imported here: it brings asyncio, which no other part of a command's start needs.
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def cache_folder() -> Path:
    """Return the cache's folder: ~/.cache/galaxymorph, or GALAXYMORPH_CACHE."""
    return Path(os.environ.get("GALAXYMORPH_CACHE", Path.home() / ".cache" / "galaxymorph"))


def safe_file_name(name: str) -> str:
    """Return the name of a class or a galaxy, percent-encoded for paths: E/S0 is E%2FS0."""
    return quote(name, safe=" ,+()&=")[:100]


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` to `path` as indented JSON with a final newline."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")

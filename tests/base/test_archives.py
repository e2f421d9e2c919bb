import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxymorph.base import BadInput, archives, is_unsafe, list_members, read_bytes
from tests.makers import write_files, zip_bytes

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
KINDS = pytest.mark.parametrize("kind", [STORED, DEFLATED], ids=["stored", "deflated"])
TEXT = b"a galaxy of some length, " * 40


def nested(kind: int) -> bytes:
    """A zip in a zip in a zip, each beside a file that moves its offset."""
    inmost = zip_bytes({"c.txt": TEXT}, DEFLATED)
    inner = zip_bytes({"pad": b"1" * 77, "in/inmost.zip": inmost, "b.txt": TEXT + b"b"}, kind)
    return zip_bytes({"pad": b"2" * 99, "inner.zip": inner, "a.txt": TEXT + b"a"}, kind)


@KINDS
@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("a.txt", TEXT + b"a"),
        ("inner.zip::b.txt", TEXT + b"b"),
        ("inner.zip::in/inmost.zip::c.txt", TEXT),
    ],
)
def test_members_are_read_at_any_depth(inside, expected, kind, tmp_path):
    write_files(tmp_path, {"outer.zip": nested(kind)})
    assert read_bytes(f"{tmp_path}/outer.zip::{inside}") == expected


@KINDS
def test_members_are_listed_without_folders(kind, tmp_path):
    with zipfile.ZipFile(tmp_path / "outer.zip", "w", kind) as outer:
        outer.mkdir("folder")
        outer.writestr("folder/inner.zip", zip_bytes({"x/": b"", "x/y.txt": b"y"}, kind))
    assert list_members(tmp_path / "outer.zip") == ["folder/inner.zip"]
    assert list_members(f"{tmp_path}/outer.zip::folder/inner.zip") == ["x/y.txt"]


def test_a_plain_file_is_read_by_string_or_path(tmp_path):
    write_files(tmp_path, {"a.txt": TEXT})
    assert read_bytes(tmp_path / "a.txt") == read_bytes(f"{tmp_path}/a.txt") == TEXT


def test_a_stored_inner_zip_behind_a_longer_local_header_is_found(tmp_path):
    info = zipfile.ZipInfo("inner.zip")
    # The directory's own copy of the extra field is emptied below, so the two differ in length.
    info.extra = b"\xfe\xca\x08\x00" + bytes(8)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.writestr(info, zip_bytes({"b.txt": TEXT}))
        info.extra = b""
    assert read_bytes(f"{tmp_path}/outer.zip::inner.zip::b.txt") == TEXT


def test_a_deflated_inner_zip_is_unpacked_once_and_said_so(tmp_path, cache, capsys):
    write_files(tmp_path, {"outer.zip": nested(DEFLATED)})
    reference = f"{tmp_path}/outer.zip::inner.zip"
    for _ in range(2):
        read_bytes(f"{reference}::b.txt")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{reference} is compressed inside its archive: unpacking it once to ")
    (unpacked,) = cache.rglob("*.*")
    assert zipfile.ZipFile(unpacked).namelist() == ["pad", "in/inmost.zip", "b.txt"]


def test_an_unpacked_zip_serves_another_process_again(tmp_path, cache, capsys):
    write_files(tmp_path, {"outer.zip": nested(DEFLATED)})
    read_bytes(f"{tmp_path}/outer.zip::inner.zip::b.txt")
    capsys.readouterr()
    child = os.fork()
    if child == 0:
        same = read_bytes(f"{tmp_path}/outer.zip::inner.zip::b.txt") == TEXT + b"b"
        os._exit(0 if same and capsys.readouterr().err == "" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_another_process_reads_an_archive_that_has_changed_since_anew(tmp_path, cache):
    for text in (b"one", b"two"):
        write_files(tmp_path, {"outer.zip": zip_bytes({"i.zip": zip_bytes({"t": text})}, DEFLATED)})
        assert read_bytes(f"{tmp_path}/outer.zip::i.zip::t") == text
        archives._open_archives.clear()
    assert len(list(cache.rglob("*.zip"))) == 2


def read_all(references: list[str], expected: list[bytes]) -> bool:
    try:
        return [read_bytes(reference) for reference in references] == expected
    except BadInput:
        return False


@KINDS
def test_a_forked_process_reads_the_same_archive_at_the_same_time(kind, tmp_path):
    members = {f"{n}.bin": bytes([n]) * 20_000 for n in range(60)}
    write_files(tmp_path, {"outer.zip": zip_bytes({"inner.zip": zip_bytes(members)}, kind)})
    references = [f"{tmp_path}/outer.zip::inner.zip::{name}" for name in members] * 10
    expected = [*members.values()] * 10
    assert read_bytes(references[0]) == expected[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if read_all(references, expected) else 1)
    here = read_all(references[::-1], expected[::-1])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert here


@KINDS
def test_many_threads_read_one_archive_at_once(kind, tmp_path):
    members = {f"{n}.bin": bytes([n]) * 3000 for n in range(60)}
    write_files(tmp_path, {"outer.zip": zip_bytes({"inner.zip": zip_bytes(members, kind)}, kind)})
    references = [f"{tmp_path}/outer.zip::inner.zip::{name}" for name in members] * 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read_bytes, references)) == [*members.values()] * 4


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("gone.txt", "gone.txt: no such file; check the path"),
        ("gone.zip::a.txt", "gone.zip: no such file; check the path"),
        ("outer.zip::gone.txt", "outer.zip::gone.txt: no such file; check the path"),
        ("outer.zip::gone.zip::b.txt", "outer.zip::gone.zip: no such file; check the path"),
        ("outer.zip::inner.zip::gone", "outer.zip::inner.zip::gone: no such file; check the path"),
        (
            "outer.zip::a.txt::b.txt",
            "outer.zip::a.txt: not a readable zip (File is not a zip file)",
        ),
        ("text.zip::a.txt", "text.zip: not a readable zip (File is not a zip file)"),
        ("empty.zip::a.txt", "empty.zip: not a readable zip (File is not a zip file)"),
        ("folder", "folder: can't be read ("),
        ("folder::a.txt", "folder: not a readable zip ("),
        ("folder/" + "x" * 300, "folder/" + "x" * 300 + ": can't be read ("),
        ("text.zip/a.txt", "text.zip/a.txt: can't be read ("),
    ],
)
@KINDS
def test_what_is_not_there_or_no_zip_is_refused_by_name(reference, words, kind, tmp_path):
    (tmp_path / "folder").mkdir()
    write_files(tmp_path, {"outer.zip": nested(kind), "text.zip": b"<html>", "empty.zip": b""})
    with pytest.raises(BadInput) as error:
        read_bytes(f"{tmp_path}/{reference}")
    assert str(error.value).startswith(f"{tmp_path}/{words}")


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def encrypted(data: bytes) -> bytes:
    """Mark every member as encrypted, in the local headers and in the directory."""
    data = bytearray(data)
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(magic)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(magic, at + 1)
    return bytes(data)


def of_unknown_compression(data: bytes) -> bytes:
    data = bytearray(data)
    data[data.index(b"PK\x03\x04") + 8] = 97
    data[data.index(b"PK\x01\x02") + 10] = 97
    return bytes(data)


INNER = zip_bytes({"b.txt": bytes(range(256)) * 20}, DEFLATED)
DAMAGES = {
    "truncated": lambda data: data[:-10],
    "cut in half": lambda data: data[: len(data) // 2],
    "a byte of the data": lambda data: flip(data, 60),
    "the first byte of the data": lambda data: flip(data, 30 + len("inner.zip")),
    "the local header": lambda data: flip(data, 0),
    "the checksum": lambda data: flip(data, data.index(b"PK\x01\x02") + 16),
    "the offset": lambda data: flip(data, data.index(b"PK\x01\x02") + 43),
    "encrypted": encrypted,
    "unknown compression": of_unknown_compression,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@KINDS
def test_a_damaged_archive_is_refused_by_name_and_leaves_nothing_in_the_cache(
    damage, kind, tmp_path, cache
):
    write_files(tmp_path, {"outer.zip": damage(zip_bytes({"inner.zip": INNER}, kind))})
    for read in (list_members, lambda inner: read_bytes(f"{inner}::b.txt")):
        try:
            read(f"{tmp_path}/outer.zip::inner.zip")
        except BadInput as error:
            assert str(error).startswith(f"{tmp_path}/outer.zip")
    with pytest.raises(BadInput, match="^" + str(tmp_path)):
        read_bytes(f"{tmp_path}/outer.zip::inner.zip")
    assert [path for path in cache.rglob("*") if path.is_file() and ".tmp" in path.name] == []


def test_a_compressed_inner_zip_that_cannot_be_unpacked_is_not_kept(tmp_path, cache):
    data = zip_bytes({"inner.zip": INNER}, DEFLATED)
    write_files(tmp_path, {"outer.zip": flip(data, 60)})
    with pytest.raises(BadInput, match=r"outer\.zip::inner\.zip: "):
        list_members(f"{tmp_path}/outer.zip::inner.zip")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.fixture(scope="module")
def any_folder(new_folder):
    folder = new_folder("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GALAXYMORPH_CACHE", str(folder / "cache"))
        yield folder


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from([STORED, DEFLATED]), st.data())
def test_a_zip_with_any_bytes_changed_is_read_or_refused(any_folder, kind, data):
    changed = bytearray(zip_bytes({"é.txt": TEXT, "inner.zip": INNER}, kind))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    # An open archive is kept by name, so every example needs a name of its own.
    path = any_folder / f"{len(list(any_folder.iterdir()))}.zip"
    path.write_bytes(changed)
    try:
        for member in list_members(path):
            read_bytes(f"{path}::{member}")
        list_members(f"{path}::inner.zip")
    except BadInput as error:
        assert str(error).startswith(str(path))


def no_room(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("fault", ["No space left on device", "Not a directory"])
def test_a_cache_without_room_is_told_from_a_damaged_archive(fault, tmp_path, monkeypatch, cache):
    write_files(tmp_path, {"outer.zip": nested(DEFLATED)})
    if fault == "Not a directory":
        cache.write_text("a file")
    else:
        monkeypatch.setattr(shutil, "copyfileobj", no_room)
    with pytest.raises(BadInput) as error:
        read_bytes(f"{tmp_path}/outer.zip::inner.zip::b.txt")
    assert str(error.value) == (
        f"{tmp_path}/outer.zip::inner.zip: can't be unpacked to {cache}/archives ({fault}); set "
        "the environment variable GALAXYMORPH_CACHE to a folder with enough space"
    )
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("member", "unsafe"),
    [
        ("a.jpg", False),
        ("folder/a.jpg", False),
        ("folder/..a.jpg", False),
        ("a..jpg", False),
        ("../a.jpg", True),
        ("folder/../../a.jpg", True),
        ("..\\a.jpg", True),
        ("/a.jpg", True),
        ("\\\\host\\a.jpg", True),
        ("C:\\a.jpg", True),
        ("C:/a.jpg", True),
    ],
)
def test_names_that_lead_out_are_told_from_others(member, unsafe):
    assert is_unsafe(member) == unsafe


def test_a_zip_that_is_replaced_is_read_anew_and_one_that_is_gone_is_refused(tmp_path):
    path = tmp_path / "outer.zip"
    for text in (b"before", b"after it"):
        path.write_bytes(zip_bytes({"inner.zip": zip_bytes({"a.txt": text})}))
        assert read_bytes(f"{path}::inner.zip::a.txt") == text
    path.unlink()
    with pytest.raises(BadInput, match="no such file"):
        read_bytes(f"{path}::inner.zip::a.txt")

import json
import math

import pytest

from galaxymorph.base import remove_leftovers, replace_folder, replacing, write_json, write_text


class Interruption(Exception):
    pass


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["a.txt", "figure.png", "table.csv.gz"])
def test_replacing_puts_the_whole_file_in_place_under_its_own_suffix(name, tmp_path):
    path = tmp_path / name
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == path.suffix
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("fault", [Interruption, KeyboardInterrupt])
def test_replacing_leaves_the_old_file_and_no_temporary_if_the_block_fails(fault, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(fault), replacing(path) as temporary:
        temporary.write_text("half")
        raise fault
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_replacing_leaves_nothing_where_nothing_was_if_the_block_fails(tmp_path):
    with pytest.raises(Interruption), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise Interruption
    assert names(tmp_path) == []


def test_replacing_fails_and_keeps_the_old_file_if_the_block_writes_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


def test_write_text_is_utf_8_and_replaces(tmp_path):
    write_text(tmp_path / "a.txt", "σ old and longer")
    write_text(tmp_path / "a.txt", "σ")
    assert (tmp_path / "a.txt").read_bytes() == "σ".encode()
    assert names(tmp_path) == ["a.txt"]


def test_write_json_is_indented_and_ends_in_a_newline(tmp_path):
    value = {"name": "M51", "votes": [0.5, 1], "none": None}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text()
    assert text.startswith('{\n  "name": "M51"')
    assert text.endswith("}\n")
    assert json.loads(text) == value


@pytest.mark.parametrize("value", [math.nan, {"deep": [math.inf]}, object()])
def test_write_json_refuses_what_is_no_json_and_keeps_the_old_file(value, tmp_path):
    write_json(tmp_path / "a.json", "old")
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == "old"
    assert names(tmp_path) == ["a.json"]


def test_replace_folder_appears_whole_with_its_parents(tmp_path):
    path = tmp_path / "deep" / "run"
    with replace_folder(path) as temporary:
        (temporary / "figures").mkdir()
        (temporary / "figures" / "a.txt").write_text("a")
        assert not path.exists()
    assert (path / "figures" / "a.txt").read_text() == "a"
    assert names(path.parent) == ["run"]


@pytest.mark.parametrize("fault", [Interruption, KeyboardInterrupt])
def test_replace_folder_leaves_nothing_if_the_block_fails(fault, tmp_path):
    with pytest.raises(fault), replace_folder(tmp_path / "run") as temporary:
        (temporary / "a.txt").write_text("half")
        raise fault
    assert names(tmp_path) == []


def test_replace_folder_never_touches_a_folder_that_is_there(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(OSError), replace_folder(path) as temporary:  # noqa: B017, PT011
        (temporary / "new.txt").write_text("new")
    assert names(path) == ["old.txt"]
    assert names(tmp_path) == ["run"]


def test_replace_folder_starts_empty_after_an_interruption_that_left_its_temporary(tmp_path):
    with replace_folder(tmp_path / "first") as temporary:
        left = temporary.with_name(temporary.name.replace("first", "run"))
    left.mkdir()
    (left / "stale.txt").write_text("stale")
    with replace_folder(tmp_path / "run") as temporary:
        assert temporary == left
        (temporary / "new.txt").write_text("new")
    assert names(tmp_path / "run") == ["new.txt"]


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in (".last.123.tmp.pt", "last.pt", ".lock", "checkpoints/.kept.9.tmp.pt", "a.tmp.b"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".run.55.tmp").mkdir()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {
        "last.pt",
        ".lock",
        "checkpoints",
        "a.tmp.b",
    }


def test_replacing_leaves_a_file_that_others_may_read_as_any_new_one(tmp_path):
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "private") as temporary:
        temporary.touch(0o600)
    assert (tmp_path / "private").stat().st_mode == (tmp_path / "plain").stat().st_mode

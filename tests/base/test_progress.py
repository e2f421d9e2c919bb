import logging
import re
import sys
import time
import types

import pytest

from galaxymorph.base import BadInput, Progress, Steps, one_line, progress, say, warn


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets: `clock[0]` is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_pipe_gets_plain_lines_with_rate_and_time_left(clock, capsys):
    with Progress("checking images", 4000, "images") as shown:
        for _ in range(3):
            clock[0] += progress.SECONDS_BETWEEN_LINES
            shown.advance(1000)
        clock[0] += 10
        shown.advance(1000, note="last one")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "checking images: 1,000/4,000 images, 100 images/s, 30 s left",
        "checking images: 2,000/4,000 images, 100 images/s, 20 s left",
        "checking images: 3,000/4,000 images, 100 images/s, 10 s left",
        "checking images: 4,000/4,000 images, 100 images/s, 40 s, last one",
        "checking images: 4,000/4,000 images, 100 images/s, 40 s, last one",
    ]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", captured.err)


def step(clock, label: str, seconds: int) -> None:
    with Progress(label, 10, "images") as shown:
        clock[0] += seconds
        shown.advance(10)


def test_steps_are_numbered_and_have_a_time_left_for_all(clock, capsys):
    with Steps([1, 2, 3]) as steps:
        for label, seconds in (("reading", 10), ("predicting", 20), ("drawing", 40)):
            steps.begin()
            step(clock, label, seconds)
    step(clock, "after", 10)
    lines = dict.fromkeys(capsys.readouterr().err.splitlines())
    assert list(lines) == [
        "step 1 of 3, reading: 10/10 images, 1 images/s, 10 s",
        "step 2 of 3, predicting: 10/10 images, 0.5 images/s, 20 s, 30 s left in all",
        # Longer than planned: nothing is left of it.
        "step 3 of 3, drawing: 10/10 images, 0.25 images/s, 40 s, 0 s left in all",
        "after: 10/10 images, 1 images/s, 10 s",
    ]


def test_steps_that_take_no_time_tell_nothing_of_the_others(clock, capsys):
    with Steps([1, 1]) as steps:
        steps.begin()
        steps.begin()
        step(clock, "predicting", 10)
    assert "in all" not in capsys.readouterr().err


def test_steps_within_a_step_are_its_own_once_they_begin(clock, capsys):
    with Steps([1, 1]) as outer, Steps([1, 1, 1], numbered=False) as inner:
        outer.begin()
        step(clock, "simulating", 10)
        inner.begin()
        step(clock, "fold 1/3", 10)
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()[::2]] == [
        "step 1 of 2, simulating",
        "fold 1/3",
    ]


def test_a_pipe_gets_no_line_more_often_than_that(clock, capsys):
    with Progress("epoch", 100, "batches") as shown:
        for _ in range(100):
            clock[0] += 0.25
            shown.advance()
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_work_that_ends_soon_says_nothing_in_a_pipe(capsys):
    with Progress("epoch", 3, "batches") as shown:
        for _ in range(3):
            shown.advance()
    assert capsys.readouterr().err == ""


def test_work_that_fails_says_nothing_of_an_end(clock, capsys):
    with pytest.raises(BadInput), Progress("epoch", 3, "batches") as shown:
        shown.advance()
        clock[0] += 5
        raise BadInput("bad")
    assert capsys.readouterr().err == ""


def test_work_of_nothing_is_no_division_by_zero(clock, capsys):
    with Progress("epoch", 0, "batches"):
        clock[0] += 5
    assert capsys.readouterr().err == "epoch: 0/0 batches, 0 batches/s, 5 s\n"


def test_a_terminal_gets_a_bar_that_ends(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("checking images", 4, "images") as shown:
        shown.advance(4, note="all")
    assert "checking images" in capsys.readouterr().err


def test_news_goes_to_standard_error(capsys):
    say("news")
    assert capsys.readouterr() == ("", "news\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.csv: empty",), "a.csv: empty"),
        (("a.csv: empty", "download it again"), "a.csv: empty; download it again"),
        (("a\nb\r\x1b[31m\u2028\x85",), r"a\nb\r\x1b[31m\u2028\x85"),
        (("σ é 星 \N{EM DASH}",), "σ é 星 \N{EM DASH}"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(arguments, message):
    assert str(BadInput(*arguments)) == message
    assert one_line(message) == message


class Cell:
    """What a notebook's cell shows: `display` of IPython, and the handle that it returns."""

    def __init__(self) -> None:
        self.shown: list[dict] = []

    def display(self, content: dict, raw: bool, display_id: bool) -> "Cell":
        assert raw
        assert display_id
        self.shown.append(content)
        return self

    def update(self, content: dict, raw: bool) -> None:
        self.shown.append(content)


@pytest.fixture
def cell(monkeypatch):
    shell = type("Shell", (), {"kernel": True})()
    cell = Cell()
    display = types.SimpleNamespace(display=cell.display)
    ipython = types.SimpleNamespace(get_ipython=lambda: shell, display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return cell


def test_a_notebook_has_one_line_that_changes(clock, cell, capsys):
    with Progress("training <a>", 100, "images") as shown:
        for _ in range(10):
            clock[0] += 2
            shown.advance(10)
    assert capsys.readouterr().err == ""
    first, last = cell.shown[0], cell.shown[-1]
    assert first["text/html"].startswith("<small><progress value='0.100'></progress> training &lt;")
    assert last["text/plain"] == "training <a>: 100/100 images, 5 images/s, 20 s"
    assert "<progress" not in last["text/html"]


def test_a_notebook_keeps_no_line_of_short_work(clock, cell):
    with Progress("reading", 10, "images") as shown:
        for _ in range(2):
            clock[0] += 1
            shown.advance(5)
    assert cell.shown[-1] == {"text/plain": ""}


def test_the_log_is_printed_by_commands_alone(capsys):
    logging.getLogger("galaxymorph").handlers.clear()
    say("a note")
    assert capsys.readouterr() == ("", "")
    with progress.printed_log():
        say("a note")
        warn("of something")
    assert capsys.readouterr() == ("", "a note\nwarning: of something\n")
    assert not logging.getLogger("galaxymorph").handlers


def test_a_warning_is_seen_without_a_command(caplog):
    with caplog.at_level(logging.WARNING, "galaxymorph"):
        logging.getLogger("galaxymorph").propagate = True
        say("a note")
        warn("of something")
    assert {record.getMessage() for record in caplog.records} == {"warning: of something"}

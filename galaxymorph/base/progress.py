"""Progress with a rate and a time left: a bar on a terminal, plain lines in a pipe or a log."""

from __future__ import annotations

import html
import io
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import Task

# Of a pipe's lines, and of a notebook's, which replace each other.
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_UPDATES = 0.5
# Of work whose line stays in a notebook's cell when it has ended.
SECONDS_TO_STAY = 10.0
LOG = logging.getLogger("galaxymorph")


_muted = False


def mute() -> None:
    """Print nothing more in this process: another one reports the same work."""
    global _muted
    _muted = True


def say(text: str = "") -> None:
    """Log a line: for the command line's user, who sees every line, or for a script's log.

    The level is INFO, which Python shows only where logging is set up for it.
    """
    LOG.info("%s", text)


def warn(text: str) -> None:
    """Log a line at the level WARNING, which Python shows in scripts too; see `say`."""
    LOG.warning("warning: %s", text)


# Lines of `warn_once` since the start of the process or command.
_warned: set[str] = set()


def warn_once(text: str) -> None:
    """Log a line at the level WARNING, the same one once a command, in Python once a process."""
    if text not in _warned:
        _warned.add(text)
        warn(text)


@contextmanager
def printed_log() -> Iterator[None]:
    """Print every line of the log to standard error, which leaves standard output to results."""
    _warned.clear()
    if any(isinstance(handler, _Printer) for handler in LOG.handlers):
        yield
        return
    handler, level, propagates = _Printer(), LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)
        LOG.propagate = propagates


class _Printer(logging.Handler):
    """Print each record's text."""

    def emit(self, record: logging.LogRecord) -> None:
        _print_line(record.getMessage())


def _print_line(text: str) -> None:
    """Print to standard error; a line that can't be printed, as to a closed pipe, is dropped."""
    if _muted:
        return
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def print_anything() -> None:
    """Let standard output and error print any text, with escapes such as \\u2192 if necessary.

    Names of files may contain characters without an encoding. A stream that was closed before the
    start is replaced by one that discards its input.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # Or the next file that is opened would be the stream, by its number.
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115, open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Steps:
    """The steps of a command; `Progress` shows the step's number and the time left for all.

    Use as a context manager and call `begin` before each step.
    """

    _current: Steps | None = None

    def __init__(self, shares: Sequence[float], numbered: bool = True):
        """Plan the steps.

        Args:
            shares: of the work that each step is, in order and in any unit.
            numbered: tell the number; labels may hold it already, as those of folds do.
        """
        self.shares, self.numbered, self.number = shares, numbered, 0

    def __enter__(self) -> Steps:
        self._outer, Steps._current = Steps._current, self
        self.started = self.began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        Steps._current = self._outer

    def begin(self) -> None:
        """Go on to the next step."""
        self.number += 1
        self.began = time.monotonic()

    def left(self, now: float = 0.0) -> float | None:
        """Return the seconds left for all steps by the pace of those done, None if unknown.

        Args:
            now: seconds that this step needs at least.
        """
        done = sum(self.shares[: self.number - 1])
        # Steps that a former process finished take no time.
        if not done or self.began - self.started < 1:
            return None
        pace = (self.began - self.started) / done
        after = pace * sum(self.shares[self.number :])
        return after + max(now, pace * self.shares[self.number - 1] - time.monotonic() + self.began)

    @classmethod
    def name(cls) -> str:
        """Return the number of the step and of all steps, as a prefix; empty outside of steps."""
        now = cls._active()
        if not now or not now.numbered:
            return ""
        return f"step {now.number} of {len(now.shares)}, "

    @classmethod
    def rest(cls, now: float = 0.0) -> str:
        """Return the time left for all steps in words, empty where it isn't known."""
        steps = cls._active()
        left = steps.left(now) if steps else None
        return "" if left is None else f"{left:.0f} s left in all"

    @classmethod
    def _active(cls) -> Steps | None:
        """Return the innermost steps of which one has begun."""
        now = cls._current
        while now and not now.number:
            now = now._outer
        return now


class Progress:
    """Count `total` units of work; use as a context manager and call `advance`.

    Nothing is shown for work that ends within two seconds of its start and isn't on a terminal.
    """

    def __init__(self, label: str, total: int, unit: str):
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self.note = ""
        self._bar: RichProgress | None = None
        self._cell: _CellLine | None = None
        self._advancing = Lock()

    def __enter__(self) -> Progress:
        self.started = self._last_line = time.monotonic()
        if _in_notebook():
            self._cell = _CellLine()
        elif sys.stderr and sys.stderr.isatty() and not _muted:
            self._bar = bar = _rich_bar(self.unit)
            self._task = bar.add_task(Steps.name() + self.label, total=self.total, note="")
            bar.start()
        return self

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count `units` more as done, from any thread; `note` is shown at the line's end."""
        with self._advancing:
            self.done += units
            self.note = note or self.note
            if self._bar:
                note = ", ".join(filter(None, (Steps.rest(), self.note)))
                self._bar.update(self._task, advance=units, note=note)
            elif time.monotonic() - self._last_line >= self._pause:
                self._line()

    @property
    def _pause(self) -> float:
        return SECONDS_BETWEEN_UPDATES if self._cell else SECONDS_BETWEEN_LINES

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            say(text)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif kind is None and time.monotonic() - self.started > 2:
            self._line(ended=True)
        if self._cell and time.monotonic() - self.started < SECONDS_TO_STAY:
            self._cell.clear()

    def _line(self, ended: bool = False) -> None:
        self._last_line = time.monotonic()
        seconds = self._last_line - self.started
        rate = self.done / seconds if seconds else 0.0
        left = (self.total - self.done) / rate if rate else float("inf")
        ending = f"{left:.0f} s left" if self.done < self.total else f"{seconds:.0f} s"
        parts = [
            f"{Steps.name()}{self.label}: {self.done:,}/{self.total:,} {self.unit}",
            f"{_rate(rate)} {self.unit}/s",
            ending,
            Steps.rest(left if self.done else 0.0),
            self.note,
        ]
        text = ", ".join(filter(None, parts))
        if self._cell:
            self._cell.show(text, None if ended else self.done / max(self.total, 1))
        else:
            _print_line(text)


def _rate(rate: float) -> str:
    """Return a rate with three digits or more, never as a power of ten."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _in_notebook() -> bool:
    """Tell whether the code runs in a Jupyter notebook, whose cells show a line that changes."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class _CellLine:
    """A line in a notebook's cell, which the next one replaces; the last one stays."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str, share: float | None) -> None:
        """Show a line, with a bar of the share that is done if there is one."""
        from IPython.display import display

        bar = "" if share is None else f"<progress value='{share:.3f}'></progress> "
        content = {"text/plain": text, "text/html": f"<small>{bar}{html.escape(text)}</small>"}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def clear(self) -> None:
        """Remove the line, if there is one."""
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)


def _rich_bar(unit: str) -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{_rate(task.speed or 0)} {unit}/s")

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )

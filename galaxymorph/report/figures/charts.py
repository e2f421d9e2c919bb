"""The geometry of the page's charts: numbers into places of an SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

# Of a chart in the SVG's own units; the page scales it to its column.
WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 12, 38


@dataclass(frozen=True)
class Line:
    """A line of a chart: its points as SVG takes them, and what each says when pointed at."""

    words: str
    points: list[tuple[float, float]]
    says: list[str]

    @property
    def path(self) -> str:
        """The points as a polyline's attribute."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Chart:
    """Lines between two axes; ticks are places and words, `mark` a place across and its words."""

    title: str
    label: str
    mark: tuple[float, str] | None
    lines: list[Line]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def line_chart(
    title: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    label: str = "",
    kept: int | None = None,
) -> Chart | None:
    """Return a chart of lines, None if no value is finite.

    Args:
        title: says what is drawn.
        series: x and y of each line, by its words; what isn't finite is left out.
        label: of the axis upward.
        kept: the epoch whose weights are kept.
    """
    known = {
        words: [
            (float(a), float(b)) for a, b in zip(x, y, strict=True) if np.isfinite([a, b]).all()
        ]
        for words, (x, y) in series.items()
    }
    every = np.array([point for points in known.values() for point in points])
    if not len(every):
        return None
    across = _ticks(every[:, 0], whole=True)
    up = _ticks(every[:, 1])
    lines = [
        Line(
            words,
            [
                (_place(x, across, LEFT, WIDTH - RIGHT), _place(y, up, HEIGHT - BOTTOM, TOP))
                for x, y in points
            ],
            [f"{words}, epoch {x:g}: {y:.4g}" for x, y in points],
        )
        for words, points in known.items()
        if points
    ]
    mark = kept and (_place(kept, across, LEFT, WIDTH - RIGHT), f"kept: epoch {kept}")
    return Chart(
        title,
        label,
        mark,
        lines,
        [(_place(tick, across, LEFT, WIDTH - RIGHT), f"{tick:g}") for tick in across],
        [(_place(tick, up, HEIGHT - BOTTOM, TOP), f"{tick:.4g}") for tick in up],
    )


def _ticks(values: np.ndarray, whole: bool = False) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = (low - 1, high + 1) if whole else (low - 0.5, high + 0.5)
    found = np.round(
        MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high), 12
    )
    # A share has no place beyond 0 and 1, which are ticks of every step below 1.
    if not whole and values.min() >= 0 and values.max() <= 1:
        return found[(found >= 0) & (found <= 1)]
    return found


def _place(value: float, ticks: np.ndarray, start: float, end: float) -> float:
    return start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (end - start)


def interval_places(score: Mapping[str, float | None], low: float, high: float) -> dict | None:
    """Return where a score and its interval lie between two ends, in percent; None without one."""
    if score["value"] is None:
        return None

    def percent(value: float) -> float:
        return round(100 * min(max((value - low) / (high - low), 0.0), 1.0), 1)

    ends = [score[name] if score[name] is not None else score["value"] for name in ("low", "high")]
    start, end = (percent(value) for value in ends)
    return {"start": start, "width": round(end - start, 1), "at": percent(score["value"])}

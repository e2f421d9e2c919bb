"""The whole of `explain`: each step's tables, figures and numbers, into a run's `explain/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from galaxymorph.base import write_json
from galaxymorph.judge import (
    METHODS,
    Subject,
    attribute,
    chosen_rows,
    require_captum,
    require_feature_maps,
    subject_of,
)
from galaxymorph.learn import Run, write_table
from galaxymorph.report.overlays import draw_maps


@dataclass
class Explanation:
    """What the steps share: `maps` by method, with the rows that they are of; `found` numbers."""

    subject: Subject
    folder: Path
    methods: Sequence[str]
    limit: int | None
    maps: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    found: dict[str, object] = field(default_factory=dict)

    def rows(self, most: int) -> np.ndarray:
        """Return which galaxies a step looks at: `most`, or as many as the user said."""
        return chosen_rows(self.subject, self.limit or most)


def explain_run(
    run: Run, methods: Sequence[str] = (), limit: int | None = None, data: Path | None = None
) -> Iterator[Path]:
    """Explain a run's answers on its test part; yield each file as it is written.

    Args:
        run: trained.
        methods: of `METHODS`; by itself all.
        limit: galaxies that each step looks at; by itself each step's own.
        data: where the run's catalogue is now, if it has moved.

    Raises:
        BadInput: the run isn't finished, captum is missing, or a method can't be applied.
    """
    require_captum()
    subject = subject_of(run, data)
    methods = list(dict.fromkeys(methods)) or list(METHODS)
    if "gradcam" in methods:
        require_feature_maps(subject)
    explanation = Explanation(subject, run.path / "explain", methods, limit)
    explanation.folder.mkdir(exist_ok=True)
    for step in STEPS:
        yield from step(explanation)
    yield from _write(explanation)


def _write(explanation: Explanation) -> Iterator[Path]:
    path = explanation.folder / "galaxies.parquet"
    columns = ["galaxy", "image", "label", "answer", "confidence", "right"]
    write_table(path, explanation.subject.table[columns])
    yield path
    write_json(explanation.folder / "explain.json", explanation.found)
    yield explanation.folder / "explain.json"


def _maps(explanation: Explanation) -> Iterator[Path]:
    subject = explanation.subject
    for method in explanation.methods:
        rows = explanation.rows(METHODS[method].limit)
        maps = attribute(subject, method, rows)
        explanation.maps[method] = rows, maps
        yield from draw_maps(explanation.folder / method, subject, method, rows, maps)


# To add a step, add a function that yields the files it writes.
STEPS: tuple[Callable[[Explanation], Iterator[Path]], ...] = (_maps,)

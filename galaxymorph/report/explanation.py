"""The whole of `explain`: each step's tables, figures and numbers, into a run's `explain/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from galaxymorph.base import write_json
from galaxymorph.judge import (
    METHODS,
    MOST_CHANGED,
    Subject,
    areas,
    attribute,
    chosen_rows,
    curves,
    looked_at,
    mask_folder,
    physics_checks,
    randomisation,
    require_captum,
    require_feature_maps,
    shortcut_table,
    subject_of,
    true_masks,
)
from galaxymorph.learn import Run, write_table
from galaxymorph.report.evidence import (
    draw_curves,
    draw_effects,
    draw_looked_at,
    draw_randomisation,
)
from galaxymorph.report.overlays import draw_maps
from galaxymorph.report.tables import print_rows

# Galaxies that a step looks at by itself.
CURVES, RANDOM, CHECKS, MASKS = 96, 24, 1000, 1000


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


def _faithfulness(explanation: Explanation) -> Iterator[Path]:
    subject, table, drawn = explanation.subject, [], {}
    for method, (rows, maps) in explanation.maps.items():
        some = np.isin(rows, explanation.rows(CURVES))
        drawn[method] = curves(subject, rows[some], maps[some])
        table += [{"method": method, **row} for row in areas(drawn[method], subject.seed)]
    explanation.found["deletion and insertion"] = table
    print_rows("Area under the answer's probability", table)
    yield draw_curves(explanation.folder / "deletion_insertion.png", drawn, table)


def _random_weights(explanation: Explanation) -> Iterator[Path]:
    subject, table = explanation.subject, []
    for method, (rows, maps) in explanation.maps.items():
        some = np.isin(rows, explanation.rows(RANDOM))
        for row in randomisation(subject, method, rows[some], maps[some]):
            table.append({"method": method, **row})
    explanation.found["random weights"] = table
    print_rows("Rank correlation with the trained network's maps", table)
    yield draw_randomisation(explanation.folder / "random_weights.png", table)


def _masks(explanation: Explanation) -> Iterator[Path]:
    subject, table = explanation.subject, []
    if not mask_folder(subject):
        return
    masks = true_masks(subject, explanation.rows(MASKS))
    for method, (rows, maps) in explanation.maps.items():
        some = np.isin(explanation.rows(MASKS), rows)
        of = {name: mask[some] for name, mask in masks.items()}
        table += [{"method": method, **row} for row in looked_at(subject, rows, maps, of)]
    explanation.found["true masks"] = table
    if not table:
        return
    print_rows("Share of the evidence on true features, over their area", table)
    yield draw_looked_at(explanation.folder / "true_masks.png", table, subject.words)


def _shortcuts(explanation: Explanation) -> Iterator[Path]:
    table = shortcut_table(explanation.subject, explanation.rows(CHECKS))
    explanation.found["shortcuts"] = table
    print_rows("Answers that change without what shouldn't matter", table)
    yield draw_effects(explanation.folder / "shortcuts.png", table, "change", "Shortcuts")


def _physics(explanation: Explanation) -> Iterator[Path]:
    table = physics_checks(explanation.subject, explanation.rows(CHECKS))
    explanation.found["physics checks"] = table
    title = f"Physics checks, passed where at most {MOST_CHANGED:.0%} of answers change"
    print_rows(title, table)
    path = explanation.folder / "physics.png"
    yield draw_effects(path, table, "check", "Physics checks", MOST_CHANGED)


# To add a step, add a function that yields the files it writes.
STEPS: tuple[Callable[[Explanation], Iterator[Path]], ...] = (
    _maps,
    _faithfulness,
    _random_weights,
    _masks,
    _shortcuts,
    _physics,
)

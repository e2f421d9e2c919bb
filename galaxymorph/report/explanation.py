"""The steps of `explain`, whose tables and figures are written into a run's `explain/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from galaxymorph.base import Steps, make_folder, safe_file_name, say, write_json
from galaxymorph.judge import (
    ATTRIBUTION_METHODS,
    MEASURES,
    MOST_CHANGED,
    NEIGHBOURS,
    SIMILAR_WITHIN,
    SUSPECT,
    ExplainedModel,
    Probe,
    anomaly,
    areas,
    attribute,
    attribution_on_features,
    can_measure,
    chosen_rows,
    curves,
    digests,
    embeddings,
    explained_model,
    mask_folder,
    measure_all,
    nearest,
    neighbour_table,
    physics_checks,
    plane,
    probe_table,
    randomisation,
    require_feature_maps,
    shortcut_table,
    true_concepts,
    true_masks,
    truth_of,
    typical_distance,
    verdicts,
    whitened,
    write_grids,
)
from galaxymorph.judge.explain.probes import LEAST
from galaxymorph.learn import Run, write_table
from galaxymorph.report.figures.attribution_figures import (
    draw_curves,
    draw_effects,
    draw_feature_attribution,
    draw_maps,
    draw_randomisation,
)
from galaxymorph.report.figures.embedding_figure import (
    draw_gini_m20,
    draw_map,
    draw_probes,
    draw_row,
)

# Galaxies of each step by default.
CURVES, CHECKS, MASKS, EMBEDDED, MEASURED = 48, 500, 1000, 1000, 160
SHOWN = 18
SHORTCUTS = "Dependence of predictions on things other than the galaxy's shape"
PHYSICS = (
    "Physics checks: changes of the image that should not change the class, with one view "
    "(predict averages the run's views)"
)


@dataclass
class Explanation:
    """The explanation of a run, to which each step adds.

    Args:
        model: the model and its test galaxies.
        folder: of its files.
        methods: of attribution.
        limit: galaxies of each step; None for the defaults.
        maps: by method the galaxies' rows and their maps.
        record: the tables of `explain.json`, by name.
        embedded: the embeddings by stage.
        tables: rows by title, in the order of the steps.
        files: that were written.
    """

    model: ExplainedModel
    folder: Path
    methods: Sequence[str]
    limit: int | None
    maps: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    embedded: dict[str, np.ndarray] = field(default_factory=dict)
    tables: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def add(self, name: str, title: str, table: Sequence[Mapping[str, Any]]) -> None:
        """Add a table to the record by name, and to the tables by title."""
        self.record[name] = self.tables[title] = table

    def rows(self, most: int) -> np.ndarray:
        """Return the rows of a step's galaxies: the limit, by default `most`."""
        return chosen_rows(self.model, self.limit or most)


def explain_run(
    run: Run, methods: Sequence[str] = (), limit: int | None = None, data: Path | None = None
) -> Explanation:
    """Explain a run's answers on its test part, into its folder `explain`.

    Args:
        run: trained.
        methods: of `ATTRIBUTION_METHODS`; the default is all.
        limit: galaxies of each step; the default depends on the step.
        data: where the run's catalogue is now, if it has moved.

    Raises:
        BadInput: the run isn't finished, or a method can't be applied.
    """
    with Steps([IMAGES_SHARE, *STEPS.values()]) as steps:
        steps.begin()
        explanation = _explanation(run, methods, limit, data)
        for step in STEPS:
            steps.begin()
            explanation.files += step(explanation)
    explanation.files += _write(explanation)
    return explanation


def _explanation(
    run: Run, methods: Sequence[str], limit: int | None, data: Path | None
) -> Explanation:
    model = explained_model(run, data)
    methods = list(dict.fromkeys(methods)) or list(ATTRIBUTION_METHODS)
    if any(ATTRIBUTION_METHODS[name].needs_feature_maps for name in methods):
        require_feature_maps(model)
    explanation = Explanation(model, run.path / "explain", methods, limit)
    make_folder(explanation.folder)
    return explanation


def _write(explanation: Explanation) -> Iterator[Path]:
    path = explanation.folder / "galaxies.parquet"
    columns = ["galaxy", "image", "label", "answer", "confidence", "right"]
    write_table(path, explanation.model.table[columns])
    yield path
    write_json(explanation.folder / "explain.json", explanation.record)
    yield explanation.folder / "explain.json"


def _maps(explanation: Explanation) -> Iterator[Path]:
    model = explanation.model
    for method in explanation.methods:
        rows = explanation.rows(ATTRIBUTION_METHODS[method].limit)
        maps = attribute(model, method, rows)
        explanation.maps[method] = rows, maps
        yield from draw_maps(explanation.folder / method, model, method, rows, maps)
    names = model.table["galaxy"].to_numpy(object)
    named = {method: (names[rows], maps) for method, (rows, maps) in explanation.maps.items()}
    yield write_grids(explanation.folder, named)


def _faithfulness(explanation: Explanation) -> Iterator[Path]:
    model = explanation.model
    # Draws are nested, so every method has maps of these.
    least = min(CURVES, *(ATTRIBUTION_METHODS[method].limit for method in explanation.methods))
    chosen = explanation.rows(least)
    maps = {method: of[np.isin(rows, chosen)] for method, (rows, of) in explanation.maps.items()}
    by_order = curves(model, chosen, maps)
    table = areas(by_order, model.seed)
    title = "Area under the curve of the predicted class's probability"
    explanation.add("deletion and insertion", title, table)
    yield draw_curves(explanation.folder / "deletion_insertion.png", by_order, len(chosen))


def _random_weights(explanation: Explanation) -> Iterator[Path]:
    model, table = explanation.model, []
    for method, (rows, maps) in explanation.maps.items():
        some = np.isin(rows, explanation.rows(ATTRIBUTION_METHODS[method].random))
        for row in randomisation(model, method, rows[some], maps[some]):
            table.append({"method": method, **row})
    title = "Rank correlation with the maps of the trained network"
    explanation.add("random weights", title, table)
    explanation.tables["Attribution methods, the most reliable first"] = [
        {**row, "method": ATTRIBUTION_METHODS[row["method"]].label}
        for row in verdicts(explanation.record)
    ]
    yield draw_randomisation(explanation.folder / "random_weights.png", table)


def _masks(explanation: Explanation) -> Iterator[Path]:
    model, table = explanation.model, []
    if not mask_folder(model):
        return
    masks = true_masks(model, explanation.rows(MASKS))
    for method, (rows, maps) in explanation.maps.items():
        some = np.isin(explanation.rows(MASKS), rows)
        of = {name: mask[some] for name, mask in masks.items()}
        table += [
            {"method": method, **row} for row in attribution_on_features(model, rows, maps, of)
        ]
    if not table:
        explanation.record["true masks"] = table
        return
    title = "Fraction of the attribution on true features, divided by their area"
    explanation.add("true masks", title, table)
    yield draw_feature_attribution(explanation.folder / "true_masks.png", table, model.words)


def _shortcuts(explanation: Explanation) -> Iterator[Path]:
    table = shortcut_table(explanation.model, explanation.rows(CHECKS))
    title = "Predictions that change when irrelevant parts of the image are removed"
    explanation.add("shortcuts", title, table)
    yield draw_effects(explanation.folder / "shortcuts.png", table, "change", SHORTCUTS)


def _physics(explanation: Explanation) -> Iterator[Path]:
    table = physics_checks(explanation.model, explanation.rows(CHECKS))
    title = (
        f"Physics checks, passed if at most {MOST_CHANGED:.0%} of predictions change (one view; "
        "predict averages the run's views)"
    )
    explanation.add("physics checks", title, table)
    path = explanation.folder / "physics.png"
    yield draw_effects(path, table, "check", PHYSICS, MOST_CHANGED)


def _concepts(explanation: Explanation) -> Iterator[Path]:
    model, rows = explanation.model, explanation.rows(EMBEDDED)
    explanation.embedded = embeddings(model, rows)
    truth = truth_of(model, rows)
    if truth is not None:
        table = probe_table(explanation.embedded, true_concepts(truth), model.seed)
        yield from _probes(explanation, "true parameters", table)
    if not can_measure():
        say("morphometry is left out; to add it: pip install 'galaxymorph[morphometry]'")
        return
    yield from _morphometry(explanation, rows)


def _morphometry(explanation: Explanation, rows: np.ndarray) -> Iterator[Path]:
    model = explanation.model
    some = np.isin(rows, explanation.rows(MEASURED))
    galaxies = model.table.iloc[rows[some]].reset_index(drop=True)
    measured = galaxies[["galaxy", "label", "answer"]].join(
        measure_all(list(galaxies["image"]), model.run.recipe.rendering)
    )
    path = explanation.folder / "morphometry.csv"
    write_table(path, measured)
    yield path
    sound = (measured["flag"] < SUSPECT).to_numpy()
    concepts = {name: measured[name].where(sound).to_numpy(float) for name in MEASURES}
    embedded = {name: vectors[some] for name, vectors in explanation.embedded.items()}
    yield from _probes(explanation, "morphometry", probe_table(embedded, concepts, model.seed))
    drawn = measured[sound].dropna(subset=["gini", "m20"])
    if len(drawn):
        yield draw_gini_m20(explanation.folder / "gini_m20.png", model, drawn)


def _probes(explanation: Explanation, name: str, table: list[Probe]) -> Iterator[Path]:
    explanation.record[f"probes of {name}"] = table
    if not table:
        say(f"no probe of {name}: it needs {LEAST} galaxies or more")
        return
    stages: dict[str, dict[str, object]] = {}
    for row in table:
        line = stages.setdefault(row["concept"], {"concept": row["concept"]})
        line |= {"galaxies": row["galaxies"], row["stage"]: row["r2"]["value"]}
    explanation.tables[f"Linear probes of {name}: cross-validated R²"] = list(stages.values())
    yield draw_probes(explanation.folder / f"probes_{name.replace(' ', '_')}.png", table)


def _embedding(explanation: Explanation) -> Iterator[Path]:
    model, rows = explanation.model, explanation.rows(EMBEDDED)
    last = list(explanation.embedded.values())[-1]
    if len(rows) < 3:
        return
    yield draw_map(explanation.folder / "map.png", model, rows, *plane(last))
    pictures, typical = digests(model.pixels(rows).numpy()), typical_distance(whitened(last))
    explanation.record["neighbours"] = {"median distance of any two": round(typical, 4)}
    near = neighbour_table(list(model.table["galaxy"].iloc[rows]), whitened(last), pictures)
    write_table(explanation.folder / NEIGHBOURS, near)
    yield explanation.folder / NEIGHBOURS
    scores = anomaly(whitened(last))
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > np.median(scores)]
    subject_rows = rows[order[:SHOWN]]
    explanation.record["most anomalous"] = [
        {"galaxy": galaxy, "distance": round(float(score), 4)}
        for galaxy, score in zip(
            model.table["galaxy"].iloc[subject_rows], scores[order], strict=False
        )
    ]
    notes = [f"distance {scores[at]:.1f}" for at in order[:SHOWN]]
    title = (
        f"Galaxies farthest from their neighbours, of {len(rows):,} (median "
        f"{np.median(scores):.1f})"
    )
    path = explanation.folder / "anomalous.png"
    yield draw_row(path, model, subject_rows, notes, title)


def draw_similar(run: Run, galaxy: str, data: Path | None = None) -> Path:
    """Draw a galaxy and those of the run's test part with the nearest embeddings.

    Args:
        run: trained.
        galaxy: of any part of the run.
        data: where the run's catalogue is now, if it has moved.

    Raises:
        BadInput: the galaxy isn't of the run.
    """
    model = explained_model(run, data, galaxy)
    rows = np.arange(len(model.table))
    last = list(embeddings(model, rows).values())[-1]
    row = int(np.flatnonzero(model.table["galaxy"] == galaxy)[0])
    pictures = digests(model.pixels(rows).numpy())
    near, away = nearest(whitened(last), pictures, row, SHOWN - 1)
    typical = typical_distance(whitened(last))
    folder = run.path / "explain"
    make_folder(folder)
    notes = ["this one", *(f"distance {distance:.1f}" for distance in away)]
    title = (
        f"Most similar to galaxy {galaxy}, of {len(rows) - 1:,} (median distance of "
        f"two galaxies: {typical:.1f})"
    )
    if not len(away) or away[0] >= SIMILAR_WITHIN * typical:
        title = (
            f"No galaxy is similar to {galaxy}: these are as far away as any two galaxies "
            f"({typical:.1f})"
        )
        say(title)
    path = folder / f"similar_{safe_file_name(galaxy)}.png"
    return draw_row(path, model, np.concatenate([[row], near]), notes, title)


# Seconds of reading the images and of each step for 131 galaxies (resnet18, 224 pixels), from which
# the remaining time is estimated. A step is a function that yields the files it writes.
IMAGES_SHARE = 6
STEPS: dict[Callable[[Explanation], Iterator[Path]], float] = {
    _maps: 113,
    _faithfulness: 50,
    _random_weights: 120,
    _masks: 5,
    _shortcuts: 5,
    _physics: 10,
    _concepts: 80,
    _embedding: 5,
}

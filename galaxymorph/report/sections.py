"""The sections of a run's page and of its model card: their files and the content of templates.

To add one, register it in `SECTIONS` with a template of its name in `templates/sections/`, or with
its template as text.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.base import Registry, read_csv
from galaxymorph.judge import (
    ATTRIBUTION_METHODS,
    METRICS,
    item_metrics,
    judge_command,
    metrics_of,
    prediction_kind,
    read_uncertainty,
    true_and_predicted,
    verdicts,
)
from galaxymorph.learn import (
    Recipe,
    Run,
    fit_warnings,
    help_of,
    label_words,
    read_sources,
    run_files,
    shown_setting,
    target_of,
    without_effect,
)
from galaxymorph.report.figures.panels import in_words
from galaxymorph.report.metric_tables import (
    abbreviations,
    bin_note,
    calibration_columns,
    calibration_method,
    calibration_rows,
    change_in_words,
    corruption_label,
    interval_places,
    metric_heading,
    never_predicted,
    risk_words,
    scheme_table,
    set_tables,
    source_headings,
    source_metrics,
    vote_map_table,
)
from galaxymorph.report.page_content import PREDICTED, PageContent
from galaxymorph.report.references import reference_of
from galaxymorph.report.tables import PARTS
from galaxymorph.zoo import known_fractions

Content = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """A part of the page; absent if a file is missing or `gather` returns None.

    Args:
        title: above it.
        needs: files of the run.
        gather: from a page to the content with which the template is rendered.
        template: its text, in Jinja's language; the default is the package's of the entry's name.
    """

    title: str
    needs: tuple[str, ...]
    gather: Callable[[PageContent], Content | None]
    template: str = ""


SECTIONS: Registry[Section] = Registry("page section")


def gather_sections(page: PageContent, names: Collection[str] = ()) -> dict[str, Content]:
    """Return the content of sections by name, without the absent ones.

    Args:
        page: of a run.
        names: of sections; the default is all, in the order of registration.
    """
    gathered = {}
    for name, section in SECTIONS.items():
        if (names and name not in names) or not page.has(*section.needs):
            continue
        content = section.gather(page)
        if content is not None:
            gathered[name] = content
    return gathered


def section(
    name: str, title: str, *needs: str
) -> Callable[[Callable[[PageContent], Content | None]], Callable[[PageContent], Content | None]]:
    """Register the decorated function as a section of the page."""

    def register(
        gather: Callable[[PageContent], Content | None],
    ) -> Callable[[PageContent], Content | None]:
        SECTIONS.register(name, Section(title, needs, gather))
        return gather

    return register


@section("headline", "Result", run_files.METRICS, run_files.SPLIT)
def _headline(page: PageContent) -> Content:
    reference, words = reference_of(page.run)
    test = page.metrics["test"]
    metrics = metrics_of(target_of(page.run.recipe).metrics)
    metrics = {name: metric for name, metric in metrics.items() if name in test}
    return {
        "scores": [
            {
                "name": metric.label,
                "direction": metric.direction,
                "score": test[name],
                "published": reference.scores.get(name) if reference else None,
            }
            for name, metric in metrics.items()
        ],
        "warnings": fit_warnings(page.run),
        "galaxies": test["galaxies"],
        "interval": page.metrics["interval"],
        "reference": words,
        "kind": prediction_kind(page.run),
        "judged": page.run.judged is not None,
        "has_intervals": any(test[name]["low"] is not None for name in metrics),
        "layer1": page.run.recipe.target != "tree" and _has_layer1_classes(page.run),
    }


@section("trained", "What was trained", run_files.SPLIT)
def _trained(page: PageContent) -> Content:
    run, recipe, split = page.run, page.run.recipe, page.run.split
    target = target_of(recipe)
    # In a cross-validated run every galaxy is tested once, and is training data of other folds.
    parts = pd.crosstab(split["label"], split["split"])
    order = _in_order(["train", "valid", "calibration", "test"], list(parts.columns))
    words = {**PARTS, "train": "training"}
    source = Path(run.data["source"])
    if target.tree:
        kind = run.data.get("fractions", "")
        before = "" if kind in ("", "counts") else f"{kind} "
        labels = f"{before}vote fractions of the schema {shown_setting(recipe, 'schema')}"
    elif recipe.labels_column is not None:
        labels = f"labels from the column {recipe.labels_column}"
    else:
        labels = f"labels from the scheme {recipe.scheme}"
    return {
        "sources": _sources(page),
        "unlabelled": _unlabelled(page),
        "target": "classes" if recipe.labels_column else f"{recipe.target}: {target.words}",
        "labels": labels,
        "split_by": _split_labels(run),
        "layer1": _has_layer1_classes(run),
        "truth": recipe.truth,
        "source": str(source),
        "simulated": run.is_simulated,
        "galaxies": len(split),
        "parts": [(part, words.get(part, part)) for part in order],
        "rows": [
            (
                label_words(recipe).get(label, in_words(label)),
                [int(parts[part][label]) for part in order],
            )
            for label in _in_order(run.classes, list(parts.index))
        ],
        "totals": [int(parts[part].sum()) for part in order],
        "recipe": recipe,
        "judged": run.judged,
    }


def _split_labels(run: Run) -> tuple[str, str]:
    """Return what the labels are by which galaxies are split, in words: for a row, for a table."""
    target, scheme = target_of(run.recipe), run.recipe.scheme
    if not target.soft:
        return "class", "class"
    if target.tree and set(run.classes) <= set(target.tree.columns):
        return "answer", "the volunteers' likeliest answer to the first question"
    return f"class of {scheme}", f"the class of the scheme {scheme} with the largest vote share"


def _has_layer1_classes(run: Run) -> bool:
    """Tell whether a run's classes are those of `layer1`, whose spirals are edge-on disks."""
    answers = target_of(run.recipe).tree
    return (
        run.recipe.scheme == "layer1"
        and not run.recipe.labels_column
        and not (answers and set(run.classes) <= set(answers.columns))
    )


def _sources(page: PageContent) -> list[Content]:
    """Return the further sources of a fit: as recipe, `history.csv` and `sources.csv` name them."""
    recipe, numbers = page.run.recipe, None
    if page.has(run_files.SOURCES):
        table = read_csv(page.run.path / run_files.SOURCES, ["source"])
        numbers = table["source"].astype(int).value_counts()
    return [
        {
            "number": number,
            "path": source.path,
            "labels": source.labels_in_words(str(shown_setting(recipe, "schema"))),
            "weight": source.weight,
            # A model of an ensemble or a fold hasn't the table.
            "galaxies": None if numbers is None else int(numbers.get(number, 0)),
        }
        for number, source in enumerate(read_sources(recipe), 1)
    ]


def _unlabelled(page: PageContent) -> Content | None:
    """Return paths and number of a fit's unlabelled images, None without any."""
    recipe, number = page.run.recipe, None
    if not recipe.unlabelled:
        return None
    if page.has(run_files.UNLABELLED):
        number = len(read_csv(page.run.path / run_files.UNLABELLED, ["image"]))
    return {"paths": recipe.unlabelled, "adapt": recipe.adapt, "images": number}


def _in_order(order: list[str], names: list[str]) -> list[str]:
    known = [name for name in order if name in names]
    return known + [name for name in names if name not in known]


@section("curves", "Learning curves")
def _curves(page: PageContent) -> Content | None:
    histories = [member.history for member in page.run.members if member.history is not None]
    if not histories:
        return None
    rows = [
        [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row]
        for row in histories[0].astype(object).fillna("").itertuples(index=False)
    ]
    return {
        "pictures": page.pictures("figures/learning_curves.png", "figures/losses_by_source.png"),
        "columns": list(histories[0].columns),
        "rows": rows,
        "part": page.run.part_word,
    }


@section("confusion", "Confusion matrices", run_files.METRICS)
def _confusions(page: PageContent) -> Content | None:
    if "confusion" not in page.metrics["test"]:
        return None
    classes = page.metrics["classes"]
    matrices = []
    for part in reversed(page.run.scored_parts):
        counts = np.array(page.metrics[part]["confusion"])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows = [
            (in_words(name), name, list(zip(classes, numbers, of_row, strict=True)))
            for name, numbers, of_row in zip(classes, counts.tolist(), shares.tolist(), strict=True)
        ]
        title = f"{PARTS[part].capitalize()} part"
        matrices.append({"part": part, "words": title, "rows": rows, "galaxies": int(counts.sum())})
    names = [in_words(name) for name in classes]
    return {"classes": names, "matrices": matrices, "truth": page.run.recipe.truth}


@section("per_class", "Scores by class", run_files.METRICS)
def _per_class(page: PageContent) -> Content | None:
    per_class = page.metrics["test"].get("per_class")
    if not per_class:
        return None
    metrics = item_metrics(target_of(page.run.recipe).metrics, "per_class")
    return {
        "headings": [metric.heading for metric in metrics.values()],
        "rows": [
            (
                in_words(name),
                scores["support"],
                [
                    (scores[key], interval_places(scores[key], *metric.limits))
                    for key, metric in metrics.items()
                    if key in scores
                ],
            )
            for name, scores in per_class.items()
        ],
        "never": [in_words(name) for name in never_predicted(page.metrics["test"])],
    }


@section("votes", "Vote fractions", *PREDICTED)
def _votes(page: PageContent) -> Content | None:
    target = target_of(page.run.recipe)
    if not target.soft:
        return None
    tree = target.tree
    true, predicted = true_and_predicted(page.run, page.test)
    scores = page.metrics["test"]
    known = known_fractions(tree, true) if tree else np.ones(true.shape, bool)
    numbers = np.maximum(known.sum(axis=0), 1)
    errors = np.sqrt(np.where(known, np.square(true - predicted), 0.0).sum(axis=0) / numbers)
    worst = float(errors.max()) or 1.0
    by_answer = scores.get("per_answer", {})
    rows = {
        name: {
            "true": float(true[:, at].mean()),
            "predicted": float(predicted[:, at].mean()),
            "rmse": by_answer.get(name, {}).get("rmse") or {"value": float(errors[at])},
            "bar": round(100 * float(errors[at]) / worst, 1),
        }
        for at, name in enumerate(page.run.outputs)
    }
    if tree:
        questions = [
            (
                question.text,
                scores["per_question"][question.name],
                [(answer.text, rows[answer.column]) for answer in question.answers],
            )
            for question in tree.questions
        ]
    else:
        questions = [("class", None, [(in_words(name), row) for name, row in rows.items()])]
    names = ("fractions_test", "entropies_test", "scores_by_answer")
    pictures = page.pictures(*(f"figures/{name}.png" for name in names))
    return {"questions": questions, "pictures": pictures}


@section("calibration", "Calibration", run_files.CALIBRATION)
def _calibration(page: PageContent) -> Content:
    record = page.json(run_files.CALIBRATION)
    patterns = ("calibrat", "reliab", "risk", "coverage", "set", "ranks")
    return {
        "how": calibration_method(record),
        "truth": page.run.recipe.truth,
        "of_fractions": target_of(page.run.recipe).tree is not None,
        "columns": calibration_columns(record),
        "rows": [row[1:] for row in calibration_rows(record)],
        "bin_note": bin_note(record),
        "sets": [
            (title, [in_words(name) for name in names], rows)
            for title, names, rows in set_tables(record)
        ],
        "notes": record.get("notes", []),
        "pictures": page.pictures(*(f"figures/*{pattern}*.png" for pattern in patterns)),
    }


@section("vote_maps", "Vote fractions by catalogue", run_files.VOTE_MAPS)
def _vote_maps(page: PageContent) -> Content:
    title, names, rows = vote_map_table(page.json(run_files.VOTE_MAPS))
    return {"title": title, "names": names, "rows": rows}


@section("scheme_classes", "Classes from vote fractions", run_files.SCHEME_CLASSES)
def _scheme_classes(page: PageContent) -> Content:
    record = page.json(run_files.SCHEME_CLASSES)
    title, names, rows = scheme_table(record)
    return {"title": title, "names": names, "rows": rows, "left_out": record["left_out"]}


@section("uncertainty", "Uncertainty", run_files.UNCERTAINTY)
def _uncertainty(page: PageContent) -> Content:
    record = read_uncertainty(page.run.path / run_files.UNCERTAINTY)
    names, sources = source_metrics(record), record["sources"]
    kept = next(iter(sources.values())).get("kept_at_accuracy", {})
    return {
        "galaxies": record["galaxies"],
        "headings": source_headings(names, page.run.recipe.target),
        "of_classes": not target_of(page.run.recipe).soft,
        "risk": risk_words(page.run.recipe.target).removeprefix("mean "),
        "abbreviations": abbreviations(names),
        "accuracies": [f"{float(accuracy):.0%}" for accuracy in kept],
        "rows": [
            (
                source,
                [(study["scores"].get(name), METRICS[name].digits) for name in names],
                [_kept(kept) for kept in study.get("kept_at_accuracy", {}).values()],
                study["passes"],
                study["seconds"],
            )
            for source, study in sources.items()
        ],
        "volunteers": [
            (source, list(study["volunteers"].values()))
            for source, study in sources.items()
            if "volunteers" in study
        ],
        "pictures": page.pictures("figures/uncertainty_*.png", "figures/corner_*.png"),
    }


def _kept(record: Mapping[str, Any] | float) -> float | None:
    # Studies of earlier versions have a number.
    return record["kept"]["value"] if isinstance(record, Mapping) else record


@section("robustness", "Robustness", run_files.ROBUSTNESS)
def _robustness(page: PageContent) -> Content:
    scores = page.json(run_files.ROBUSTNESS)
    headline = scores["headline"]
    rows = [
        (
            corruption_label(name),
            [
                {"score": condition[headline], "drop": condition["drop"]}
                for condition in record["severities"].values()
            ],
        )
        for name, record in scores["corruptions"].items()
    ]
    lost = [abs(cell["drop"]["value"]) for _, cells in rows for cell in cells]
    rows.sort(key=lambda row: -float(np.mean([cell["drop"]["value"] for cell in row[1]])))
    return {
        "headline": metric_heading(headline),
        "loss": change_in_words(headline),
        "clean": scores["clean"][headline],
        "severities": [str(severity) for severity in scores["severities"]],
        "galaxies": scores["galaxies"],
        "views": scores.get("views"),
        "rows": rows,
        "most": max([*lost, 0.05]),
        "pictures": page.pictures("figures/robustness_*.png"),
    }


@section("explanation", "What predictions depend on", "explain")
def _explanation(page: PageContent) -> Content | None:
    record = page.json("explain/explain.json") if page.has("explain/explain.json") else {}
    tested = {row["method"]: row for row in verdicts(record)}
    tests = page.pictures("explain/deletion_insertion.png", "explain/random_weights.png")
    methods = [
        {
            "title": ATTRIBUTION_METHODS[name].label,
            "test": tested.get(name),
            "pictures": page.pictures(f"explain/{name}/*.png"),
        }
        for name in dict.fromkeys((*tested, *ATTRIBUTION_METHODS))
    ]
    methods = [method for method in methods if method["pictures"] or method["test"]]
    # An embedding's map and galaxies follow the checks of the answers.
    pictures = page.pictures("explain/shortcuts.png", "explain/physics.png", "explain/*.png")
    if not record and not methods and not pictures:
        return None
    tables = [
        (f"{name[:1].upper()}{name[1:]}", list(rows[0]), [list(row.values()) for row in rows])
        for name, rows in record.items()
        if isinstance(rows, list) and rows
    ]
    return {"methods": methods, "tests": tests, "pictures": pictures, "tables": tables}


@section("figures", "Other figures", "figures")
def _other_figures(page: PageContent) -> Content | None:
    # It is a table of the page.
    heat = page.run.figures / "robustness.png"
    pictures = [picture for picture in page.pictures("figures/*.png") if picture.path != heat]
    page.pictures_used = [picture for picture in page.pictures_used if picture.path != heat]
    folders = [pair for pair in page.folders_left_out() if pair[0] != "figures"]
    return {"pictures": pictures, "folders": folders} if pictures or folders else None


@section("gallery", "Gallery", *PREDICTED)
def _gallery(page: PageContent) -> Content:
    return vars(page.gallery)


@section("recipe", "Making it again")
def _recipe(page: PageContent) -> Content:
    run, baseline, idle = page.run, Recipe(), without_effect(page.run.recipe)
    environment = page.json(run_files.ENVIRONMENT) if page.has(run_files.ENVIRONMENT) else {}
    packages = environment.pop("packages", {})
    settings = []
    for setting in fields(Recipe):
        if setting.name not in idle and run.judged is None:
            value = shown_setting(run.recipe, setting.name)
            differs = value != getattr(baseline, setting.name)
            name = setting.name.replace("_", "-")
            settings.append((name, _setting(value), differs, help_of(setting)))
    files = [name for name in (run_files.SPLIT, run_files.WEIGHTS) if page.has(name)]
    path = shlex.quote(str(run.path))
    return {
        "settings": settings,
        "environment": {**environment, **packages},
        "checksums": [(name, _checksum(run.path / name)) for name in files],
        "fingerprint": run.data["fingerprint"],
        "command": fit_command(run) if run.judged is None else judge_command(run),
        "reproduce": None if run.judged else f"python cli.py reproduce {path}",
        "report": f"python cli.py report {path}",
    }


def fit_command(run: Run) -> str:
    """Return the command that trains a run again by its recipe."""
    recipe = str(run.path / run_files.RECIPE)
    return shlex.join(["python", "cli.py", "fit", "--data", run.data["path"], "--recipe", recipe])


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else str(value)


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

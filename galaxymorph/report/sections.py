"""The sections of a run's page: each says which files it needs and what its template is told.

To add one, add an entry to `SECTIONS` and a template of its name to `templates/sections/`.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import read_json
from galaxymorph.judge import (
    ATTRIBUTION_METHODS,
    METRICS,
    Predictions,
    is_calibrated,
    metrics_of,
    part_metrics,
    scores_in,
    served,
    served_kind,
    true_and_predicted,
    verdicts,
)
from galaxymorph.learn import (
    Recipe,
    Run,
    fit_warnings,
    help_of,
    label_words,
    loss_words,
    target_of,
    without_effect,
)
from galaxymorph.report.figures.calibration_figures import method_words, set_tables
from galaxymorph.report.figures.charts import interval_places, line_chart
from galaxymorph.report.figures.gallery import gallery_of, words_of
from galaxymorph.report.figures.pictures import LIMIT, TEXT, Picture, encode_pictures, read_picture
from galaxymorph.report.figures.run_figures import kept_epoch, loss_axis, score_axis
from galaxymorph.report.figures.uncertainty_figures import score_words
from galaxymorph.report.references import reference_of
from galaxymorph.report.tables import PARTS, score_name
from galaxymorph.zoo import known_fractions

# Pictures that the page draws itself, or that its gallery stands for.
DRAWN = {"learning_curves", "scores_by_class", "confusion_valid", "confusion_test"}


@dataclass
class Page:
    """What the sections are told: a run, where its catalogue is, and which pictures are used."""

    run: Run
    data: Path | None = None
    pictures_used: list[Picture] = field(default_factory=list)

    @cached_property
    def metrics(self) -> dict:
        """`metrics.json`; where calibration changes classes, the scores of the classes as served.

        So that one kind of prediction stands everywhere on the page.
        """
        metrics, run = self.json("metrics.json"), self.run
        if not target_of(run.recipe).soft and is_calibrated(self.test):
            for part in PARTS:
                table = run.predictions(part).drop_duplicates("galaxy", ignore_index=True)
                given = served(run, table)
                if (given["predicted"] != table["predicted"]).any():
                    predictions = Predictions.of(run, given)
                    metrics[part] |= part_metrics(predictions, ["classification"])
        return metrics

    @cached_property
    def test(self) -> pd.DataFrame:
        """The predictions of the test part, each galaxy once."""
        return self.run.predictions("test").drop_duplicates("galaxy", ignore_index=True)

    @cached_property
    def gallery(self) -> dict:
        """What the gallery shows."""
        return gallery_of(self.run, self.test, self.data)

    def json(self, name: str) -> dict:
        """Return a JSON file of the run."""
        return read_json(self.run.path / name)

    def pictures(self, *patterns: str) -> list[Picture]:
        """Return the run's pictures of some names, each once a page; `encode` fills them in."""
        used = {each.path for each in self.pictures_used}
        found = [path for name in patterns for path in sorted(self.run.path.glob(name))]
        paths = [
            path for path in dict.fromkeys(found) if path not in used and path.stem not in DRAWN
        ]
        pictures = list(filter(None, map(read_picture, paths)))
        self.pictures_used += pictures
        return pictures

    def encode(self) -> None:
        """Encode the pictures into what the gallery leaves of a page's bytes."""
        has_gallery = all((self.run.path / name).exists() for name in PREDICTED)
        gallery = len(json.dumps(self.gallery["data"])) if has_gallery else 0
        encode_pictures(self.pictures_used, LIMIT - TEXT - gallery)

    def folders_left_out(self) -> list[tuple[str, int]]:
        """Return folders with figures that aren't on the page, and how many each has."""
        used = {each.path for each in self.pictures_used}
        found = Counter(
            path.parent.relative_to(self.run.path).as_posix()
            for top in ("figures", "explain")
            for path in (self.run.path / top).rglob("*.png")
            if path not in used and path.stem not in DRAWN
        )
        return sorted(found.items())


@dataclass(frozen=True)
class Section:
    """A part of the page: left out unless its files are there and `gather` finds something.

    Args:
        name: of its template, and of its place on the page.
        title: above it.
        needs: files of the run.
        gather: what the template is told.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    gather: Callable[[Page], dict | None]


def gathered(page: Page, names: Collection[str] | None = None) -> list[dict]:
    """Return what each section, or those of some names, has to say: `name`, `title`, `content`."""
    found = []
    for section in SECTIONS:
        if names is not None and section.name not in names:
            continue
        if not all((page.run.path / name).exists() for name in section.needs):
            continue
        content = section.gather(page)
        if content is not None:
            found.append({"name": section.name, "title": section.title, "content": content})
    return found


def _trained(page: Page) -> dict:
    run, recipe, split = page.run, page.run.recipe, page.run.split
    target = target_of(recipe)
    # In a cross-validated run every galaxy is tested once, and trains the other folds.
    parts = pd.crosstab(split["label"], split["split"])
    order = [part for part in ("train", "valid", "calibration", "test") if part in parts]
    order += [part for part in parts if part not in order]
    source = Path(run.data["source"])
    if target.tree:
        labels = f"vote fractions of the schema {recipe.schema}"
    elif recipe.labels_column is not None:
        labels = f"labels from the column {recipe.labels_column}"
    else:
        labels = f"labels from the scheme {recipe.scheme}"
    return {
        "target": "classes" if recipe.labels_column else f"{recipe.target}: {target.words}",
        "labels": labels,
        "truth": recipe.truth,
        "source": str(source),
        "simulated": (source.parent / "survey.json").exists(),
        "galaxies": len(split),
        "parts": [(part, PARTS.get(part, {"train": "training"}.get(part, part))) for part in order],
        "rows": [
            (
                label_words(recipe).get(label, words_of(label)),
                [int(parts.loc[label, part]) for part in order],
            )
            for label in _in_order(run.classes, parts.index)
        ],
        "totals": [int(parts[part].sum()) for part in order],
        "recipe": recipe,
    }


def _in_order(classes: list[str], labels: pd.Index) -> list[str]:
    known = [name for name in classes if name in labels]
    return known + [name for name in labels if name not in known]


def _headline(page: Page) -> dict:
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
        "kind": served_kind(page.run),
        "has_intervals": any(test[name]["low"] is not None for name in metrics),
        "layer1": page.run.recipe.scheme == "layer1"
        and page.run.recipe.target != "tree"
        and not page.run.recipe.labels_column,
    }


def _curves(page: Page) -> dict | None:
    target = target_of(page.run.recipe)
    word = page.run.part_word
    histories = [
        (f" ({word} {n + 1})" if word else "", member.history)
        for n, member in enumerate(page.run.members)
        if member.history is not None
    ]
    if not histories:
        return None
    losses = {"train_loss": "training", "valid_loss": "validation"}
    charts = []
    kept = kept_epoch(page.run) if len(page.run.members) == 1 else None
    for title, columns, label in (
        ("Loss", losses, loss_axis(page.run)),
        ("Validation score", dict(target.epoch_metrics), score_axis(page.run)),
    ):
        series = {
            words + fold: (history["epoch"], history[column])
            for fold, history in histories
            for column, words in columns.items()
            if column in history
        }
        charts.append(line_chart(title, series, label, kept))
    first = histories[0][1]
    frozen = int((first["stage"] == "frozen").sum())
    return {
        "charts": [chart for chart in charts if chart],
        "frozen": frozen,
        "kept": kept,
        "loss": loss_words(page.run.recipe),
        "epochs": len(first),
        "columns": list(first.columns),
        "rows": [[_cell(value) for value in row] for row in first.itertuples(index=False)],
        "part": word,
    }


def _confusions(page: Page) -> dict | None:
    if "confusion" not in page.metrics["test"]:
        return None
    classes = page.metrics["classes"]
    matrices = []
    for part, words in reversed(PARTS.items()):
        counts = np.array(page.metrics[part]["confusion"])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows = [
            (words_of(name), name, list(zip(classes, *pair, strict=True)))
            for name, pair in zip(
                classes, zip(counts.tolist(), shares.tolist(), strict=True), strict=True
            )
        ]
        matrices.append(
            {
                "part": part,
                "words": f"{words.capitalize()} part",
                "rows": rows,
                "galaxies": int(counts.sum()),
            }
        )
    return {
        "classes": [words_of(name) for name in classes],
        "matrices": matrices,
        "truth": page.run.recipe.truth,
    }


def _per_class(page: Page) -> dict | None:
    per_class = page.metrics["test"].get("per_class")
    if not per_class:
        return None
    return {
        "rows": [
            (
                words_of(name),
                scores["support"],
                [
                    (scores[key], interval_places(scores[key], 0.0, 1.0))
                    for key in ("precision", "recall", "f1")
                ],
            )
            for name, scores in per_class.items()
        ],
        "never": [
            words_of(name)
            for name, scores in per_class.items()
            if scores["precision"]["value"] is None
        ],
    }


def _votes(page: Page) -> dict | None:
    target = target_of(page.run.recipe)
    if not target.soft:
        return None
    true, predicted = true_and_predicted(page.run, page.test)
    names = page.run.outputs
    scores = page.metrics["test"].get("per_answer", {})
    known = known_fractions(target.tree, true) if target.tree else np.ones(true.shape, bool)
    asked = np.maximum(known.sum(axis=0), 1)
    errors = np.sqrt(np.where(known, np.square(true - predicted), 0.0).sum(axis=0) / asked)
    worst = float(errors.max()) or 1.0
    rows = {
        name: {
            "true": float(true[:, at].mean()),
            "predicted": float(predicted[:, at].mean()),
            "rmse": scores.get(name, {}).get("rmse") or {"value": float(errors[at])},
            "bar": round(100 * float(errors[at]) / worst, 1),
        }
        for at, name in enumerate(names)
    }
    questions = []
    if target.tree:
        for question in target.tree.questions:
            questions.append(
                {
                    "asks": question.text,
                    "scores": page.metrics["test"]["per_question"][question.name],
                    "answers": [(each.text, rows[each.column]) for each in question.answers],
                }
            )
    else:
        answers = [(words_of(name), rows[name]) for name in names]
        questions.append({"asks": "class", "scores": None, "answers": answers})
    return {"questions": questions, "pictures": page.pictures("figures/fractions_test.png",
            "figures/entropies_test.png", "figures/scores_by_answer.png")}  # fmt: skip


def _calibration(page: Page) -> dict:
    record = page.json("calibration.json")
    before, after = record.get("before", {}), record.get("after", {})
    return {
        "how": method_words(record),
        "truth": page.run.recipe.truth,
        "of_fractions": target_of(page.run.recipe).tree is not None,
        "pairs": [
            (f"{METRICS[name].label} ({METRICS[name].direction})", before[name], after[name],
             after.get("if_calibrated", {}).get(name))
            for name in before
            if name in METRICS and name in after
        ],
        "sets": set_tables(record),
        "notes": record.get("notes", []),
        "scores": _score_rows(record),
        "pictures": page.pictures(
            "figures/*calibrat*.png", "figures/*reliab*.png", "figures/*risk*.png",
            "figures/*coverage*.png", "figures/*set*.png", "figures/*ranks*.png",
        ),
    }  # fmt: skip


def _uncertainty(page: Page) -> dict:
    record = page.json("uncertainty.json")
    names, sources = score_words(record), record["sources"].items()
    kept = next(iter(record["sources"].values())).get("kept_at_accuracy", {})
    return {
        "galaxies": record["galaxies"],
        "scores": list(names.values()),
        "accuracies": [f"{float(accuracy):.0%}" for accuracy in kept],
        "rows": [
            (
                source,
                [(found["scores"].get(name), METRICS[name].digits) for name in names],
                [_kept(each) for each in found.get("kept_at_accuracy", {}).values()],
                found["passes"],
                found["seconds"],
            )
            for source, found in sources
        ],
        "people": [(source, list(found["people"].values())) for source, found in sources
                   if "people" in found],
        "pictures": page.pictures("figures/uncertainty_*.png", "figures/corner_*.png"),
    }  # fmt: skip


def _kept(found: dict | float) -> float | None:
    # Studies of before it was judged on other galaxies than it was chosen on hold a number.
    return found["kept"]["value"] if isinstance(found, dict) else found


def _robustness(page: Page) -> dict:
    from galaxymorph.images import CORRUPTIONS

    scores = page.json("robustness.json")
    headline = scores["headline"]
    rows = []
    for name, found in scores["corruptions"].items():
        cells = [
            {"score": each[headline], "drop": each["drop"]} for each in found["severities"].values()
        ]
        rows.append((CORRUPTIONS[name].label if name in CORRUPTIONS else name, cells))
    lost = [abs(cell["drop"]["value"]) for _, cells in rows for cell in cells]
    rows.sort(key=lambda row: -float(np.mean([cell["drop"]["value"] for cell in row[1]])))
    return {
        "headline": METRICS[headline].heading,
        "clean": scores["clean"][headline],
        "severities": [str(severity) for severity in scores["severities"]],
        "galaxies": scores["galaxies"],
        "rows": rows,
        "most": max([*lost, 0.05]),
        "kind": served_kind(page.run),
        "pictures": page.pictures("figures/robustness_*.png"),
    }


def _explanation(page: Page) -> dict | None:
    numbers = page.run.path / "explain" / "explain.json"
    found = page.json("explain/explain.json") if numbers.exists() else {}
    judged = verdicts(found)
    tested = {row["method"]: row for row in judged}
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
    # An embedding's map and galaxies follow what the checks of the answers show.
    pictures = page.pictures("explain/shortcuts.png", "explain/physics.png", "explain/*.png")
    if not found and not methods and not pictures:
        return None
    tables = [
        (f"{name[:1].upper()}{name[1:]}", list(rows[0]), [list(row.values()) for row in rows])
        for name, rows in found.items()
        if isinstance(rows, list) and rows
    ]
    return {"methods": methods, "tests": tests, "pictures": pictures, "tables": tables}


def _other_figures(page: Page) -> dict | None:
    # The page has it as a table.
    heat = page.run.figures / "robustness.png"
    pictures = [each for each in page.pictures("figures/*.png") if each.path != heat]
    page.pictures_used = [each for each in page.pictures_used if each.path != heat]
    folders = [pair for pair in page.folders_left_out() if pair[0] != "figures"]
    return {"pictures": pictures, "folders": folders} if pictures or folders else None


def _score_rows(values: dict) -> list[tuple[str, dict]]:
    def finite(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    return [
        (score_name(name), dict(zip(("value", "low", "high"),
                                                     map(finite, score), strict=True)))
        for name, score in scores_in(values)
    ]  # fmt: skip


def _gallery(page: Page) -> dict:
    return page.gallery


def _recipe(page: Page) -> dict:
    run, usual, idle = page.run, Recipe(), without_effect(page.run.recipe)
    environment = page.json("environment.json") if _has(run, "environment.json") else {}
    packages = environment.pop("packages", {})
    settings = [
        (each.name.replace("_", "-"), _setting(getattr(run.recipe, each.name)),
         getattr(run.recipe, each.name) != getattr(usual, each.name),
         help_of(each))
        for each in fields(Recipe)
        if each.name not in idle
    ]  # fmt: skip
    files = [name for name in ("split.csv", "model.safetensors") if _has(run, name)]
    return {
        "settings": settings,
        "environment": {**environment, **packages},
        "checksums": [(name, _checksum(run.path / name)) for name in files],
        "fingerprint": run.data["fingerprint"],
        "command": fit_command(run),
        "reproduce": f"python cli.py reproduce {shlex.quote(str(run.path))}",
        "report": f"python cli.py report {shlex.quote(str(run.path))}",
    }


def fit_command(run: Run) -> str:
    """Return the command that makes a run again from its own recipe."""
    return shlex.join(
        ["python", "cli.py", "fit", "--data", run.data["path"],
         "--recipe", str(run.path / "recipe.json")]
    )  # fmt: skip


def _setting(value: object) -> str:
    if value is None:
        return "–"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _checksum(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _has(run: Run, name: str) -> bool:
    return (run.path / name).exists()


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


PREDICTED = ("metrics.json", "predictions_test.parquet")
SECTIONS: tuple[Section, ...] = (
    Section("headline", "Result", ("metrics.json", "split.csv"), _headline),
    Section("trained", "What was trained", ("split.csv",), _trained),
    Section("curves", "Learning curves", (), _curves),
    Section("confusion", "Confusion matrices", ("metrics.json",), _confusions),
    Section("per_class", "Scores by class", ("metrics.json",), _per_class),
    Section("votes", "Vote fractions", PREDICTED, _votes),
    Section("calibration", "Calibration", ("calibration.json",), _calibration),
    Section("uncertainty", "Uncertainty", ("uncertainty.json",), _uncertainty),
    Section("robustness", "Robustness", ("robustness.json",), _robustness),
    Section("explanation", "What the model looks at", ("explain",), _explanation),
    Section("figures", "Other figures", ("figures",), _other_figures),
    Section("gallery", "Gallery", PREDICTED, _gallery),
    Section("recipe", "Making it again", (), _recipe),
)

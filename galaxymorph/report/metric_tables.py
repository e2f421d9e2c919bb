"""Tables of metrics for the terminal, and the words for scores in tables and pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from galaxymorph.base import counted, say
from galaxymorph.images import CORRUPTIONS, FLUX_CORRUPTIONS
from galaxymorph.judge import METRICS, OVER_FOLDS, PER_BIN, SET_METHODS, item_metrics, metrics_of
from galaxymorph.learn import Recipe, target_of
from galaxymorph.report.tables import PARTS, console, interval_words, make_table, print_table
from galaxymorph.zoo import Tree

Record = Mapping[str, Any]
# Keys above a metric in a run's JSON files, in words; those without words aren't part of its name.
KEYS = {
    "test": "",
    "scores": "",
    "sources": "",
    "per_class": "",
    "per_answer": "",
    "per_question": "",
    "corruptions": "",
    "selective": "",
    "study": "",
    "methods": "",
    "severities": "severity",
    "valid": "validation part",
    "before": "before calibration",
    "after": "after calibration",
    "sets": "prediction sets",
    "kept": "fraction accepted",
}
# Metrics of each source of uncertainty; the first is of vote fractions.
SOURCE_METRICS = (
    "risk",
    "nll",
    "ece_equal_mass",
    "accuracy",
    "macro_f1",
    "aurc_total",
    "aurc_epistemic",
)
# The risk of a target's galaxies, as a mean.
RISKS = {
    "classes": "fraction misclassified",
    "soft3": "mean divergence",
    "tree": "mean squared error",
}
# Scores of fractions as those of a catalogue's votes, and when: see `fit_vote_map`.
MAP_SCORES = {"rmse": "RMSE", "conditional_rmse": "conditional RMSE"}
WHEN = ("before", "after")
# Further metrics of a condition: of classes, and of a calibrated run.
CONDITION_METRICS = ("ece", "set_coverage", "set_size")


def metric_heading(name: str) -> str:
    """Return a metric's label for a heading, or its name in words if it has no entry."""
    return METRICS[name].heading if name in METRICS else name.replace("_", " ")


def risk_words(target: str) -> str:
    """Return the risk that a target's uncertainty is judged by, as a mean."""
    return RISKS.get(target, "mean error")


def source_headings(names: Sequence[str], target: str) -> list[str]:
    """Return the headings of metrics of sources of uncertainty, for a target of recipes."""
    return [risk_words(target) if name == "risk" else metric_heading(name) for name in names]


def change_in_words(headline: str) -> str:
    """Return what a loss of score on corrupted images is, by the metric's better direction."""
    if headline in METRICS and METRICS[headline].better == "less":
        return "the value on corrupted images minus that on clean ones, since less is better"
    return "the value on clean images minus that on corrupted ones"


def corruption_label(name: str) -> str:
    """Return a corruption's label, or its name if its plugin isn't loaded."""
    for registry in (CORRUPTIONS, FLUX_CORRUPTIONS):
        if name in registry:
            return registry[name].label
    return name.replace("_", " ")


def abbreviations(names: Sequence[str]) -> str:
    """Return the explanations of abbreviated headings of metrics; may be empty."""
    metrics = [METRICS[name] for name in names if name in METRICS]
    return "; ".join(f"{metric.short}: {metric.label}" for metric in metrics if metric.short)


def print_metrics(metrics: Record, recipe: Recipe) -> None:
    """Print the metrics of a run's validation and test parts, each by its entry in `METRICS`."""
    for part, words in PARTS.items():
        if part not in metrics:
            continue
        scores = metrics[part]
        title = f"{words.capitalize()} part, {scores['galaxies']:,} galaxies"
        _print_items(title, scores, recipe)
        table = make_table("", ["metric", "value", "better"], left={"better"})
        for name, metric in metrics_of(target_of(recipe).metrics).items():
            if name in scores:
                value = interval_words(scores[name], metric.digits)
                table.add_row(metric.label, value, metric.better or "")
        for name, value in scores.get("intervals", {}).items():
            if name in METRICS:
                table.add_row(METRICS[name].label, interval_words(value), METRICS[name].better)
        print_table(table)
        for name in never_predicted(scores):
            console().print(f"no galaxy was predicted as {name}, so its precision is unknown (–)")
        if "confusion" in scores:
            print_confusion(list(scores["per_class"]), scores["confusion"], recipe)


def never_predicted(scores: Record) -> list[str]:
    """Return the classes that no galaxy is predicted to be."""
    per_class = scores.get("per_class", {})
    return [name for name, of in per_class.items() if of["precision"]["value"] is None]


def _print_items(title: str, scores: Record, recipe: Recipe) -> None:
    """Print a row a class, or a row a question of a tree."""
    target = target_of(recipe)
    group, count = ("per_question", "agreed") if target.tree else ("per_class", "support")
    columns = item_metrics(target.metrics, group)
    if not columns or group not in scores:
        console().print(title)
        return
    further = ["RMSE of its answers"] if target.tree else []
    headings = [metric.heading for metric in columns.values()]
    counts = "agreed" if target.tree else "galaxies"
    table = make_table(title, [group.removeprefix("per_"), *headings, counts, *further])
    asks = (
        {question.name: question.text for question in target.tree.questions} if target.tree else {}
    )
    for name, item in scores[group].items():
        values = (interval_words(item[key], metric.digits) for key, metric in columns.items())
        errors = [_question_rmse(scores, target.tree, name)] if target.tree else []
        table.add_row(asks.get(name, name), *values, f"{item[count]:,}", *errors)
    print_table(table)


def _question_rmse(scores: Record, tree: Tree, name: str) -> str:
    """Return the RMSE over a question's answers, a dash if no galaxy has votes on it."""
    question = next(entry for entry in tree.questions if entry.name == name)
    values = [scores["per_answer"][answer.column]["rmse"]["value"] for answer in question.answers]
    return "–" if None in values else f"{np.sqrt(np.mean(np.square(values))):.3f}"


def print_confusion(
    classes: Sequence[str], counts: Sequence[Sequence[int]], recipe: Recipe, title: str = ""
) -> None:
    """Print a confusion matrix, rows the true classes."""
    table = make_table(title, [f"{recipe.truth} ↓  model →", *classes])
    for name, row in zip(classes, counts, strict=True):
        table.add_row(name, *(f"{count:,}" for count in row))
    print_table(table)


def print_calibration(record: Record) -> None:
    """Print scores before and after, and for classes prediction sets and selective prediction.

    Args:
        record: in `calibration.json`; of a tree with `vote_maps` and `scheme_classes`, those of
            these files.
    """
    if "part" in record:
        _print_calibrated(record)
    for name, as_table in (("vote_maps", vote_map_table), ("scheme_classes", scheme_table)):
        if name not in record:
            continue
        title, names, rows = as_table(record[name])
        if not rows:
            continue
        table = make_table(title, names)
        for row in rows:
            table.add_row(*row)
        print_table(table)


def _print_calibrated(record: Record) -> None:
    if record["part"] == "valid":
        say(
            "the split has no calibration part: the validation part, which selected the epoch, is "
            "used instead"
        )
    for note in record.get("notes", ()):
        say(note)
    counts = ", ".join(f"{n:,}" for n in record["galaxies"])
    title = f"Test part, {calibration_method(record)} on {counts} galaxies of {record['part']}"
    table = make_table(title, ["metric", *calibration_columns(record), "if calibrated"])
    for name, label, values, band in calibration_rows(record):
        digits = METRICS[name].digits
        limits = f"{band['low']:.{digits}f}–{band['high']:.{digits}f}" if band else ""
        table.add_row(label, *(interval_words(value, digits) for value in values), limits)
    print_table(table)
    if note := bin_note(record):
        console().print(note, soft_wrap=True)
    for heading, names, rows in set_tables(record):
        table = make_table(heading, names)
        for row in rows:
            table.add_row(*row)
        print_table(table)
    kept = record.get("selective", {}).get("kept_at_accuracy", {})
    for accuracy, share in kept.items():
        console().print(kept_words(accuracy, share))


def vote_map_table(record: Record) -> tuple[str, list[str], list[list[str]]]:
    """Return title, names of columns and rows of fractions as those of a catalogue's votes.

    Args:
        record: in `vote_maps.json`.
    """
    names = [
        "votes",
        "galaxies",
        *(f"{name} {when}" for name in MAP_SCORES.values() for when in WHEN),
    ]
    rows = [
        [
            each["votes"],
            f"{each['galaxies']:,}",
            *(interval_words(each[when][score]) for score in MAP_SCORES for when in WHEN),
        ]
        for each in record["vote_maps"]
    ]
    return "Vote fractions by catalogue: calibration galaxies, cross-validated", names, rows


def scheme_table(record: Record) -> tuple[str, list[str], list[list[str]]]:
    """Return title, names of columns and rows of the classes that a tree's fractions give.

    Args:
        record: in `scheme_classes.json`.
    """
    names = ["label scheme", "calibrated on", "tested on", "macro-F1", "ECE", "coverage", "size"]
    rows = [
        [
            each["scheme"],
            f"{sum(each['galaxies'].values()):,}",
            f"{test['galaxies']:,}",
            interval_words(test["macro_f1"]),
            interval_words(test["ece_equal_mass"]),
            interval_words(test["coverage"]),
            interval_words(test["size"], 2),
        ]
        for each in record["schemes"]
        for test in [record["test"][each["scheme"]]]
    ]
    title = "Classes from vote fractions: test part"
    if record["schemes"]:
        title += f", prediction sets at {100 * record['schemes'][0]['coverage']:g} %"
    return title, names, rows


def calibration_columns(record: Record) -> list[str]:
    """Return the columns of a calibration's scores: one where nothing was calibrated."""
    return ["uncalibrated"] if record.get("method") == "none" else ["before", "after"]


def calibration_rows(record: Record) -> Iterator[tuple[str, str, list[Record], Record | None]]:
    """Yield name, label, scores by column, and the band of a calibrated model, of each metric."""
    before, after = record.get("before", {}), record.get("after", {})
    for name in before:
        # Parts of a score without a direction aren't informative alone.
        if name in METRICS and name in after and (metric := METRICS[name]).better:
            label = f"{metric.label} ({metric.direction})"
            values = (
                [after[name]] if record.get("method") == "none" else [before[name], after[name]]
            )
            yield name, label, values, after.get("if_calibrated", {}).get(name)


def calibration_method(record: Record) -> str:
    """Return how a run is calibrated, of its record in `calibration.json`."""
    if "selective" not in record:
        return "variances calibrated"
    if record.get("method") == "none":
        return "probabilities are unchanged, since no calibrator was selected"
    return f"calibrated by {record['method']}" if record.get("method") else "calibrated"


def bin_note(record: Record) -> str:
    """Return why scores of a calibration that depend on bins are equal or unknown, if they are.

    Args:
        record: in `calibration.json`.
    """
    after = record.get("after", {})
    if "resolution" not in after or after["resolution"]["value"] is not None:
        return ""
    return (
        f"with fewer than {2 * PER_BIN} test galaxies there is one bin: the calibration error is "
        "the difference of mean confidence and accuracy whatever the bins, and the reliability and "
        "the resolution of the Brier score are unknown (–)"
    )


def set_tables(record: Record) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return tables of a calibration's prediction sets: of the run, and of random splits.

    Args:
        record: in `calibration.json`.

    Returns:
        Of each its title, the names of columns, and rows of cells; nothing of vote fractions.
    """
    sets = record.get("sets", {})
    if "study" not in sets:
        return []
    classes, study = sets["classes"], sets["study"]
    nominal, band = f"{100 * sets['coverage']:g} %", study["band"]
    names = ["method", "coverage", *classes, "size", "empty", "full"]
    by_fold = ", each fold with its own threshold" if len(sets["thresholds"]) > 1 else ""
    methods = dict.fromkeys([sets["method"], *(name.split(",")[0] for name in study["methods"])])
    glossary = ", ".join(
        f"{name}: {SET_METHODS[name].label}" for name in methods if name in SET_METHODS
    )
    of_run = (
        f"Prediction sets of this run at {nominal}, by {sets['calibrating']:,} galaxies of "
        f"{record['part']}{by_fold}: {sets['tested']:,} test galaxies"
    )
    of_splits = (
        f"For comparison, the mean over {study['splits']} random splits of these galaxies, not the "
        f"run's sets; 95 % band of one split {band['low']:.3f}–{band['high']:.3f} ({glossary})"
    )
    return [
        (of_run, names, [_set_row(f"{sets['method']}, marginal", sets["test"], len(classes))]),
        (
            of_splits,
            names,
            [_set_row(name, scores, len(classes)) for name, scores in study["methods"].items()],
        ),
    ]


def _set_row(name: str, scores: Record, classes: int) -> list[str]:
    by_class = (f"coverage_{code}" for code in range(classes))
    columns = ("coverage", *by_class, "size", "empty", "full")
    return [name, *(_set_cell(scores.get(column)) for column in columns)]


def _set_cell(score: Record | float | None) -> str:
    if score is None:
        return "–"
    # Averages, and records of earlier versions, hold a number.
    return interval_words(score) if isinstance(score, Mapping) else f"{score:.3f}"


def kept_words(accuracy: str, record: Record) -> str:
    """Return a line on the galaxies accepted at an accuracy, see `judge.keep_at_accuracies`."""
    aim, kept = f"for an accuracy of {100 * float(accuracy):g} %", record["kept"]
    if kept["value"] is None:
        return (
            f"{aim}, no galaxy can be accepted with 95 % confidence: the choice needs at least "
            f"{record['least']:,} galaxies, and more if some are misclassified"
        )
    low, share, high = (f"{100 * kept[end]:.1f}" for end in ("low", "value", "high"))
    words = f"{aim}, {share} % ({low}–{high}) of the galaxies can be accepted with 95 % confidence"
    reached = record["accuracy"]
    if reached["value"] is None:
        return words
    return f"{words}; their accuracy on test galaxies is {interval_words(reached)}"


def print_uncertainty(record: Record, target: str) -> None:
    """Print a row a source: its scores and cost, then its correlation with volunteers.

    Args:
        record: in `uncertainty.json`.
        target: of the run's recipe.
    """
    names, sources = source_metrics(record), record["sources"]
    headings = source_headings(names, target)
    title = f"Sources of uncertainty, {record['galaxies']:,} test galaxies"
    table = make_table(title, ["source", *headings, "passes", "s for 1,000"])
    for source, study in sources.items():
        scores = ((study["scores"].get(name), METRICS[name].digits) for name in names)
        cells = (interval_words(score, digits) if score else "–" for score, digits in scores)
        seconds = study["seconds"]
        cost = "–" if seconds is None else f"{seconds:.1f}"
        table.add_row(source, *cells, str(study["passes"]), cost)
    print_table(table)
    console().print(abbreviations(names), soft_wrap=True)
    for source, study in sources.items():
        for accuracy, kept in study.get("kept_at_accuracy", {}).items():
            console().print(f"{source}: {kept_words(accuracy, kept)}")
    if not any("volunteers" in study for study in sources.values()):
        return
    title = "Rank correlation with volunteers' entropy"
    table = make_table(title, ["source", "total", "aleatoric", "epistemic"])
    for source, study in sources.items():
        table.add_row(source, *map(interval_words, study["volunteers"].values()))
    print_table(table)


def source_metrics(record: Record) -> list[str]:
    """Return the metrics that the sources of a study of uncertainty have."""
    scores = [study["scores"] for study in record["sources"].values()]
    names = [name for name in SOURCE_METRICS if any(name in known for known in scores)]
    # Of classes, it is one minus the accuracy.
    return [name for name in names if name != "risk" or "nll" not in scores[0]]


def print_robustness(scores: Record) -> None:
    """Print the score, its loss and the calibration error of every corruption and severity."""
    headline, clean = scores["headline"], scores["clean"]
    optional = [name for name in CONDITION_METRICS if name in clean]
    headings = [metric_heading(headline), "lost", *map(metric_heading, optional)]
    title = (
        f"Robustness, {scores['galaxies']:,} test galaxies"
        + (f", {counted(scores['views'], 'view')} of each" if "views" in scores else "")
        + ", BatchNorm adapted to each" * scores["adapted"]
        + f"; ECE of {scores['probabilities']}" * ("ece" in clean)
    )
    table = make_table(title, ["corruption", "strength", *headings], left={"strength"})
    others = (interval_words(clean[name]) for name in optional)
    table.add_row("none", "", interval_words(clean[headline]), "", *others)
    for name, record in scores["corruptions"].items():
        table.add_section()
        for severity, condition in record["severities"].items():
            table.add_row(
                f"{corruption_label(name)}, severity {severity}",
                f"{condition['strength']:g} ({record['unit']})",
                *(interval_words(condition[key]) for key in (headline, "drop", *optional)),
            )
    print_table(table)
    if glossary := abbreviations([headline, *optional]):
        console().print(glossary, soft_wrap=True)
    for name, record in scores["consistency"].items():
        if "agree" in record:
            agree = interval_words(record["agree"])
            console().print(f"same class after {name}, by single views: {agree} of galaxies")
        spread = interval_words(record["spread"], 4)
        console().print(f"spread of single views over {name}: {spread}")
    if "reference" in scores:
        against = scores["reference"]
        console().print(
            f"mean corruption error against {against['run']}: {interval_words(against['mean_ce'])} "
            f"of {against['counted']['ce']} corruptions; relative "
            f"{interval_words(against['mean_relative_ce'])} of {against['counted']['relative_ce']} "
            f"(the others of {against['corruptions']} cost the reference no more than noise; below "
            "1 is better than the reference)"
        )


def score_name(score: str, tree: Tree | None = None) -> str:
    """Return a score's dotted name in words: the metric, and in brackets its keys.

    Args:
        score: see `judge.scores_in`.
        tree: of the questions and answers among the keys.
    """
    answers: dict[str, str] = {}
    for question, answer in tree.answers if tree else ():
        answers[question.name] = question.text
        answers[answer.column] = f"{question.text} {answer.text}"
    # A point between digits is a decimal one (kept_at_accuracy.0.99), one in Class1.2 the column's.
    parts = re.split(r"(?<!\d)\.|\.(?!\d)", score)
    words = [answers.get(part) or _key_words(parts[: at + 1]) for at, part in enumerate(parts)]
    metric, *rest = reversed(words)
    rest = [word for word in reversed(rest) if word]
    return f"{metric or parts[-1]} ({', '.join(rest)})" if rest else metric or parts[-1]


def _key_words(parts: list[str]) -> str:
    """Return the last key of a score's name in words."""
    part = parts[-1].removesuffix(OVER_FOLDS)
    group = next((part for part in reversed(parts[:-1]) if part.startswith("per_")), "")
    metric = METRICS.get(f"{group}.{part}") or METRICS.get(part)
    if metric is None:
        return KEYS.get(parts[-1], parts[-1].replace("_", " "))
    return metric.label + " over folds" * (part != parts[-1])


def interval_places(score: Record, low: float, high: float) -> dict[str, float] | None:
    """Return where a score and its interval lie between two ends, in percent; None without one."""
    value = score["value"]
    if value is None:
        return None
    ends = [value if score[name] is None else score[name] for name in ("low", "high")]
    start, end, at = (
        round(100 * min(max((end - low) / (high - low), 0.0), 1.0), 1) for end in (*ends, value)
    )
    return {"start": start, "width": round(end - start, 1), "at": at}

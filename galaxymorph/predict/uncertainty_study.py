"""A run's uncertainty by each of its sources, compared, and with volunteers' disagreement."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import Progress, say, write_json
from galaxymorph.judge import (
    METRICS,
    Interval,
    Predictions,
    SourceRecord,
    Uncertainty,
    UncertaintyRecord,
    agreed,
    aurc,
    bootstrap,
    calibration_intervals,
    decompose_uncertainty,
    entropies_of,
    keep_at_accuracies_by_halves,
    kl_divergence,
    proportion,
    rank_correlations,
    square_errors,
    stored_samples,
    volunteer_fractions,
)
from galaxymorph.learn import Run, run_files, target_of, true_columns, with_images, write_table
from galaxymorph.predict.uncertainty_sources import (
    UNCERTAINTY_SOURCES,
    SourceUnavailable,
    open_uncertainty_source,
)
from galaxymorph.zoo.columns import TEST

FORMAT = 1
ACCURACIES = (0.95, 0.99)
KINDS = ("total", "aleatoric", "epistemic")
# The source of a judged table with several forward passes.
SAMPLES = "samples"


@dataclass(frozen=True)
class UncertaintyStudy:
    """The record as in `uncertainty.json`, and the table as in `uncertainty_test.parquet`."""

    record: UncertaintyRecord
    table: pd.DataFrame


@dataclass(frozen=True)
class _Sampled:
    """The uncertainty of a table's galaxies by one source, and its cost.

    Args:
        passes: through a network for an image (through the head alone, where only it drops).
        seconds: in which the images were decoded and predicted; None where that isn't known.
        uncertainty: of the galaxies, in the table's order.
    """

    passes: int
    seconds: float | None
    uncertainty: Uncertainty


def study_uncertainty(run: Run, data: Path | None = None) -> UncertaintyStudy:
    """Predict a run's test part by every source of uncertainty that it has; write the study.

    Sources are those of `UNCERTAINTY_SOURCES`. A cross-validated run takes each galaxy from the
    fold that tested it, whose one model is no ensemble.

    Args:
        run: trained.
        data: where its catalogue is now, if it has moved.

    Returns:
        By source: `passes` through a network for an image, `seconds` in which 1,000 images are
        decoded and predicted here, `scores` (of classes negative log-likelihood, calibration
        errors, accuracy and macro-F1 of the predictive mean; of votes its divergence or squared
        error; and AURC by total and by epistemic uncertainty) with intervals, and `volunteers`,
        Spearman's correlation of each kind of uncertainty with the entropy of volunteers' votes.
        The table has a row a galaxy: its uncertainty by each source, `volunteer_entropy`, the
        entropy of the votes, and of classes `volunteer_fraction`, the vote fraction of the label.

    Raises:
        BadInput: the run isn't finished, or an image is missing.
    """
    run.require_trained()
    predicted = run.predictions(TEST).drop_duplicates("galaxy").reset_index(drop=True)
    votes = volunteer_fractions(run, predicted, data)
    table = predicted[["galaxy", "image", "label"]].assign(agrees=agreed(run, predicted))
    if votes is not None:
        table["volunteer_entropy"] = entropies_of(run)(votes)
        if not target_of(run.recipe).soft:
            table["volunteer_fraction"] = votes[np.arange(len(table)), _truth(run, predicted)]
    sources: dict[str, SourceRecord] = {}
    judged = {} if run.judged is None else _judged_sources(run)
    for source in judged or UNCERTAINTY_SOURCES:
        sampled = judged.get(source) or _sample(run, predicted, source, data)
        if sampled is None:
            continue
        for kind in KINDS:
            table[f"{source}_{kind}"] = getattr(sampled.uncertainty, kind)
        risk = _risk(run, predicted, sampled.uncertainty)
        table[f"{source}_risk"] = risk
        sources[source] = _source_record(run, predicted, sampled, risk)
        if votes is not None:
            entropy = table["volunteer_entropy"].to_numpy()
            sources[source]["volunteers"] = _correlations(sampled.uncertainty, entropy, run)
    record: UncertaintyRecord = {"format": FORMAT, "galaxies": len(table), "sources": sources}
    write_json(run.path / run_files.UNCERTAINTY, record)
    write_table(run.path / run_files.UNCERTAINTY_TABLE, table)
    return UncertaintyStudy(record, table)


def _judged_sources(run: Run) -> dict[str, _Sampled]:
    """Return the sources of a judged table: the mean prediction, and several forward passes."""
    samples = stored_samples(run)
    if target_of(run.recipe).tree is None:
        samples = samples / samples.sum(axis=2, keepdims=True)
    sources = {"single": samples.mean(axis=0, keepdims=True)}
    if len(samples) > 1:
        sources[SAMPLES] = samples
    entropies = entropies_of(run)
    return {
        name: _Sampled(len(values), None, decompose_uncertainty(values, entropies))
        for name, values in sources.items()
    }


def _sample(run: Run, table: pd.DataFrame, source: str, data: Path | None) -> _Sampled | None:
    """Return the uncertainty by a source, None where the run hasn't it."""
    of_ensemble = UNCERTAINTY_SOURCES[source].of_ensemble
    if of_ensemble and not run.ensemble:
        return None
    rows, parts, seconds, passes = [], [], 0.0, 0
    with Progress(source, len(table), "images") as progress:
        for split in run.splits:
            tested = split.predictions(TEST)["galaxy"]
            part = table[table["galaxy"].isin(tested)] if run.folds else table
            images = list(with_images(part[["galaxy", "image"]], data)["image"])
            try:
                sample = open_uncertainty_source(split if of_ensemble else split.members[0], source)
            except SourceUnavailable as error:
                say(f"without source {source}: {error}")
                return None
            start = time.perf_counter()
            samples, _ = sample(images, progress.advance)
            seconds += time.perf_counter() - start
            passes = len(samples)
            parts.append(decompose_uncertainty(samples, entropies_of(run)))
            rows.append(part.index.to_numpy())
    order = np.argsort(np.concatenate(rows))
    joined = (
        np.concatenate([getattr(part, name) for part in parts])[order] for name in ("mean", *KINDS)
    )
    return _Sampled(passes, seconds, Uncertainty(*joined))


def _risk(run: Run, table: pd.DataFrame, uncertainty: Uncertainty) -> np.ndarray:
    """Return each galaxy's risk: 1 for a wrong class, or the error of its vote fractions."""
    target = target_of(run.recipe)
    if not target.soft:
        return (uncertainty.mean.argmax(axis=1) != _truth(run, table)).astype(float)
    true = table[true_columns(run.recipe, run.classes)].to_numpy(float)
    if target.tree is None:
        return kl_divergence(true, uncertainty.mean)
    return square_errors(target.tree, true, uncertainty.mean)


def _truth(run: Run, table: pd.DataFrame) -> np.ndarray:
    return pd.Index(run.classes).get_indexer(pd.Index(table["label"]))


def _source_record(
    run: Run, table: pd.DataFrame, sampled: _Sampled, risk: np.ndarray
) -> SourceRecord:
    """Return the record of a source without volunteers."""
    seed, uncertainty = run.recipe.seed, sampled.uncertainty

    def risk_scores(rows: np.ndarray) -> dict[str, float]:
        scores = {
            "risk": risk[rows].mean(),
            "aurc_total": aurc(uncertainty.total[rows], risk[rows]),
        }
        if sampled.passes > 1:
            scores["aurc_epistemic"] = aurc(uncertainty.epistemic[rows], risk[rows])
        return scores

    scores = bootstrap(risk_scores, len(table), seed)
    seconds = sampled.seconds
    if seconds is not None:
        seconds = round(1000 * seconds / len(table), 2)
    record: SourceRecord = {"passes": sampled.passes, "seconds": seconds, "scores": scores}
    if target_of(run.recipe).soft:
        return record
    truth = _truth(run, table)
    mean = uncertainty.mean / uncertainty.mean.sum(axis=1, keepdims=True)
    best = np.array(run.classes, dtype=object)[mean.argmax(axis=1)]
    predictions = Predictions(table.assign(predicted=best), run.classes, seed)
    scores |= {name: METRICS[name].judge(predictions) for name in ("macro_f1", "accuracy")}
    scores["risk"] = proportion(int(risk.sum()), len(table))
    calibration = calibration_intervals(mean, truth, seed).scores
    names = ("nll", "ece_equal_mass", "brier")
    record["scores"] = {name: calibration[name] for name in names} | scores
    kept = keep_at_accuracies_by_halves(uncertainty.total, risk, ACCURACIES, seed)
    return {**record, "kept_at_accuracy": kept}


def _correlations(uncertainty: Uncertainty, entropy: np.ndarray, run: Run) -> dict[str, Interval]:
    """Return Spearman's correlation of each kind of uncertainty with volunteers' entropy."""
    kinds = {kind: getattr(uncertainty, kind) for kind in KINDS}
    return rank_correlations(entropy, kinds, run.recipe.seed)

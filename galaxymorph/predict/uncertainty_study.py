"""A run's uncertainty by each of its sources, compared, and with volunteers' own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import Progress, say, write_json
from galaxymorph.judge import (
    METRICS,
    Predictions,
    Uncertainty,
    agreed,
    aurc,
    bootstrap,
    calibration_intervals,
    decompose_uncertainty,
    entropies_of,
    kept_by_halves,
    kl_divergence,
    proportion,
    square_errors,
    volunteers_said,
)
from galaxymorph.learn import Run, target_of, true_columns, with_images, write_table
from galaxymorph.predict.uncertainty_sources import SourceUnavailable, open_uncertainty_source

FORMAT = 1
FILE, TABLE = "uncertainty.json", "uncertainty_test.parquet"
# In the order of what they cost; each is asked of one model but the ensemble.
ORDER = ("single", "views", "dropout", "ensemble")
ACCURACIES = (0.95, 0.99)
KINDS = ("total", "aleatoric", "epistemic")


@dataclass(frozen=True)
class UncertaintyStudy:
    """The record as in `uncertainty.json`, and the table as in `uncertainty_test.parquet`."""

    record: dict
    table: pd.DataFrame


def study_uncertainty(run: Run, data: Path | None = None) -> UncertaintyStudy:
    """Predict a run's test part by every source of uncertainty that it has; write what is found.

    Sources are those of `SOURCES`: a single prediction, views, dropout where the network has any,
    and the models of a deep ensemble. A cross-validated run takes each galaxy from the fold that
    tested it, whose one model is no ensemble.

    Args:
        run: trained.
        data: where its catalogue is now, if it has moved.

    Returns:
        By source: `passes` through a network an image (of the head alone, where only it drops),
        `seconds` in which 1,000 images are decoded and predicted here, `scores` (of classes
        negative log-likelihood, calibration errors, accuracy and macro-F1 of the predictive mean;
        of votes its divergence or squared error; and AURC by total and by epistemic uncertainty)
        with intervals, and `people`, Spearman's correlation of each kind of uncertainty with the
        entropy of volunteers' votes. The table has a row a galaxy: what each source says, the
        entropy of volunteers' votes, `people`, and of classes `people_share`, that of them who say
        the label.

    Raises:
        BadInput: the run isn't finished, or an image isn't there.
    """
    run.require_trained()
    table = run.predictions("test").drop_duplicates("galaxy").reset_index(drop=True)
    people = volunteers_said(run, table, data)
    known = table[["galaxy", "image", "label"]].assign(agrees=agreed(run, table))
    if people is not None:
        known["people"] = entropies_of(run)(people)
        if not target_of(run.recipe).soft:
            known["people_share"] = people[np.arange(len(table)), _truth(run, table)]
    sources = {}
    for source in ORDER:
        found = _sampled(run, table, source, data)
        if found is None:
            continue
        passes, seconds, uncertainty = found
        known = known.join(
            pd.DataFrame({f"{source}_{kind}": getattr(uncertainty, kind) for kind in KINDS})
        )
        known[f"{source}_risk"] = _risk(run, table, uncertainty)
        sources[source] = {
            "passes": passes,
            "seconds": round(1000 * seconds / len(table), 2),
            **_scores(run, table, uncertainty, known[f"{source}_risk"].to_numpy(), passes > 1),
        }
        if people is not None:
            sources[source]["people"] = _correlations(uncertainty, known["people"].to_numpy(), run)
    record = {"format": FORMAT, "galaxies": len(table), "sources": sources}
    write_json(run.path / FILE, record)
    write_table(run.path / TABLE, known)
    return UncertaintyStudy(record, known)


def _sampled(
    run: Run, table: pd.DataFrame, source: str, data: Path | None
) -> tuple[int, float, Uncertainty] | None:
    """Return passes an image, seconds and uncertainty, in the table's order; None without."""
    if source == "ensemble" and not run.ensemble:
        return None
    rows, parts, seconds, passes = [], [], 0.0, 0
    with Progress(source, len(table), "images") as progress:
        for each in run.splits:
            tested = each.predictions("test")["galaxy"]
            mine = table[table["galaxy"].isin(tested)] if run.folds else table
            images = list(with_images(mine[["galaxy", "image"]], data)["image"])
            asked = each if source == "ensemble" else each.members[0]
            try:
                sample = open_uncertainty_source(asked, source)
            except SourceUnavailable as error:
                say(f"no {source} among the sources: {error}")
                return None
            start = time.perf_counter()
            samples, _ = sample(images, progress.advance)
            seconds += time.perf_counter() - start
            passes = len(samples)
            parts.append(decompose_uncertainty(samples, entropies_of(run)))
            rows.append(mine.index.to_numpy())
    order = np.argsort(np.concatenate(rows))
    whole = (
        np.concatenate([getattr(part, name) for part in parts])[order]
        for name in ("mean", *KINDS)
    )  # fmt: skip
    return passes, seconds, Uncertainty(*whole)


def _risk(run: Run, table: pd.DataFrame, uncertainty: Uncertainty) -> np.ndarray:
    """Return what a galaxy costs if it is kept: 1 for a wrong class, or the error of votes."""
    if not target_of(run.recipe).soft:
        return (uncertainty.mean.argmax(axis=1) != _truth(run, table)).astype(float)
    true = table[true_columns(run.recipe, run.classes)].to_numpy(float)
    if target_of(run.recipe).chooses:
        return kl_divergence(true, uncertainty.mean)
    return square_errors(target_of(run.recipe).tree, true, uncertainty.mean)


def _truth(run: Run, table: pd.DataFrame) -> np.ndarray:
    return pd.Index(run.classes).get_indexer(table["label"])


def _scores(
    run: Run, table: pd.DataFrame, uncertainty: Uncertainty, risk: np.ndarray, several: bool
) -> dict[str, dict]:
    soft, seed = target_of(run.recipe).soft, run.recipe.seed
    mean = (
        uncertainty.mean / uncertainty.mean.sum(axis=1, keepdims=True)
        if not soft
        else uncertainty.mean
    )

    def scores(rows: np.ndarray) -> dict[str, float]:
        found = {"risk": risk[rows].mean(), "aurc_total": aurc(uncertainty.total[rows], risk[rows])}
        if several:
            found["aurc_epistemic"] = aurc(uncertainty.epistemic[rows], risk[rows])
        return found

    found = bootstrap(scores, len(table), seed)
    if soft:
        return {"scores": found}
    truth = _truth(run, table)
    best = np.array(run.classes, dtype=object)[mean.argmax(axis=1)]
    predictions = Predictions(table.assign(predicted=best), run.classes, seed)
    found |= {name: METRICS[name].judge(predictions) for name in ("macro_f1", "accuracy")}
    found["risk"] = proportion(int(risk.sum()), len(table))
    calibration = calibration_intervals(mean, truth, seed)
    names = ("nll", "ece_equal_mass", "brier")
    return {
        "scores": {name: calibration[name] for name in names} | found,
        "kept_at_accuracy": kept_by_halves(uncertainty.total, risk, ACCURACIES, seed),
    }


def _correlations(uncertainty: Uncertainty, people: np.ndarray, run: Run) -> dict[str, dict]:
    from scipy.stats import rankdata

    def scores(rows: np.ndarray) -> dict[str, float]:
        theirs = rankdata(people[rows])
        ours = {kind: rankdata(getattr(uncertainty, kind)[rows]) for kind in KINDS}
        return {
            kind: np.corrcoef(theirs, ranks)[0, 1] if np.ptp(ranks) and np.ptp(theirs) else np.nan
            for kind, ranks in ours.items()
        }

    return bootstrap(scores, len(people), run.recipe.seed)

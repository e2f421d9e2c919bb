"""Analyses of a trained run: each writes its record and figures, and renews the run's page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galaxymorph.base import BadInput, Progress
from galaxymorph.images import SEVERITIES
from galaxymorph.judge import (
    SUITES,
    calibrate_fractions,
    calibrate_run,
    corruption_error,
    galaxy_errors,
    galleries_of,
    read_robustness,
    require_alike,
    robustness_of,
    robustness_settings,
    write_robustness,
)
from galaxymorph.learn import Run, deviation_columns, held, run_files
from galaxymorph.predict import study_uncertainty
from galaxymorph.report.analysis_options import ROBUSTNESS_DEFAULTS, RobustnessOptions
from galaxymorph.report.explanation import draw_similar, explain_run
from galaxymorph.report.figures.calibration_figures import draw_calibration
from galaxymorph.report.figures.contact_sheets import draw_gallery
from galaxymorph.report.figures.fraction_figures import draw_fraction_calibration
from galaxymorph.report.figures.robustness_figures import draw_robustness
from galaxymorph.report.figures.uncertainty_figures import draw_uncertainty
from galaxymorph.report.figures.vote_figures import draw_votes, draw_walk
from galaxymorph.report.page import refresh_report


@dataclass(frozen=True)
class Analysis:
    """What an analysis wrote into a run: its JSON file, the content of that, and the figures."""

    path: Path
    record: Mapping[str, Any]
    figures: list[Path]


def calibrate(
    path: Path, method: str | None = None, coverage: float | None = None, sets: str | None = None
) -> Analysis:
    """Calibrate a run on galaxies that neither trained nor selected its model.

    Of classes, that is their probabilities, and prediction sets; of a tree with distributions of
    vote fractions, the variances of those.

    Args:
        path: of the run.
        method: how probabilities are calibrated; by default chosen by cross-validation.
        coverage: share of prediction sets that are to hold the true class, 0.9 by default.
        sets: how prediction sets are built, `lac` by default.

    Raises:
        BadInput: the run can't be calibrated, or has vote fractions, which take no such option.
    """
    with held(path) as run:
        record: Mapping[str, Any]
        if deviation_columns(run.recipe, run.classes):
            _refuse(run, method=method, coverage=coverage, sets=sets)
            fractions = calibrate_fractions(run)
            record, figures = fractions.record, draw_fraction_calibration(run, fractions)
        else:
            classes = calibrate_run(run, coverage or 0.9, method, sets or "lac")
            record, figures = classes.record, draw_calibration(run, classes)
        refresh_report(run)
        return Analysis(run.path / run_files.CALIBRATION, record, figures)


def _refuse(run: Run, **options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise BadInput(
            f"--{given[0]}: {run.path} predicts vote fractions, and the option is of classes",
            "leave it out; `predict --coverage` chooses the intervals",
        )


def uncertainty(path: Path, most: int = 20, data: Path | None = None) -> Analysis:
    """Compare a run's sources of uncertainty on its test galaxies, see `study_uncertainty`.

    Args:
        path: of the run.
        most: galaxies in a gallery.
        data: where its catalogue is now, if it has moved.
    """
    with held(path) as run:
        study = study_uncertainty(run, data)
        figures = draw_uncertainty(run, study, most, data)
        refresh_report(run, data)
        return Analysis(run.path / run_files.UNCERTAINTY, study.record, figures)


def robustness(path: Path, options: RobustnessOptions = ROBUSTNESS_DEFAULTS) -> Analysis:
    """Measure what a run loses on corrupted test images, see `robustness_of`.

    Raises:
        BadInput: images are missing, or the reference isn't measured, or otherwise than this run.
    """
    reference = Run(options.reference) if options.reference else None
    known = read_robustness(reference) if reference else None
    theirs = galaxy_errors(reference) if reference else None
    fixed = SUITES.find(options.suite, "--suite").severities
    if fixed and options.severities is not None:
        numbers = ", ".join(map(str, fixed))
        raise BadInput(
            f"--severities: the {options.suite} suite has severity {numbers} alone", "leave it out"
        )
    chosen = (options.suite, options.severities or SEVERITIES)
    with held(path) as run:
        if known is not None:
            settings = robustness_settings(run, *chosen, options.views)
            require_alike(settings, known, str(options.reference))
        scores, table = robustness_of(
            run, *chosen, options.limit, options.views, options.adapt, options.data
        )
        write_robustness(run, scores, table)
        if known is not None:
            scores["reference"] = corruption_error(
                scores, known, str(options.reference), galaxy_errors(run), theirs, run.recipe.seed
            )
            write_robustness(run, scores, table)
        figures = draw_robustness(run, scores, table, options.data)
        refresh_report(run, options.data)
        return Analysis(run.path / run_files.ROBUSTNESS, scores, figures)


def interpret(
    path: Path, part: str = "test", most: int = 20, data: Path | None = None
) -> list[Path]:
    """Draw which galaxies a run predicts well or badly, see `galleries_of`; return the files.

    Args:
        path: of the run.
        part: test or valid.
        most: galaxies in a gallery.
        data: where its catalogue is now, if it has moved.
    """
    with held(path) as run:
        galleries = galleries_of(run, part, data)
        filled = {name: gallery for name, gallery in galleries.items() if len(gallery[1])}
        files = []
        with Progress("drawing", len(filled), "galleries") as progress:
            for name, (title, galaxies) in filled.items():
                file = run.figures / f"{name}.png"
                files.append(draw_gallery(run, file, galaxies, title, most))
                progress.advance()
        files += draw_votes(run, part)
        refresh_report(run, data)
        return files


def interpret_galaxy(path: Path, galaxy: str, data: Path | None = None) -> Path:
    """Draw one galaxy's walk down the decision tree, see `draw_walk`; return the file."""
    with held(path) as run:
        return draw_walk(run, galaxy, data)


def explain(
    path: Path, methods: Sequence[str] = (), limit: int | None = None, data: Path | None = None
) -> Iterator[Path]:
    """Draw which parts of an image a run's predictions depend on; yield the files as written.

    Args:
        path: of the run.
        methods: attribution methods; by default all.
        limit: galaxies in each step; by default each step's own.
        data: where its catalogue is now, if it has moved.
    """
    with held(path) as run:
        yield from explain_run(run, methods, limit, data)
        refresh_report(run, data)


def explain_galaxy(path: Path, galaxy: str, data: Path | None = None) -> Path:
    """Draw the galaxies most like one to the network, see `draw_similar`; return the file."""
    with held(path) as run:
        return draw_similar(run, galaxy, data)

"""Analyses of a trained run: each writes its record and figures, and renews the run's page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from galaxymorph.api.calling import takes
from galaxymorph.api.options import (
    CalibrateOptions,
    CompareOptions,
    ExplainOptions,
    InterpretOptions,
    ReportOptions,
    RobustnessOptions,
    UncertaintyOptions,
)
from galaxymorph.api.paths import RunLike, require_output
from galaxymorph.base import BadInput, Progress, read_json, setting
from galaxymorph.images import SEVERITIES
from galaxymorph.judge import (
    SUITES,
    calibrate_fractions,
    calibrate_run,
    calibrate_table,
    corruption_error,
    galaxy_errors,
    galleries_of,
    read_robustness,
    read_robustness_table,
    require_alike,
    robustness_of,
    robustness_settings,
    write_robustness,
)
from galaxymorph.learn import (
    Run,
    held,
    keep_freed_memory,
    read_several,
    say_fit_warnings,
    target_of,
    write_table,
)
from galaxymorph.learn.run_files import (
    CALIBRATION,
    ROBUSTNESS,
    SCHEME_CLASSES,
    UNCERTAINTY,
    VOTE_MAPS,
)
from galaxymorph.predict import calibrate_tree, has_scheme_classes, has_vote_maps, study_uncertainty
from galaxymorph.report import Comparison, renew_report, write_comparison
from galaxymorph.report import compare as compare_runs
from galaxymorph.report.explanation import draw_similar, explain_run
from galaxymorph.report.figures.calibration_figures import draw_calibration
from galaxymorph.report.figures.contact_sheets import draw_gallery, pictured
from galaxymorph.report.figures.fraction_figures import draw_fraction_calibration
from galaxymorph.report.figures.robustness_figures import draw_robustness
from galaxymorph.report.figures.uncertainty_figures import draw_uncertainty
from galaxymorph.report.figures.vote_figures import draw_votes, draw_walk
from galaxymorph.report.notebook import html_figures, html_link
from galaxymorph.report.page import refresh_report

# Of prediction sets.
COVERAGE = 0.9
# Files that calibrate a decision tree, each by its entry in the record of `calibrate`.
OF_TREES = (VOTE_MAPS, SCHEME_CLASSES)


@dataclass(frozen=True)
class Analysis:
    """The result of an analysis. A notebook shows its figures.

    Args:
        path: the file or the folder in the run that holds the numbers.
        record: the numbers, as in that file.
        figures: the PNG files.
        files: all files that were written.
        tables: rows by title, of `explain`.
    """

    path: Path
    record: Mapping[str, Any]
    figures: Sequence[Path] = ()
    files: Sequence[Path] = ()
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Analysis {self.path}, {len(self.figures)} figures>"

    def _repr_html_(self) -> str:
        """Return the figures for a notebook's cell."""
        return f"{html_figures(self.figures)}<p><small>{html_link(self.path)}</small></p>"


@takes(CalibrateOptions)
def calibrate(run: RunLike, **options: Any) -> Analysis:
    """Calibrate a run on galaxies that neither trained nor selected its model.

    Of classes, that is their probabilities, and prediction sets. Of a decision tree it is the
    fractions, or the variances of their distributions, and of the challenge's tree the classes of
    every label scheme too, with probabilities and sets. Later predictions have them.

    Args:
        run: a trained run or its folder.

    Raises:
        BadInput: the run can't be calibrated, or has vote fractions, which take no such option.

    Example:
        >>> import galaxymorph as gm
        >>> calibration = gm.calibrate("exports/first", coverage=0.9)
        >>> calibration.record["sets"]["coverage"]
        0.9
    """
    chosen = CalibrateOptions(**options)
    _require_both(chosen)
    with held(Path(run)) as held_run:
        say_fit_warnings(held_run)
        if chosen.apply is not None and held_run.judged is None:
            raise BadInput(
                f"{setting('apply', chosen.apply)}: {held_run.path} has its model",
                "use predict with images",
            )
        if chosen.output is not None and not _method_given(chosen):
            stored = _stored(held_run)
            if stored is not None:
                return _applied(held_run, chosen, stored)
        if target_of(held_run.recipe).tree is not None:
            result = _calibrate_tree(held_run, chosen)
        else:
            _refuse(held_run, "predicts no tree, but the option is for a tree", also=chosen.also)
            classes = calibrate_run(
                held_run, chosen.coverage or COVERAGE, chosen.method, chosen.sets or "lac"
            )
            figures = draw_calibration(held_run, classes)
            result = Analysis(held_run.path / CALIBRATION, classes.record, figures)
        refresh_report(held_run)
        return _applied(held_run, chosen, result)


def _require_both(chosen: CalibrateOptions) -> None:
    """Raise BadInput for one of the options `apply` and `output` without the other."""
    if chosen.apply is None and chosen.output is not None:
        raise BadInput(
            f"{setting('output', chosen.output)}: it is for {setting('apply')} TABLE",
            "leave it out",
        )
    if chosen.apply is not None and chosen.output is None:
        raise BadInput(
            f"{setting('apply', chosen.apply)}: no table to write",
            f"give {setting('output')} FILE.csv",
        )
    require_output(chosen.output, (".csv", ".parquet"), "end it in .csv or .parquet")


def _method_given(chosen: CalibrateOptions) -> bool:
    return any((chosen.method, chosen.coverage, chosen.sets, chosen.also))


def _stored(run: Run) -> Analysis | None:
    """Return a run's calibration as it is stored, None if it isn't calibrated."""
    record: dict[str, Any] = {}
    paths = [run.path / name for name in (CALIBRATION, *OF_TREES)]
    there = [path for path in paths if path.exists()]
    for path in there:
        given = read_json(path)
        record |= {path.stem: given} if path.name in OF_TREES else given
    return Analysis(there[0], record) if there else None


def _applied(run: Run, chosen: CalibrateOptions, analysis: Analysis) -> Analysis:
    """Write further predictions with the run's calibration, if there are some."""
    if chosen.apply is None or chosen.output is None:
        return analysis
    write_table(chosen.output, calibrate_table(run, chosen.apply))
    return replace(analysis, files=[*analysis.files, chosen.output])


def _calibrate_tree(run: Run, chosen: CalibrateOptions) -> Analysis:
    """Calibrate vote fractions or their distributions, and the classes that fractions give."""
    words = "predicts vote fractions, but the option is for classes"
    _refuse(run, words, method=chosen.method, sets=chosen.sets)
    if has_vote_maps(run):
        record = calibrate_tree(run, read_several(chosen.also), chosen.coverage or COVERAGE)
        return Analysis(run.path / VOTE_MAPS, record)
    if not has_scheme_classes(run):
        words = "predicts distributions, which its own galaxies calibrate"
        _refuse(run, words, also=chosen.also)
    fractions = calibrate_fractions(run)
    record = dict(fractions.record)
    if has_scheme_classes(run):
        record |= calibrate_tree(run, read_several(chosen.also), chosen.coverage or COVERAGE)
    figures = draw_fraction_calibration(run, fractions)
    return Analysis(run.path / CALIBRATION, record, figures)


def _refuse(run: Run, words: str, **options: object) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise BadInput(f"{setting(given[0])}: {run.path} {words}", "leave it out")


@takes(UncertaintyOptions)
def uncertainty(run: RunLike, **options: Any) -> Analysis:
    """Compare a run's sources of uncertainty on its test galaxies, with volunteers' disagreement.

    Sources are a single prediction, eight views, 20 passes with dropout, and the models of a run
    that was fitted with several members.

    Args:
        run: a trained run or its folder.

    Example:
        >>> import galaxymorph as gm
        >>> study = gm.uncertainty("exports/first")
        >>> sorted(study.record["sources"])
        ['single', 'views']
    """
    chosen = UncertaintyOptions(**options)
    keep_freed_memory()
    with held(Path(run)) as held_run:
        study = study_uncertainty(held_run, chosen.data)
        figures = draw_uncertainty(held_run, study, chosen.most, chosen.data)
        refresh_report(held_run, chosen.data)
        return Analysis(held_run.path / UNCERTAINTY, study.record, figures)


@takes(RobustnessOptions)
def robustness(run: RunLike, **options: Any) -> Analysis:
    """Measure the performance of a run on corrupted test images.

    Args:
        run: a trained run or its folder.

    Raises:
        BadInput: images are missing, or the reference isn't measured, or otherwise than this run.

    Example:
        >>> import galaxymorph as gm
        >>> result = gm.robustness("exports/first", suite="published")
        >>> sorted(result.record["corruptions"])
        ['brightness', 'gaussian_noise', 'psf_blur']
    """
    chosen = RobustnessOptions(**options)
    reference = Run(chosen.reference) if chosen.reference else None
    known = read_robustness(reference) if reference else None
    theirs = galaxy_errors(reference, read_robustness_table(reference)) if reference else None
    fixed = SUITES.find(chosen.suite, setting("suite")).severities
    if fixed and chosen.severities is not None:
        numbers = ", ".join(map(str, fixed))
        raise BadInput(
            f"{setting('severities')}: the {chosen.suite} suite has severity {numbers} only",
            "leave it out",
        )
    suite = (chosen.suite, chosen.severities or SEVERITIES)
    keep_freed_memory()
    with held(Path(run)) as held_run:
        held_run.require_model()
        if known is not None:
            settings = robustness_settings(held_run, *suite, chosen.views)
            require_alike(settings, known, str(chosen.reference))
        scores, table = robustness_of(
            held_run, *suite, chosen.limit, chosen.views, chosen.adapt, chosen.data
        )
        if known is not None:
            errors, seed = galaxy_errors(held_run, table), held_run.recipe.seed
            scores["reference"] = corruption_error(
                scores, known, str(chosen.reference), errors, theirs, seed
            )
        write_robustness(held_run, scores, table)
        figures = draw_robustness(held_run, scores, table, chosen.data)
        refresh_report(held_run, chosen.data)
        return Analysis(held_run.path / ROBUSTNESS, scores, figures)


@takes(InterpretOptions)
def interpret(run: RunLike, **options: Any) -> Analysis:
    """Draw which galaxies a run predicts well or badly, as galleries in its figures.

    The galleries show the largest losses. For classes, they also show the most confident mistakes
    and each cell of the confusion matrix; for vote fractions, the galaxies on which volunteers
    disagree most, and predicted against observed fractions. With `galaxy`, one galaxy's walk down
    the decision tree is drawn instead.

    Args:
        run: a trained run or its folder.

    Example:
        >>> import galaxymorph as gm
        >>> galleries = gm.interpret("exports/first", most=4)
        >>> "top_losses_test" in [path.stem for path in galleries.figures]
        True
    """
    chosen = InterpretOptions(**options)
    with held(Path(run)) as held_run:
        if chosen.galaxy:
            files = [draw_walk(held_run, chosen.galaxy, chosen.data)]
            return Analysis(held_run.figures, {}, files, files)
        galleries = galleries_of(held_run, chosen.part, chosen.data)
        filled = {name: gallery for name, gallery in galleries.items() if len(pictured(gallery[1]))}
        if held_run.judged is not None and not filled:
            raise BadInput(
                f"{held_run.path}: no image of its galaxies is known",
                f"judge the table again with {setting('images')} FOLDER",
            )
        files = []
        with Progress("drawing", len(filled), "galleries") as progress:
            for name, (title, galaxies) in filled.items():
                file = held_run.figures / f"{name}.png"
                files.append(draw_gallery(held_run, file, galaxies, title, chosen.most))
                progress.advance()
        files += draw_votes(held_run, chosen.part)
        refresh_report(held_run, chosen.data)
        return Analysis(held_run.figures, {}, files, files)


@takes(ExplainOptions)
def explain(run: RunLike, **options: Any) -> Analysis:
    """Draw attribution maps, which show the parts of an image that predictions depend on, and test
    them.

    It looks inside images; `interpret` draws which galaxies are predicted well or badly. With
    `similar`, the galaxies most like one are drawn instead.

    Args:
        run: a trained run or its folder.

    Raises:
        BadInput: captum is missing, or a method can't be applied to the network.

    Example:
        >>> import galaxymorph as gm
        >>> explanation = gm.explain("exports/first", method="gradcam", limit=4)
        >>> "gradcam" in [path.parent.name for path in explanation.figures]
        True
    """
    chosen = ExplainOptions(**options)
    if chosen.similar is not None and (chosen.method or chosen.limit):
        raise BadInput(
            f"{setting('similar')} draws one figure",
            f"leave out {setting('method')} and {setting('limit')}",
        )
    with held(Path(run)) as held_run:
        held_run.require_model()
        folder = held_run.path / "explain"
        if chosen.similar is not None:
            files = [draw_similar(held_run, chosen.similar, chosen.data)]
            return Analysis(folder, {}, files, files)
        done = explain_run(held_run, chosen.method, chosen.limit, chosen.data)
        refresh_report(held_run, chosen.data)
        figures = [path for path in done.files if path.suffix == ".png"]
        return Analysis(folder, done.record, figures, done.files, done.tables)


@takes(ReportOptions)
def report(run: RunLike, **options: Any) -> Path:
    """Write the page of a run from whatever it has, and its model card; return the page.

    The page is one file that loads nothing from elsewhere. The figures that the fit drew are drawn
    again, so that `figures` applies to them.

    Args:
        run: a trained run or its folder.

    Example:
        >>> import galaxymorph as gm
        >>> gm.report("exports/first").as_posix()
        'exports/first/report.html'
    """
    chosen = ReportOptions(**options)
    require_output(chosen.output, (".html",), "end it in .html")
    return renew_report(Path(run), chosen.data, chosen.output)


@takes(CompareOptions)
def compare(*runs: RunLike | Sequence[RunLike], **options: Any) -> Comparison:
    """Set runs compared on every metric that they have.

    Differences of macro-F1 from the first run are over the galaxies that both tested, each with an
    interval of the difference itself.

    Args:
        runs: trained runs or their folders, two or more, or a list of them.

    Raises:
        BadInput: fewer than two runs, one given twice, or one whose fit isn't finished.

    Example:
        >>> import galaxymorph as gm
        >>> comparison = gm.compare("exports/first", "exports/second")
        >>> comparison.names
        ['first', 'second']
        >>> table = comparison.scores
    """
    chosen = CompareOptions(**options)
    endings = (".html", ".csv", ".parquet")
    require_output(chosen.output, endings, f"end it in {', '.join(endings)}")
    given = [
        each for run in runs for each in ([run] if isinstance(run, str | os.PathLike) else run)
    ]
    comparison = compare_runs([Run(Path(run)) for run in given])
    if chosen.output is not None and chosen.output.suffix == ".html":
        write_comparison(comparison, chosen.output)
    elif chosen.output is not None:
        write_table(chosen.output, comparison.scores)
    return comparison

"""A run's page and the page of several runs: one HTML file each, nothing loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path

from galaxymorph.base import BadInput, say, write_text
from galaxymorph.learn import Run, fit_warnings, held, run_files, say_fit_warnings, target_of
from galaxymorph.report.card import write_card
from galaxymorph.report.figures.run_figures import redraw
from galaxymorph.report.figures.vote_figures import draw_votes
from galaxymorph.report.metric_tables import interval_places
from galaxymorph.report.page_content import PageContent
from galaxymorph.report.sections import SECTIONS, gather_sections
from galaxymorph.report.server.markup import render, section_template
from galaxymorph.report.side_by_side import Comparison, Row


def write_report(run: Run, data: Path | None = None, output: Path | None = None) -> Path:
    """Write the page of a run, and its model card, from the files that exist; return the page.

    Args:
        run: trained.
        data: where its catalogue is now, if it has moved.
        output: the default is the run's `report.html`.

    Raises:
        BadInput: the fit isn't finished.
    """
    run.require_trained()
    if target_of(run.recipe).soft and not (run.figures / "fractions_test.png").exists():
        draw_votes(run)
    page = PageContent(run, data)
    contents = gather_sections(page)
    page.encode()
    sections = [
        (name, SECTIONS[name].title, section_template(name, SECTIONS[name].template), content)
        for name, content in contents.items()
    ]
    output = output or run.path / run_files.REPORT
    write_text(output, render("run.html", title=run.path.resolve().name, sections=sections))
    write_card(page, contents)
    return output


def renew_report(path: Path, data: Path | None = None, output: Path | None = None) -> Path:
    """Draw a run's figures again, and write its page; return the page.

    Args:
        path: of the run.
        data: where its catalogue is now, if it has moved.
        output: the page; the default is the run's `report.html`.
    """
    with held(path) as run:
        say_fit_warnings(run)
        redraw(run)
        return write_report(run, data, output)


def write_comparison(comparison: Comparison, output: Path) -> Path:
    """Write the page of a comparison; return its path."""
    runs, names = comparison.runs, comparison.names
    tree = target_of(runs[0].recipe).tree
    groups: dict[str, tuple[list, list]] = {}
    for row in comparison.rows:
        shown = (row.name(tree), _better(row), row.cells)
        groups.setdefault(row.file, ([], []))[row.is_detail].append(shown)
    differences = comparison.differences
    most = comparison.largest_end
    confusions = [gather_sections(PageContent(run), ["confusion"]) for run in runs]
    page = render(
        "comparison.html",
        title=f"{len(runs)} runs compared",
        names=names,
        warnings=[
            (name, warning)
            for name, run in zip(names, runs, strict=True)
            for warning in fit_warnings(run)
        ],
        groups=[(file, *rows) for file, rows in groups.items()],
        unranked=comparison.unranked,
        differences=[
            (difference, interval_places(vars(difference), -most, most))
            for difference in differences
        ],
        confusions=[
            (content["confusion"], {**content["confusion"]["matrices"][0], "words": name})
            for name, content in zip(names, confusions, strict=True)
            if content
        ],
        recipes=list(comparison.settings_that_differ()),
    )
    write_text(output, page)
    return output


def _better(row: Row) -> str:
    """Return the better direction in words, or the nominal value."""
    if row.better != "nominal":
        return row.better or "neither"
    return "near nominal" if row.nominal is None else f"near {row.nominal:g}"


def refresh_report(run: Run, data: Path | None = None) -> None:
    """Write a run's page again, and print its path, or the reason if it can't be written."""
    try:
        say(f"report: {write_report(run, data)}")
    except BadInput as error:
        say(f"report: not written again ({error})")

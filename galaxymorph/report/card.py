"""A run's model card, in Markdown: data, training, results, intended use and limitations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from galaxymorph.base import write_text
from galaxymorph.learn import output_names, run_files, target_of
from galaxymorph.report.metric_tables import change_in_words, corruption_label, metric_heading
from galaxymorph.report.page_content import PageContent
from galaxymorph.report.sections import Content
from galaxymorph.report.server.markup import render

# Corruptions in the card, the most harmful first.
HARMFUL = 3


def write_card(page: PageContent, sections: Mapping[str, Content]) -> Path:
    """Write a trained run's model card (Mitchell et al. 2019, arXiv:1810.03993); return its path.

    Args:
        page: of the run.
        sections: the content of the page's sections, by name.
    """
    run = page.run
    path = run.path / run_files.CARD
    text = render(
        "card.md",
        name=run.path.resolve().name,
        recipe=run.recipe,
        outputs=output_names(run.recipe, run.classes),
        soft=target_of(run.recipe).soft,
        several=run.part_word,
        count=len(run.members),
        sections=sections,
        harmful=_harmful(page) if page.has(run_files.ROBUSTNESS) else None,
    )
    write_text(path, text)
    return path


def _harmful(page: PageContent) -> tuple[str, str, list[tuple[str, float, float]]]:
    """Return the worst corruptions.

    Returns:
        The metric's heading, what a loss is, and rows: corruption with severity, score, loss.
    """
    scores = page.json(run_files.ROBUSTNESS)
    headline = scores["headline"]
    rows = [
        (
            f"{corruption_label(name)}, severity {severity}",
            condition[headline]["value"],
            condition["drop"]["value"],
        )
        for name, record in scores["corruptions"].items()
        for severity, condition in record["severities"].items()
    ]
    worst = sorted(rows, key=lambda row: -row[2])[:HARMFUL]
    return metric_heading(headline), change_in_words(headline), worst

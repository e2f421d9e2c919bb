"""A run's model card, in Markdown: what it is, how good, for what, and where it fails."""

from __future__ import annotations

from pathlib import Path

from galaxymorph.base import write_text
from galaxymorph.judge import METRICS
from galaxymorph.learn import Run, output_names, target_of
from galaxymorph.report.sections import Page, gathered

FILE = "model-card.md"
# Of robustness, how many corruptions are named, the most harmful first.
HARMFUL = 3


def write_card(run: Run, render, data: Path | None = None) -> Path:
    """Write a trained run's model card (Mitchell et al. 2019, arXiv:1810.03993); return its path.

    Args:
        run: trained.
        render: from a template's name and what it is told to text.
        data: where its catalogue is now, if it has moved.
    """
    page = Page(run, data)
    told = {section["name"]: section["content"] for section in gathered(page, CARD)}
    path = run.path / FILE
    text = render(
        "card.md",
        name=run.path.resolve().name,
        recipe=run.recipe,
        outputs=output_names(run.recipe, run.classes),
        soft=target_of(run.recipe).soft,
        several=run.part_word,
        count=len(run.members),
        sections=told,
        harmful=_harmful(page) if (run.path / "robustness.json").exists() else [],
    )
    write_text(path, text)
    return path


# The page's sections that a card takes from.
CARD = ("headline", "trained", "per_class", "calibration", "recipe")


def _harmful(page: Page) -> list[tuple[str, str, float, float]]:
    """Return corruption, severity, score and loss of the most harmful ones."""
    scores = page.json("robustness.json")
    headline = scores["headline"]
    found = [
        (name.replace("_", " "), severity, each[headline]["value"], each["drop"]["value"])
        for name, by in scores["corruptions"].items()
        for severity, each in by["severities"].items()
    ]
    words = METRICS[headline].heading
    worst = sorted(found, key=lambda row: -row[3])[:HARMFUL]
    return [
        (f"{name}, severity {severity}", words, score, lost)
        for name, severity, score, lost in worst
    ]

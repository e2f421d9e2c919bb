"""Pages and cards from the package's templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from galaxymorph import __version__
from galaxymorph.report.figures import style
from galaxymorph.report.tables import cell_words

if TYPE_CHECKING:
    from galaxymorph.report.side_by_side import Cell


def render(template: str, **content: object) -> str:
    """Return a page made of a template of the package."""
    return _templates().get_template(template).render(version=__version__, **content)


def section_template(name: str, text: str = "") -> jinja2.Template:
    """Return the template of a section of the page, from its text or from the package."""
    if text:
        return _templates().from_string(text)
    return _templates().get_template(f"sections/{name}.html")


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("galaxymorph.report"),
        # A card is Markdown, and the name of a folder no markup there.
        autoescape=lambda name: name is None or not name.endswith(".md"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["look"] = style
    environment.filters |= {
        "score": _score,
        "as_json": _as_json,
        "cell": partial(cell_words, score_words=_score),
        "number": "{:,}".format,
    }
    return environment


def _score(score: Mapping[str, Any] | Cell, digits: int = 3) -> str:
    """Return a score with its interval, as in tables of the terminal."""
    if not isinstance(score, Mapping):
        score = vars(score)
    if score["value"] is None:
        return "–"
    ends = [score["value"], score.get("low"), score.get("high")]
    value, *words = (f"{end:.{digits}f}".replace("-", "−") for end in ends if end is not None)
    # A dash beside a minus is ambiguous.
    return f"{value} ({(' to ' if ends[1] < 0 else '–').join(words)})" if len(words) == 2 else value


def _as_json(value: object) -> Markup:
    """Return JSON for a script, in which no name contains `<`, which may end the script."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))

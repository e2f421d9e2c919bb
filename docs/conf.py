"""Sphinx's settings, and the pages that are made from the code: recipe, registries, API."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import MISSING, fields
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import galaxymorph  # noqa: E402
import galaxymorph.api  # noqa: E402

GENERATED = HERE / "_generated"
# The packages whose faces make the API reference, in the order that data flows.
PACKAGES = ("base", "zoo", "images", "survey", "learn", "judge", "predict", "report")

# The names of `import galaxymorph as gm`, in the order of their page.
FACE = {
    "Fits and runs": ("fit", "open_run", "Run", "Metrics", "Score", "pretrain", "reproduce"),
    "Analyses": (
        "judge",
        "calibrate",
        "uncertainty",
        "robustness",
        "interpret",
        "explain",
        "compare",
        "report",
        "Analysis",
    ),
    "Predictions": (
        "predict",
        "predict_catalogue",
        "load_predictor",
        "export",
        "triage",
        "serve",
        "similar",
        "anomalies",
    ),
    "Catalogues": (
        "check",
        "CatalogueCheck",
        "read_catalogue",
        "show",
        "show_schema",
        "guess_schema",
        "simulate",
        "cutouts",
        "read_volunteers",
        "simulate_volunteers",
    ),
    "fastai": ("galaxy_dataloaders", "galaxy_learner", "Recipe"),
    "Errors and plugins": ("BadInput", "load_plugin"),
}

project = "GalaxyMorph"
author = "GalaxyMorph developers"
copyright = f"2026, {author}"  # noqa: A001 (Sphinx's name)
release = version = galaxymorph.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
html_theme = "pydata_sphinx_theme"
html_title = "GalaxyMorph"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 5,
}
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_sidebars: dict[str, list[str]] = {
    name: [] for name in ("install", "results", "gallery", "contributing")
}
# Options keep their two hyphens.
smartquotes = False
highlight_language = "none"
# What stands in single backticks in the help of commands.
default_role = "code"
# The notebook is run by the tests; here it is rendered as it is.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
autodoc_typehints = "signature"
autosummary_generate = False
add_module_names = False
copybutton_prompt_text = "$ "


def escape_docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """Turn a docstring's Markdown into reStructuredText: code in backticks, signs as they are."""
    text = "\n".join(lines)
    # Code in backticks, and the lines of examples.
    parts = re.split(r"(`[^`]+`|^ *(?:>>>|\.\.\.).*$)", text, flags=re.M)
    for number, part in enumerate(parts):
        if number % 2 and part.startswith("`"):
            parts[number] = f"`{part}`"
        elif number % 2:
            continue
        else:
            parts[number] = re.sub(
                r"(?<!\\)([*|])", r"\\\1", re.sub(r"(\w)_(?!\w)", r"\1\\_", part)
            )
    lines[:] = "".join(parts).split("\n")


def format_help(app, context, lines: list[str]) -> None:
    """Keep signs of a command's help as they are, and show its examples as code."""
    formatted: list[str] = []
    in_example = False
    for line in lines:
        if re.fullmatch(r"\| Examples?:", line):
            in_example = True
            formatted += [line[2:] + ":", ""]
        elif in_example and line.startswith("|"):
            formatted.append("    " + line[2:].strip())
        else:
            in_example = False
            formatted.append(re.sub(r"(?<!\\)\*", r"\\*", line))
    lines[:] = formatted


def write_page(name: str, text: str) -> None:
    """Write a generated page, unless it is there already with this text."""
    path = GENERATED / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in lines
    )


def recipe_page() -> str:
    """Return the page of a recipe's settings, from the fields of `Recipe`."""
    from galaxymorph.learn import Recipe

    groups: dict[str, list[tuple[str, ...]]] = {}
    for setting in fields(Recipe):
        about = setting.metadata
        default = "" if setting.default is MISSING else f"`{setting.default}`"
        limits = [
            f"{words} {about[key]}"
            for key, words in (("gt", ">"), ("ge", "≥"), ("le", "≤"))
            if key in about
        ]
        choices = about.get("choices")
        if choices is not None:
            limits.append(", ".join(f"`{choice}`" for choice in choices))
        option = "--" + setting.name.replace("_", "-")
        row = (f"`{setting.name}`", f"`{option}`", default, ", ".join(limits), about["description"])
        groups.setdefault(about["group"], []).append(row)
    text = "# Recipe settings\n\nGenerated from `galaxymorph.learn.Recipe`. Defaults are those of "
    text += "the preset `baseline`; see [Presets](presets.md) for the others.\n"
    for group, rows in groups.items():
        header = ("setting", "option", "default", "values", "description")
        text += f"\n## {group.capitalize()}\n\n{table(header, rows)}\n"
    return text


def presets_page() -> str:
    """Return the page of presets: for each, the settings that differ from `baseline`."""
    from galaxymorph.learn import RECIPES, Recipe

    text = (
        "# Presets\n\nGenerated from `galaxymorph.learn.RECIPES`. A setting that is not listed has "
    )
    text += (
        "the value of `baseline` ([settings](recipe.md)). [Recipes](../recipes.md) compares them.\n"
    )
    for name, preset in RECIPES.items():
        text += f"\n## {name}\n\n{preset.note[0].upper()}{preset.note[1:]}.\n\n"
        rows = [
            (f"`{each.name}`", f"`{getattr(preset.recipe, each.name)}`")
            for each in fields(Recipe)
            if getattr(preset.recipe, each.name) != each.default
        ]
        text += table(("setting", "value"), rows) + "\n" if rows else ""
    return text


def metrics_page() -> str:
    """Return the page of metrics, from their registry."""
    from galaxymorph.judge import METRICS
    from galaxymorph.judge.metrics.metric import DIRECTIONS

    rows = [
        (f"`{name}`", metric.label, metric.about, DIRECTIONS[metric.better], metric.family or "")
        for name, metric in METRICS.items()
    ]
    text = (
        "# Metrics\n\nGenerated from `galaxymorph.judge.METRICS`: the names in "
        "`metrics.json` and in the files of other commands. "
        "[Statistics](../statistics.md) has estimators and intervals.\n\n"
    )
    return text + table(("name", "label", "definition", "direction", "family"), rows) + "\n"


def entries_page() -> str:
    """Return the page of everything else that is registered, with a line on each entry."""
    from galaxymorph.images.corruptions import CORRUPTIONS
    from galaxymorph.images.rendering import STRETCHES
    from galaxymorph.judge import ATTRIBUTION_METHODS, CALIBRATORS
    from galaxymorph.learn import TARGETS
    from galaxymorph.predict.exporters import EXPORTERS
    from galaxymorph.predict.uncertainty_sources import UNCERTAINTY_SOURCES
    from galaxymorph.survey.surveys import SURVEYS
    from galaxymorph.zoo import SCHEMES

    def first_line(value: object) -> str:
        return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")

    kinds = {
        "Label schemes (`--scheme`)": {name: each.about for name, each in SCHEMES.items()},
        "Targets (`--target`)": {name: each.words for name, each in TARGETS.items()},
        "Losses (`--loss`)": {
            f"{name}, {loss}": entry.words
            for name, target in TARGETS.items()
            for loss, entry in target.losses.items()
        },
        "Surveys (`--survey`)": {name: each.about for name, each in SURVEYS.items()},
        "Stretches of FITS images (`--stretch`)": {
            name: first_line(each) for name, each in STRETCHES.items()
        },
        "Corruptions (`robustness`)": {
            name: f"{each.label}; {each.strength}: {', '.join(map(str, each.strengths))}"
            for name, each in CORRUPTIONS.items()
        },
        "Calibrators (`calibrate --method`)": {
            name: each.label for name, each in CALIBRATORS.items()
        },
        "Sources of uncertainty (`triage --source`)": {
            name: each.words for name, each in UNCERTAINTY_SOURCES.items()
        },
        "Attribution methods (`explain --method`)": {
            name: each.label for name, each in ATTRIBUTION_METHODS.items()
        },
        "Export formats (`export --format`)": {
            name: each.words for name, each in EXPORTERS.items()
        },
    }
    text = "# Choices of options\n\nGenerated from the registries. "
    text += "[Plugins](../plugins.md) add entries.\n"
    for title, entries in kinds.items():
        rows = [(f"`{name}`", words) for name, words in entries.items()]
        text += f"\n## {title}\n\n{table(('name', 'meaning'), rows)}\n"
    return text


def formats_page() -> str:
    """Return the page of vote catalogues: the questions, answers and columns of each schema."""
    from galaxymorph.zoo import SCHEMAS

    text = "# Vote catalogues\n\nGenerated from the schemas in `galaxymorph/zoo/vote_schemas`.\n"
    for name, schema in SCHEMAS.items():
        text += f"\n## {name}\n\n"
        rows = [
            (number, question.text, answer.text, f"`{answer.column}`", answer.leads_to or "end")
            for number, question in enumerate(schema.tree.questions, 1)
            for answer in question.answers
        ]
        header = ("", "question", "answer", "column", "leads to")
        text += table(header, [tuple(map(str, row)) for row in rows]) + "\n"
    return text


def api_page(package: str) -> str:
    """Return the reStructuredText page of one package's public names."""
    module = __import__(f"galaxymorph.{package}", fromlist=["*"])
    kinds: dict[str, list[str]] = {"Classes": [], "Functions": [], "Constants": []}
    for name in sorted(module.__all__):
        value = getattr(module, name)
        kind = (
            "Classes"
            if inspect.isclass(value)
            else "Functions"
            if inspect.isfunction(value)
            else "Constants"
        )
        kinds[kind].append(name)
    title = f"galaxymorph.{package}"
    lines = [title, "=" * len(title), "", f".. currentmodule:: {title}", ""]
    lines += [inspect.getdoc(module) or "", ""]
    for kind, names in kinds.items():
        if not names:
            continue
        lines += [kind, "-" * len(kind), ""]
        if kind == "Constants":
            lines += [", ".join(f"``{name}``" for name in names), ""]
            continue
        lines += [
            ".. autosummary::",
            "   :nosignatures:",
            "",
            *(f"   {name}" for name in names),
            "",
        ]
        directive = "autoclass" if kind == "Classes" else "autofunction"
        # References lead to the page of `import galaxymorph as gm`, where that has the name too.
        lines += [
            f".. {directive}:: {name}\n" + "   :no-index:\n" * (name in galaxymorph.__all__)
            for name in names
        ]
    return "\n".join(lines)


def face_page() -> str:
    """Return the reStructuredText page of what `import galaxymorph as gm` has."""
    named = [name for names in FACE.values() for name in names]
    missing = set(galaxymorph.__all__) ^ set(named)
    if missing:
        raise ValueError(f"names of galaxymorph's face that are missing in FACE: {missing}")
    lines = ["import galaxymorph as gm", "========================", ""]
    lines += [
        "Each command is one of these functions, with options of the same names. Functions return",
        "data and print nothing; notes are logged under the name ``galaxymorph``. An error of the",
        "input is a ``gm.BadInput``. A run stands wherever the path of its folder does.",
        "",
    ]
    for title, names in FACE.items():
        lines += [title, "-" * len(title), ""]
        for name in names:
            value = getattr(galaxymorph.api, name, None) or getattr(galaxymorph, name)
            module = "galaxymorph.api" if name in galaxymorph.api.__all__ else "galaxymorph"
            if inspect.isclass(value):
                # A room's class has its index entry on the room's page.
                once = [] if module == "galaxymorph.api" else ["   :no-index:"]
                lines += [f".. autoclass:: {module}.{name}", "   :members:", *once, ""]
            else:
                lines += [f".. autofunction:: {module}.{name}", ""]
    return "\n".join(lines)


def generate_pages(app) -> None:
    """Write all pages that are made from the code."""
    write_page("recipe.md", recipe_page())
    write_page("presets.md", presets_page())
    write_page("votes.md", formats_page())
    write_page("api/galaxymorph.rst", face_page())
    write_page("metrics.md", metrics_page())
    write_page("entries.md", entries_page())
    for package in PACKAGES:
        write_page(f"api/{package}.rst", api_page(package))


def setup(app) -> None:
    """Connect what is above with Sphinx."""
    app.connect("builder-inited", generate_pages)
    app.connect("autodoc-process-docstring", escape_docstring)
    app.connect("sphinx-click-process-description", format_help)

"""Vote schemas: shown, and proposed for a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from galaxymorph.api.calling import takes
from galaxymorph.api.options import GuessOptions, ShowSchemaOptions
from galaxymorph.api.paths import Place, require_output
from galaxymorph.base import say, write_text
from galaxymorph.zoo import SCHEMAS, open_table
from galaxymorph.zoo.schema_files import schema_text
from galaxymorph.zoo.schema_guess import guess_schema as guess
from galaxymorph.zoo.tree_paths import tree_lines


@takes(ShowSchemaOptions)
def show_schema(schema: str | None = None, **options: Any) -> str:
    """Return the decision tree of a vote schema as text, and draw it into a file; or the schemas.

    Args:
        schema: a name, or a JSON file. Default: the names of all schemas are returned.

    Raises:
        BadInput: there is no such schema, the file has a fault, or the figure can't be written.

    Example:
        >>> import galaxymorph as gm
        >>> print(gm.show_schema("galaxy-zoo-decals").splitlines()[2])
        smooth-or-featured: Smooth, or with features or a disk? (asked of all)
    """
    output = ShowSchemaOptions(**options).output
    require_output(output, (".png", ".pdf", ".svg"), "name a .png, .pdf or .svg file")
    if schema is None:
        width = max(len(name) for name in SCHEMAS)
        return "\n".join(f"{name:{width}}  {each.about}" for name, each in SCHEMAS.items())
    rule = SCHEMAS.find(str(schema), "schema show")
    title = f"{rule.tree.name}: {rule.about}"
    if output:
        _draw(rule.tree, title, output)
    return "\n".join([title, "", *tree_lines(rule.tree)])


def _draw(tree: Any, title: str, output: Path) -> None:
    from galaxymorph.report.figures.schema_figure import draw_schema
    from galaxymorph.report.figures.style import figure_formats, write_figure

    ending = output.suffix.removeprefix(".")
    with figure_formats(ending):
        write_figure(output.with_suffix(".png"), draw_schema(tree, title), title)
    if ending != "png":
        output.with_suffix(".png").unlink()


@takes(GuessOptions)
def guess_schema(table: Place, **options: Any) -> str:
    """Return a vote schema proposed from the columns of a table, as JSON to be corrected by hand.

    Notes on what the table doesn't tell are logged. The file is for `schema` of `fit`.

    Args:
        table: of votes.

    Raises:
        BadInput: the table can't be read, or no columns look like votes.

    Example:
        >>> import galaxymorph as gm
        >>> text = gm.guess_schema("sky/training_solutions_rev1.csv", output="mine.json")
        >>> "galaxy-zoo-challenge" in text
        True
    """
    chosen = GuessOptions(**options)
    require_output(chosen.output, (".json",), "name a .json file")
    name = chosen.output.stem if chosen.output else Path(table).name.partition(".")[0]
    guessed = guess(open_table(Path(table)), name)
    for note in guessed.notes:
        say(note)
    text = schema_text(guessed.schema, indent=1) + "\n"
    if chosen.output:
        write_text(chosen.output, text)
    return text

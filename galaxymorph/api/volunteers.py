"""Volunteers: their answers on Zooniverse read as votes, and simulated ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from galaxymorph.api.calling import takes
from galaxymorph.api.data_options import AnswerOptions, ClassifyOptions
from galaxymorph.api.paths import Place, require_output
from galaxymorph.base import BadInput, did_you_mean, setting
from galaxymorph.learn import write_table
from galaxymorph.survey import write_export
from galaxymorph.zoo import SCHEMAS, Choice, VoteRules, read_volunteer_votes
from galaxymorph.zoo.checks import as_ids
from galaxymorph.zoo.tables import open_table

TABLES = (".csv", ".parquet")


@takes(AnswerOptions)
def read_volunteers(export: Place, **options: Any) -> pd.DataFrame:
    """Return the vote counts in an export of Zooniverse, a row per galaxy: a catalogue for `fit`.

    A volunteer counts once per galaxy, with the last classification, and those who answer
    "artifact" most of the time don't count. The log says how many classifications were left out.

    Args:
        export: the classification export, or a question extraction or reduction of
            panoptes_aggregation.

    Raises:
        BadInput: the export can't be read, a row is damaged, or a task or an answer is none of the
            schema's.

    Example:
        >>> import galaxymorph as gm
        >>> export = gm.simulate_volunteers("sky", "answers.csv")
        >>> votes = gm.read_volunteers(export)
        >>> len(votes)
        100
    """
    chosen = AnswerOptions(**options)
    require_output(chosen.output, TABLES, f"use {' or '.join(TABLES)}")
    table = read_volunteer_votes(
        Path(export),
        SCHEMAS.find(chosen.schema, setting("schema")),
        VoteRules(chosen.late, chosen.retired, chosen.minimum, chosen.id_column),
        Choice(chosen.map, chosen.subjects, chosen.workflow, chosen.versions),
        chosen.skip_bad,
    )
    if chosen.output:
        write_table(chosen.output, table)
    return table


@takes(ClassifyOptions)
def simulate_volunteers(sky: Place, output: Place, **options: Any) -> Path:
    """Write the answers of a simulated sky's volunteers as an export of Zooniverse; return it.

    Args:
        sky: a folder of `simulate`.
        output: the file to write, .csv.

    Raises:
        BadInput: the sky has no votes, or the manifest another galaxy.

    Example:
        >>> import galaxymorph as gm
        >>> gm.simulate_volunteers("sky", "export.csv").name
        'export.csv'
    """
    chosen = ClassifyOptions(**options)
    path = Path(output)
    require_output(path, (".csv",), "use .csv")
    subjects = _read_manifest(chosen.manifest) if chosen.manifest else None
    write_export(Path(sky), path, subjects, chosen.seed)
    return path


def _read_manifest(path: Path) -> pd.DataFrame:
    """Return the metadata of subjects, with the ids of galaxies as text."""
    table = open_table(path)
    if "galaxy" not in table:
        raise BadInput(f"{path}: column 'galaxy' is missing", did_you_mean("galaxy", table.columns))
    frame = pd.concat([piece.frame for piece in table.pieces(table.columns)], ignore_index=True)
    return frame.assign(galaxy=as_ids(frame["galaxy"])[0].astype(object))

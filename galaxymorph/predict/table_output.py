"""Predictions of a table as one file in any format of tables, with the table's own columns."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from galaxymorph.predict.catalogue import PARTITION, PARTITIONS, predict_catalogue
from galaxymorph.predict.column_words import column_words
from galaxymorph.predict.options import DEFAULTS, PredictionOptions
from galaxymorph.predict.partitions import OF_CATALOGUE
from galaxymorph.zoo import open_table
from galaxymorph.zoo.column_meta import ColumnMeta
from galaxymorph.zoo.table_writing import write_table_file

if TYPE_CHECKING:
    from galaxymorph.predict.failures import Failures


def predict_table(
    output: Path,
    model: Path,
    catalogue: str,
    options: PredictionOptions = DEFAULTS,
    keep: Sequence[str] = (),
    size: int = PARTITION,
    scheduler: str | None = None,
) -> tuple[pd.DataFrame, Failures]:
    """Write the predictions of a table's images into one file; return them and the failures.

    They are predicted into a hidden folder beside the file, partition by partition, so that the
    same call goes on after an interruption; the folder is then removed.

    Args:
        output: the file, see `write_table_file`.
        model: a run or an exported file.
        catalogue: a table, see `list_images`.
        options: of the prediction.
        keep: columns that are copied, with their units, descriptions and UCDs.
        size: rows of a partition.
        scheduler: see `predict_catalogue`.

    Raises:
        BadInput: as `predict_catalogue` and `write_table_file`.
    """
    folder = output.absolute().parent / f".{output.name}.parts"
    failures = predict_catalogue(folder, model, catalogue, options, size, scheduler, keep)
    parts = [pd.read_parquet(path) for path in sorted(folder.glob(PARTITIONS))]
    table = pd.concat(parts, ignore_index=True)
    write_table_file(output, table, table_meta(table, model, catalogue))
    shutil.rmtree(folder)
    return table, failures


def table_meta(table: pd.DataFrame, model: Path, catalogue: str) -> dict[str, ColumnMeta]:
    """Return what is known of the columns of predictions, copied ones as in their own table."""
    opened = open_table(catalogue)
    words = column_words(table.columns, schema_of(model))
    known: dict[str, ColumnMeta] = {}
    for name in map(str, table.columns):
        predicted = name.removesuffix(OF_CATALOGUE)
        column = predicted if predicted in words else name
        if column in opened and (meta := opened.meta_of(column)).named():
            known[name] = meta
    return known | words


def schema_of(model: Path) -> str | None:
    """Return the schema of a model's vote fractions, None of one that predicts classes."""
    from galaxymorph.learn import Run, target_of
    from galaxymorph.predict.predictors.loading import is_run, load_predictor

    recipe = Run(model).recipe if is_run(model) else load_predictor(model).recipe
    return recipe.schema if target_of(recipe).tree else None

"""Descriptions and UCDs of the columns of predictions, for formats that have them.

UCDs are words of the Virtual Observatory's list of unified content descriptors (UCD1+, version
1.5, IVOA 2023).
"""

from __future__ import annotations

from collections.abc import Iterable

from galaxymorph.zoo import DEVIATION, PROBABILITY, SCHEMAS
from galaxymorph.zoo.column_meta import ColumnMeta

FIXED = {
    "galaxy": ColumnMeta(description="id of the galaxy", ucd="meta.id;meta.main"),
    "image": ColumnMeta(description="path of the image", ucd="meta.ref"),
    "part": ColumnMeta(
        description="part of the model's split that has this galaxy", ucd="meta.code"
    ),
    "predicted": ColumnMeta(description="predicted class", ucd="src.class"),
    "confidence": ColumnMeta(
        description="probability of the predicted class", ucd="stat.probability"
    ),
    "set": ColumnMeta(description="prediction set: classes, | between", ucd="src.class"),
    "entropy": ColumnMeta(description="entropy of the prediction in nats", ucd="stat.value"),
    "distance": ColumnMeta(description="distance to the nearest training galaxies"),
    "distance_rank": ColumnMeta(description="share of validation galaxies that are nearer"),
    "energy": ColumnMeta(description="out-of-distribution score: energy"),
    "model_id": ColumnMeta(description="start of the SHA-256 of the weights", ucd="meta.version"),
    "status": ColumnMeta(description="ok, or why there is no prediction", ucd="meta.code.status"),
    "error": ColumnMeta(description="why the image can't be used", ucd="meta.note"),
}


def column_words(columns: Iterable[str], schema: str | None = None) -> dict[str, ColumnMeta]:
    """Return what is known of the columns of predictions.

    Args:
        columns: of the table.
        schema: of the vote fractions among them, if there are such.
    """
    fractions: dict[str, str] = {}
    if schema is not None:
        for question, answer in SCHEMAS.find(schema).tree.answers:
            fractions[answer.column] = f"'{answer.text}' to: {question.text}"
    return {name: meta for name in columns if (meta := _words(name, fractions))}


def _words(name: str, fractions: dict[str, str]) -> ColumnMeta | None:
    if name in FIXED:
        return FIXED[name]
    if name in fractions:
        words = f"share of all volunteers who answer {fractions[name]}"
        return ColumnMeta(description=words, ucd="stat.value;arith.ratio")
    prefixes = {
        DEVIATION: ("standard deviation of the share who answer", "stat.stdev"),
        "low_": ("lower end of the interval of the share who answer", "stat.min"),
        "high_": ("upper end of the interval of the share who answer", "stat.max"),
    }
    for prefix, (words, ucd) in prefixes.items():
        answer = name.removeprefix(prefix)
        if name.startswith(prefix) and answer in fractions:
            return ColumnMeta(description=f"{words} {fractions[answer]}", ucd=ucd)
    if name.startswith(PROBABILITY):
        words = f"probability of class {name.removeprefix(PROBABILITY)}"
        return ColumnMeta(description=words, ucd="stat.probability")
    return None

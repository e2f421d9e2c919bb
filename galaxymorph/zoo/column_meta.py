"""What formats of astronomy say of a column: unit, description and UCD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ColumnMeta:
    """A column's unit, description and unified content descriptor, each empty if unknown."""

    unit: str = ""
    description: str = ""
    ucd: str = ""

    def named(self) -> dict[str, str]:
        """Return what is known by its name."""
        return {name: value for name, value in asdict(self).items() if value}


def meta_of_fits(header: Mapping[str, Any], number: int) -> ColumnMeta:
    """Return what a FITS header says of a column: TUNITn by the standard, TUCDn and TCOMMn by use.

    Args:
        header: of the table.
        number: of the column, from 1.
    """
    values = (header.get(f"{key}{number}", "") for key in ("TUNIT", "TCOMM", "TUCD"))
    return ColumnMeta(*(str(value).strip() for value in values))


def meta_of_astropy(column: Any) -> ColumnMeta:
    """Return what a column of an astropy table says."""
    unit = "" if column.unit is None else str(column.unit)
    ucd = (getattr(column, "meta", None) or {}).get("ucd", "")
    return ColumnMeta(unit, str(column.description or ""), str(ucd or ""))


def meta_of_arrow(metadata: Mapping[bytes, bytes] | None) -> ColumnMeta:
    """Return what the metadata of an Arrow or Parquet field say."""
    words = {key.decode(errors="replace"): value for key, value in (metadata or {}).items()}
    known = [words.get(name, b"") for name in ("unit", "description", "ucd")]
    return ColumnMeta(*(value.decode(errors="replace") for value in known))

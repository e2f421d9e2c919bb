"""Images of a table's galaxies from a service, each once, with a manifest.

An image is written whole under its name, then noted in a journal; the manifest is the journal in
the table's order. After an interruption, noted galaxies whose place is the same are left alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.base import (
    BadInput,
    Progress,
    counted,
    did_you_mean,
    file_lock,
    listed,
    make_folder,
    read_csv,
    remove_leftovers,
    replacing,
    safe_file_name,
    say,
    setting,
)
from galaxymorph.images.content import NoContent, require_content
from galaxymorph.images.cutout_services import SIDE, OutsideSurvey, Place, Service
from galaxymorph.images.decoding import decode_bytes
from galaxymorph.images.fetching import Fetcher, Refused, Unanswered
from galaxymorph.zoo.catalogue import ID_COLUMN, ID_COLUMNS
from galaxymorph.zoo.checks import CheckedRows, read_checked
from galaxymorph.zoo.coordinates import as_degrees
from galaxymorph.zoo.schemas import SCHEMAS
from galaxymorph.zoo.tables import Table, open_table

MANIFEST, IMAGES, JOURNAL = "cutouts.csv", "images", ".cutouts.jsonl"
# Arcsec a pixel for each arcsec of the Petrosian radius that holds 90 % of the light in r
# (Willett et al. 2013, MNRAS 435, 2835).
PER_RADIUS = 0.02
# Of that radius in common catalogues, in lower case.
RADIUS_COLUMNS = ("petror90_r", "petro_r90_r", "petror90", "petro_r90", "petro_th90", "petroth90")
# Arcsec a side without a radius.
FIELD = 60.0
# Galaxies in a row without an answer, after which the service is taken to be down.
GIVE_UP = 3
OK, OUTSIDE, FAILED = "ok", "outside", "failed"
# Statuses that another try wouldn't change.
FINAL = (OK, OUTSIDE, "blank", "saturated", "no coverage")


@dataclass(frozen=True)
class CutoutRecord:
    """A galaxy of the manifest; `image` is relative to the manifest, empty unless `status` is ok.

    `scale` is in arcsec a pixel, `address` that of the image, `date` in UTC.
    """

    id: str
    image: str
    ra: float
    dec: float
    scale: float
    status: str
    error: str
    survey: str
    address: str
    date: str

    def is_of(self, other: CutoutRecord) -> bool:
        """Tell whether a record is of the same frame of the same survey."""
        same = (self.id, self.survey) == (other.id, other.survey)
        here, there = ((each.ra, each.dec, each.scale) for each in (self, other))
        return same and bool(np.allclose(here, there, rtol=0, atol=1e-9))


@dataclass(frozen=True)
class CutoutChoice:
    """Which frames of a table are fetched.

    Args:
        id_column: of the galaxies; by default a usual one.
        ra_column: of right ascensions; by default by UCD or name.
        dec_column: likewise.
        radius_column: of Petrosian radii in arcsec; by default a usual one.
        field: arcsec a side, in place of radii.
        skip_bad: leave out rows that can't be used, rather than stop.
    """

    id_column: str | None = None
    ra_column: str | None = None
    dec_column: str | None = None
    radius_column: str | None = None
    field: float | None = None
    skip_bad: bool = False


def fetch_cutouts(
    table: str | Path, service: Service, folder: Path, choice: CutoutChoice, fetcher: Fetcher
) -> pd.DataFrame:
    """Fetch the images of a table's galaxies into a folder; return the manifest.

    Args:
        table: see `open_table`.
        service: that has the images.
        folder: new, or of the same call before.
        choice: which frames.
        fetcher: of addresses.

    Raises:
        BadInput: the table can't be read or lacks a column, a row can't be used, the folder holds
            images of another survey, or the service doesn't answer.
    """
    wanted = _read_places(open_table(table), service, choice)
    make_folder(folder / IMAGES)
    with file_lock(folder / ".lock", wait=False) as locked:
        if not locked:
            raise BadInput(f"{folder}: another process is fetching there", "wait for it")
        remove_leftovers(folder)
        known = _read_known(folder)
        _require_same_survey(folder, known, service)
        try:
            _fetch(wanted, known, service, folder, fetcher)
        finally:
            _write_manifest(folder, wanted, known)
    _say_result([known[each.id] for each in wanted])
    return _as_table(wanted, known)


def _read_places(table: Table, service: Service, choice: CutoutChoice) -> list[CutoutRecord]:
    """Return a record for every galaxy, without an image yet."""
    ids = choice.id_column or _id_column(table)
    ra, dec = _coordinate_columns(table, choice)
    radius = None if choice.field else _radius_column(table, choice)
    for name in filter(None, (ids, ra, dec, radius)):
        if name not in table:
            raise BadInput(
                f"{table.reference}: column {name!r} is missing", did_you_mean(name, table.columns)
            )
    read = read_checked(table, ids, texts=[ra, dec], numbers=[radius] if radius else [])
    degrees = as_degrees(*(list(read.texts[name].fillna("")) for name in (ra, dec)))
    _check_places(read, degrees, ra, dec)
    scales = np.full(len(read.rows), (choice.field or FIELD) / SIDE)
    if radius:
        radii = read.values([radius])[:, 0]
        read.fault(~(radii > 0), f"{radius} is empty, or no radius")
        scales = PER_RADIUS * radii
    elif not choice.field:
        say(
            f"no column of Petrosian radii: every image has {FIELD:g} arcsec a side "
            f"({setting('field')})"
        )
    _require_sound(read, choice.skip_bad)
    sound = np.flatnonzero(read.sound)
    return [
        CutoutRecord(
            str(read.ids.iloc[at]),
            "",
            float(degrees[0][at]),
            float(degrees[1][at]),
            float(scales[at]),
            "",
            "",
            service.name,
            "",
            "",
        )
        for at in sound
    ]


def _id_column(table: Table) -> str:
    schemas = (name for schema in SCHEMAS.values() for name in schema.ids)
    usual = dict.fromkeys([ID_COLUMN, *schemas, *ID_COLUMNS])
    named = {name.lower(): name for name in table.columns}
    for name in usual:
        if name.lower() in named:
            return named[name.lower()]
    raise BadInput(
        f"{table.reference}: no column of galaxy ids",
        f"name it with {setting('id_column')}: it has {listed(table.columns)}",
    )


def _coordinate_columns(table: Table, choice: CutoutChoice) -> tuple[str, str]:
    given = choice.ra_column, choice.dec_column
    if given[0] and given[1]:
        return given[0], given[1]
    if given[0] or given[1]:
        raise BadInput(
            "one coordinate is named",
            f"give both {setting('ra_column')} and {setting('dec_column')}",
        )
    found = table.coordinates
    if found is None:
        raise BadInput(
            f"{table.reference}: no columns of coordinates",
            f"name them with {setting('ra_column')} and {setting('dec_column')}: it has "
            f"{listed(table.columns)}",
        )
    return found


def _radius_column(table: Table, choice: CutoutChoice) -> str | None:
    if choice.radius_column:
        return choice.radius_column
    named = {name.lower(): name for name in table.columns}
    return next((named[name] for name in RADIUS_COLUMNS if name in named), None)


def _check_places(
    read: CheckedRows, degrees: tuple[np.ndarray, np.ndarray], ra: str, dec: str
) -> None:
    def describe(row: int) -> str:
        cells = (read.texts[name].iloc[row] for name in (ra, dec))
        shown = ["empty" if cell is pd.NA else repr(str(cell)) for cell in cells]
        return f"{ra} is {shown[0]} and {dec} is {shown[1]}, no place on the sky"

    read.fault(np.isnan(degrees[0]), describe)


def _require_sound(read: CheckedRows, skip_bad: bool) -> None:
    if not read.words:
        return
    row, words = min(read.words.items())
    others = len(read.words) - 1
    more = f" (and {counted(others, 'more row')})" if others else ""
    if not skip_bad:
        raise BadInput(
            f"{read.reference} row {row}: {words}{more}", f"correct it, or {setting('skip_bad')}"
        )
    say(f"{read.reference} row {row}: {words}{more}; left out")
    if not read.sound.any():
        raise BadInput(f"{read.reference}: no row can be used", "correct the table")


def _read_known(folder: Path) -> dict[str, CutoutRecord]:
    """Return the records of the manifest and of the journal of an interrupted call, by id."""
    records: list[dict[str, Any]] = []
    names = list(CutoutRecord.__dataclass_fields__)
    if (folder / MANIFEST).exists():
        text = {name: str for name in names if name not in ("ra", "dec", "scale")}
        table = read_csv(
            folder / MANIFEST, names, "give a new folder", dtype=text, keep_default_na=False
        )
        records += table[names].to_dict("records")
    if (folder / JOURNAL).exists():
        for line in (folder / JOURNAL).read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                # The process ended within the line: its galaxy is fetched again.
                continue
    known = {record["id"]: CutoutRecord(**record) for record in records}
    return {
        name: record
        for name, record in known.items()
        if record.status != OK or (folder / record.image).is_file()
    }


def _require_same_survey(folder: Path, known: dict[str, CutoutRecord], service: Service) -> None:
    others = {record.survey for record in known.values()} - {service.name}
    if others:
        raise BadInput(
            f"{folder}: has images of {setting('survey')} {min(others)}, not {service.name}",
            f"choose another {setting('output')}",
        )


def _fetch(
    wanted: Sequence[CutoutRecord],
    known: dict[str, CutoutRecord],
    service: Service,
    folder: Path,
    fetcher: Fetcher,
) -> None:
    """Fetch what isn't known yet, and note it in `known` and the journal."""
    todo = [
        each
        for each in wanted
        if each.id not in known
        or known[each.id].status not in FINAL
        or not known[each.id].is_of(each)
    ]
    if len(todo) < len(wanted):
        say(f"continuing {folder}: {len(wanted) - len(todo):,} of {len(wanted):,} are there")
    unanswered = 0
    with (
        Progress("fetching", len(todo), "images") as progress,
        (folder / JOURNAL).open("a", encoding="utf-8") as journal,
    ):
        for each in todo:
            record = _fetch_one(each, service, folder, fetcher)
            known[each.id] = record
            journal.write(json.dumps(asdict(record)) + "\n")
            journal.flush()
            unanswered = unanswered + 1 if record.status == FAILED else 0
            if unanswered >= GIVE_UP:
                raise BadInput(
                    f"{service.address}: {record.error}, for {GIVE_UP} galaxies in a row",
                    "repeat the command later; it continues",
                )
            progress.advance()


def _fetch_one(
    wanted: CutoutRecord, service: Service, folder: Path, fetcher: Fetcher
) -> CutoutRecord:
    """Fetch an image; return its record."""
    place = Place(wanted.ra, wanted.dec, wanted.scale)
    address, name, error = service.address, "", ""
    try:
        address = service.image_address(place, fetcher.get)
        data = _usable_image(address, wanted.id, fetcher)
        name = f"{IMAGES}/{safe_file_name(wanted.id)}.jpg"
        with replacing(folder / name, sync=False) as temporary:
            temporary.write_bytes(data)
        status = OK
    except NoContent as fault:
        status, error = fault.status, str(fault)
    except (OutsideSurvey, Refused) as fault:
        status, error = OUTSIDE, str(fault)
    except Unanswered as fault:
        status, error = FAILED, str(fault)
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return replace(wanted, image=name, status=status, error=error, address=address, date=date)


def _usable_image(address: str, galaxy: str, fetcher: Fetcher) -> bytes:
    """Return the bytes of an image that can be decoded, has the size, and shows something."""
    attempt = 0
    while True:
        data = fetcher.get(address)
        try:
            image = decode_bytes(data, f"galaxy {galaxy}")
        except BadInput as fault:
            fetcher.again(str(fault), attempt)
            attempt += 1
            continue
        if image.size != (SIDE, SIDE):
            width, height = image.size
            raise Refused(200, f"with an image of {width}x{height} pixels, not {SIDE}x{SIDE}")
        require_content(image, 1.0, f"galaxy {galaxy}")
        return data


def _write_manifest(
    folder: Path, wanted: Sequence[CutoutRecord], known: dict[str, CutoutRecord]
) -> None:
    """Write the records in the table's order, then those of other galaxies; end the journal."""
    order = [each.id for each in wanted if each.id in known]
    others = [name for name in known if name not in set(order)]
    table = pd.DataFrame(
        [asdict(known[name]) for name in [*order, *others]],
        columns=list(CutoutRecord.__dataclass_fields__),
    )
    with replacing(folder / MANIFEST) as temporary:
        table.to_csv(temporary, index=False)
    (folder / JOURNAL).unlink(missing_ok=True)


def _as_table(wanted: Sequence[CutoutRecord], known: dict[str, CutoutRecord]) -> pd.DataFrame:
    return pd.DataFrame([asdict(known[each.id]) for each in wanted])


def _say_result(records: Sequence[CutoutRecord]) -> None:
    numbers = Counter(record.status for record in records)
    parts = [f"{number:,} {status}" for status, number in numbers.most_common() if status != OK]
    more = f"; {', '.join(parts)}" if parts else ""
    if numbers[FAILED]:
        more += " (repeat the command to try those again)"
    say(f"{counted(numbers[OK], 'image')}{more}")

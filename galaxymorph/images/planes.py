"""Selection of the science planes of a FITS file, and of red, green and blue among them.

Archives store errors, masks, weights, models and coverage beside the science image, in planes of
the same size. Their conventions are the tables `KINDS`, of other planes, and `SCIENCE`. An
ambiguous file is refused with the names of its planes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, library_errors, listed, setting
from galaxymorph.images.bands import cube_bands, named_band, short_name, wavelength

# Least pixels a side of a plane.
LEAST_SIDE = 8
# A longer axis isn't one of bands: surveys observe in twelve at most (J-PLUS, S-PLUS).
MOST_BANDS = 12
# Of a cutout's values, all bands together.
MAX_VALUES = 40_000_000
# A plane without a name that has a smaller share of the largest one's pixels is a preview.
PREVIEW = 0.25
# The content of other planes, by the words that archives use in EXTNAME and similar keywords.
KINDS = {
    "an error": "ERR ERROR ERRORS SIGMA SIG STD STDEV STDDEV STDV UNC UNCERT UNCERTAINTY RMS RMSE "
    "NOISE STAT",
    "a variance": "VAR VARIANCE VARIANCES MSE",
    "a weight": "WHT WGT WT WEIGHT WEIGHTS IVAR INVVAR INVVARIANCE INVMSE IVM CONFIDENCE CONF",
    "a mask": "DQ MASK MASKS MSK FLAG FLAGS FLG QUALITY QUAL BPM BADPIX BADPIXEL BADPIXELS "
    "BITMASK DQMASK FLAG32BIT CRMASK",
    "a map of exposures": "CTX CON CONTEXT EXP EXPTIME EXPOSURE EXPOSURES NEXP NIMAGE NIMAGES NUM "
    "TIME SAMP COV COVERAGE NOBS EXPWT RRHR AREA",
    "a segmentation": "SEG SEGM SEGMAP SEGMENT SEGMENTATION LABELS",
    "a point spread function": "PSF GPSF RPSF IPSF ZPSF PSFSIZE KERNEL PRF LSF",
    "a model": "MODEL MODELS BESTFIT",
    "a residual": "RESID RESIDUAL RESIDUALS RESI",
    "a sky": "SKY BKG BKGD BACK BG BACKGROUND SKYBG MDRIZSKY",
    "a map of quality": "DEPTH PSFDEPTH GALDEPTH SNR CHI CHI2",
}
SCIENCE = "SCI SCIENCE IMAGE IMG DATA FLUX SIGNAL COADD STACK STK BGSUB INTENSITY"
# Keywords of a plane's content: HDUCLAS2 of ESO and OGIP, IMTYPE of Legacy Surveys, PRODTYPE of
# NOIRLab.
KIND_KEYS = (
    *("EXTNAME", "HDUNAME", "EXTTYPE", "HDUCLAS2", "HDUCLAS3", "IMAGETYP", "IMTYPE", "PRODTYPE"),
    "DATATYPE",
)
# Values of OBJECT in files of GALFIT; in others it is the galaxy's name.
OBJECTS = {"model": "a model", "residual map": "a residual", "residual": "a residual"}
# Words of file names: Pan-STARRS, HST and unWISE have masks and weights in separate files.
IN_FILE_NAMES = (
    *("MASK", "MSK", "DQ", "WT", "WHT", "WGT", "WEIGHT", "WEIGHTS", "INVVAR", "IVAR", "IVM"),
    *("VARIANCE", "ERR", "RMS", "UNC", "SEG", "SEGM", "SEGMAP", "RRHR"),
)
CUBE = "a data cube"
# Units of exposure maps and masks, and squared units: of variances and their inverses.
UNITS = dict.fromkeys(("s", "sec", "second", "seconds"), "a map of exposures")
UNITS |= {"bitmask": "a mask", "flag": "a mask"}
SQUARED = re.compile(
    r"(1\s*/\s*[a-z_() ]+|\([^()]*(\([^()]*\)[^()]*)*\)|[a-z_ ]+)\s*(\*\*|\^)?\s*\(?-?2\)?", re.I
)
SPECTRAL = re.compile(
    r"(WAVE|AWAV|FREQ|VELO|VRAD|VOPT|ZOPT|ENER|WAVN|BETA|LAMBDA|WAVELENGTH)", re.I
)
SPECTRAL_UNITS = ("angstrom", "nm", "um", "micron", "m", "hz", "ghz", "mhz", "m/s", "km/s", "ev")


def _words_of(table: dict[str, str]) -> dict[str, str]:
    return {word: kind for kind, words in table.items() for word in words.split()}


_KINDS = _words_of(KINDS)
# ERRMAP, SCIERR, MASK2, VARIMG, DQMASK and the like.
_KIND = re.compile(
    rf"(?:SCI|IMAGE|IMG|IM|DATA|FLUX)?({'|'.join(sorted(_KINDS, key=len, reverse=True))})"
    r"(?:MAP|IMAGE|IMG|PLANE|ARRAY|BITS|MASK)?\d*"
)
_SCIENCE = re.compile(rf"({'|'.join(SCIENCE.split())})\d*")


# Least fraction of pixels with the largest integer for which it is a fill value.
FILL_SHARE = 0.02


class Unit:
    """A header and data unit of a FITS file, which raises Damaged if it is broken.

    astropy raises errors of many types, once a value is read.
    """

    def __init__(self, hdu: Any):
        """Take one of astropy's header and data units; `shape` is empty unless it is an image."""
        self._hdu = hdu
        with library_errors():
            self.shape: tuple[int, ...] = (
                tuple(hdu.shape) if getattr(hdu, "is_image", False) else ()
            )

    def get(self, key: str, default: Any = "") -> Any:
        """Return a header's value."""
        with library_errors():
            return self._hdu.header.get(key, default)

    def data(self) -> np.ndarray:
        """Return the pixels, which are read now."""
        with library_errors():
            return np.asarray(self._hdu.data)


@dataclass(frozen=True, eq=False)
class Plane:
    """One image of a file, its pixels read on demand.

    `kind` is its content if it isn't science; `rank` the certainty that it is: 2 by its name, 1 as
    the file's primary image, else 0. `band` is empty if it is unknown, and `names_band` whether its
    header names it, rather than the primary one. A `picture` is rendered already, in 8 bits.
    """

    hdu: Unit
    name: str
    index: tuple[int | slice, ...] = ()  # empty for the whole array
    shape: tuple[int, ...] = ()
    band: str = ""
    names_band: bool = False
    kind: str = ""
    rank: int = 0
    length: float | None = None
    is_integer: bool = False
    picture: bool = False
    top_down: bool = False
    aliases: tuple[str, ...] = ()

    def values(self) -> np.ndarray:
        """Return its pixels as floats, shape (height, width), rows as in the file.

        If more than `FILL_SHARE` of the pixels have the largest integer of 16 bits or more, these
        have no value: stars saturate fewer.
        """
        data = self.hdu.data()
        values = np.array(data[self.index], dtype=np.float64).reshape(self.shape)
        if np.issubdtype(data.dtype, np.integer) and data.dtype.itemsize > 1:
            filled = values == np.iinfo(data.dtype).max
            if filled.mean() > FILL_SHARE:
                values[filled] = np.nan
        return values

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})" if self.kind else self.name


def choose_planes(hdus: Sequence[Unit], bands: str | None, reference: str) -> list[Plane]:
    """Return one plane, or two or three with the red first.

    Args:
        hdus: of the file.
        bands: names or numbers, red first, comma separated, or None for the file's own.
        reference: the file's name in errors.

    Raises:
        BadInput: there is no science plane or no such band, or the choice is ambiguous.
    """
    planes = read_planes(hdus, reference)
    if not planes:
        raise BadInput(f"{reference}: no image in the FITS file", "give a cutout")
    chosen = _named(planes, bands, reference) if bands else _science(planes, reference)
    require_sizes(chosen, reference)
    return chosen


def require_sizes(planes: Sequence[Plane], reference: str) -> None:
    """Raise BadInput if bands differ in size, or are too small to show a galaxy."""
    if len({plane.shape for plane in planes}) > 1:
        sizes = ", ".join(f"{plane.name} of {_size(plane.shape)}" for plane in planes)
        raise BadInput(
            f"{reference}: bands of different sizes, {sizes}", f"choose one with {setting('bands')}"
        )
    if min(planes[0].shape) < LEAST_SIDE:
        raise BadInput(
            f"{reference}: {_size(planes[0].shape)} pixels, too few to show a galaxy",
            "make a larger cutout, its bands as the first axis",
        )


def read_planes(hdus: Sequence[Unit], reference: str) -> list[Plane]:
    """Return every image plane of a file, in order, none of its pixels read.

    Raises:
        BadInput: an image has more than `MAX_VALUES`.
    """
    primary = hdus[0]
    of_file = _kind_of_file(reference)
    planes: list[Plane] = []
    for at, hdu in enumerate(hdus):
        shape = hdu.shape
        if len(shape) < 2 or 0 in shape:
            continue
        if int(np.prod(shape)) > MAX_VALUES:
            raise BadInput(
                f"{reference}: {'x'.join(map(str, shape))} values, over {MAX_VALUES:,}",
                "make a cutout of the galaxy",
            )
        planes += _planes_of(hdu, primary, at, of_file)
    return _distinct(planes)


def _planes_of(hdu: Unit, primary: Unit, at: int, of_file: str) -> Iterator[Plane]:
    name = _text(hdu, "EXTNAME", "HDUNAME").removeprefix("COMPRESSED_IMAGE")
    kind, rank = _kind_and_rank(hdu)
    rank = rank or int(at == 0 and name.upper() in ("", "PRIMARY"))
    kind = kind or (of_file if rank < 2 else "")
    template = Plane(
        hdu,
        name,
        kind=kind,
        rank=rank,
        is_integer=hdu.get("BITPIX", 0) > 0 and hdu.get("BSCALE", 1) == 1,
        top_down=(_text(hdu, "ROWORDER") or _text(primary, "ROWORDER")) == "TOP-DOWN",
    )
    telescope = _text(hdu, "TELESCOP") or _text(primary, "TELESCOP")
    # Axes of length 1 are of a frequency or a polarisation.
    axes = [n for n, side in enumerate(hdu.shape) if side != 1 or len(hdu.shape) == 2]
    axes = axes if len(axes) > 1 else [*range(len(hdu.shape))][-2:]
    if len(axes) == 2:
        header_band = named_band(hdu) or _band_in(name) or _single(hdu)
        band = header_band or named_band(primary)
        yield replace(
            template,
            name=(name if kind or not header_band else header_band) or "",
            shape=tuple(hdu.shape[n] for n in axes),
            band=band,
            names_band=bool(header_band),
            length=wavelength(band, telescope),
            picture=_is_picture(hdu) and not header_band,
            aliases=(name, _versioned(name, hdu), header_band),
        )
        return
    yield from _cube(template, axes, telescope)


def _cube(template: Plane, axes: list[int], telescope: str) -> Iterator[Plane]:
    """Yield the planes along the axis of bands, or one of another kind if there is no such axis."""
    hdu = template.hdu
    sides = [hdu.shape[n] for n in axes]
    across = _axis_of_bands(sides)
    if len(sides) > 3 or across is None:
        yield _refused(template, f"{CUBE} of {'x'.join(map(str, sides))} values", sides)
        return
    number, axis = sides[across], len(hdu.shape) - axes[across]
    names = cube_bands(hdu, number)
    if (not names and _is_spectral(hdu, axis)) or number > MOST_BANDS:
        yield _refused(template, f"{CUBE} of {number:,} planes, as of a spectrograph", sides)
        return
    is_last, picture = across == 2, _is_picture(hdu) and not names
    if not names and number in (3, 4) and (picture or (is_last and number == 3)):
        names = ["red", "green", "blue", "alpha"][:number]
    stokes = _text(hdu, f"CTYPE{axis}").startswith("STOKES")
    for n in range(number):
        index: list[int | slice] = [
            slice(None) if at in axes else 0 for at in range(len(hdu.shape))
        ]
        index[axes[across]] = n
        band = names[n] if names else ""
        kind = _kind_of(band) or ("a polarisation" if stokes and n else "")
        kind = "transparency" if band == "alpha" else kind
        yield replace(
            template,
            name=band,
            kind=template.kind or kind,
            index=tuple(index),
            shape=tuple(side for at, side in enumerate(sides) if at != across),
            band=band,
            names_band=bool(names),
            length=wavelength(short_name(band), telescope),
            picture=picture,
            top_down=template.top_down or (picture and is_last),
            aliases=(band, short_name(band)),
        )


def _refused(template: Plane, what: str, sides: list[int]) -> Plane:
    return replace(template, kind=template.kind or what, shape=tuple(sides[-2:]))


def _axis_of_bands(sides: list[int]) -> int | None:
    """Return the axis of bands among three: the first, or the last as in pictures."""
    if min(sides[1:]) >= LEAST_SIDE:
        return 0 if sides[0] <= MOST_BANDS or sides[2] > MOST_BANDS else 2
    return 2 if min(sides[:2]) >= LEAST_SIDE else None


def _distinct(planes: list[Plane]) -> list[Plane]:
    """Return the planes with unique names: numbers if they are missing or repeated."""
    distinct: list[Plane] = []
    names = [plane.name.casefold() for plane in planes]
    for at, plane in enumerate(planes):
        name, number = plane.name, str(at + 1)
        if not name:
            name = number
        elif names.count(name.casefold()) > 1:
            known = {other.name for other in distinct}
            options = [*(alias for alias in plane.aliases if alias), f"{name}#{number}"]
            name = next((option for option in options if option not in known), number)
        distinct.append(replace(plane, name=name[:40], aliases=(*plane.aliases, number)))
    return distinct


def _named(planes: list[Plane], bands: str, reference: str) -> list[Plane]:
    """Return the planes of --bands."""
    names = [name.strip() for name in bands.split(",")]
    chosen = [plane for name in names if (plane := plane_called(name, planes)) is not None]
    if len(chosen) < len(names) or len(names) not in (1, 3):
        raise BadInput(
            f"{reference}: {setting('bands', bands)}, and the file has {listed(planes)}",
            "name one band, or three with the red first",
        )
    return chosen


def plane_called(name: str, planes: list[Plane]) -> Plane | None:
    """Return the plane of a name or number; of several preferably a science plane."""
    ways = (
        lambda plane: name == plane.name,
        lambda plane: name in plane.aliases,
        # In a header's EXTNAME astropy makes every letter a capital.
        lambda plane: (
            name.casefold() in [alias.casefold() for alias in (plane.name, *plane.aliases)]
        ),
    )
    for fits in ways:
        for some in ([plane for plane in planes if not plane.kind], planes):
            if matches := [plane for plane in some if name and fits(plane)]:
                return matches[0]
    return None


def _science(planes: list[Plane], reference: str) -> list[Plane]:
    """Return the science planes, the longest wavelength first, or the file's last."""
    usable = [plane for plane in planes if not plane.kind]
    for plane in planes:
        if plane.kind.startswith(CUBE):
            raise BadInput(f"{reference}: {plane.kind}", "give an image in one band or a few")
    if not usable:
        raise BadInput(
            f"{reference}: no science plane, only {listed(planes)}",
            f"give the science image, or choose a plane with {setting('bands')}",
        )
    chosen = planes_of_one_image(usable, planes, reference)
    if len(chosen) > 3:
        raise BadInput(
            f"{reference}: {len(chosen)} bands, {listed(chosen)}",
            f"choose three with {setting('bands')}, the red first",
        )
    lengths = [plane.length for plane in chosen if plane.length is not None]
    if len(set(lengths)) < len(chosen):
        return chosen[::-1]
    return [chosen[at] for at in np.argsort(lengths)[::-1]]


def planes_of_one_image(usable: list[Plane], planes: list[Plane], reference: str) -> list[Plane]:
    """Return the planes that are one image in several bands, in the file's order."""
    certain = [plane for plane in usable if plane.rank == 2 or plane.names_band]
    pool = certain or _likely(usable)
    named = [plane for plane in pool if plane.names_band or plane.rank == 2 or not plane.is_integer]
    pool = named or pool
    for plane in pool:
        # A plane of a cube comes with the others of its cube.
        if plane.index:
            return [other for other in pool if other.hdu is plane.hdu]
    by_band: dict[str, list[Plane]] = {}
    for plane in pool:
        by_band.setdefault(plane.band.casefold(), []).append(plane)
    if len(by_band) > 1 and "" in by_band:
        _refuse_choice(pool, planes, reference)
    chosen = []
    for band, several in by_band.items():
        same = _without_previews(several)
        best = [plane for plane in same if plane.rank == max(other.rank for other in same)]
        if len(best) > 1 and (best[0].rank == 2 or not band):
            _refuse_choice(best, planes, reference)
        chosen.append(best[0])
    return chosen


def _likely(usable: list[Plane]) -> list[Plane]:
    """Return the unnamed planes of the size of the first, without previews."""
    large = _without_previews(usable)
    first = max(large, key=lambda plane: plane.rank)
    return [plane for plane in large if plane.shape == first.shape]


def _without_previews(planes: list[Plane]) -> list[Plane]:
    """Return the planes that are science by name or too large for a preview."""
    largest = max(int(np.prod(plane.shape)) for plane in planes)
    return [
        plane for plane in planes if plane.rank == 2 or np.prod(plane.shape) >= PREVIEW * largest
    ]


def _refuse_choice(open_: list[Plane], planes: list[Plane], reference: str) -> None:
    rest = [plane for plane in planes if plane not in open_]
    beside = f" beside {listed(rest)}" if rest else ""
    raise BadInput(
        f"{reference}: {len(open_)} science planes, {listed(open_)}{beside}, which is ambiguous",
        f"choose one with {setting('bands')}, or three, the red first",
    )


def _kind_and_rank(header: Unit) -> tuple[str, int]:
    """Return a plane's kind by its header, empty for science, and its rank."""
    texts = [_text(header, key) for key in KIND_KEYS]
    kinds = [kind for kind in map(_kind_of, texts) if kind]
    kind = kinds[0] if kinds else OBJECTS.get(_text(header, "OBJECT").casefold(), "")
    named = any(_is_science(_text(header, key)) for key in ("EXTNAME", "HDUNAME", "EXTTYPE"))
    if not kind and not named:
        unit = _text(header, "BUNIT")
        kind = UNITS.get(unit.casefold(), "a variance" if SQUARED.fullmatch(unit) else "")
    return kind, 0 if kind else 2 * int(named)


def _kind_of(name: str) -> str:
    """Return a plane's kind by its name, empty for science."""
    words = re.findall(r"[A-Z]+\d*", name.upper())
    subtracted = any(word.startswith("SUB") for word in words)
    for word in words:
        match = _KIND.fullmatch(word)
        if match and not (subtracted and _KINDS[match[1]] == "a sky"):
            return _KINDS[match[1]]
    return ""


def _is_science(name: str) -> bool:
    return any(_SCIENCE.fullmatch(word) for word in re.findall(r"[A-Z]+\d*", name.upper()))


def _kind_of_file(reference: str) -> str:
    """Return the kind of planes by a file's name, empty for science."""
    name = PurePosixPath(reference.split(REFERENCE_SEPARATOR)[-1]).name
    words = re.findall(r"[A-Z]+", name.upper())
    # Pan-STARRS: rings.v3.skycell.1234.056.stk.r.unconv.num.fits.
    known = _KINDS if "UNCONV" in words else IN_FILE_NAMES
    return next((_KINDS[word] for word in words if word in known), "")


def _band_in(name: str) -> str:
    """Return the band in an extension's name, empty if there is no known one."""
    short = short_name(name)
    return short if wavelength(short) is not None else ""


def _single(header: Unit) -> str:
    """Return the band of a single image whose header has the keywords of a cube."""
    return (cube_bands(header, 1) or [""])[0]


def _versioned(name: str, header: Unit) -> str:
    return f"{name}{header.get('EXTVER', 1)}" if name else ""


def _is_picture(header: Unit) -> bool:
    """Return whether pixels have 8 bits, of an image rendered already."""
    return (
        header.get("BITPIX") == 8 and header.get("BSCALE", 1) == 1 and header.get("BZERO", 0) == 0
    )


def _is_spectral(header: Unit, axis: int) -> bool:
    unit = _text(header, f"CUNIT{axis}").casefold()
    return bool(SPECTRAL.match(_text(header, f"CTYPE{axis}"))) or unit in SPECTRAL_UNITS


def _text(header: Unit, *keys: str) -> str:
    return next((text for key in keys if (text := str(header.get(key, "")).strip())), "")


def _size(shape: tuple[int, ...]) -> str:
    """Return a shape as width x height."""
    return f"{shape[1]}x{shape[0]}"

"""Services that return images of a place on the sky, and the addresses that they take.

- SDSS: SkyServer's ImgCutout, `getjpeg` (skyserver.sdss.org, "Image Cutout"): 64 to 2048 pixels,
  0.015 to 60 arcsec a pixel. Galaxy Zoo 2's images are from this service.
- Legacy Surveys: `cutout.jpg` of the viewer (legacysurvey.org/viewer/urls): a layer, arcsec a
  pixel, and up to 512 pixels.
- Pan-STARRS: `ps1filenames.py` names the stacked images of a place, and `fitscut.cgi` makes a
  colour image of three of them (ps1images.stsci.edu/ps1image.html): the size is in pixels of 0.25
  arcsec.
- `hips2fits` of the CDS (alasky.cds.unistra.fr/hips-image-services/hips2fits): any survey with a
  HiPS, by its id; the field of view is in degrees.

Written after their documentation; none has been reached from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from galaxymorph.base import BadInput, Registry, setting, use_one_of

# Pixels a side of Galaxy Zoo's images.
SIDE = 424
PS1_PIXEL = 0.25
# From red to blue, as Galaxy Zoo 2's images.
PS1_BANDS = "irg"
LEGACY_LAYER = "ls-dr10"


@dataclass(frozen=True)
class Place:
    """A frame of `SIDE` pixels: its centre in degrees, and arcsec a pixel."""

    ra: float
    dec: float
    scale: float


class OutsideSurvey(Exception):
    """A service has no image of a place."""


# Returns the body of an address, and fails as `fetching.Fetcher.get`.
Get = Callable[[str], bytes]


@dataclass(frozen=True)
class Service:
    """A service.

    Args:
        name: of the survey, with its layer or id.
        address: of the service.
        locate: returns the address of the image of a place, by the service's address, the layer
            and a function that gets other addresses.
        layer: or id, by default; "" if one must be named, None if there are none.
    """

    name: str
    address: str
    locate: Callable[[str, str, Place, Get], str]
    layer: str | None = None

    def image_address(self, place: Place, get: Get) -> str:
        """Return the address of the image of a place.

        Raises:
            OutsideSurvey: the service has none.
        """
        return self.locate(self.address, self.layer or "", place, get)


def _query(address: str, **values: object) -> str:
    separator = "&" if "?" in address else "?"
    return f"{address}{separator}{urlencode(values, safe='/')}"


def _sdss(address: str, layer: str, place: Place, get: Get) -> str:
    return _query(
        f"{address}/getjpeg",
        ra=f"{place.ra:.7f}",
        dec=f"{place.dec:.7f}",
        scale=f"{place.scale:.6f}",
        width=SIDE,
        height=SIDE,
    )


def _legacy(address: str, layer: str, place: Place, get: Get) -> str:
    return _query(
        f"{address}/cutout.jpg",
        ra=f"{place.ra:.7f}",
        dec=f"{place.dec:.7f}",
        layer=layer,
        pixscale=f"{place.scale:.6f}",
        size=SIDE,
    )


def _panstarrs(address: str, layer: str, place: Place, get: Get) -> str:
    where = {"ra": f"{place.ra:.7f}", "dec": f"{place.dec:.7f}"}
    text = get(_query(f"{address}/ps1filenames.py", **where, filters=PS1_BANDS)).decode("utf-8")
    names = _ps1_names(text)
    missing = [band for band in PS1_BANDS if band not in names]
    if missing:
        raise OutsideSurvey(f"no image in {', '.join(missing)}")
    colours = dict(zip(("red", "green", "blue"), (names[b] for b in PS1_BANDS), strict=True))
    size = max(1, round(SIDE * place.scale / PS1_PIXEL))
    return _query(
        f"{address}/fitscut.cgi", **where, size=size, output_size=SIDE, format="jpg", **colours
    )


def _ps1_names(text: str) -> dict[str, str]:
    """Return the files of a table of ps1filenames.py by their filter."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or not {"filter", "filename"} <= set(lines[0]):
        raise OutsideSurvey("the service names no images")
    band, name = lines[0].index("filter"), lines[0].index("filename")
    return {cells[band]: cells[name] for cells in lines[1:] if len(cells) == len(lines[0])}


def _hips(address: str, layer: str, place: Place, get: Get) -> str:
    return _query(
        f"{address}/hips2fits",
        hips=layer,
        ra=f"{place.ra:.7f}",
        dec=f"{place.dec:.7f}",
        fov=f"{SIDE * place.scale / 3600:.8f}",
        width=SIDE,
        height=SIDE,
        projection="TAN",
        coordsys="icrs",
        format="jpg",
    )


SERVICES: Registry[Service] = Registry(
    "cutout service",
    {
        "sdss": Service("sdss", "https://skyserver.sdss.org/dr18/SkyServerWS/ImgCutout", _sdss),
        "legacy": Service(
            "legacy", "https://www.legacysurvey.org/viewer", _legacy, layer=LEGACY_LAYER
        ),
        "panstarrs": Service("panstarrs", "https://ps1images.stsci.edu/cgi-bin", _panstarrs),
        "hips": Service(
            "hips", "https://alasky.cds.unistra.fr/hips-image-services", _hips, layer=""
        ),
    },
)


def find_service(survey: str, address: str | None = None) -> Service:
    """Return the service of a survey.

    Args:
        survey: `sdss`, `legacy`, `panstarrs` or `hips:ID`; `legacy:LAYER` chooses another layer.
        address: of a mirror, in place of the service's own.

    Raises:
        BadInput: there is no such service, or `hips` has no id.
    """
    name, _, layer = survey.partition(":")
    if name not in SERVICES:
        words = [*(each for each in SERVICES if each != "hips"), "hips:ID"]
        raise BadInput(f"{setting('survey', survey)} is unknown", use_one_of(survey, words))
    service = SERVICES[name]
    if service.layer is None and layer:
        raise BadInput(
            f"{setting('survey', survey)}: {name} has no layers", f"give {setting('survey', name)}"
        )
    if service.layer == "" and not layer:
        raise BadInput(
            f"{setting('survey', survey)} has no id",
            f"give {name}:ID, such as hips:CDS/P/DSS2/color",
        )
    return Service(
        survey, (address or service.address).rstrip("/"), service.locate, layer or service.layer
    )

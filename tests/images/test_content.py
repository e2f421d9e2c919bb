"""Frames without a galaxy are told from faint, dark and noisy ones that have one."""

import io
import random

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galaxymorph.images import NO_CONTENT, NoContent, decode_bytes, require_content
from tests.simple import render

SIDE = 200
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
RADIUS = np.hypot(ROWS, COLUMNS)
FIELD = render("spiral", np.random.default_rng(0))[112:312, 112:312]
DARK = np.zeros((SIDE, SIDE, 3), np.uint8)


def filled(value) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def where(mask: np.ndarray, value: int, picture: np.ndarray = FIELD) -> np.ndarray:
    return np.where(mask[..., None], np.uint8(value), picture)


def galaxy(sigma: float, peak: float = 200.0, sky: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, sky, (SIDE, SIDE, 3))
    light = peak * np.exp(-((RADIUS / sigma) ** 2) / 2)[..., None]
    return (light + noise).clip(0, 255).astype(np.uint8)


def beyond(angle: int) -> np.ndarray:
    turned = np.radians(angle)
    return COLUMNS * np.cos(turned) + ROWS * np.sin(turned) < 1


EMPTY = {
    "black": (DARK, "blank"),
    "grey": (filled(77), "blank"),
    "coloured": (filled((10, 40, 200)), "blank"),
    "black but for a hot pixel": (where(RADIUS < 1, 255, DARK), "blank"),
    "all but constant": (galaxy(9, 4, 0.8), "blank"),
    "white": (filled(255), "saturated"),
    "white but for a corner": (where(COLUMNS + ROWS > -140, 255), "saturated"),
    "no green": (FIELD * np.uint8([1, 0, 1]), "no coverage"),
    "only blue": (FIELD * np.uint8([0, 0, 1]), "no coverage"),
    "a hole in the middle": (where(RADIUS < 90, 0), "no coverage"),
    **{f"an edge at {a}°": (where(beyond(a), 0), "no coverage") for a in range(0, 360, 45)},
    "an edge, white": (where(beyond(10), 255), "no coverage"),
    "an edge, grey": (where(beyond(100), 60), "no coverage"),
    "a corner of coverage": (where(COLUMNS + ROWS < 150, 0), "no coverage"),
}
SHOWN = {
    "a field": FIELD,
    "grey": FIELD[..., :1].repeat(3, axis=2),
    "noise": np.random.default_rng(2).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8),
    "a small galaxy on black": galaxy(2),
    "a faint galaxy on black": galaxy(6, 40),
    "a small galaxy in noise": galaxy(3, 90, 3),
    "a large galaxy": galaxy(80),
    "a galaxy on a masked sky": where(RADIUS > 40, 0),
    "an edge-on galaxy on a masked sky, over the rim": where(np.abs(ROWS) > 14, 0),
    "a negative": np.uint8(255) - FIELD,
    "an edge off the galaxy": where(COLUMNS < -50, 0),
    "a bright core": where(RADIUS < 40, 255),
}


def as_file(pixels: np.ndarray, kind: str) -> Image.Image:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, quality=90)
    return decode_bytes(stream.getvalue(), f"1.{kind.lower()}")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("name", EMPTY)
def test_a_frame_without_a_galaxy_is_refused(name, kind):
    pixels, status = EMPTY[name]
    with pytest.raises(NoContent, match=r"^1\.x: ") as stop:
        require_content(as_file(pixels, kind), 1.0, "1.x")
    assert stop.value.status == status
    assert status in NO_CONTENT
    bands = {"no green": "green", "only blue": "red and green"}
    if name in bands:
        assert f"the same value in {bands[name]}: " in str(stop.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("crop", [1.0, 0.7])
@pytest.mark.parametrize("name", SHOWN)
def test_a_frame_with_something_in_it_is_used(name, crop, kind):
    require_content(as_file(SHOWN[name], kind), crop, name)


def test_the_frame_is_judged_and_not_what_surrounds_it():
    inner = Image.fromarray(where(np.maximum(np.abs(ROWS), np.abs(COLUMNS)) < 45, 0))
    require_content(inner, 1.0, "x")
    with pytest.raises(NoContent):
        require_content(inner, 0.5, "x")
    wide = Image.fromarray(np.hstack([where(RADIUS < 999, 0), FIELD, where(RADIUS < 999, 0)]))
    require_content(wide, 1.0, "x")


@pytest.mark.parametrize("crop", [1.0, 0.6])
def test_no_real_image_is_refused(real, crop):
    paths = sorted(path for ending in ("jpg", "png") for path in real.rglob(f"*.{ending}"))
    for path in random.Random(3).sample(paths, 400):
        with Image.open(path) as image:
            require_content(image.convert("RGB"), crop, str(path))


def fits_bytes(planes: np.ndarray, bands: str = "grz") -> bytes:
    unit, stream = fits.PrimaryHDU(np.float32(planes)), io.BytesIO()
    unit.header["BANDS"] = bands
    unit.writeto(stream)
    return stream.getvalue()


def planes() -> np.ndarray:
    rng = np.random.default_rng(4)
    light = 30 * np.exp(-((RADIUS / 12) ** 2) / 2)
    return np.stack([light * part + rng.normal(0, 1, light.shape) for part in (0.6, 1.0, 1.3)])


def test_sound_fits_is_used():
    require_content(decode_bytes(fits_bytes(planes()), "1.fits"), 1.0, "1.fits")


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [
        (lambda p: p * 0, "blank", "every pixel has the same value"),
        (lambda p: p * 0 + 3.3, "blank", "every pixel has the same value"),
        (lambda p: p * np.nan, "blank", "no pixel has a value"),
        (lambda p: p * [[[np.nan]], [[1]], [[1]]], "no coverage", "in band g: "),
        (lambda p: p * [[[1]], [[0]], [[0]]], "no coverage", "in bands z, r: "),
        (lambda p: np.where(beyond(0), np.nan, p), "no coverage", "half of the middle"),
        (
            lambda p: np.where([beyond(0) * 0 > 0, beyond(30), beyond(0) * 0 > 0], 0, p),
            "no coverage",
            "no value in band r: ",
        ),
        (lambda p: np.where(RADIUS < 70, np.nan, p), "no coverage", "half of the middle"),
    ],
)
def test_fits_without_coverage_names_the_bands(spoil, status, words):
    with pytest.raises(NoContent) as stop:
        image = decode_bytes(fits_bytes(spoil(planes())), "1.fits")
        require_content(image, 1.0, "1.fits")
    assert stop.value.status == status
    assert words in str(stop.value)


def test_fits_with_a_few_gaps_is_used():
    spoilt = planes()
    spoilt[0, :40] = np.nan
    spoilt[:, 90:94, 90:94] = np.nan
    require_content(decode_bytes(fits_bytes(spoilt), "1.fits"), 1.0, "1.fits")

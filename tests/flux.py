"""Small catalogues of galaxies in bands of flux, made for tests."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits

KINDS = ("round", "flat", "ring")
# Sky noise in nanomaggies.
NOISE = 0.02


def flux_cube(n: int, bands: int, side: int = 40) -> np.ndarray:
    """Return a galaxy of the kind `n` modulo 3, nanomaggies, float32, (bands, side, side)."""
    rng = np.random.default_rng(n)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    light = {
        "round": np.exp(-np.hypot(along, across) / 1.5),
        "flat": np.exp(-np.hypot(along, across / 0.2) / 2),
        "ring": np.exp(-(((np.hypot(along, across) - 6) / 1.5) ** 2)),
    }[KINDS[n % 3]]
    scale = rng.uniform(0.7, 1.5) * np.arange(1, bands + 1)[:, None, None]
    return (scale * light + rng.normal(0, NOISE, (bands, side, side))).astype(np.float32)


def cube_file(cube: np.ndarray, bands: str, **header: object) -> bytes:
    """Return a FITS cube, calibrated in nanomaggies unless the header says otherwise."""
    hdu = fits.PrimaryHDU(cube)
    hdu.header["BANDS"] = bands
    for key, value in ({"BUNIT": "nanomaggy"} | header).items():
        if value is not None:
            hdu.header[key] = value
    return fits_bytes(hdu)


def fits_bytes(*hdus: object) -> bytes:
    """Return a FITS file's bytes."""
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream)
    return stream.getvalue()


def flux_catalogue(folder: Path, number: int, bands: str = "griz", form: str = "cube") -> Path:
    """Write a catalogue with a column `kind`: a cube a galaxy, an extension or a file a band."""
    folder.mkdir(parents=True)
    for n in range(number):
        cube, name = flux_cube(n, len(bands)), f"G{n:03d}"
        if form == "cube":
            (folder / f"{name}.fits").write_bytes(cube_file(cube, bands))
        elif form == "extensions":
            planes = [fits.ImageHDU(one, name=band) for one, band in zip(cube, bands, strict=True)]
            for plane in planes:
                plane.header["BUNIT"] = "nanomaggy"
            (folder / f"{name}.fits").write_bytes(fits_bytes(fits.PrimaryHDU(), *planes))
        else:
            for one, band in zip(cube, bands, strict=True):
                # The same flux by its zero point.
                hdu = fits.PrimaryHDU(one * np.float32(10))
                hdu.header["MAGZERO"] = 25.0
                (folder / f"{name}-{band}.fits").write_bytes(fits_bytes(hdu))
    ids = [f"G{n:03d}" for n in range(number)]
    kinds = [KINDS[n % 3] for n in range(number)]
    pd.DataFrame({"GalaxyID": ids, "kind": kinds}).to_csv(folder / "labels.csv", index=False)
    return folder

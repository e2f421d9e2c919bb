"""What a file is by its first bytes."""

import bz2
import gzip
import io

import numpy as np
import pytest
from PIL import Image, features

from galaxymorph.base import HEAD, sniff

FITS = (b"SIMPLE  =                    T".ljust(80) + b"END".ljust(80)).ljust(2880)


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "AVIF", "PPM"]
)
def test_what_pillow_writes_is_told_by_its_first_bytes(kind):
    if kind in ("AVIF", "JPEG2000") and not features.check(
        {"JPEG2000": "jpg_2000"}.get(kind, "avif")
    ):
        pytest.skip(f"Pillow was built without {kind}")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    assert sniff(stream.getvalue()[:HEAD]) == kind


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress], ids=["plain", "gz", "bz2"])
def test_fits_is_told_packed_or_not(pack):
    assert sniff(pack(FITS)) == "FITS"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"B",
        b"BM is how this text begins, and it is long enough",
        b"GalaxyID,label\n1,a\n",
        b"\x93NUMPY\x01\x00v\x00{'descr'",
        b"PK\x03\x04",
        b"%PDF-1.7",
        b"P6",
        b"II*",
        gzip.compress(b"GalaxyID,label\n", mtime=0),
        b"\x1f\x8bbroken",
        b"BZhbroken",
        b"<html>JPEG</html>",
    ],
)
def test_other_files_are_no_images(data):
    assert sniff(data) is None

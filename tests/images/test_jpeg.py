"""torchvision's JPEG decoder in place of Pillow's: the same pixels, and no judgement less."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from galaxymorph.images.jpeg import jpeg_pixels
from galaxymorph.images.threads import decoding_threads
from tests.simple import render

torch = pytest.importorskip("torch")
MOST = 10**6


@pytest.fixture(scope="module")
def galaxy() -> Image.Image:
    return Image.fromarray(render("irregular", np.random.default_rng(4)))


def encoded(image: Image.Image, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", **options)
    return data.getvalue()


@pytest.mark.parametrize("side", [(424, 424), (423, 424), (51, 37), (9, 8)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_are_those_of_pillow(galaxy, side, subsampling, progressive):
    data = encoded(galaxy.resize(side), subsampling=subsampling, progressive=progressive)
    expected = np.array(Image.open(io.BytesIO(data)))
    assert np.array_equal(jpeg_pixels(data, MOST), expected)


def test_metadata_and_what_follows_the_image_change_nothing(galaxy):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated, which neither decoder heeds
    data = encoded(galaxy, exif=exif, comment=b"\xff\xd9\xff\xda", restart_marker_blocks=3)
    expected = np.array(Image.open(io.BytesIO(data)))
    assert np.array_equal(jpeg_pixels(data + b"17", MOST), expected)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_file_is_left_to_pillow(galaxy, share):
    data = encoded(galaxy)
    assert jpeg_pixels(data[: int(share * len(data))], MOST) is None


def test_other_pictures_are_left_to_pillow(galaxy):
    png = io.BytesIO()
    galaxy.save(png, "PNG")
    for data in (
        encoded(galaxy.convert("L")),
        encoded(galaxy.convert("CMYK")),
        png.getvalue(),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00\x00" + bytes(100),
    ):
        assert jpeg_pixels(data, MOST) is None
    assert jpeg_pixels(encoded(galaxy), 424 * 424 - 1) is None


def test_without_pytorch_pillow_decodes(galaxy, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    assert jpeg_pixels(encoded(galaxy), MOST) is None


def test_threads_that_decode_start_no_threads_of_their_own(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with decoding_threads() as pool:
            assert set(pool.map(lambda _: torch.get_num_threads(), range(8))) == {1}
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

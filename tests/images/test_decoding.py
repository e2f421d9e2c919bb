import bz2
import gzip
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from galaxymorph.base import BadInput
from galaxymorph.images import as_image, decode, decode_bytes, digest_bytes, inspect_images
from tests.makers import image_bytes, picture, write_files, zip_bytes

JPEG, PNG = image_bytes(picture()), image_bytes(picture(), "PNG")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    return data + png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")


def animation() -> bytes:
    stream = io.BytesIO()
    picture().save(stream, "GIF", save_all=True, append_images=[picture(1)])
    return stream.getvalue()


TRANSPARENT = picture().convert("RGBA")
TRANSPARENT.putpixel((3, 3), (9, 9, 9, 0))
DEEP_GREY = image_bytes(Image.fromarray(np.full((4, 4), 40_000, np.uint16)), "PNG")
DEEP_RGB = png(2, 1, 16, 2, b"\x00" + b"\x12\x34" * 6)
HUGE = png(10_000, 10_000, 8, 2, b"")

FAULTS = {
    "empty": ("a.jpg", b"", "the file is empty; download it again"),
    "text": ("a.jpg", b"<html>404</html>", "not an image; download it again"),
    "script": ("a.py", b"import this", "a .py file, not an image; give images, a folder or"),
    "zeros": ("a.jpg", bytes(2000), "not an image"),
    "truncated JPEG": ("a.jpg", JPEG[:-100], "damaged (image file is truncated"),
    # Some versions of Pillow don't know such a file at all.
    "JPEG without pixels": (
        "a.jpg",
        JPEG[: JPEG.index(b"\xff\xda")],
        ("damaged (", "not an image; download it again"),
    ),
    "JPEG without its end": ("a.jpg", JPEG[:-20], "damaged (image file is truncated"),
    "JPEG's first bytes": ("a.jpg", JPEG[:30], "damaged ("),
    "truncated PNG": ("a.png", PNG[: len(PNG) // 2], "damaged (image file is truncated"),
    "PNG of a wrong sum": ("a.png", PNG.replace(b"IDAT\x78", b"IDAT\x79"), "damaged ("),
    "CMYK": (
        "a.jpg",
        image_bytes(picture().convert("CMYK")),
        "the image is CMYK, not 8-bit RGB or grey; convert it to RGB",
    ),
    "partly transparent": ("a.png", image_bytes(TRANSPARENT, "PNG"), "partly transparent; flatten"),
    "black and white": (
        "a.png",
        image_bytes(picture().convert("1"), "PNG"),
        "the image is black and white only, not 8-bit RGB or grey",
    ),
    "16-bit grey": ("a.png", DEEP_GREY, "the image is 16-bit, and its white level is"),
    "16-bit RGB": ("a.png", DEEP_RGB, "the image is 16-bit, and its white level is unknown"),
    "float TIFF": (
        "a.tif",
        image_bytes(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"),
        "the image is of more than 8 bits, and its white",
    ),
    "animation": ("a.gif", animation(), "2 frames; save one of them"),
    "three rows": (
        "a.png",
        image_bytes(picture(0, (424, 3)), "PNG"),
        "424x3 pixels, too few to show a galaxy; make a larger cutout",
    ),
    "program": ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "a hundred million pixels": (
        "a.png",
        HUGE,
        "10000x10000 pixels, over 40,000,000; make a cutout of the galaxy",
    ),
    "ten thousand million pixels": ("a.png", png(100_000, 100_000, 8, 2, b""), "too many pixels"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("zipped", [False, True], ids=["file", "zip"])
@pytest.mark.parametrize(("name", "data", "words"), FAULTS.values(), ids=FAULTS)
def test_an_image_that_cannot_be_used_is_refused_by_name(name, data, words, zipped, tmp_path):
    if zipped:
        write_files(tmp_path, {"a.zip": zip_bytes({f"dir/{name}": data})})
        reference = f"{tmp_path}/a.zip::dir/{name}"
    else:
        reference = str(write_files(tmp_path, {name: data}) / name)
    with pytest.raises(BadInput) as error:
        decode(reference)
    ways = words if isinstance(words, tuple) else (words,)
    assert str(error.value).startswith(tuple(f"{reference}: {way}" for way in ways))
    assert len(str(error.value).splitlines()) == 1


def test_a_hundred_million_pixels_are_refused_before_one_of_them_is_decoded(monkeypatch):
    def load(image):
        raise AssertionError(f"{image.size} is being decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(BadInput, match="^a.png: 10000x10000 pixels, over 40,000,000"):
        decode_bytes(HUGE, "a.png")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("gone.jpg", "gone.jpg: no such file; check the path"),
        ("gone.zip::a.jpg", "gone.zip: no such file; check the path"),
        ("a.zip::gone.jpg", "a.zip::gone.jpg: no such file; check the path"),
        ("a.zip", "a.zip: not an image; download it again"),
        ("text.zip::a.jpg", "text.zip: not a readable zip (File is not a zip file)"),
        ("folder", "folder: can't be read (a folder)"),
    ],
)
def test_a_missing_image_is_refused_by_name(reference, words, tmp_path):
    write_files(tmp_path, {"a.zip": zip_bytes({"a.jpg": JPEG}), "text.zip": b"text"})
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput) as error:
        decode(f"{tmp_path}/{reference}")
    assert str(error.value).startswith(f"{tmp_path}/{words}")


@pytest.mark.parametrize("zipped", [False, True], ids=["file", "zip"])
@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.PNG", "a"])
def test_a_good_image_is_decoded_whole(name, zipped, tmp_path):
    kind = "PNG" if "png" in name.lower() else "JPEG"
    data = image_bytes(picture(3, (60, 40)), kind)
    if zipped:
        write_files(tmp_path, {"a.zip": zip_bytes({f"dir/{name}": data})})
        image = decode(f"{tmp_path}/a.zip::dir/{name}")
    else:
        image = decode(str(write_files(tmp_path, {name: data}) / name))
    assert (image.size, image.mode) == ((60, 40), "RGB")
    far = np.abs(np.asarray(image, int) - np.asarray(picture(3, (60, 40)), int))
    assert far.max() == 0 if kind == "PNG" else far.mean() < 60


GREY = np.array(picture().convert("L"))[..., None].repeat(3, axis=2)
COLOUR = np.array(picture())


@pytest.mark.parametrize("name", ["a.jpg", "a.fits", "a", "a.fts.gz"])
@pytest.mark.parametrize(
    ("mode", "kind", "expected"),
    [
        *((mode, kind, GREY) for mode in ("L", "LA") for kind in ("PNG", "TIFF")),
        ("L", "BMP", GREY),
        *((mode, "PNG", COLOUR) for mode in ("RGB", "RGBA")),
        *(("RGB", kind, COLOUR) for kind in ("TIFF", "BMP", "PPM")),
        ("P", "PNG", np.array(picture().convert("P").convert("RGB"))),
        ("P", "GIF", np.array(picture().convert("P").convert("RGB"))),
    ],
)
def test_what_a_file_holds_is_told_by_its_content(mode, kind, expected, name):
    data = image_bytes(picture().convert(mode), kind)
    assert np.array_equal(np.array(decode_bytes(data, name)), expected)


def test_webp_is_decoded():
    data = io.BytesIO()
    picture().save(data, "WEBP", lossless=True)
    assert np.array_equal(np.array(decode_bytes(data.getvalue(), "a.jpg")), COLOUR)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_packed_files_are_unpacked(pack):
    assert np.array_equal(np.array(decode_bytes(pack(PNG), "a.png.gz")), COLOUR)
    with pytest.raises(BadInput, match="damaged"):
        decode_bytes(pack(PNG)[:-9], "a.png.gz")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (JPEG, None),
        (PNG, COLOUR),
        (picture(), COLOUR),
        (picture().convert("L"), GREY),
        (picture().convert("RGBA"), COLOUR),
        (COLOUR, COLOUR),
        (COLOUR.transpose(2, 0, 1), COLOUR),
        (GREY[..., 0], GREY),
        (GREY[..., :1], GREY),
        (COLOUR / 255, COLOUR),
        (COLOUR.astype(np.float32) / 255, COLOUR),
    ],
)
def test_an_image_in_memory_has_the_pixels_of_its_file(source, expected):
    result = as_image(source)
    assert result.mode == "RGB"
    if expected is not None:
        assert np.array_equal(np.array(result), expected)
    assert result is not source


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (COLOUR.astype(np.uint16), "an array of uint16 of shape"),
        (COLOUR.astype(np.float64), "an array of floats from 0 to 255; give uint8, or floats"),
        (np.full((9, 9, 3), np.nan), "an array of floats from nan"),
        (np.zeros((4, 9, 9, 3), np.uint8), "shape"),
        (np.zeros((0, 9, 3), np.uint8), "shape"),
        (COLOUR[:3], "16x3 pixels, too few"),
        (7, "an image can't be of type int"),
        (None, "an image can't be of type NoneType"),
    ],
)
def test_what_is_no_picture_is_refused(source, words):
    with pytest.raises(BadInput, match=words):
        as_image(source)


def test_a_progressive_jpeg_is_decoded(tmp_path):
    picture(0, (64, 64)).save(tmp_path / "a.jpg", progressive=True)
    assert decode(str(tmp_path / "a.jpg")).size == (64, 64)


def test_images_are_inspected_in_order_with_digest_and_fault(tmp_path):
    write_files(tmp_path, {"a.jpg": JPEG, "b.png": PNG, "c.jpg": b""})
    result = inspect_images([f"{tmp_path}/{name}" for name in ("c.jpg", "a.jpg", "b.png")])
    assert [inspection.digest for inspection in result] == [
        "",
        digest_bytes(JPEG),
        digest_bytes(PNG),
    ]
    assert result[0].fault == f"{tmp_path}/c.jpg: the file is empty; download it again"
    assert [inspection.fault for inspection in result[1:]] == ["", ""]


@pytest.mark.filterwarnings("error")
def test_pillows_warnings_about_metadata_reach_nobody_and_change_no_filter(tmp_path):
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00"
    odd = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + JPEG[2:]
    references = [f"{write_files(tmp_path, {'odd.jpg': odd})}/odd.jpg"] * 40
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        Image.open(io.BytesIO(odd)).getexif()
    before = list(warnings.filters)
    assert decode(references[0]).size == (16, 12)
    assert [inspection.fault for inspection in inspect_images(references)] == [""] * 40
    assert warnings.filters == before


def test_inspection_of_no_images_is_empty():
    assert inspect_images([]) == []


def decodes_or_refuses(data: bytes, name: str) -> None:
    try:
        image = decode_bytes(data, name)
    except BadInput as error:
        assert str(error).startswith(f"{name}: ")
        assert len(str(error).splitlines()) == 1
        return
    assert image.mode == "RGB"


NAMES = st.sampled_from(["a.jpg", "a.png", "a.zip::b.jpg", "a"])
# The magic numbers lead into Pillow's plugins, which random bytes hardly ever do.
STARTS = st.sampled_from([b"", JPEG[:20], PNG[:8], PNG[:33], b"BM", b"GIF89a", b"II*\x00", b"RIFF"])


@settings(max_examples=80, deadline=None)
@given(STARTS, st.binary(max_size=200), NAMES)
def test_any_bytes_are_decoded_or_refused(start, rest, name):
    decodes_or_refuses(start + rest, name)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([(JPEG, "a.jpg"), (PNG, "a.png")]), st.data())
def test_an_image_with_any_bytes_changed_is_decoded_or_refused(image, data):
    changed, name = bytearray(image[0]), image[1]
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_refuses(bytes(changed[: data.draw(st.integers(0, len(changed)))]), name)

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
from galaxymorph.images import decode, decode_bytes, digest_bytes, inspect_images
from tests.makers import image_bytes, picture, write_files, zip_bytes

JPEG, PNG = image_bytes(picture()), image_bytes(picture(), "PNG")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    return data + png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")


DEEP_GREY = image_bytes(Image.fromarray(np.full((4, 4), 40_000, np.uint16)), "PNG")
DEEP_RGB = png(2, 1, 16, 2, b"\x00" + b"\x12\x34" * 6)
HUGE = png(10_000, 10_000, 8, 2, b"")

FAULTS = {
    "empty": ("a.jpg", b"", "the file is empty; download it again"),
    "text": ("a.jpg", b"<html>404</html>", "not an image; download it again"),
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
    "PNG of a wrong sum": (
        "a.png",
        PNG.replace(b"IDAT\x78", b"IDAT\x79"),
        "damaged (",
    ),
    "CMYK": (
        "a.jpg",
        image_bytes(picture().convert("CMYK")),
        "the image is CMYK, not 8-bit RGB; convert it to RGB",
    ),
    "grey": ("a.jpg", image_bytes(picture().convert("L")), "the image is grey, not 8-bit RGB"),
    "grey PNG": ("a.png", image_bytes(picture().convert("L"), "PNG"), "the image is grey, not"),
    "RGBA": (
        "a.png",
        image_bytes(picture().convert("RGBA"), "PNG"),
        "the image is RGB with transparency, not 8-bit RGB",
    ),
    "palette": ("a.png", image_bytes(picture().convert("P"), "PNG"), "the image is of mode P, not"),
    "16-bit grey": ("a.png", DEEP_GREY, "the image is 16-bit, not 8-bit RGB; convert it to RGB"),
    "16-bit RGB": ("a.png", DEEP_RGB, "the image is 16-bit, not 8-bit RGB; convert it to RGB"),
    "PNG named .jpg": ("a.jpg", PNG, "holds PNG, not the JPEG that its name says; rename it"),
    "JPEG named .PNG": ("a.PNG", JPEG, "holds JPEG, not the PNG that its name says; rename it"),
    "GIF named .jpeg": ("a.jpeg", image_bytes(picture(), "GIF"), "holds GIF, not the JPEG that"),
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
        ("folder", "folder: can't be read ([Errno 21] Is a directory"),
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


def test_a_progressive_jpeg_is_decoded(tmp_path):
    picture(0, (64, 64)).save(tmp_path / "a.jpg", progressive=True)
    assert decode(str(tmp_path / "a.jpg")).size == (64, 64)


def test_images_are_inspected_in_order_with_digest_and_fault(tmp_path):
    write_files(tmp_path, {"a.jpg": JPEG, "b.png": PNG, "c.jpg": b""})
    found = inspect_images([f"{tmp_path}/{name}" for name in ("c.jpg", "a.jpg", "b.png")])
    assert [inspection.digest for inspection in found] == [
        "",
        digest_bytes(JPEG),
        digest_bytes(PNG),
    ]
    assert found[0].fault == f"{tmp_path}/c.jpg: the file is empty; download it again"
    assert [inspection.fault for inspection in found[1:]] == ["", ""]


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

"""Copies of images: told apart from other galaxies, whatever they were saved as."""

import io
from functools import cache

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from galaxymorph.images import find_copies, first_copies, image_thumbnail, inspect_images
from galaxymorph.images.inspection import copies_in_words
from galaxymorph.zoo import Answer, Catalogue, Question, Tree


@cache
def galaxy(seed: int, side: int = 200) -> Image.Image:
    """A smooth galaxy of much the same shape, in a sky of its own with some stars."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    light = 200 * np.exp(-np.hypot(x, y * rng.uniform(0.9, 1.1)) / 20)
    for column, row in rng.uniform(-side / 2, side / 2, (8, 2)):
        light += 100 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 18)
    pixels = light[..., None] + rng.normal(12, 6, (side, side, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, ending: str, **options) -> Image.Image:
    data = io.BytesIO()
    image.save(data, ending, **options)
    return Image.open(data)


def cropped(image: Image.Image, part: float, shift: int = 0) -> Image.Image:
    side = round(part * image.width)
    at = (image.width - side) // 2
    return image.crop((at + shift, at, at + shift + side, at + side)).resize(image.size)


COPIES = {
    "the same": lambda image: image,
    "png": lambda image: saved(image, "PNG"),
    "jpeg": lambda image: saved(image, "JPEG", quality=85),
    "halved": lambda image: image.resize((100, 100)),
    "enlarged": lambda image: saved(image.resize((300, 300)), "JPEG", quality=90),
    "grey": lambda image: image.convert("L"),
    "brighter": lambda image: image.point(lambda level: 1.1 * level),
    "cropped": lambda image: cropped(image, 0.8),
    "shifted": lambda image: cropped(image, 0.95, 4),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    **{f"rotated by {angle}": lambda image, by=angle: image.rotate(by) for angle in (90, 180, 270)},
    "rotated and mirrored": lambda image: saved(
        ImageOps.mirror(image.rotate(90)), "JPEG", quality=85
    ),
}


def thumbnails(*images: Image.Image) -> np.ndarray:
    return np.array([image_thumbnail(image) for image in images])


@pytest.fixture(scope="module")
def forty() -> np.ndarray:
    """The thumbnails of forty galaxies."""
    return thumbnails(*map(galaxy, range(40)))


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_told_from_galaxies_of_the_same_shape(forty, name):
    copy = thumbnails(COPIES[name](galaxy(7)))
    assert first_copies(np.concatenate([forty, copy])).tolist() == [*range(40), 7]
    assert find_copies(copy, forty).tolist() == [-1] * 7 + [0] + [-1] * 32


def test_copies_of_copies_have_the_first_of_the_chain():
    image = galaxy(3)
    chain = [cropped(image, 0.8), image, ImageOps.mirror(image), galaxy(4), image.rotate(90)]
    assert first_copies(thumbnails(*chain)).tolist() == [0, 0, 0, 3, 0]


def test_even_images_are_copies_of_none_by_their_looks():
    black = Image.new("RGB", (50, 50))
    assert first_copies(thumbnails(black, black)).tolist() == [0, 1]
    assert first_copies(np.zeros((0, 64, 64), np.uint8)).tolist() == []


def test_blocks_are_compared_with_all_that_precede(monkeypatch):
    monkeypatch.setattr("galaxymorph.images.copies.BLOCK", 4)
    monkeypatch.setattr("galaxymorph.images.copy_candidates.BLOCK", 4)
    images = [galaxy(seed) for seed in range(9)]
    copies = thumbnails(*images, *(COPIES["jpeg"](images[at]) for at in (8, 0, 5)))
    assert first_copies(copies).tolist() == [*range(9), 8, 0, 5]


def test_a_copy_is_found_in_the_lists_of_the_nearest_centres(monkeypatch):
    """24 or 25 images are centres, of whose lists two are searched for each image."""
    monkeypatch.setattr("galaxymorph.images.copy_candidates.CENTRES", 4)
    monkeypatch.setattr("galaxymorph.images.copy_candidates.PROBES", 2)
    images = [galaxy(seed) for seed in range(36)]
    copies = [COPIES[name](images[7]) for name in ("jpeg", "cropped", "mirrored")]
    assert first_copies(thumbnails(*images, *copies)).tolist() == [*range(36), 7, 7, 7]


def test_among_few_images_a_copy_is_found():
    images = [galaxy(seed) for seed in range(3)]
    for name in ("jpeg", "cropped", "rotated and mirrored"):
        copy = COPIES[name](images[1])
        assert first_copies(thumbnails(*images, copy)).tolist() == [0, 1, 2, 1]
        assert first_copies(thumbnails(copy, images[1])).tolist() == [0, 0]


def test_a_thumbnail_is_of_the_central_square():
    image = galaxy(1)
    wide = ImageOps.expand(image, (60, 0, 60, 0))
    assert np.array_equal(image_thumbnail(wide), image_thumbnail(image))
    assert np.array_equal(
        image_thumbnail(image, 0.5), image_thumbnail(image.crop((50, 50, 150, 150)))
    )


@pytest.mark.parametrize(
    ("votes", "of_bytes", "of_looks"),
    [
        ([0.9, 0.8, 0.2, 0.9, 0.1, 0.7, 0.4], "", ""),
        ([0.9, 0.8, 0.2, 0.9, 0.1, 0.2, 0.9], *[", 1 of them with very different votes"] * 2),
    ],
)
def test_copies_are_counted_in_words(tmp_path, votes, of_bytes, of_looks):
    for seed in range(5):
        galaxy(seed).save(tmp_path / f"{seed}.png")
    (tmp_path / "5.png").write_bytes((tmp_path / "1.png").read_bytes())
    galaxy(2).save(tmp_path / "6.jpg", quality=90)
    tree = Tree("two", (Question("1", "Smooth?", (Answer("yes", "yes"), Answer("no", "no"))),))
    images = [str(item) for item in sorted(tmp_path.iterdir())]
    table = pd.DataFrame({"galaxy": list("abcdefg"), "image": images, "yes": votes})
    table["no"] = 1 - table["yes"]
    catalogue = Catalogue(tmp_path, "votes.csv", table, tree, len(table))
    assert copies_in_words(catalogue, inspect_images(images)) == [
        "1 image has the content of another (the first: f is b)"
        f"{of_bytes}: a split keeps them together",
        "1 more shows the galaxy of another, such as one saved anew (the first: g is c)"
        f"{of_looks}: a split keeps them together",
    ]


@pytest.mark.real
def test_real_galaxies_are_copies_of_none_but_their_own(real):
    folder = real / "galaxy-zoo-challenge" / "images_training_rev1"
    images = [Image.open(path) for path in sorted(folder.glob("*.jpg"))[:300]]
    copies = [COPIES[name](images[at]) for at, name in enumerate(("jpeg", "cropped", "mirrored"))]
    assert first_copies(thumbnails(*images, *copies)).tolist() == [*range(300), 0, 1, 2]

"""Copies of images: told apart from other galaxies, whatever they were saved as."""

import io

import numpy as np
import pytest
from PIL import Image

from galaxymorph.images import inspect_images, near_duplicates
from galaxymorph.images.duplicates import perceptual_hash
from galaxymorph.images.inspection import copies_in_words


def galaxy(seed: int, side: int = 200) -> Image.Image:
    """A smooth galaxy of much the same shape, in a sky of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    light = 200 * np.exp(-np.hypot(x, y * rng.uniform(0.9, 1.1)) / 20)
    pixels = light[..., None] + rng.normal(12, 6, (side, side, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, ending: str, **options) -> Image.Image:
    data = io.BytesIO()
    image.save(data, ending, **options)
    return Image.open(data)


COPIES = {
    "the same": lambda image: image,
    "png": lambda image: saved(image, "PNG"),
    "jpeg": lambda image: saved(image, "JPEG", quality=85),
    "halved": lambda image: image.resize((100, 100)),
    "enlarged": lambda image: saved(image.resize((300, 300)), "JPEG", quality=90),
    "grey": lambda image: image.convert("L"),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_told_from_galaxies_of_the_same_shape(name):
    images = [galaxy(seed) for seed in range(40)]
    hashes = [perceptual_hash(image) for image in [*images, COPIES[name](images[7])]]
    assert near_duplicates(hashes).tolist() == [*range(40), 7]


def test_even_images_are_copies_of_none_by_their_looks():
    black = perceptual_hash(Image.new("RGB", (50, 50)))
    assert near_duplicates([black, black]).tolist() == [0, 1]
    assert near_duplicates([]).tolist() == []


def test_copies_are_counted_in_words(tmp_path):
    for seed in range(5):
        galaxy(seed).save(tmp_path / f"{seed}.png")
    (tmp_path / "5.png").write_bytes((tmp_path / "1.png").read_bytes())
    galaxy(2).save(tmp_path / "6.jpg", quality=90)
    lines = copies_in_words(inspect_images([str(item) for item in sorted(tmp_path.iterdir())]))
    assert [line[:30] for line in lines] == [
        "1 images have the content of a",
        "1 more look like another (perc",
    ]


@pytest.mark.real
def test_no_two_of_a_thousand_real_galaxies_are_copies(real):
    folder = real / "galaxy-zoo-challenge" / "images_training_rev1"
    images = sorted(folder.glob("*.jpg"))[:300]
    hashes = [perceptual_hash(Image.open(path)) for path in images]
    assert (near_duplicates(hashes) == np.arange(len(hashes))).all()
    again = perceptual_hash(saved(Image.open(images[5]), "JPEG", quality=80))
    assert near_duplicates([*hashes, again])[-1] == 5

"""One battery for every corruption."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from galaxymorph.images import CORRUPTIONS, SEVERITIES, corrupt, frame_scale
from galaxymorph.images.corruptions import relative_size

NAMES = ["100008", "100023", "100053"]


@pytest.fixture(scope="module")
def batch(simple) -> torch.Tensor:
    paths = sorted((simple / "images_training_rev1").glob("*.jpg"))[: len(NAMES)]
    pixels = [np.array(Image.open(path).resize((224, 224))) for path in paths]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(params=list(CORRUPTIONS))
def name(request) -> str:
    return request.param


def test_severity_0_leaves_the_images_as_they_are(batch, name):
    assert torch.equal(corrupt(batch, name, 0, NAMES), batch)


def test_images_keep_shape_and_range_and_the_argument_is_left_alone(batch, name):
    batch = batch[..., 40:136, 64:160].contiguous()
    before = batch.clone()
    for severity in SEVERITIES:
        result = corrupt(batch, name, severity, NAMES, 0.7)
        assert result.shape == batch.shape
        assert result.dtype == batch.dtype
        assert result.min() >= 0
        assert result.max() <= 1
        assert torch.isfinite(result).all()
    assert torch.equal(batch, before)


def test_damage_grows_with_severity(batch, name):
    damage = [
        float((corrupt(batch, name, severity, NAMES) - batch).square().mean())
        for severity in (0, *SEVERITIES)
    ]
    assert all(later > earlier for earlier, later in zip(damage, damage[1:], strict=False)), damage


def test_an_image_is_corrupted_the_same_way_in_any_batch(batch, name):
    together = corrupt(batch, name, 3, NAMES)
    assert torch.equal(together, corrupt(batch, name, 3, NAMES))
    alone = corrupt(batch[2:3], name, 3, NAMES[2:3])
    assert torch.allclose(together[2:3], alone, atol=1e-5)


def test_what_is_random_is_by_galaxy_and_seed(batch):
    twins = batch[:1].repeat(2, 1, 1, 1)
    for name in ("gaussian_noise", "sky_noise", "cosmic_rays", "bright_star", "off_centre"):
        first, second = corrupt(twins, name, 3, NAMES[:2])
        assert not torch.equal(first, second)
        assert not torch.equal(first, corrupt(twins[:1], name, 3, NAMES[:1], seed=7)[0])


def test_the_published_strengths():
    assert CORRUPTIONS["gaussian_noise"].strengths[2] == 0.08
    assert CORRUPTIONS["psf_blur"].strengths[2] == 1.5
    assert CORRUPTIONS["brightness"].strengths[2] == 0.7


def test_published_noise_and_blur_do_what_their_numbers_say():
    grey = torch.full((1, 3, 128, 128), 0.5)
    assert float(corrupt(grey, "gaussian_noise", 3, NAMES[:1]).std()) == pytest.approx(0.08, 0.02)
    point = torch.zeros(1, 3, 65, 65)
    point[..., 32, 32] = 1.0
    blurred = corrupt(point, "psf_blur", 3, NAMES[:1], scale=2.0)[0, 0]
    at = torch.arange(65) - 32.0
    assert float(blurred.sum()) == pytest.approx(1.0, abs=1e-4)
    # Twice the pixels a frame, twice the sigma: 3 pixels.
    assert float((blurred.sum(dim=0) * at**2).sum()) == pytest.approx(9.0, rel=0.02)


def test_a_galaxy_at_redshift_shrinks_and_dims_by_the_textbook(batch):
    from scipy.integrate import quad

    # Hogg 1999 (astro-ph/9905116), equations 14 to 18, in units of c / H0.
    far_away, near = (
        quad(lambda at: (0.3 * (1 + at) ** 3 + 0.7) ** -0.5, 0, z)[0] / (1 + z) for z in (0.2, 0.05)
    )
    ratio = far_away / near
    assert relative_size(0.2) == pytest.approx(1 / ratio, rel=1e-6)
    square = torch.zeros(1, 3, 200, 200)
    square[..., 60:140, 60:140] = 0.8
    far = corrupt(square, "redshift", 5, NAMES[:1])[0, 1]
    assert float(far[95:105, 95:105].mean()) == pytest.approx(0.8 * (1.05 / 1.2) ** 4, rel=0.02)
    width = int((far[100] > 0.4 * far[100].max()).sum())
    assert width == pytest.approx(80 / ratio, abs=2)


@settings(max_examples=20, deadline=None)
@given(size=st.integers(32, 512), crop=st.floats(0.05, 1.0))
def test_a_scale_is_the_models_pixels_for_one_of_the_whole_frame(size, crop):
    # The frame's side in the model's pixels, twice over.
    assert frame_scale(size, crop) * 224 == pytest.approx(size / crop)

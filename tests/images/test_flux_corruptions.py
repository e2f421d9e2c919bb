"""Corruptions of bands of flux: linear in flux, and what each does to light and noise."""

import pytest
import torch

from galaxymorph.images import FLUX_CORRUPTIONS, SEVERITIES, corrupt, corruptions_of
from galaxymorph.images.corruptions import sky_of

NAMES = [f"G{n}" for n in range(4)]


@pytest.fixture(scope="module")
def flux() -> torch.Tensor:
    """Galaxies of peak 300 on a sky of noise 0.3, three bands."""
    torch.manual_seed(0)
    down, across = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    light = 300 * torch.exp(-torch.hypot(down - 31.5, across - 31.5) / 3)
    return light + 0.3 * torch.randn(4, 3, 64, 64)


def corrupted(flux: torch.Tensor, name: str, severity: int) -> torch.Tensor:
    return corrupt(flux, name, severity, NAMES, 64 / 224, flux=True)


def noise(batch: torch.Tensor) -> float:
    return float(sky_of(batch)[1].mean())


@pytest.mark.parametrize("name", list(FLUX_CORRUPTIONS))
def test_each_is_repeatable_finite_and_changes_more_with_severity(flux, name):
    assert name in corruptions_of(True)
    before = flux.clone()
    changes = []
    for severity in SEVERITIES:
        changed = corrupted(flux, name, severity)
        assert changed.shape == flux.shape and changed.isfinite().all()
        assert torch.equal(changed, corrupted(flux, name, severity))
        changes.append(float((changed - flux).abs().mean()))
    assert torch.equal(flux, before)
    # An input coarser than the pixels of `pixelation` isn't changed.
    assert changes[-1] > changes[0] or name == "pixelation"
    assert changes[-1] > 0
    # Nothing is clipped to a white of 1.
    assert corrupted(flux, name, 1).max() > 50


def test_a_shallower_image_has_the_noise_of_its_limit(flux):
    for severity, magnitudes in zip(SEVERITIES, FLUX_CORRUPTIONS["depth"].strengths, strict=True):
        expected = 0.3 * 10 ** (0.4 * magnitudes)
        assert noise(corrupted(flux, "depth", severity)) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("name", ["psf_blur", "moffat_blur"])
def test_worse_seeing_keeps_flux_and_the_noise_of_the_sky(flux, name):
    blurred = corrupted(flux, name, 5)
    assert blurred.sum() == pytest.approx(float(flux.sum()), rel=0.02)
    assert blurred[:, :, 28:36, 28:36].max() < 0.95 * flux.max()
    assert noise(blurred) == pytest.approx(0.3, rel=0.2)


def test_zero_points_scale_each_band_and_a_lost_band_is_zero(flux):
    ratios = corrupted(flux, "zero_points", 5).sum(dim=(2, 3)) / flux.sum(dim=(2, 3))
    assert ratios.std(dim=1).min() > 0.01
    lost = corrupted(flux, "lost_band", 5).abs().sum(dim=(2, 3)) == 0
    assert lost.sum(dim=1).tolist() == [1, 1, 1, 1]


def test_pictures_have_their_own():
    assert "jpeg" in corruptions_of(False) and "jpeg" not in corruptions_of(True)

"""What a training batch goes through: blur, colour and noise of random strength."""

from dataclasses import replace

import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from galaxymorph.learn.recipe import Recipe
from galaxymorph.learn.views import blurred, degraded
from tests.conftest import galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")

PLAIN_SKY = Recipe(brightness=0.0, contrast=0.0, size=32)


def test_each_image_is_blurred_by_its_own_gaussian() -> None:
    images = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    sigmas = torch.tensor([0.0, 0.8, 2.0])
    found = blurred(images, sigmas, 2.0)
    assert torch.allclose(found[0], images[0], atol=1e-6)
    for image, sigma, got in zip(images[1:], sigmas[1:], found[1:], strict=True):
        assert torch.allclose(got, gaussian_blur(image, 13, float(sigma)), atol=1e-5)


def test_noise_is_as_strong_as_asked_and_differs_between_images() -> None:
    torch.manual_seed(0)
    grey = torch.full((400, 3, 16, 16), 0.5)
    spread = degraded(grey, replace(PLAIN_SKY, noise=0.1)).flatten(1).std(dim=1)
    # Uniform from 0 to 0.1.
    assert 0.045 < spread.mean() < 0.055
    assert spread.min() < 0.01 and 0.09 < spread.max() < 0.11


def test_colour_scales_each_channel_by_itself() -> None:
    torch.manual_seed(0)
    grey = torch.full((200, 3, 8, 8), 0.5)
    channels = degraded(grey, replace(PLAIN_SKY, colour=0.2))[..., 0, 0]
    assert 0.4 <= channels.min() < 0.41 and 0.59 < channels.max() <= 0.6
    assert torch.corrcoef(channels.T).fill_diagonal_(0).abs().max() < 0.25


def test_a_share_of_the_images_is_spared() -> None:
    torch.manual_seed(0)
    images = torch.rand(400, 3, 16, 16) / 2 + 0.25
    for worse in ({"noise": 0.2}, {"blur": 3.0}):
        found = degraded(images.clone(), replace(PLAIN_SKY, **worse, degraded=0.3))
        changed = (found - images).abs().amax(dim=(1, 2, 3)) > 1e-5
        assert 0.2 < changed.float().mean() < 0.4


def test_a_share_of_nothing_is_refused(simple, capfd) -> None:
    assert galaxymorph("fit", "--data", simple, "--degraded", "0.5") == 2
    assert "no blur and no noise" in capfd.readouterr().err


def test_all_stays_within_black_and_white() -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 3, 32, 32)
    found = degraded(images, replace(PLAIN_SKY, noise=0.9, blur=3.0, colour=0.9, brightness=0.9))
    assert found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize("option", ["--noise", "--blur", "--colour"])
def test_the_plain_pipeline_has_none_of_them(option, simple, capfd) -> None:
    assert galaxymorph("fit", "--data", simple, "--recipe", "plain", option, "0.1") == 2
    assert "plain does not support colour" in capfd.readouterr().err

"""Galaxies, surveys and masks: what a user of the library sees."""

import dataclasses

import numpy as np
import pytest

from galaxymorph.base import BadInput
from galaxymorph.survey import SURVEYS
from galaxymorph.survey.galaxies import KINDS, draw_galaxy
from galaxymorph.survey.light import render
from galaxymorph.survey.masks import MASK_BITS, brightest, mask_png
from galaxymorph.survey.observing import at_redshift, observe
from galaxymorph.survey.volunteers import TREE, vote
from galaxymorph.zoo.tree import broken_sums


def streams(seed: int, number: int = 4) -> list[np.random.Generator]:
    return [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(number)]


def watch(galaxy, survey, seed=5, redshift=None):
    _, field, exposure, _ = streams(seed)
    return observe(galaxy, survey, field, exposure, redshift)


def a_spiral(**changes):
    """Return a face-on two-armed spiral of strong arms, without companions or whims of taste."""
    galaxy = draw_galaxy(np.random.default_rng(3), "spiral")
    plain = {
        "odd": "none",
        "disturbance": 0.0,
        "inclination": 20.0,
        "arm_number": 2,
        "arm_pitch": 18.0,
        "arm_fraction": 0.5,
        "arm_width": 0.3,
        "flocculence": 0.1,
        "bar_fraction": 0.0,
        "ring_fraction": 0.0,
        "bulge_fraction": 0.15,
        "bulge_radius": 1.0,
        "dust_depth": 0.0,
        "disk_scale": 3.5,
        "petro_r90": 9.0,
        "mag_r": 15.5,
    }
    return dataclasses.replace(galaxy, **(plain | changes))


@pytest.mark.parametrize("name", SURVEYS)
def test_every_survey_observes_every_kind_of_galaxy(name):
    survey = SURVEYS.find(name)
    for kind in KINDS:
        galaxy = draw_galaxy(np.random.default_rng(11), kind)
        observation = watch(galaxy, survey)
        image = observation.image
        assert (image.shape, image.dtype) == ((424, 424, 3), np.uint8)
        centre, corner = image[197:227, 197:227], image[:40, :40]
        assert centre.mean() > corner.mean() + 15, kind
        if survey.band is not None:
            assert (image == image[..., :1]).all()
        ballot = vote(observation, np.random.default_rng(1))
        assert not broken_sums(TREE, ballot.expected[None]).any()


@pytest.mark.parametrize("name", SURVEYS)
def test_a_survey_reaches_the_depth_that_it_states(name):
    survey = SURVEYS.find(name)
    for band in ("g", "r", "i", *survey.further):
        conditions = survey.conditions(band)
        flux = 10 ** (0.4 * (22.5 - conditions.depth))
        area = 4 * np.pi * (conditions.seeing / 2.355 / survey.pixel) ** 2
        assert flux / (survey.noise(band) * np.sqrt(area)) == pytest.approx(5, rel=1e-6)


def test_an_unknown_survey_is_refused():
    with pytest.raises(BadInput, match=r"survey 'lsst' is unknown; use one of sdss"):
        SURVEYS.find("lsst")


def test_a_galaxys_light_is_its_magnitude():
    for kind in ("elliptical", "spiral", "edge_on"):
        galaxy = draw_galaxy(np.random.default_rng(2), kind)
        galaxy = dataclasses.replace(galaxy, disturbance=0.0, dust_depth=0.0, bulge_index=2.0)
        light = render(galaxy, 256, 20 * galaxy.petro_r90 / 256)
        assert -2.5 * np.log10(light.bands[1].sum()) + 22.5 == pytest.approx(galaxy.mag_r, abs=0.2)


def test_farther_galaxies_are_smaller_dimmer_and_redder():
    galaxy = dataclasses.replace(a_spiral(), redshift=0.05)
    near, shift = at_redshift(galaxy, 0.06)
    far, farther = at_redshift(galaxy, 0.3)
    assert far.petro_r90 < near.petro_r90 < galaxy.petro_r90
    assert far.mag_r > near.mag_r > galaxy.mag_r
    # What the shift adds to g - r.
    assert farther[0] - farther[1] > shift[0] - shift[1] > 0
    same, none = at_redshift(galaxy, galaxy.redshift)
    assert same == galaxy
    assert none == pytest.approx(0)


@pytest.mark.parametrize("feature", MASK_BITS)
def test_a_mask_lies_on_its_feature(feature):
    kind = "merger" if feature == "companion" else "spiral"
    galaxy = draw_galaxy(np.random.default_rng(4), kind)
    galaxy = dataclasses.replace(
        galaxy,
        bar_fraction=0.15,
        bar_length=galaxy.disk_scale,
        bulge_fraction=0.2,
        ring_fraction=0.15,
        ring_radius=2 * galaxy.disk_scale,
        ring_width=0.3 * galaxy.disk_scale,
        companion_angle=0.0,
        companion_distance=galaxy.petro_r90,
    )
    light = render(galaxy, 212, 8.5 * galaxy.petro_r90 / 212)
    held = brightest(light.features[feature], 0.7)
    share = light.features[feature][held].sum() / light.features[feature].sum()
    assert 0.69 < share < 0.9
    assert light.features[feature][held].min() >= light.features[feature][~held].max()
    rows, columns = np.nonzero(held)
    away = np.hypot(rows - 105.5, columns - 105.5) * light.pixel
    if feature in ("bulge", "bar"):
        assert away.max() < 1.5 * galaxy.disk_scale
    if feature == "companion":
        assert columns.mean() > 115


def test_the_masks_file_holds_a_bit_for_each_feature_that_is_there(tmp_path):
    from galaxymorph.survey import read_masks

    light = render(a_spiral(), 212, 8.5 * 9.0 / 212)
    (tmp_path / "1.png").write_bytes(mask_png(light))
    masks = read_masks(tmp_path / "1.png")
    assert {name for name, mask in masks.items() if mask.any()} == {"arms", "bulge"}
    assert masks["arms"].shape == (424, 424)
    # The arms begin outside the bulge.
    rows, columns = np.mgrid[:424, :424] - 211.5
    away = np.hypot(rows, columns)
    assert away[masks["arms"]].mean() > 3 * away[masks["bulge"]].mean()
    assert masks["bulge"][211:213, 211:213].all()
    assert not masks["arms"][211:213, 211:213].any()


def test_a_turned_image_agrees_with_its_truth_and_its_masks():
    from galaxymorph.survey import Simulation
    from galaxymorph.survey.simulation import simulate_galaxy

    sky = Simulation(1, ("sdss",), 3)
    observation, _, truth = simulate_galaxy(sky, 100031)
    assert truth["kind"] == "edge_on"
    assert abs(observation.turn) > 20
    light = observation.image[132:292, 132:292].astype(float).mean(-1)
    light = np.where(light > 50, light, 0)
    rows, columns = np.mgrid[:160, :160] - 79.5
    rows = -rows
    angle = 0.5 * np.degrees(
        np.arctan2(2 * (light * rows * columns).sum(), (light * (columns**2 - rows**2)).sum())
    )
    assert abs((angle - truth["position_angle"] + 90) % 180 - 90) < 6


def smooth_fraction(galaxy, survey) -> float:
    """Return the expected fraction of "smooth", over several exposures and whims."""
    values = [
        vote(watch(galaxy, survey, seed), np.random.default_rng(seed)).expected[0]
        for seed in range(4)
    ]
    return float(np.mean(values))


def test_blur_turns_a_spiral_smooth():
    sharp = SURVEYS["sdss"]
    smooth = [
        smooth_fraction(
            a_spiral(), dataclasses.replace(sharp, seeing=(fwhm,) * 3, seeing_scatter=0.0)
        )
        for fwhm in (0.8, 2.0, 4.0, 8.0)
    ]
    assert smooth == sorted(smooth)
    assert smooth[0] < 0.3 < 0.5 < smooth[-1]


def test_faintness_turns_a_spiral_smooth():
    smooth = [
        smooth_fraction(a_spiral(mag_r=mag), SURVEYS["sdss"]) for mag in (15.0, 18.0, 20.0, 22.0)
    ]
    assert smooth == sorted(smooth)
    assert smooth[0] < 0.3 < 0.5 < smooth[-1]


def test_a_deeper_sharper_survey_shows_more_of_the_same_galaxy():
    galaxy = a_spiral(mag_r=17.5, disk_scale=1.4, petro_r90=3.6, bulge_radius=0.4)
    assert smooth_fraction(galaxy, SURVEYS["hsc"]) < smooth_fraction(galaxy, SURVEYS["sdss"])

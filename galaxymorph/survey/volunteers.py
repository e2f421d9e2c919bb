"""A model of volunteers' votes on a simulated image, from the visibility of its features.

A volunteer answers the questions of the decision tree. The probability of an answer is a softmax of
scores, which depend on the galaxy's parameters and on how visible its features are; scores are
multiplied by the volunteer's skill, so that an unskilled volunteer answers at random. The constants
are set to the vote fractions of the Kaggle file's galaxies with p_max >= 0.7: a question's base
scores are the logarithms of its mean fractions where the feature is absent. The model is empirical.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from galaxymorph.survey.galaxies import Galaxy
from galaxymorph.survey.observing import Observation
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, to_cumulative

TREE = GALAXY_ZOO_CHALLENGE
# Galaxy Zoo 2 has a median of 44 classifications a galaxy (Willett et al. 2013, section 2.1).
SHOWN = 45
# Levels of skill, and the fraction of volunteers at each.
SKILLS = np.array([0.45, 0.8, 1.0, 1.2, 1.5])
SKILL_SHARES = np.array([0.1, 0.2, 0.35, 0.25, 0.1])
# Unexplained scatter of an image's scores, and of the score of "features or disk".
SCATTER, SCATTER_OF_FEATURES = 0.65, 0.85
# Pixels a side at which visibility is measured.
COARSE = 112
# The visibility of a feature is 1/2 at this signal-to-noise ratio, and at this contrast.
HALF_SIGNAL = 12.0
HALF_CONTRAST = {
    "arms": 0.13,
    "bar": 0.09,
    "ring": 0.10,
    "clumps": 0.16,
    "companion": 0.30,
    "tail": 0.25,
    "lens": 0.25,
    "dust": 0.16,
}


@dataclass(frozen=True)
class Ballot:
    """Votes on one image: `counts` and `expected` in the tree's order of answers, shape (37,).

    `expected` are the cumulative fractions that the counts were drawn from.
    """

    shown: int
    counts: np.ndarray
    expected: np.ndarray
    visibility: dict[str, float]


def vote(observation: Observation, rng: np.random.Generator) -> Ballot:
    """Return the votes of simulated volunteers on an image."""
    visible = visibility(observation)
    scatter = rng.normal(0, SCATTER, len(TREE.columns))
    scatter[TREE.columns.index("Class1.2")] *= SCATTER_OF_FEATURES / SCATTER
    scores = answer_scores(observation, visible) + scatter
    probabilities = _probabilities(scores)
    shown = max(20, int(rng.poisson(SHOWN)))
    crowd = rng.multinomial(shown, SKILL_SHARES)
    counts = np.sum(
        [_walk(rng, number, p) for number, p in zip(crowd, probabilities, strict=True)], axis=0
    )
    expected = SKILL_SHARES @ to_cumulative(TREE, probabilities)
    return Ballot(shown, counts, expected, visible)


def visibility(observation: Observation) -> dict[str, float]:
    """Return the visibility of each feature in the image, 0 to 1, and the apparent axis ratio.

    A feature's structure is its light convolved with the PSF, minus the same light smoothed over
    0.3 Petrosian radii too. Its visibility rises with the structure's signal-to-noise ratio in a
    matched filter, and with its contrast to the galaxy's light there.
    """
    light, galaxy = observation.light, observation.galaxy
    times = max(1, light.bands.shape[-1] // COARSE)
    pixel = light.pixel * times
    psf = observation.seeing / 2.355 / pixel
    wide = 0.3 * galaxy.petro_r90 / pixel
    noise = observation.noise * pixel / observation.pixel
    total = ndimage.gaussian_filter(_binned(light.bands[1], times), psf, truncate=3)
    visible = {}
    for name, half in HALF_CONTRAST.items():
        feature = light.features.get(name)
        visible[name] = 0.0
        if feature is None:
            continue
        sharp = ndimage.gaussian_filter(_binned(feature, times), psf, truncate=3)
        structure = sharp - ndimage.gaussian_filter(sharp, wide, truncate=2.5)
        signal = float(np.sqrt((structure**2).sum())) / noise
        weight = sharp + 1e-12
        contrast = float((np.abs(structure) * weight).sum() / (total * weight).sum())
        visible[name] = _half(signal, HALF_SIGNAL, 1.5) * _half(contrast, half, 2.5)
    visible["disturbed"] = _half(galaxy.disturbance, 0.10, 3) * _half(
        galaxy.petro_r90 / pixel / psf, 4, 2
    )
    visible["star"] = 0.7 if galaxy.odd == "other" else 0.0
    visible["axis_ratio"] = apparent_axis_ratio(observation)
    return visible


def apparent_axis_ratio(observation: Observation) -> float:
    """Return the ratio of the minor to the major axis after convolution with the PSF."""
    galaxy = observation.galaxy
    size = 0.45 * galaxy.petro_r90
    ratio = galaxy.bulge_axis_ratio
    if galaxy.disk_scale:
        cosine = math.cos(math.radians(galaxy.inclination))
        thin = 0.55 * galaxy.disk_thickness if galaxy.kind == "edge_on" else galaxy.disk_thickness
        disk = math.hypot(cosine, thin * math.sqrt(1 - cosine**2))
        bulge = galaxy.bulge_fraction**2
        ratio = bulge * ratio + (1 - bulge) * disk
        size /= math.sqrt(max(ratio, 0.2))
    blur = (observation.seeing / 2.355) ** 2
    return math.sqrt((size**2 * ratio**2 + blur) / (size**2 + blur))


def answer_scores(observation: Observation, visible: dict[str, float]) -> np.ndarray:
    """Return the score of every answer, shape (37,), by the galaxy and its features' visibility."""
    galaxy = observation.galaxy
    scores = {}
    ratio = visible["axis_ratio"]
    arms, bar, ring = visible["arms"], visible["bar"], visible["ring"]
    thin = float(_sigmoid((0.40 - ratio) / 0.045))
    disk = galaxy.disk_scale > 0
    oddities = _oddities(galaxy, visible)
    odd = max(oddities.values())
    features = (
        _FEATURES[galaxy.kind]
        + 3.9 * arms
        + 1.4 * bar
        + 1.8 * ring
        + thin * (_THIN[galaxy.kind] + _disk_structure(galaxy, visible))
        + (2.6 if disk else 1.2) * odd
    )
    scores["1"] = [0.0, features, 6.5 if galaxy.kind == "artifact" else -3.0]
    edge = np.clip((0.42 - ratio) / 0.035, -4.2, 4.2) + (0.6 if galaxy.kind == "edge_on" else -2.0)
    scores["2"] = [edge, 0.0]
    scores["3"] = [-2.9 + 6.0 * bar, 0.0]
    scores["4"] = [-2.3 + 6.3 * arms + 0.8 * visible["tail"] - 1.0 * ring, 0.0]
    scores["5"] = _bulge_scores(galaxy)
    scores["6"] = [-2.05 + 4.0 * odd, 0.0]
    scores["7"] = _between(ratio, (0.80, 0.44), 0.055)
    scores["8"] = [
        math.log(base) + 5.5 * oddities[name]
        for base, name in zip(_ODD_BASE, _ODD_ORDER, strict=True)
    ]
    scores["9"] = _edge_bulge_scores(galaxy, observation)
    loose = -galaxy.arm_pitch if galaxy.arm_number else -20.0
    scores["10"] = [0.6 * (0.3 + arms) / 0.8 * s for s in _between(loose, (-15.0, -25.0), 3.5)]
    scores["11"] = _arm_scores(galaxy, arms)
    return np.array([s for question in TREE.questions for s in scores[question.name]], float)


# Scores of "features or disk" by kind without any visible feature, and in addition when thin.
_FEATURES = {
    "elliptical": -1.65,
    "lenticular": -1.05,
    "spiral": -0.95,
    "edge_on": -0.4,
    "irregular": -0.6,
    "merger": -0.6,
    "artifact": -1.5,
}
_THIN = {
    "elliptical": 1.2,
    "lenticular": 0.6,
    "spiral": 0.0,
    "edge_on": -0.3,
    "irregular": 1.0,
    "merger": 1.0,
    "artifact": 0.0,
}


def _disk_structure(galaxy: Galaxy, visible: dict[str, float]) -> float:
    """Return the score of "features or disk" that a thin disk's bulge and dust lane add.

    Of Kaggle's galaxies with an axis ratio below 0.45, those called cigar-shaped have less peaked
    light than the edge-on disks, and are bluer: thin disks without a clear bulge.
    """
    if not galaxy.disk_scale:
        return 0.0
    return 9.0 * min(0.5, galaxy.bulge_fraction) + visible["dust"]


_ODD_ORDER = ("ring", "lens", "disturbed", "irregular", "other", "merger", "dust")
# Mean fractions of question 8 among the Kaggle file's smooth galaxies.
_ODD_BASE = (0.065, 0.10, 0.158, 0.116, 0.381, 0.138, 0.012)


def _oddities(galaxy: Galaxy, visible: dict[str, float]) -> dict[str, float]:
    """Return the visibility of each answer to question 8."""
    irregular = galaxy.kind == "irregular"
    disturbed = max(visible["disturbed"], visible["tail"])
    return {
        "ring": visible["ring"] * (1.0 if galaxy.odd == "ring" else 0.45),
        "lens": visible["lens"],
        # Volunteers call disturbed mergers and irregular galaxies by these answers.
        "disturbed": (0.4 if irregular or galaxy.companion else 0.75) * disturbed,
        "irregular": max(0.55, visible["clumps"]) if irregular else 0.0,
        "other": visible["star"],
        "merger": visible["companion"],
        "dust": visible["dust"] * (1.0 if galaxy.odd == "dust_lane" else 0.08),
    }


def _bulge_scores(galaxy: Galaxy) -> list[float]:
    """Return the scores of question 5's answers by the bulge's fraction of the light."""
    share = galaxy.bulge_fraction + 0.3 * galaxy.bar_fraction if galaxy.disk_scale else 0.3
    return [-((math.sqrt(share) - at) ** 2) / (2 * 0.17**2) for at in (0.02, 0.28, 0.55, 0.88)]


def _edge_bulge_scores(galaxy: Galaxy, observation: Observation) -> list[float]:
    resolved = _half(galaxy.bulge_radius / observation.seeing, 0.35, 1.5)
    bulge = min(1.0, galaxy.bulge_fraction / 0.12) * (0.4 + 0.6 * resolved)
    boxy = min(1.0, galaxy.bulge_boxiness / 0.8) * resolved if galaxy.bulge_boxiness > 0 else 0.0
    return [2.2 * bulge, -1.2 + 3.2 * boxy, 1.3 - 2.4 * bulge]


def _arm_scores(galaxy: Galaxy, arms: float) -> list[float]:
    """Return the scores of question 11: one to four arms, more, and "can't tell"."""
    number = galaxy.arm_number if galaxy.arm_number else 2
    clear = arms * (1 - 0.6 * galaxy.flocculence)
    counts = [
        (-0.9 if n != 2 else 0.3) - min(2.0, 1.1 * abs(n - number)) + 3.0 * clear * (n == number)
        for n in (1, 2, 3, 4)
    ]
    more = -1.2 + (2.6 * arms if number > 4 else -1.0)
    return [*counts, more, 1.2 - 2.2 * clear + 0.6 * galaxy.flocculence]


def _between(value: float, cuts: tuple[float, float], width: float) -> list[float]:
    """Return log-probabilities of three answers in falling order of a value."""
    upper, lower = (float(_sigmoid((value - cut) / width)) for cut in cuts)
    shares = (upper, max(lower - upper, 0.0), 1 - lower)
    return [math.log(max(share, 0.004)) for share in shares]


def _half(value: float, half: float, steep: float) -> float:
    """Return a Hill function of a value: from 0 to 1, and 1/2 at `half`."""
    return value**steep / (value**steep + half**steep)


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, value))))


def _binned(light: np.ndarray, times: int) -> np.ndarray:
    side = light.shape[-1] // times
    cut = light[: side * times, : side * times]
    return cut.reshape(side, times, side, times).sum(axis=(1, 3))


def _probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the conditional probability of each answer by level of skill, shape (skills, 37)."""
    raised = np.exp(SKILLS[:, None] * (scores - scores.max()))
    members = TREE.membership
    return raised / (raised @ members.T @ members)


def _walk(rng: np.random.Generator, number: int, probabilities: np.ndarray) -> np.ndarray:
    """Return the counts of each answer by a number of volunteers, drawn down the tree."""
    counts = np.zeros(len(TREE.columns), np.int64)
    for at in TREE.walk:
        answers = np.flatnonzero(TREE.membership[at])
        reaching = number if TREE.asked_of_all[at] else int(counts @ TREE.leads[at])
        if reaching:
            shares = probabilities[answers] / probabilities[answers].sum()
            counts[answers] = rng.multinomial(reaching, shares)
    return counts

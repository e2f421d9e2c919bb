"""Conditions that robustness is measured under, and suites of them by name, without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from galaxymorph.base import Registry

CLEAN = "clean"


@dataclass(frozen=True)
class Condition:
    """A corruption and its severity; `clean` has severity 0."""

    corruption: str = CLEAN
    severity: int = 0


@dataclass(frozen=True)
class Suite:
    """An entry of `SUITES`.

    Args:
        label: in words.
        corruptions: names of `CORRUPTIONS`; the default is all.
        severities: of each corruption, 1 to 5; the default is those of `--severities`.
        averages_views: whether predictions are by default averaged over as many views as the
            recipe of the run has, rather than of one view.
    """

    label: str
    corruptions: tuple[str, ...] | None = None
    severities: tuple[int, ...] | None = None
    averages_views: bool = False


SUITES: Registry[Suite] = Registry("robustness suite")
SUITES.register("full", Suite("all corruptions"))
# Of the reference work: noise sigma 0.08, blur radius 1.5 pixels at 224, brightness times 0.7.
SUITES.register(
    "published",
    Suite(
        "the published table: noise, blur and brightness at severity 3",
        ("gaussian_noise", "psf_blur", "brightness"),
        (3,),
        averages_views=True,
    ),
)

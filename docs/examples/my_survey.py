"""A plugin: entries of one's own for the registries of GalaxyMorph, see docs/plugins.md."""

from dataclasses import replace
from pathlib import Path

from galaxymorph.images.corruptions import corruption
from galaxymorph.learn.targets.registry import Loss, register_loss
from galaxymorph.survey.surveys import SURVEYS
from galaxymorph.zoo.schemas import SCHEMAS, load_schema
from galaxymorph.zoo.schemes import SCHEMES, Scheme

HERE = Path(__file__).parent

SCHEMES.register(
    "featured",
    Scheme(
        "smooth galaxies and those with features, where 60 % of the volunteers agree",
        {"smooth": lambda votes: votes["Class1.1"], "featured": lambda votes: votes["Class1.2"]},
        keep=0.6,
    ),
)

SCHEMAS.register("two-questions", load_schema(HERE / "two_questions.json"))

SURVEYS.register(
    "sdss-sharp",
    replace(SURVEYS["sdss"], about="SDSS in half its seeing", seeing=(0.72, 0.66, 0.63)),
)


@corruption("inverted colours", "share of the inverted image", (0.2, 0.4, 0.6, 0.8, 1.0))
def inverted(batch, strength, scene):
    """Return the images mixed with their negatives."""
    return (1 - strength) * batch + strength * (1 - batch)


def absolute_error(head, logits, target):
    """Return the mean absolute error over the answers, shape (n,)."""
    return ((head(logits) - target).abs() * head.known(target)).mean(dim=1)


register_loss("mae", Loss("absolute error of cumulative fractions", ("tree",), absolute_error))

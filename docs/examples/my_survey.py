"""A plugin: entries of one's own for the registries of GalaxyMorph, see docs/plugins.md."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from fastai.callback.tracker import TerminateOnNaNCallback

from galaxymorph.images.corruptions import corruption
from galaxymorph.judge.calibration.calibrators import CALIBRATORS, Method
from galaxymorph.judge.calibration.set_methods import SET_METHODS, SetMethod
from galaxymorph.judge.explain.attribution_methods import ATTRIBUTION_METHODS, AttributionMethod
from galaxymorph.judge.explain.changes import Change
from galaxymorph.judge.explain.physics import PHYSICS_CHECKS
from galaxymorph.judge.explain.shortcuts import CHANGES
from galaxymorph.judge.metrics.metric import METRICS, Metric
from galaxymorph.judge.robustness.conditions import SUITES, Suite
from galaxymorph.learn.presets import RECIPES, Preset
from galaxymorph.learn.targets.registry import Loss, register_loss
from galaxymorph.learn.trackers import CALLBACKS
from galaxymorph.predict.exporters import EXPORTERS, Exporter
from galaxymorph.predict.uncertainty_sources import UNCERTAINTY_SOURCES, UncertaintySource
from galaxymorph.survey.surveys import SURVEYS
from galaxymorph.zoo.schemas import SCHEMAS, load_schema
from galaxymorph.zoo.schemes import SCHEMES, Scheme

SCHEMES.register(
    "featured",
    Scheme(
        "smooth galaxies and those with features, where 60 % of the volunteers agree",
        {"smooth": lambda votes: votes["Class1.1"], "featured": lambda votes: votes["Class1.2"]},
        keep=0.6,
    ),
)

SCHEMAS.register("two-questions", load_schema(Path(__file__).parent / "two_questions.json"))

SURVEYS.register(
    "sdss-sharp",
    replace(SURVEYS["sdss"], about="SDSS in half its seeing", seeing=(0.72, 0.66, 0.63)),
)


@corruption("inverted colours", "share of the inverted image", (0.2, 0.4, 0.6, 0.8, 1.0))
def inverted(batch, strength, scene):
    """Return the images mixed with their negatives."""
    return (1 - strength) * batch + strength * (1 - batch)


SUITES.register(
    "two", Suite("noise and inverted colours at severity 3", ("gaussian_noise", "inverted"), (3,))
)

RECIPES.register(
    "tiny",
    Preset(
        replace(RECIPES["scratch"].recipe, size=32, epochs=2, batch=16),
        "a network in seconds, to try a plugin with",
    ),
)


def absolute_error(head, logits, target):
    """Return the mean absolute error over the answers, shape (n,)."""
    return ((head(logits) - target).abs() * head.known(target)).mean(dim=1)


register_loss("mae", Loss("absolute error of cumulative fractions", ("tree",), absolute_error))

CALLBACKS.register("end-on-nan", lambda run, stage: TerminateOnNaNCallback())

METRICS.register(
    "error_rate",
    Metric(
        "error rate",
        "share of the galaxies whose predicted class is wrong",
        "less",
        limits=(0.0, 1.0),
        family="classification",
        value=lambda predictions: np.mean(np.not_equal(*predictions.codes)),
    ),
)


def input_gradient(network, batch, targets, skies):
    """Return the gradient of the answer with respect to the pixels, times the pixels."""
    batch = batch.detach().requires_grad_()
    network(batch).gather(1, targets[:, None]).sum().backward()
    return (batch.grad * (batch - skies)).sum(dim=1)


ATTRIBUTION_METHODS.register(
    "input-gradient", AttributionMethod("Input x gradient", input_gradient, limit=16, random=2)
)

PHYSICS_CHECKS.register(
    "red and blue exchanged", Change(lambda model, rows: model.pixels(rows).flip(1))
)

CHANGES.register("contrast halved", Change(lambda model, rows: 0.25 + model.pixels(rows) / 2))

SET_METHODS.register(
    "gap", SetMethod("gap to the most probable class", lambda p: p.max(axis=1, keepdims=True) - p)
)

CALIBRATORS.register(
    "half",
    Method(
        "half way to equal probabilities",
        fit=lambda probabilities, truth: {},
        apply=lambda probabilities, parameters: (probabilities + 1 / probabilities.shape[1]) / 2,
    ),
)

UNCERTAINTY_SOURCES.register(
    "twice",
    UncertaintySource(
        "the image and its mirror image",
        lambda run, models: lambda batch: [models[0](batch), models[0](batch.flip(-1))],
    ),
)


def _write(run, path, data):
    shutil.make_archive(str(path.with_suffix("")), "zip", run.path)
    path.with_suffix(".zip").rename(path)


def _load(path, precision):
    from galaxymorph import load_predictor

    folder = path.with_suffix(".unpacked")
    shutil.unpack_archive(path, folder, "zip")
    return load_predictor(folder, precision)


EXPORTERS.register("run", Exporter(".galaxyrun", "run is the whole folder, zipped.", _write, _load))

"""What commands import, in the process that others are forked from.

Modules of the command line and of its options are not imported here: their choices are those of the
registries at that time, with the plugins' entries.
"""

import importlib
import pkgutil

import accelerate  # noqa: F401
import fastai.vision.all  # noqa: F401
import jinja2  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401
import pydantic  # noqa: F401
import rich.progress  # noqa: F401
import scipy.stats  # noqa: F401
import sklearn.metrics  # noqa: F401
import sklearn.model_selection  # noqa: F401
import timm  # noqa: F401
import torch._dynamo  # noqa: F401
from PIL import Image

import galaxymorph

Image.init()
for package in ("base", "zoo", "images", "learn", "judge", "report"):
    path = [f"{folder}/{package}" for folder in galaxymorph.__path__]
    for module in pkgutil.walk_packages(path, f"galaxymorph.{package}."):
        importlib.import_module(module.name)

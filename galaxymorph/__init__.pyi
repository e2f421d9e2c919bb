from .base import load_plugin as load_plugin
from .predict import load_predictor as load_predictor

__version__: str

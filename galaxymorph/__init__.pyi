from .predict import load_predictor as load_predictor

__version__: str

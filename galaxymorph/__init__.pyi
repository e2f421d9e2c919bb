from .base import load_plugin as load_plugin
from .learn import galaxy_dataloaders as galaxy_dataloaders
from .learn import galaxy_learner as galaxy_learner
from .predict import load_predictor as load_predictor

__version__: str

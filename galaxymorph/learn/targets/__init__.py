"""Targets of a model: their labels, heads, losses and epoch metrics.

Importing the room registers the package's targets and losses, without importing PyTorch.
"""

from galaxymorph.learn.targets import classes, tree, vote_shares  # noqa: F401, they register

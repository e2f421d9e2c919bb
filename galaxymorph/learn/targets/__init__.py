"""What a model predicts of a galaxy: labels, heads, losses and epoch metrics of each target.

Importing the room registers the package's targets and losses; none of it imports PyTorch.
"""

from galaxymorph.learn.targets import classes, tree, vote_shares  # noqa: F401, they register

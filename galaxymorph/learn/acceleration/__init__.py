"""Faster training and prediction with the same results; each part can be removed."""

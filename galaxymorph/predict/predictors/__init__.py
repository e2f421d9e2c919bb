"""Predictors: one interface to every format that a model is stored in."""

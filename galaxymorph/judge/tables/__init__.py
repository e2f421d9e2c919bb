"""Predictions of any model, from tables: read, joined to labels, and made into a run."""

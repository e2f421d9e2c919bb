"""Uncertainty of predictions, and volunteers' agreement."""

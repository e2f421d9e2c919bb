"""Metrics of predictions, with confidence intervals, and comparison of runs."""

"""Robustness to corruptions and drift between image sets."""

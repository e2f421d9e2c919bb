"""Adaptation to the images of another survey."""

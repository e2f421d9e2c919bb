"""Explanations of predictions: attribution maps, tests of them, probes, neighbours."""

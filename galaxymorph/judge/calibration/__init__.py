"""Calibration: calibrators, reliability, prediction sets, selective prediction."""

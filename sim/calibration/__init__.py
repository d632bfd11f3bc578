"""Calibration: the shop's parameters from a user's own push log (equations and method: `docs/calibration.md`)."""

"""Wrong input to calibration."""

from __future__ import annotations


class LogError(ValueError):
    """Wrong log or setting: the message says what, where and what to do."""

    exit_code = 2

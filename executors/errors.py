"""Errors of this package; `exit_code` is what a command ends with."""

from __future__ import annotations


class ExecutorError(ValueError):
    """An executor that cannot be used as asked for: unknown, not installed, not reachable, or without workers."""

    exit_code = 2

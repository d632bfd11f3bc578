"""Errors of this package; `exit_code` is what a command ends with."""

from __future__ import annotations

NO_CLUSTER = (
    "{what}.address={address}: no Ray cluster answers there; start one with ray start --head, or leave the address away to start Ray here"
)


class ExecutorError(ValueError):
    """An executor that cannot be used as asked for: unknown, not installed, not reachable, or without workers."""

    exit_code = 2

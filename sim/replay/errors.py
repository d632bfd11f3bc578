"""What can go wrong in a replay: one sentence that names what, where and what to do."""

from __future__ import annotations


class ReplayError(Exception):
    """A run, a log, a policy or a customer that cannot be replayed."""

    exit_code = 2

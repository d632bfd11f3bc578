"""What can be wrong with a log for off-policy evaluation: one sentence that names what, where and what to do."""

from __future__ import annotations


class OffPolicyError(ValueError):
    """A log, a policy or a setting that off-policy evaluation cannot work with."""

    exit_code = 2

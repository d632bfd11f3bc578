"""What can be wrong with a request to compare."""

from __future__ import annotations


class CompareError(ValueError):
    """Wrong input to the comparison: the message says what, where and what to do."""

    exit_code = 2

"""Errors of the tracking room; commands print the sentence and exit with `exit_code`."""

from __future__ import annotations


class TrackingError(Exception):
    """Tracking is configured in a way that cannot work (an address, a name); raised before any work is done.

    A store that is down, slow or full never raises: see `sim.tracking.tracker`.

    Attributes
    ----------
    exit_code : int
        2, a mistake in the configuration.
    """

    exit_code = 2

"""Settings of the session player: types and ranges here, values in `conf/replay.yaml` and `conf/replay/default.yaml`."""

from __future__ import annotations

import dataclasses
from typing import Any

from sim.replay.errors import ReplayError

MISSING: Any = "???"


@dataclasses.dataclass
class PageSettings:
    """What is on a page; see `conf/replay/default.yaml`."""

    enabled: bool = MISSING
    customers: int = MISSING
    what_if_customers: int = MISSING
    megabytes: float = MISSING
    drivers: int = MISSING
    picture_pixels: int = MISSING
    show_faces: bool = MISSING


@dataclasses.dataclass
class ReplayConfig:
    """What `python -m sim.replay` understands."""

    run: str = MISSING
    policy_a: str | None = None
    run_b: str | None = None
    policy_b: str | None = None
    customer: int | None = None
    out: str | None = None
    serve: bool = MISSING
    port: int = MISSING
    open: bool = MISSING
    trusted_targets: list[str] = dataclasses.field(default_factory=list)
    joined: dict[str, Any] = dataclasses.field(default_factory=dict)
    replay: PageSettings = MISSING


_RANGES = {
    "customers": (1, 2000),
    "what_if_customers": (0, 2000),
    "megabytes": (0.5, 100),
    "drivers": (1, 16),
    "picture_pixels": (32, 256),
}


def check_settings(settings: PageSettings) -> None:
    """Refuse a setting that is out of range.

    Raises
    ------
    ReplayError
        Names the setting and its range.
    """
    for name, (low, high) in _RANGES.items():
        number = getattr(settings, name)
        if not low <= number <= high:
            raise ReplayError(f"replay.{name}={number} is out of range; allowed is {low} to {high}")

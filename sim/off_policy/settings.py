"""Settings of `python -m sim.off_policy`: types and ranges here, values in `conf/off_policy.yaml`."""

from __future__ import annotations

import dataclasses
from typing import Any

from sim.config import TrackingConfig
from sim.evaluation.estimators.errors import OffPolicyError

MISSING: Any = "???"


@dataclasses.dataclass
class OffPolicyConfig:
    """What the command understands; see `conf/off_policy.yaml`."""

    logs: str | None = None
    policy: str | None = None
    behaviour: str = MISSING
    customers: int | None = None
    estimators: list[str] = dataclasses.field(default_factory=list)
    model: str = MISSING
    folds: int = MISSING
    discount_per_day: float = MISSING
    level: float = MISSING
    interval: str = MISSING
    resamples: int = MISSING
    unsupported: str = MISSING
    labels: list[str] = dataclasses.field(default_factory=list)
    truth: bool = MISSING
    seed: int = MISSING
    out: str | None = None
    trusted_targets: list[str] = dataclasses.field(default_factory=list)
    joined: dict[str, Any] = dataclasses.field(default_factory=dict)
    tracking: TrackingConfig = MISSING


def validate(cfg: Any) -> None:
    """Refuse a setting that is missing, unknown or out of range.

    Raises
    ------
    OffPolicyError
        One sentence that names the setting and what it may be.
    """
    from sim.evaluation.estimators.estimate import ESTIMATORS
    from sim.evaluation.estimators.intervals import METHODS
    from sim.evaluation.estimators.models import MODELS

    if not cfg.logs:
        raise OffPolicyError(
            "logs= is missing; give a run (folder, MLflow id or latest) or a table of your own (.parquet, .csv)"
        )
    for name, known in (("model", MODELS), ("interval", METHODS), ("unsupported", ("refuse", "accept"))):
        if cfg[name] not in known:
            raise OffPolicyError(f"{name}={cfg[name]} is unknown; choose from {', '.join(known)}")
    for estimator in cfg.estimators:
        if estimator not in ESTIMATORS:
            raise OffPolicyError(f"estimators: {estimator!r} is unknown; choose from {', '.join(ESTIMATORS)}")
    for name, low, high in (
        ("folds", 2, 50), ("discount_per_day", 0.0, 1.0), ("level", 0.5, 0.9999), ("resamples", 20, 100_000), ("seed", 0, 2**32 - 1),
        ("customers", 2, 10**9),
    ):  # fmt: skip
        if cfg[name] is not None and not low <= cfg[name] <= high:
            raise OffPolicyError(f"{name}={cfg[name]} is out of range; allowed is {low} to {high}")

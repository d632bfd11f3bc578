"""Names and values in the form MLflow accepts: metric names `area/name`, short parameters, flat configurations.

Limits of MLflow 3 (`mlflow.utils.validation`): names of 250 characters, values of 6000 for parameters and 8000 for
tags, where older servers stop at 500 and 5000; a batch of 1000 metrics or 100 parameters or tags.  +inf is silently
stored as 1.8e308, so numbers that are not finite never get there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

NAME_LIMIT = 250
PARAM_LIMIT = 500
TAG_LIMIT = 5000
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
DEFAULT_AREA = "run"


def clean_name(name: str) -> str:
    """`name` with what MLflow refuses replaced by `_`, at most 250 characters."""
    name = re.sub(r"[^\w.\-/ :]", "_", str(name).strip())
    # A name is also a path for MLflow: no empty, `.` or `..` parts.
    parts = [part for part in name.split("/") if part.strip(". ")]
    return "/".join(parts)[:NAME_LIMIT] or "unnamed"


def metric_name(name: str) -> str:
    """A metric name of the form `area/name`; without an area it gets `run/`."""
    name = clean_name(name)
    return name if "/" in name else f"{DEFAULT_AREA}/{name}"[:NAME_LIMIT]


def shortened(value: Any, limit: int) -> str:
    """`value` as text of at most `limit` characters; what was cut off is counted at the end."""
    text = str(value)
    if len(text) <= limit:
        return text
    mark = f"... ({len(text)} characters)"
    return text[: limit - len(mark)] + mark


def finite_only(values: Mapping[str, Any]) -> tuple[dict[str, float], int]:
    """Metrics under their stored names, and how many were dropped because they were no finite number."""
    kept: dict[str, float] = {}
    dropped = 0
    for name, value in values.items():
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            kept[metric_name(name)] = number
        else:
            dropped += 1
    return kept, dropped


def flatten(config: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """A nested configuration as one level: `{"env": {"k": 1}, "caps": [2]}` -> `{"env.k": 1, "caps": [2]}`.

    Lists stay whole, since an element has no name of its own; an empty mapping stays as `{}`.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            for inner, leaf in flatten(value, separator).items():
                flat[f"{key}{separator}{inner}"] = leaf
        else:
            flat[str(key)] = {} if isinstance(value, Mapping) else value
    return flat

"""What a run that goes on has recorded before, so that nothing is recorded twice.

The steps after the last checkpoint are taken again, to the same numbers; their metrics are in the spool already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sim.tracking.spool import Record

ONCE = ("params", "dataset", "model")  # kinds that need not be sent again with the same content


class Recorded:
    """Metrics by name and step, and records of the kinds in `ONCE` by content."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._metrics: set[tuple[str, int]] = set()
        self._once: set[str] = set()
        for record in records:
            if record["kind"] == "metrics":
                self._metrics.update((name, record["step"]) for name in record["values"])
            elif record["kind"] in ONCE:
                fields = {name: value for name, value in record.items() if name not in ("n", "kind", "time")}
                self._once.add(_content(record["kind"], fields))

    def new(self, values: Mapping[str, float], step: int) -> dict[str, float]:
        """The metrics of a step that are not there yet."""
        return {name: value for name, value in values.items() if (name, step) not in self._metrics}

    def __contains__(self, record: tuple[str, Mapping[str, Any]]) -> bool:
        """Whether a record (kind, fields) is there."""
        return bool(self._once) and record[0] in ONCE and _content(*record) in self._once


def _content(kind: str, fields: Mapping[str, Any]) -> str:
    return json.dumps([kind, fields], sort_keys=True, default=str)

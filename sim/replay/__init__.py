"""The session player's page: one self-contained HTML file that shows whom a policy met, what it did, and what else could be.

    from sim.replay import write_page

`python -m sim.replay run=latest` writes it for any run, and each run writes its own.  Names are imported when first used, so
that the settings alone cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.replay.errors import ReplayError
    from sim.replay.page import Page, write_page
    from sim.replay.runs import Run, find_run, read_run
    from sim.replay.settings import PageSettings, ReplayConfig

_HOME = {
    "ReplayError": "errors", "Page": "page", "write_page": "page", "Run": "runs", "find_run": "runs", "read_run": "runs",
    "PageSettings": "settings", "ReplayConfig": "settings",
}  # fmt: skip
__all__ = ["Page", "PageSettings", "ReplayConfig", "ReplayError", "Run", "find_run", "read_run", "write_page"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sim.replay' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sim.replay.{_HOME[name]}"), name)

"""The session player's page: one self-contained HTML file that shows whom a policy met, what it did, and what else could be.

    from sim.replay import write_page

`python -m sim.replay run=latest` writes it for any run, and each run writes its own.
"""

from sim.replay.errors import ReplayError
from sim.replay.page import Page, write_page
from sim.replay.runs import Run, find_run, read_run
from sim.replay.settings import PageSettings, ReplayConfig

__all__ = ["Page", "PageSettings", "ReplayConfig", "ReplayError", "Run", "find_run", "read_run", "write_page"]

"""Every metric that a run logs is explained, and the page in docs is the one that the table makes."""

from __future__ import annotations

import re

import pytest

from sim.config import ROOT
from sim.evaluation.metrics import METRICS
from sim.tracking.dictionary import AREAS, as_markdown, entries, entry_of


def test_the_page_in_docs_is_the_one_that_the_table_makes():
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == as_markdown()


def test_every_metric_name_that_an_agent_reports_is_in_the_dictionary():
    """Literal names in the agents' sources; PPO's losses are put together from `LOSSES`."""
    from agents.ppo_update import LOSSES

    found = {f"train/{name}" for name in LOSSES} | {"train/loss"}
    for path in (ROOT / "agents").glob("*.py"):
        found |= set(re.findall(r'"((?:train|rollout|tuning|learning)/\w+)"', path.read_text(encoding="utf-8")))
    assert len(found) > 12
    assert [name for name in sorted(found) if entry_of(name) is None] == []


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("evaluate/value_per_customer", "evaluate/<metric>"),
        ("evaluate_low/ppo/push_rate", "evaluate_low/<policy>/<metric>"),
        ("paired/minus_linucb/value_per_customer", "paired/minus_<policy>/<metric>"),
        ("regret_to_priced_oracle/ppo", "regret_to_<oracle>/<policy>"),
        ("timing/train_ppo", "timing/<phase>"),
        ("evaluate/happiness", None),
        ("colour/blue", None),
    ],
)
def test_a_name_finds_its_entry_and_a_stranger_none(name, entry):
    found = entry_of(name)
    assert (found.name if found else None) == entry


def test_no_entry_stands_twice_and_every_one_says_what_it_is():
    names = [entry.name for entry in entries()]
    assert len(names) == len(set(names)) and len(AREAS) == len({area for area, *_ in AREAS})
    assert all(entry.unit and entry.meaning and entry.better in (-1, 0, 1) for entry in entries())
    page = as_markdown()
    assert all(f"| `{name}` |" in page for name in [*METRICS, *names])

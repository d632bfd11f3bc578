"""The table in docs/reliability.md names tests that exist, and every test of this folder stands in it."""

from __future__ import annotations

import ast
import re

import pytest

from sim.config import ROOT

pytestmark = pytest.mark.faults
PAGE = ROOT / "docs" / "reliability.md"


def named_tests(path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_row_names_a_test_that_exists_and_every_fault_test_stands_in_the_table(told):
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.split("| fault |")[1].splitlines() if line.startswith("| ") and not line.startswith("| what")]
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)
    assert len(rows) >= 30 and all("::test_" in row for row in rows)
    for file, name in named:
        assert name in named_tests(ROOT / file), f"{file} has no {name}"
    own = {(f"tests/faults/{p.name}", name) for p in (ROOT / "tests" / "faults").glob("test_*.py") for name in named_tests(p)}
    missing = own - set(named) - {("tests/faults/test_table.py", next(iter(named_tests(ROOT / "tests/faults/test_table.py"))))}
    assert missing == set()
    told(f"a table of {len(rows)} faults", f"{len(named)} tests named, all there")

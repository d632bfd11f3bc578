"""What every fault test says at the end of `pytest -m faults`: what was killed, starved or spoiled, and what was left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.sim.conftest import make_shop

KEY = "fault"


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """`told(what was done, what was left)`; printed after the tests."""

    def tell(done: str, left: str) -> None:
        record_property(KEY, f"{done} -> {left}")

    return tell


@pytest.fixture(scope="session")
def shop() -> object:
    """The default shop on a synthetic gallery."""
    return make_shop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if "faults" not in str(config.option.markexpr):
        return
    lines = list(_lines(terminalreporter))
    if lines:
        terminalreporter.section("faults: what was done -> what was left")
        for line in lines:
            terminalreporter.write_line(line)


def _lines(terminalreporter: pytest.TerminalReporter) -> Iterator[str]:
    for report in terminalreporter.stats.get("passed", []):
        for key, text in getattr(report, "user_properties", []):
            if key == KEY:
                yield f"  {text}"

"""Shared by all tests: real photographs and weights where they are named, an MLflow store and a data folder that are nobody's own.

`SIM_TEST_DATA` names a folder of photographs, `FACENET_WEIGHTS` a weights file.  A test that needs one and does not
find it skips and says so; with `CI_REQUIRE_DATA=1` such a skip is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MPLBACKEND", "Agg")

MATERIAL = ("SIM_TEST_DATA", "FACENET_WEIGHTS")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder that `SIM_TEST_DATA` names."""
    return _material("SIM_TEST_DATA", "a folder of test photographs")


@pytest.fixture(scope="session")
def facenet_weights() -> Path:
    """The file that `FACENET_WEIGHTS` names."""
    return _material("FACENET_WEIGHTS", "a FaceNet weights file")


def _material(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set ({what})")
    path = Path(value)
    if not path.exists():
        pytest.skip(f"{variable}={value} does not exist ({what})")
    return path


@pytest.fixture(scope="session", autouse=True)
def _own_tracking_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes to the project's mlflow.db, nor to the server that the developer works with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test makes a key in the developer's home, nor lists its files there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
        for name in ("PERCEPTION_KEY", "PERCEPTION_KEY_FILE"):
            patch.delenv(name, raising=False)
        yield


def missing_material(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """The reason of a skip for want of photographs or weights, None for every other report."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason if any(name in reason for name in MATERIAL) else None


def _fail_missing_material(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = missing_material(report)
    if reason and os.environ.get("CI_REQUIRE_DATA") == "1":
        report.outcome = "failed"
        report.longrepr = f"CI_REQUIRE_DATA=1, yet skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report = yield
    _fail_missing_material(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    _fail_missing_material(report)
    return report

"""A migrated MLflow database, made once (about 4 s) and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.tracking.store import MlflowStore
from sim.tracking.uri import sqlite_uri


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    MlflowStore(sqlite_uri(path))
    return path


@pytest.fixture
def uri(migrated_database: Path, tmp_path: Path) -> str:
    """A SQLite store of this test alone, in a folder with a blank and a letter beyond ASCII."""
    folder = tmp_path / "my störe"
    folder.mkdir()
    shutil.copy(migrated_database, folder / "mlflow.db")
    return sqlite_uri(folder / "mlflow.db")


@pytest.fixture
def client(uri: str) -> object:
    """MLflow's own client, to look at what was stored."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


@pytest.fixture
def only_run(client) -> Callable[[], object]:
    """The one run of the one experiment."""

    def find() -> object:
        experiments = [e for e in client.search_experiments() if e.name != "Default"]
        (run,) = client.search_runs([e.experiment_id for e in experiments])
        return run

    return find

"""Taking a person out of MLflow: the copies of a run's tables among its artifacts, and pages that may show the person.

Artifacts are downloaded, rewritten and put back under their names, whatever lies behind the address (a folder, a server, a
bucket).  Policies stay: their weights come from thousands of simulated lives and name nobody; to be rid of them too, delete
the run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sim.tracking.store import MlflowStore

TABLES = ("sessions.parquet", "customers.parquet")


def real_gallery_runs(store: MlflowStore) -> Iterator[tuple[str, str]]:
    """(run id, digest of the gallery) of every run on a real gallery, deleted runs included."""
    from mlflow.entities import ViewType

    experiments = [e.experiment_id for e in store.client.search_experiments(view_type=ViewType.ALL)]
    token: str | None = None
    while experiments:
        page = store.client.search_runs(
            experiments, "tags.real_gallery = 'True'", ViewType.ALL, max_results=1000, page_token=token
        )
        for run in page:
            yield run.info.run_id, run.data.tags.get("gallery_digest", "")
        token = page.token
        if not token:
            return


def erase_artifacts(
    store: MlflowStore, run_id: str, erase: Callable[[Path], bool], dry_run: bool
) -> Iterator[str]:
    """Rewrite a run's tables and delete its pages; yields what was found.

    Parameters
    ----------
    erase : rewrites one file in place and says whether there was anything to erase.
    """
    client = store.client
    names = {artifact.path for artifact in client.list_artifacts(run_id)}
    for name in (name for name in TABLES if name in names):
        with tempfile.TemporaryDirectory(prefix="forget-") as temporary:
            local = Path(client.download_artifacts(run_id, name, temporary))
            files = sorted(local.rglob("*.parquet")) if local.is_dir() else [local]
            changed = [file for file in files if erase(file)]
            if changed:
                yield f"MLflow run {run_id}: {name}"
            for file in [] if dry_run else changed:
                parent = file.parent.relative_to(temporary).as_posix()
                client.log_artifact(run_id, str(file), None if parent == "." else parent)
    for name in sorted(name for name in names if name.endswith(".html")):
        yield f"MLflow run {run_id}: {name}"
        if not dry_run:
            _delete(store, run_id, name)


def _delete(store: MlflowStore, run_id: str, name: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    address = store.client.get_run(run_id).info.artifact_uri
    get_artifact_repository(address, tracking_uri=store.uri).delete_artifacts(name)


def texts_of(store: MlflowStore, run_id: str) -> str:
    """Parameters and tags of a run, for a search."""
    data: Any = store.client.get_run(run_id).data
    return "\n".join(f"{k}={v}" for part in (data.params, data.tags) for k, v in part.items())

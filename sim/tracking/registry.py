"""The registry: versions of one policy under aliases, `models:/push-policy-shop@champion`.

An alias is a name that moves; what it served before stays a version.  Stages are deprecated in MLflow and not used.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sim.tracking.errors import TrackingError
from sim.tracking.spool import read_spool
from sim.tracking.store import MlflowStore

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel


class Registered(NamedTuple):
    """A version under an alias; `uri` is what `mlflow models serve -m` takes."""

    name: str
    version: str
    alias: str
    uri: str
    model_id: str


def run_id_of(folder: Path) -> str:
    """MLflow's id of the run in a folder.

    Raises
    ------
    TrackingError
        The run has not reached MLflow.
    """
    ids = [
        r["run_id"]
        for spool in sorted(folder.glob("spool*.jsonl"))
        for r in read_spool(spool)
        if r["kind"] == "delivered"
    ]
    if not ids:
        raise TrackingError(f"run={folder}: has not reached MLflow; run python -m sim.sync {folder}")
    return str(ids[-1])


def model_of(store: MlflowStore, run_id: str) -> LoggedModel:
    """The policy that a run logged.

    Raises
    ------
    TrackingError
        There is no such run, or it logged no policy.
    """
    from mlflow.exceptions import MlflowException

    try:
        experiment = store.client.get_run(run_id).info.experiment_id
    except MlflowException:
        raise TrackingError(f"run={run_id}: MLflow at this address knows no such run") from None
    found = store.client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    ready = [model for model in found if str(model.status) == "READY"]
    if not ready:
        raise TrackingError(
            f"run={run_id}: logged no policy; it did not finish, or an older version made it: run it again"
        )
    return ready[0]


def register(store: MlflowStore, run_id: str, name: str, alias: str) -> Registered:
    """Make a run's policy a version of `name`, once, and point `alias` at it.

    Raises
    ------
    TrackingError
        As `model_of`, or the alias is no name.
    """
    from mlflow.exceptions import MlflowException

    if not re.fullmatch(r"[A-Za-z][\w-]*", alias) or re.fullmatch(r"v\d+|latest", alias):
        raise TrackingError(
            f"alias={alias}: is no alias; take letters, digits, _ and -, such as champion or challenger"
        )
    client, model = store.client, model_of(store, run_id)
    try:
        client.create_registered_model(
            name, description="A policy that decides which label to push; state features in, label out."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{name}'")
    version = next((v for v in versions if v.model_id == model.model_id or v.source.endswith(model.model_id)), None)
    if version is None:
        tags = dict(model.tags) | dict(model.params)
        with _tracking_at(store.uri):
            version = client.create_model_version(
                name, f"models:/{model.model_id}", run_id=run_id, tags=tags, model_id=model.model_id
            )
    client.set_registered_model_alias(name, alias, str(version.version))
    return Registered(name, str(version.version), alias, f"models:/{name}@{alias}", model.model_id)


@contextlib.contextmanager
def _tracking_at(uri: str) -> Iterator[None]:
    """`models:/` addresses are looked up where mlflow's global setting points, whatever the client's."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)

"""The registry: versions of one policy under aliases, `models:/push-policy-shop@champion`.

    models:/<name>@champion     what is deployed; moves only when a challenger is promoted (experiments/improve)
    models:/<name>@challenger   the latest one that was tried

An alias is a name that moves; what it served before stays a version.  Stages are deprecated since MLflow 2.9 and not used.  What
a version holds is `models`: code and safetensors, loaded with MLFLOW_ALLOW_PICKLE_DESERIALIZATION=False.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sim.tracking.errors import TrackingError
from sim.tracking.models import code_of, log_policy
from sim.tracking.names import clean_name
from sim.tracking.spool import read_spool
from sim.tracking.store import MlflowStore

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

CHAMPION, CHALLENGER = "champion", "challenger"
ABOUT = "A policy that decides which label to push; state features in, label out."


class Registry:
    """One registered model at one MLflow address.

    Parameters
    ----------
    store : MlflowStore or str
        The store, or its address.
    name : str
        Of the registered model, made if missing.
    experiment : str or None
        Where `register` keeps the runs that it makes.

    Raises
    ------
    OSError, mlflow.exceptions.MlflowException
        By every method, when the store does not do its part.
    """

    def __init__(self, store: MlflowStore | str, name: str, experiment: str | None = None):
        self.store = MlflowStore(store) if isinstance(store, str) else store
        self.name, self.experiment, self.client = name, experiment, self.store.client
        if not self.client.search_registered_models(filter_string=f"name = '{name}'"):
            self.client.create_registered_model(name, description=ABOUT)

    def register(
        self,
        policy: Path,
        key: str,
        *,
        labels: list[str],
        load_agent: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, Any],
    ) -> str:
        """A version of a saved policy, made once with a run of its own: the same `key` finds the version it has.

        Parameters
        ----------
        policy : as `Agent.save` left it.
        labels : names of all actions, hold-back first.
        load_agent : dotted name of the function that loads it.

        Returns
        -------
        str
            The version.
        """
        for known in self.client.search_model_versions(f"name = '{self.name}'"):
            if known.tags.get("key") == key:
                return str(known.version)
        text = {k: str(v) for k, v in tags.items()}
        experiment = self.store.experiment_id(self.experiment or self.name)
        run_id = self.client.create_run(experiment, run_name=key, tags=text).info.run_id
        for metric, value in metrics.items():
            self.client.log_metric(run_id, clean_name(metric), value)
        record = {
            "path": str(policy), "name": clean_name(key), "step": 0, "params": {}, "tags": text,
            "model": {"labels": labels[1:], **code_of(load_agent)},
        }  # fmt: skip
        model_id = log_policy(self.client, run_id, record)
        self.client.set_terminated(run_id)
        return self.add(model_id, run_id, {"key": key, **text})

    def add(self, model_id: str, run_id: str, tags: Mapping[str, str]) -> str:
        """The version of a logged model, made if there is none."""
        for known in self.client.search_model_versions(f"name = '{self.name}'"):
            if known.model_id == model_id:
                return str(known.version)
        with _tracking_at(self.store.uri):
            made = self.client.create_model_version(
                self.name, f"models:/{model_id}", run_id=run_id, tags=dict(tags), model_id=model_id
            )
        return str(made.version)

    def point(self, alias: str, version: str) -> None:
        """Let an alias lead to a version."""
        self.client.set_registered_model_alias(self.name, alias, version)

    def version_of(self, alias: str) -> str | None:
        """The version an alias leads to, None where there is no such alias."""
        version = self.client.get_registered_model(self.name).aliases.get(alias)
        return None if version is None else str(version)


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
    if not re.fullmatch(r"[A-Za-z][\w-]*", alias) or re.fullmatch(r"v\d+|latest", alias):
        raise TrackingError(
            f"alias={alias}: is no alias; take letters, digits, _ and -, such as champion or challenger"
        )
    model = model_of(store, run_id)
    registry = Registry(store, name)
    version = registry.add(model.model_id, run_id, dict(model.tags) | dict(model.params))
    registry.point(alias, version)
    return Registered(name, version, alias, f"models:/{name}@{alias}", model.model_id)


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

"""MLflow's model registry: every challenger a version, `champion` and `challenger` as aliases.

    models:/<name>@champion     what is deployed; moves only when a challenger is promoted
    models:/<name>@challenger   the latest one that was tried

(Stages are deprecated since MLflow 2.9.)  A version is a pyfunc from code with the saved policy's own files (JSON and arrays)
as artifacts, so it loads with MLFLOW_ALLOW_PICKLE_DESERIALIZATION=False.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.tracking.names import clean_name
from sim.tracking.store import MlflowStore
from sim.tracking.uri import artifact_location

CHAMPION, CHALLENGER = "champion", "challenger"
_CODE = Path(__file__).with_name("registered_policy.py")


class Registry:
    """One registered model at one MLflow address.

    Raises
    ------
    OSError, mlflow.exceptions.MlflowException
        By every method, when the store does not do its part.
    """

    def __init__(self, uri: str, name: str, experiment: str):
        self.uri, self.name = uri, name
        self.client = MlflowStore(uri).client
        found = self.client.get_experiment_by_name(experiment)
        self.experiment = (
            found.experiment_id
            if found
            else self.client.create_experiment(experiment, artifact_location(uri, experiment))
        )
        if not self.client.search_registered_models(filter_string=f"name = '{name}'"):
            self.client.create_registered_model(name)

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
        """A version of a saved policy, made once: the same `key` finds the version it has.

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
        import mlflow.pyfunc

        run = self.client.create_run(self.experiment, run_name=key, tags={k: str(v) for k, v in tags.items()})
        for metric, value in metrics.items():
            self.client.log_metric(run.info.run_id, clean_name(metric), value)
        with tempfile.TemporaryDirectory(prefix="policy-") as temporary:
            folder = Path(temporary) / "model"
            mlflow.pyfunc.save_model(
                path=str(folder), python_model=str(_CODE), artifacts={"policy": str(policy)},
                model_config={"load_agent": load_agent, "labels": labels}, pip_requirements=["mlflow", "numpy", "pandas"],
            )  # fmt: skip
            self.client.log_artifacts(run.info.run_id, str(folder), "model")
        self.client.set_terminated(run.info.run_id)
        source = f"{run.info.artifact_uri}/model"
        made = self.client.create_model_version(
            self.name, source, run.info.run_id, tags={"key": key, **{k: str(v) for k, v in tags.items()}}
        )
        return str(made.version)

    def point(self, alias: str, version: str) -> None:
        """Let an alias lead to a version."""
        self.client.set_registered_model_alias(self.name, alias, version)

    def version_of(self, alias: str) -> str | None:
        """The version an alias leads to, None where there is no such alias."""
        return self.client.get_registered_model(self.name).aliases.get(alias)

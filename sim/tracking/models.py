"""A trained policy as an MLflow model: models-from-code (`policy_model`), weights in safetensors, no pickle anywhere.

In: the state features, one column per named slice of the observation, and optionally which actions are allowed and the
luck.  Out: the label, the probability of every action, and what the policy expects to earn where it can say.

    mlflow models serve -m models:/<name>@challenger --env-manager local        with MLFLOW_ALLOW_PICKLE_DESERIALIZATION=False

The model carries the code that it needs (the `agents` package, a user's own module), so it is served without a checkout.
"""

from __future__ import annotations

import importlib
import inspect
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.tracking.provenance import library_versions
from sim.tracking.spool import Record

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.tracking import MlflowClient

CODE = Path(__file__).with_name("policy_model.py")
ALLOWED, UNIFORM = "allowed", "uniform"
NEEDS = ("mlflow", "numpy", "pandas", "gymnasium", "torch", "numba", "safetensors")
RUN_TAG = "push_sim.run"
HOLD_BACK = "hold back"


def signature(layout: Mapping[str, tuple[int, int]]) -> ModelSignature:
    """State features in; action, label, probabilities and expected value out.

    Parameters
    ----------
    layout : mapping of name to (start, stop)
        Named slices of the observation; each is a column of arrays.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    inputs: list[ColSpec | TensorSpec] = [ColSpec(Array(DataType.double), name) for name in layout]
    inputs += [
        ColSpec(Array(DataType.boolean), ALLOWED, required=False),
        ColSpec(DataType.double, UNIFORM, required=False),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.long, "action"),
        ColSpec(DataType.string, "label"),
        ColSpec(Array(DataType.double), "probabilities"),
        ColSpec(DataType.double, "expected_value", required=False),
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def code_of(load_agent: str, agent_class: type | None = None) -> dict[str, Any]:
    """What it takes to load an agent elsewhere: the loader, the class where the loader does not know it, and their code.

    Parameters
    ----------
    load_agent : dotted name of the loader, whose package knows its own agents.
    agent_class : of the agent.
    """
    loader = load_agent.split(".")[0]
    package = loader if agent_class is None else agent_class.__module__.split(".")[0]
    foreign = package != loader
    return {
        "load_agent": load_agent,
        "agent_class": f"{agent_class.__module__}.{agent_class.__qualname__}" if agent_class and foreign else None,
        "code": [_folder_of(name) for name in ((loader, package) if foreign else (loader,))],
    }


def _folder_of(package: str) -> str:
    """The folder of a package, or the file of a module."""
    file = Path(str(inspect.getsourcefile(importlib.import_module(package))))
    return str(file.parent if file.name == "__init__.py" else file)


def save_policy(
    folder: Path | str,
    policy: Path | str,
    *,
    labels: list[str],
    load_agent: str,
    code: list[str],
    agent_class: str | None = None,
    deterministic: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write the MLflow model of a saved policy to a new folder.

    Parameters
    ----------
    folder : where to; must not exist.
    policy : as `Agent.save` left it.
    labels : names of the labels, in the order of actions 1..K.
    load_agent, agent_class : dotted names of the loader, and of the class of an agent that is not part of `agents`.
    code : packages and modules (paths) that those need.
    deterministic : whether the run was evaluated with the most probable action.
    """
    import warnings

    import mlflow.pyfunc

    warnings.filterwarnings("ignore", message=".*input example", module="mlflow")
    spec = json.loads((Path(policy) / "agent.json").read_text(encoding="utf-8"))
    versions = library_versions(NEEDS)
    mlflow.pyfunc.save_model(
        path=str(folder),
        python_model=str(CODE),
        artifacts={"policy": str(policy)},
        model_config={
            "labels": [HOLD_BACK, *labels], "layout": spec["layout"], "load_agent": load_agent,
            "agent_class": agent_class, "deterministic": deterministic,
        },
        signature=signature(spec["layout"]),
        code_paths=code,
        pip_requirements=[f"{name}=={versions[name]}" for name in NEEDS if versions.get(name)],
        metadata=dict(metadata or {}),
    )  # fmt: skip


def log_policy(client: MlflowClient, run_id: str, record: Record) -> str:
    """Log the model of a `model` record with its run; one that is there already is left alone.

    Returns
    -------
    str
        MLflow's id of the model.
    """
    from mlflow.entities import LoggedModelOutput

    experiment = client.get_run(run_id).info.experiment_id
    for known in client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'"):
        if known.name == record["name"]:
            if str(known.status) == "READY":
                return known.model_id
            client.delete_logged_model(known.model_id)  # an attempt that a failing store cut short
    made = client.create_logged_model(
        experiment,
        record["name"],
        source_run_id=run_id,
        tags=record["tags"],
        params=record["params"],
        model_type="policy",
    )
    with tempfile.TemporaryDirectory(prefix="policy-") as temporary:
        folder = Path(temporary) / "model"
        save_policy(folder, record["path"], **record["model"])
        client.log_model_artifacts(made.model_id, str(folder))
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, record["step"])])
    return made.model_id

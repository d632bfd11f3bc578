"""Evaluation runs in MLflow: numbers, settings and plots; never an image, an embedding or a person's name.

Perception knows nothing of the simulator, so it logs to MLflow by itself: into ``MLFLOW_TRACKING_URI``, else into
``mlflow.db`` beside the project's ``pyproject.toml`` (the store that ``make ui`` opens), else of the working folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perception.evaluation.report import Finding

EXPERIMENT = "perception-evaluate"


def tracking_uri() -> str:
    """Where runs go."""
    given = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if given:
        return given
    root = Path(__file__).resolve().parents[2]
    root = root if (root / "pyproject.toml").is_file() else Path.cwd()
    return f"sqlite:///{(root / 'mlflow.db').as_posix()}"


def log_findings(findings: Sequence[Finding], settings: Mapping[str, Any], plots: Sequence[Path]) -> str:
    """Log one run; metrics are named ``set/task/metric`` (with ``/low`` and ``/high``).

    Returns
    -------
    str
        The run's id.

    Raises
    ------
    Exception
        Whatever MLflow raises: the caller decides that an evaluation survives it.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import mlflow

    client = mlflow.MlflowClient(tracking_uri())
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = found.experiment_id if found is not None else client.create_experiment(EXPERIMENT)
    run = client.create_run(experiment, run_name="+".join(dict.fromkeys(f.set for f in findings))[:100] or "evaluate")
    run_id: str = run.info.run_id
    status = "FAILED"
    try:
        for name, value in settings.items():
            client.log_param(run_id, name, str(value)[:500])
        for f in findings:
            for name, m in f.metrics.items():
                for suffix, number in (("", m["value"]), ("/low", m["low"]), ("/high", m["high"])):
                    if number is not None:
                        client.log_metric(run_id, metric_name(f"{f.set}/{f.task}/{name}{suffix}"), number)
            for name, count in f.counts.items():
                client.log_metric(run_id, metric_name(f"{f.set}/{f.task}/{name}"), count)
        for file in plots:
            client.log_artifact(run_id, str(file), "plots")
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)
    return run_id


def metric_name(name: str) -> str:
    """A name that MLflow takes: other characters become underscores."""
    return re.sub(r"[^\w\-. /]", "_", name)[:240]

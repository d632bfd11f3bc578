"""The model that the registry holds: this file is copied into it and run from there (models from code, no pickle).

In: one row per customer, `observation` (a list of D numbers) and optionally `allowed` (a list of K + 1 truth values).  Out:
`action` (the most probable; 0 holds back), its `label`, `probabilities` of all actions.  The policy is loaded by the function
that the model's own configuration names, so this file imports no room of ours.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class RegisteredPolicy(PythonModel):
    """A saved agent behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        module, _, name = str(context.model_config["load_agent"]).rpartition(".")
        self.labels = list(context.model_config["labels"])
        self.policy = getattr(importlib.import_module(module), name)(context.artifacts["policy"])

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        observation = np.array(model_input["observation"].tolist(), np.float32)
        allowed = np.ones((len(observation), len(self.labels)), bool)
        if "allowed" in model_input and model_input["allowed"].notna().all():
            allowed = np.array(model_input["allowed"].tolist(), bool)
        probabilities = self.policy.action_probabilities(observation, allowed)
        action = probabilities.argmax(axis=1)
        rows = [row.tolist() for row in probabilities]
        return pd.DataFrame({"action": action, "label": [self.labels[a] for a in action], "probabilities": rows})


set_model(RegisteredPolicy())

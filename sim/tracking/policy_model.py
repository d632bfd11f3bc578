"""The policy that MLflow serves: this file is the model's code, copied into it and run from there, so it imports no room of ours.

In (one row per customer), columns named as the slices of the observation, each a list of numbers; optional:

    allowed   list of K + 1 truth values, which actions may be taken; all of them unless given
    uniform   number in [0, 1); the luck with which the action is drawn, as in the evaluation.  Without it the most probable
              action is answered.

Out: `action` (0 holds back), its `label`, `probabilities` of all K + 1 actions in the order of the labels, `expected_value`
(money that the policy expects of this action; null for a policy that makes no such estimate).
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


def named(dotted: str | None) -> Any:
    """What a dotted name means, None for None."""
    if dotted is None:
        return None
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


class PolicyModel(PythonModel):
    """A saved agent behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        config = context.model_config
        self.labels: list[str] = list(config["labels"])
        self.layout = dict(sorted(config["layout"].items(), key=lambda item: item[1]))  # a YAML file forgets the order
        self.policy = named(config["load_agent"])(context.artifacts["policy"], named(config["agent_class"]))
        if config["deterministic"] and hasattr(self.policy, "deterministic"):
            self.policy.deterministic = True

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        observation = np.concatenate([self._slice(model_input, name) for name in self.layout], axis=1)
        allowed = self._allowed(model_input)
        probabilities = self.policy.action_probabilities(observation, allowed)
        action = probabilities.argmax(axis=1)
        if "uniform" in model_input and model_input["uniform"].notna().any():
            given = model_input["uniform"].notna().to_numpy()
            luck = model_input["uniform"].fillna(0.0).to_numpy(float)
            action = np.where(given, self.policy.act(observation, allowed, luck).action, action)
        expected = getattr(self.policy, "expected_reward", lambda _: None)(observation)
        rows = np.arange(len(action))
        return pd.DataFrame(
            {
                "action": action.astype(np.int64),
                "label": [self.labels[a] for a in action],
                "probabilities": [row.tolist() for row in probabilities],
                "expected_value": [None] * len(rows) if expected is None else expected[rows, action].astype(object),
            }
        )

    def _slice(self, table: pd.DataFrame, name: str) -> np.ndarray:
        """(N, size) of one named slice."""
        start, stop = self.layout[name]
        return self._array(table, name, stop - start, np.float32)

    def _allowed(self, table: pd.DataFrame) -> np.ndarray:
        if "allowed" not in table or table["allowed"].isna().all():
            return np.ones((len(table), len(self.labels)), bool)
        allowed = self._array(table, "allowed", len(self.labels), bool)
        if not allowed[:, 0].all():
            raise _bad("allowed: the first entry is holding back, which is always allowed")
        return allowed

    def _array(self, table: pd.DataFrame, name: str, size: int, kind: Any) -> np.ndarray:
        lengths = {len(np.atleast_1d(value)) for value in table[name]}
        if lengths - {size}:
            raise _bad(f"{name}: give {size} numbers per customer, not {sorted(lengths - {size})[0]}")
        values = np.array([np.atleast_1d(value) for value in table[name]], dtype=kind).reshape(len(table), size)
        if not np.isfinite(values).all():
            raise _bad(f"{name}: a number is missing or not finite")
        return values


def _bad(sentence: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(sentence)


set_model(PolicyModel())

"""Reward models q(x, a), cross-fitted: a customer's rows are predicted by a model that never saw that customer.

So the residual r - q is free of the model's own noise, and DR keeps its unbiasedness whatever the model (Chernozhukov et al.
2018, Econometrics J. 21:C1). `ridge`: one ridge regression per action. `boosting`: gradient-boosted trees on the features
and the action as a category (scikit-learn). `zero`: q = 0, with which DR is IPS.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.errors import OffPolicyError

MODELS = ("ridge", "boosting", "zero")
RIDGE = 10.0  # prior weight of a standardised feature, in rows
FEWEST = 20  # rows of an action below which its mean reward is all that is predicted
TREES: dict[str, Any] = {"max_iter": 100, "learning_rate": 0.1, "max_leaf_nodes": 15, "min_samples_leaf": 50}


def folds_of(customers: int, folds: int, seed: int) -> np.ndarray:
    """Fold (n,) of each customer, of equal sizes."""
    return np.random.default_rng([seed, 1]).permutation(np.arange(customers) % folds)


def cross_fitted(log: LoggedLives, model: str = "ridge", folds: int = 2, seed: int = 0) -> np.ndarray:
    """q (T, A) of every row and action.

    Raises
    ------
    OffPolicyError
        The log has no features, there is no such model, or fewer customers than folds.
    """
    if model not in MODELS:
        raise OffPolicyError(f"model={model} is unknown; choose from {', '.join(MODELS)}")
    actions = log.target.shape[1]
    if model == "zero":
        return np.zeros((len(log), actions))
    if log.features is None:
        raise OffPolicyError(
            "this log has no features, so no reward model can be fitted; add columns feature_*, or use model=zero"
        )
    if log.customers < folds:
        raise OffPolicyError(f"{log.customers} customers cannot be split into {folds} folds; log more customers")
    fold = folds_of(log.customers, folds, seed)[log.customer]
    q = np.empty((len(log), actions))
    for k in range(folds):
        here, there = fold == k, fold != k
        fit = _ridge if model == "ridge" else _boosting
        q[here] = fit(log.features[there], log.action[there], log.reward[there], log.features[here], actions, seed)
    return q


def standardised(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """x in standard deviations of `like`; a constant feature becomes 0."""
    middle, scale = like.mean(0), like.std(0)
    return np.asarray((x - middle) / np.where(scale > 1e-9, scale, np.inf))


def _ridge(
    x: np.ndarray, action: np.ndarray, reward: np.ndarray, new: np.ndarray, actions: int, seed: int
) -> np.ndarray:
    from sklearn.linear_model import Ridge

    q = np.full((len(new), actions), reward.mean() if len(reward) else 0.0)
    known, wanted = standardised(x, x), standardised(new, x)
    for a in range(actions):
        rows = action == a
        if rows.sum() >= FEWEST:
            q[:, a] = Ridge(alpha=RIDGE).fit(known[rows], reward[rows]).predict(wanted)
        elif rows.any():
            q[:, a] = reward[rows].mean()
    return q


def _boosting(
    x: np.ndarray, action: np.ndarray, reward: np.ndarray, new: np.ndarray, actions: int, seed: int
) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    known = np.column_stack([x, action])
    trees = HistGradientBoostingRegressor(
        categorical_features=[x.shape[1]], random_state=seed, early_stopping=False, **TREES
    )
    wanted = np.column_stack([new, np.zeros(len(new))])
    q = np.empty((len(new), actions))
    with threadpool_limits(limits=1):  # OpenMP's threads spin against each other on a busy machine: 20 times slower
        trees.fit(known, reward)
        for a in range(actions):
            wanted[:, -1] = a
            q[:, a] = trees.predict(wanted)
    return q

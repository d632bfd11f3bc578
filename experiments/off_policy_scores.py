"""Estimators scored against the truth, over many logs."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np

from sim.evaluation.estimators import intervals
from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.estimate import CONTEXTUAL, ESTIMATORS, estimators_of
from sim.evaluation.interactions import collect
from sim.evaluation.rollout import value_per_customer
from sim.evaluation.statistics import mean_interval
from sim.shop.scenarios import load_shop
from sim.shop.world import Shop

# contexts must not depend on actions: without recognition the till's record, which actions fill, is never shown
BANDIT = ("env=bandit", "camera.identity=blind")
SCALES = (1 / 16, 1 / 4, 1, 4)  # sizes of a log, in the study's size
TINY = 6  # customers of a tiny log
LARGEST = 60  # logs of the largest size
POOL = 20_000  # logged lives that logs are sampled from
CHUNK = 4096  # lives held at once with all that they saw
TRUTH = 100_000  # lives of the target's own deployment
TEMPERATURE = 0.25  # money; of the target's softmax


@dataclasses.dataclass(frozen=True)
class Score:
    """One estimator at one size: bias, rmse (money per customer), relative error |V_hat - V| / V, coverage by interval."""

    estimator: str
    customers: int
    logs: int
    bias: float
    bias_error: float
    rmse: float
    relative: float
    coverage: dict[str, float]


class Softmax:
    """Target and logging policies of the study: a softmax of a linear estimate of the reward, mixed with uniform choice."""

    propensity_kind = "exact"

    def __init__(self, name: str, weights: np.ndarray, temperature: float, uniform: float):
        self.name, self.weights, self.temperature, self.uniform = name, weights, temperature, uniform

    def act(self, observation: np.ndarray, action_mask: np.ndarray, uniform: np.ndarray) -> Any:
        from types import SimpleNamespace

        score = np.column_stack([np.ones(len(observation)), observation]) @ self.weights / self.temperature
        odds = np.where(action_mask, np.exp(score - score.max(1, keepdims=True)), 0.0)
        p = (1 - self.uniform) * odds / odds.sum(1, keepdims=True) + self.uniform * action_mask / action_mask.sum(
            1, keepdims=True
        )
        cumulative = p.cumsum(1)
        action = (cumulative <= (uniform * cumulative[:, -1])[:, None]).sum(1)
        return SimpleNamespace(action=action, propensity=p[np.arange(len(p)), action], probabilities=p)


def policies(shop: Shop, seed: int) -> tuple[Softmax, Softmax]:
    """(logging, target): uniform for a third of the time and else indifferent; and a softmax of ridge estimates.

    The estimates come from a log of other customers (split "train"), so the study's logs are fresh for them.
    """
    actions = shop.labels + 1
    nothing = np.zeros((shop.observation_size + 1, actions))
    log = collect(Softmax("uniform", nothing, 1.0, 0.0), shop, customers=4000, seed=seed, split="train")
    x = np.column_stack([np.ones(len(log)), log.observation])
    weights = nothing.copy()
    for a in range(actions):
        rows = log.action == a
        weights[:, a] = np.linalg.solve(x[rows].T @ x[rows] + 10 * np.eye(x.shape[1]), x[rows].T @ log.reward[rows])
    return Softmax("logging", weights, 4 * TEMPERATURE, 1 / 3), Softmax("target", weights, TEMPERATURE, 0.0)


def score(
    pool: LoggedLives,
    truth: float,
    customers: int,
    logs: int,
    names: tuple[str, ...],
    seed: int,
    model: str = "ridge",
    resamples: int = 0,
) -> list[Score]:
    """Bias, error and coverage of estimators over `logs` samples of `customers` lives of the pool."""
    errors: dict[str, list[float]] = {name: [] for name in names}
    held: dict[str, dict[str, list[bool]]] = {name: {} for name in names}
    for i in range(logs):
        rng = np.random.default_rng([seed, customers, i])
        log = pool.of(np.sort(rng.choice(pool.customers, customers, replace=False)))
        for each in estimators_of(log, names, model=model, seed=i):
            errors[each.name].append(each.value - truth)
            found = {"student": intervals.student(each), "bernstein": intervals.bernstein(each)}
            if resamples:
                found["bootstrap"] = intervals.bootstrap(each, seed=i, resamples=resamples)
            for method, interval in found.items():
                if interval is not None:
                    held[each.name].setdefault(method, []).append(bool(interval["low"] <= truth <= interval["high"]))
    out = []
    for name in names:
        e = np.array(errors[name])
        out.append(
            Score(
                name,
                customers,
                logs,
                float(e.mean()),
                float(e.std(ddof=1) / np.sqrt(logs)),
                float(np.sqrt(np.square(e).mean())),
                float(np.abs(e).mean() / abs(truth)),
                {m: float(np.mean(h)) for m, h in held[name].items()},
            )  # fmt: skip
        )
    return out


def _pool(logging: Softmax, target: Softmax, shop: Shop, customers: int, seed: int) -> LoggedLives:
    """Logged lives with the target's probabilities; features that never vary (a record that is never shown) are left out."""
    parts: list[LoggedLives] = []
    for first in range(0, customers, CHUNK):
        number = min(CHUNK, customers - first)
        part = collect(logging, shop, customers=number, seed=seed, split="tune", first=first).for_target(target)
        assert part.features is not None
        if not parts:
            varying = part.features.std(0) > 0
        parts.append(dataclasses.replace(part, features=part.features[:, varying]))
    start = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("action", "reward", "propensity", "target", "features")
    }
    return LoggedLives(start=start, **columns)


def world(
    overrides: tuple[str, ...], seed: int, pool: int = POOL, truth: int = TRUTH
) -> tuple[LoggedLives, float, dict[str, Any]]:
    """A pool of logged lives with the target's probabilities, the target's value, and facts about both."""
    shop = load_shop(overrides)
    logging, target = policies(shop, seed)
    log = _pool(logging, target, shop, pool, seed + 1)
    value = value_per_customer(target, shop, customers=truth, seed=seed + 2, split="tune")
    earned = mean_interval(log.total(log.reward))
    w = log.ratio
    facts = {
        "truth": value, "truth_customers": truth, "logged_value": earned["mean"], "pool": pool,
        "opportunities_per_customer": len(log) / pool,
        "largest_ratio": float(w.max()), "mean_ratio": float(w.mean()),
    }  # fmt: skip
    return log, value, facts


def bandit_scores(logs: int, customers: int, seed: int, pool: int = POOL, truth: int = TRUTH) -> dict[str, Any]:
    """The contextual bandit: by size of the log, and tiny logs."""
    log, value, facts = world(BANDIT, seed, pool, truth)
    found: dict[str, Any] = {"facts": facts, "sizes": {}}
    for scale in SCALES:
        n = max(2, round(customers * scale))
        main, number = scale == 1, logs if scale <= 1 else min(logs, LARGEST)
        print(f"{number} logs of {n} customers", file=sys.stderr)
        names = CONTEXTUAL if main else ("ips", "snips", "dm", "dr")
        found["sizes"][n] = score(
            log, value, n, number, names, seed, resamples=400 if main else 0
        )
    found["tiny"] = score(log, value, TINY, logs, CONTEXTUAL, seed)
    return found


def shop_scores(logs: int, customers: int, seed: int) -> dict[str, Any]:
    """The default shop, whole lives."""
    print(f"{logs} logs of {customers} customers of the default shop", file=sys.stderr)
    log, value, facts = world((), seed, pool=10_000, truth=20_000)
    return {"facts": facts, "scores": score(log, value, customers, logs, ESTIMATORS, seed)}


# ---------------------------------------------------------------------- as in Open Bandit Pipeline's example
ARMS, NUMBERS = 30, 5
# kind of log: rounds, reward at most, sharpness of the logging policy (softmax of so many times the mean reward)
PUBLISHED = {"synthetic": (10_000, 1.0, -3.0), "rare": (1000, 0.01, 0.0)}


def published_scores(logs: int, seed: int) -> dict[str, list[Score]]:
    """Data of the kind of Open Bandit Pipeline's examples, five context numbers, 30 actions, Bernoulli rewards.

    `synthetic` as its example of that name: a logistic mean and a logging policy that prefers bad actions.  `rare` as its small
    sample of the Open Bandit Dataset: a click in 200 rounds, uniform logging, few rounds.  The target prefers good actions.
    """
    rng = np.random.default_rng([seed, 3])
    weights, squares = rng.uniform(-1, 1, (2, NUMBERS, ARMS))
    intercept = rng.uniform(-1, 1, ARMS)
    out: dict[str, list[Score]] = {}
    for kind, (n, scale, sharpness) in PUBLISHED.items():
        errors: dict[str, list[float]] = {name: [] for name in CONTEXTUAL}
        relative: dict[str, list[float]] = {name: [] for name in CONTEXTUAL}
        for i in range(logs):
            luck = np.random.default_rng([seed, 4, n, i])
            x, rows = luck.normal(size=(n, NUMBERS)), np.arange(n)
            # a little curvature, which the linear reward model cannot have
            mean = 1 / (1 + np.exp(-(x @ weights + 0.3 * (x**2 - 1) @ squares + intercept)))
            behaviour, target = _softmax(sharpness * mean), 0.8 * _softmax(10 * mean) + 0.2 / ARMS
            action = (behaviour.cumsum(1) <= luck.random(n)[:, None]).sum(1).clip(max=ARMS - 1)
            reward = (luck.random(n) < scale * mean[rows, action]).astype(float)
            log = LoggedLives(np.arange(n + 1), action, reward, behaviour[rows, action], target, features=x)
            truth = float((target * scale * mean).sum(1).mean())
            for each in estimators_of(log, CONTEXTUAL, seed=i):
                errors[each.name].append(each.value - truth)
                relative[each.name].append(abs(each.value - truth) / truth)
        out[kind] = []
        for name in CONTEXTUAL:
            e = np.array(errors[name])
            rmse, error = float(np.sqrt(np.square(e).mean())), float(e.std(ddof=1) / np.sqrt(logs))
            out[kind].append(Score(name, n, logs, float(e.mean()), error, rmse, float(np.mean(relative[name])), {}))
    return out


def _softmax(score: np.ndarray) -> np.ndarray:
    odds = np.exp(score - score.max(1, keepdims=True))
    return np.asarray(odds / odds.sum(1, keepdims=True))

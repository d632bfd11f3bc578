"""Why this label: how much each thing the policy could see spoke for what it did.

Features are grouped as a person would name them; group G of observation x is set to its mean x_bar over the sessions on the
page ("as usual"), and what that changes is the weight of G.

    linear bandit      w_G = sum_{j in G} (theta_a - theta_b)_j (x_j - x_bar_j) / scale     money: for action a, against the
                       best other allowed action b.  Exact: the weights add up to what is not common to all customers.
    every other policy w_G = log p(a | x) - log p(a | x, G as usual)                        nats; occlusion (Zeiler & Fergus
                       2014), probabilities below 1e-3 counted as 1e-3.  Asks only for action probabilities, so it serves PPO
                       and a user's own agent alike; weights need not add up.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sim.replay.relive import Relived
from sim.shop.till import PER_LABEL

FLOOR = 1e-3
_ALONE = {
    "emotion": "the emotion on the face",
    "mask": "a mask",
    "recent_pushes": "pushes in recent days",
    "visits": "visits on record",
    "spent": "money spent so far",
    "valence_history": "mood seen at earlier visits",
    "last_visit": "how recent the last visit is",
    "segment": "guessed price sensitivity",
    "twin_fatigue": "fatigue",
    "twin_mood": "mood",
}
_RECOGNITION = ("face", "known", "similarity")
_OWN = {
    "log_pushes": "earlier pushes of it",
    "click_lift": "earlier clicks on it",
    "log_purchases": "earlier purchases of it",
    "recency": "how lately it was pushed",
    "affinity": "clicks on similar labels",
    "label_valence": "mood when it was pushed before",
}
OTHERS = "the record of other labels"
RECOGNITION = "being recognised"


@dataclasses.dataclass(frozen=True)
class Drivers:
    """The strongest groups of each decision (T, D): index into `names`, weight, and how unusual the feature was (z).

    z is not finite where a group has several features; `method` and `unit` say what a weight is.
    """

    names: tuple[str, ...]
    method: str
    unit: str
    group: np.ndarray
    weight: np.ndarray
    z: np.ndarray


def _groups(layout: dict[str, tuple[int, int]]) -> list[tuple[str, list[str]]]:
    """(name, observation parts) of every group, in the order of the observation."""
    groups: list[tuple[str, list[str]]] = []
    for part in layout:
        if part in _RECOGNITION:
            if part == _RECOGNITION[0]:
                groups.append((RECOGNITION, [p for p in _RECOGNITION if p in layout]))
        else:
            groups.append((_OWN.get(part) or _ALONE.get(part, part.replace("_", " ")), [part]))
    if any(part in layout for part in PER_LABEL):
        groups.append((OTHERS, [part for part in PER_LABEL if part in layout]))
    return groups


def _occlusion(layout: dict[str, tuple[int, int]], action: np.ndarray, size: int) -> tuple[list[str], np.ndarray]:
    """Names (G,) and which entries each group holds for each decision, (G, T, O) bool.

    Per-label parts are those of the pushed label, and the other labels' form one group; where the policy held back, each
    part is taken of all labels.
    """
    groups = _groups(layout)
    inside = np.zeros((len(groups), len(action), size), bool)
    pushed = np.flatnonzero(action > 0)
    for g, (name, parts) in enumerate(groups):
        for part in parts:
            start, stop = layout[part]
            if part not in PER_LABEL:
                inside[g, :, start:stop] = True
            elif name == OTHERS:
                inside[g, pushed, start:stop] = True
                inside[g, pushed, start + action[pushed] - 1] = False
            else:
                inside[g, action == 0, start:stop] = True
                inside[g, pushed, start + action[pushed] - 1] = True
    return [name for name, _ in groups], inside


def explain(
    policy: Any, relived: Relived, action: np.ndarray, layout: dict[str, tuple[int, int]], number: int
) -> Drivers:
    """The `number` strongest drivers of every decision; `action` (T,) as requested."""
    x = relived.observation.astype(np.float64)
    usual, spread = x.mean(0), x.std(0)
    names, inside = _occlusion(layout, action, x.shape[1])
    if _is_linear(policy, x):
        weight = _linear(policy, x, usual, inside, relived.allowed, action)
        method, unit = "linear", "money"
    else:
        weight = _occluded(policy, relived, usual, inside, action)
        method, unit = "occlusion", "nats"
    count = inside.sum(2)
    z = np.where(count == 1, (inside * ((x - usual) / np.where(spread > 0, spread, 1.0))).sum(2), np.nan)
    strongest = np.argsort(-np.abs(weight), axis=0, kind="stable")[:number]  # (D, T)
    take = np.arange(len(action))
    return Drivers(
        tuple(names), method, unit, strongest.T, weight[strongest, take].T.astype(np.float32), z[strongest, take].T
    )


def _is_linear(policy: Any, x: np.ndarray) -> bool:
    """Whether the policy scores actions by weights on the observation itself, and not on features learned from it."""
    if getattr(policy, "weights_", None) is None or not all(
        hasattr(policy, name) for name in ("features", "means", "reward_scale")
    ):
        return False
    features = policy.features(x[:8])
    return features.shape == (len(x[:8]), x.shape[1] + 1) and bool(np.allclose(features[:, 1:], x[:8]))


def _linear(
    policy: Any, x: np.ndarray, usual: np.ndarray, inside: np.ndarray, allowed: np.ndarray, action: np.ndarray
) -> np.ndarray:
    """(G, T) contributions to the lead of the action over the best other allowed one, money."""
    rows = np.arange(len(action))
    score = np.where(allowed, policy.means(policy.features(x)), -np.inf)
    score[rows, action] = -np.inf
    weights = np.asarray(policy.weights_)[:, 1:]
    lead = weights[action] - weights[score.argmax(1)]  # (T, O)
    return np.einsum("gto,to->gt", inside, lead * (x - usual)) / policy.reward_scale


def _occluded(policy: Any, relived: Relived, usual: np.ndarray, inside: np.ndarray, action: np.ndarray) -> np.ndarray:
    """(G, T) log-probability that the action loses when a group is as usual."""
    rows = np.arange(len(action))

    def log_probability(observation: np.ndarray) -> np.ndarray:
        probabilities = policy.action_probabilities(observation, relived.allowed)
        return np.log(np.maximum(probabilities[rows, action], FLOOR))

    whole = log_probability(relived.observation)
    usual = usual.astype(np.float32)
    return np.stack([whole - log_probability(np.where(group, usual, relived.observation)) for group in inside])

"""How a policy over K + 1 actions fills a slate of S slots: one label after the other, without replacement.

    a_1 ~ p(. | observation, mask),   a_s ~ p(. | observation, mask without a_1 .. a_{s-1}),   until it holds back or S are chosen

The policy is asked once per slot, each time with the labels already chosen masked, and its answers are drawn by inverse CDF from
the counter-based uniforms of the slot.  Where masking renormalises (random, PPO, every softmax) this is the Plackett-Luce draw
(Luce 1959; Plackett 1975) from its single-label probabilities; a policy that takes the best label (popularity, a bandit) takes the
next best.  Holding back ends the slate, and the first label is the very one of a single push.  The probability of the ordered
slate is the product of the S answers,

    propensity = prod_s p(a_s | observation, mask without a_1 .. a_{s-1})

A masked label that is asked for all the same is passed on, executes as hold-back, and so ends the slate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Ask = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]


@dataclasses.dataclass(frozen=True)
class SlateDecision:
    """action (n, S), 0 an empty slot; propensity (n,) of the ordered slate as executed; probabilities (n, K + 1) of its first slot."""

    action: np.ndarray
    propensity: np.ndarray
    probabilities: np.ndarray


def executed_probabilities(probabilities: np.ndarray, action_mask: np.ndarray) -> np.ndarray:
    """Probability of every action to be *executed* (N, K + 1): what a policy gives to masked actions is held back."""
    allowed = np.where(action_mask, probabilities, 0.0)
    allowed[:, 0] += np.where(action_mask, 0.0, probabilities).sum(1)
    return allowed


def draw_slates(ask: Ask, action_mask: np.ndarray, uniforms: Sequence[np.ndarray]) -> SlateDecision:
    """Slates of n customers.

    Parameters
    ----------
    ask : (rows, mask, uniform) -> the policy's decision on single labels for `rows` (m,) of the n customers.
    action_mask : (n, K + 1) bool.
    uniforms : S arrays (n,) in (0, 1), one per slot.
    """
    n, actions = action_mask.shape
    action, propensity = np.zeros((n, len(uniforms)), np.int64), np.ones(n)
    probabilities = np.zeros((n, actions))
    open_, rows = action_mask.copy(), np.arange(n)
    for slot, uniform in enumerate(uniforms):
        decision = ask(rows, open_[rows], uniform[rows])
        chances = executed_probabilities(np.asarray(decision.probabilities), open_[rows])
        if slot == 0:
            probabilities = chances
        asked = np.asarray(decision.action, np.int64)
        executed = np.where(open_[rows, asked], asked, 0)
        action[rows, slot] = np.where((action[rows] == asked[:, None]).any(1), 0, asked)
        propensity[rows] *= chances[np.arange(len(rows)), executed]
        rows, chosen = rows[executed > 0], executed[executed > 0]
        open_[rows, chosen] = False
        if not len(rows):
            break
    return SlateDecision(action, propensity, probabilities)

"""Logistic Thompson sampling: will it sell, times what it then brings.

A push mostly earns nothing, now and then a margin, so its reward is modelled in two parts: whether it pays (r > 0), by
logistic regression, and what it brings if it does and if it does not, by means per action,

    E[r | x, a] = L_a + (G_a - L_a) sigma(w_a' x).

The belief about w_a is Gaussian, N(m_a, alpha^2 H_a^-1), by Laplace's approximation, online: every refresh takes the old
belief as its prior,

    m <- argmin_w 1/2 (w - m)' H (w - m) - sum [y log p + (1 - y) log(1 - p)],   p = sigma(w' x)
    H <- H + sum p (1 - p) x x'     at the new m

(Chapelle & Li 2011, NeurIPS, algorithm 3, here with the full instead of a diagonal H; Russo et al. 2018, section 5.1). With
one refresh this is the exact posterior mode. The value of an action rises with its logit, which is normal at every x, so
sampling values needs one normal draw per customer and action. With rewards 0 and 1 this is logistic Thompson sampling as in
the papers (G = 1, L = 0).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import row_blocks
from agents.bandit import Bandit, random_argmax
from agents.ridge import inverse_lower, with_bias
from agents.snapshot import Snapshot

TOLERANCE, ITERATIONS = 1e-9, 100      # of Newton's method; some five iterations are enough


class LogisticTS(Bandit):
    """Disjoint logistic Thompson sampling on the whole observation.

    Parameters
    ----------
    alpha : float >= 0
        Widens (above 1) or narrows the posterior that is sampled.
    ridge : float > 0
        Prior precision of every weight of the logit.
    pooling : float > 0
        Weight, in interactions, of the mean over all actions in the means G_a and L_a of each.
    **bandit
        As `Bandit`. With `explore_at_evaluation` it keeps sampling, with the probabilities of
        `agents.probability_matching`; else it takes the highest value at the posterior mode.

    Attributes
    ----------
    mode_ : ndarray (K + 1, d)
        m of every action; d = D + 1, the leading 1 first.
    precision_ : ndarray (K + 1, d, d)
        H of every action.
    whitener_ : ndarray (K + 1, d, d)
        Inverse Cholesky factor of H.
    tally_ : ndarray (K + 1, 2, 2)
        Per action, for r <= 0 and r > 0: how often, and the sum of the scaled rewards.
    """

    name = "logistic_ts"

    def __init__(self, *, alpha: float = 1.0, ridge: float = 5.0, pooling: float = 10.0, **bandit: Any) -> None:
        super().__init__(**bandit)
        self.alpha = self._at_least("alpha", alpha, 0)
        self.ridge = self._at_least("ridge", ridge, 1e-9)
        self.pooling = self._at_least("pooling", pooling, 1e-9)
        self.mode_: NDArray[np.float64] | None = None

    # ------------------------------------------------------------------ learning
    def start(self) -> None:
        """Forget everything: w ~ N(0, I / ridge)."""
        actions, d = self.num_actions, self.observation_size + 1
        self.mode_, self.precision_ = np.zeros((actions, d)), np.repeat(self.ridge * np.eye(d)[None], actions, axis=0)
        self.whitener_ = np.repeat(np.eye(d)[None] / np.sqrt(self.ridge), actions, axis=0)
        self.tally_ = np.zeros((actions, 2, 2))
        self._queue: list[tuple[NDArray, NDArray, NDArray]] = []
        self._value_ends()

    def update(self, observation: NDArray, action: NDArray[np.integer], reward: NDArray) -> None:
        """Queue N interactions; `refresh` makes them count."""
        self._queue.append((with_bias(observation), np.asarray(action), np.asarray(reward, dtype=np.float64)))

    def refresh(self) -> None:
        """Move the belief of every action with queued interactions to its new mode."""
        mode = self._need("mode_")
        if not self._queue:
            return
        x, action, reward = (np.concatenate(column) for column in zip(*self._queue, strict=True))
        self._queue = []
        paid, which = reward > 0, np.unique(action)
        for side in (0, 1):
            rows = paid == bool(side)
            self.tally_[:, side, 0] += np.bincount(action[rows], minlength=self.num_actions)
            self.tally_[:, side, 1] += np.bincount(action[rows], weights=reward[rows], minlength=self.num_actions)
        for a in which:
            rows = action == a
            mode[a], self.precision_[a] = laplace(x[rows], paid[rows].astype(float), mode[a], self.precision_[a])
        self.whitener_[which] = inverse_lower(np.linalg.cholesky(self.precision_[which]))
        self._value_ends()

    def _value_ends(self) -> None:
        """L and G (K + 1,) of every action: means, drawn towards the mean over all actions (0 and 1 before any)."""
        ends = []
        for side, nothing_seen in ((0, 0.0), (1, 1.0)):
            number, money = self.tally_[:, side].T
            pooled = money.sum() / number.sum() if number.sum() else nothing_seen
            ends.append((self.pooling * pooled + money) / (self.pooling + number))
        self._low, self._high = ends

    # ------------------------------------------------------------------ estimating
    def logits(self, observation: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Posterior mean and standard deviation (alpha 1) of w' x of N customers and all actions, each (N, K + 1)."""
        x, (actions, d) = with_bias(observation), self._need("mode_").shape
        white = row_blocks.multiply(x, self.whitener_.reshape(actions * d, d).T).reshape(len(x), actions, d)
        return row_blocks.multiply(x, self._need("mode_").T), np.sqrt(np.einsum("nad,nad->na", white, white))

    def values(self, logit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected scaled reward (N, K + 1) at these logits."""
        return self._low + (self._high - self._low) * sigmoid(logit)

    def _explore(self, observation: NDArray, allowed: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
        mean, deviation = self.logits(observation)
        value = self.values(mean + self.alpha * deviation * rng.standard_normal(mean.shape))
        return random_argmax(value, allowed, rng.random(allowed.shape))

    def _greedy_scores(self, observation: NDArray) -> NDArray[np.float64]:
        return self.values(row_blocks.multiply(with_bias(observation), self._need("mode_").T))

    def _exploring(self, observation: NDArray, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        from agents.probability_matching import best_probabilities

        mean, deviation = self.logits(observation)
        return best_probabilities(mean, self.alpha * deviation, allowed, self._low, self._high)

    def _learner(self) -> Snapshot:
        return Snapshot(self._state()[0] | {"whitener": self.whitener_}, {})

    def _set_learner(self, arrays: dict[str, NDArray], values: dict[str, Any]) -> None:
        self.mode_, self.precision_, self.tally_ = arrays["mode"], arrays["precision"], arrays["tally"]
        self.whitener_ = arrays["whitener"]
        self._value_ends()

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return {"mode": self._need("mode_"), "precision": self.precision_, "tally": self.tally_}, {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.start()
        self.mode_, self.precision_, self.tally_ = arrays["mode"], arrays["precision"], arrays["tally"]
        self.whitener_ = inverse_lower(np.linalg.cholesky(self.precision_))
        self._value_ends()


def sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-logit)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logit))


def laplace(x: NDArray[np.float64], paid: NDArray[np.float64], mode: NDArray[np.float64],
            precision: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mode (d,) and precision (d, d) of the posterior of a logistic regression, by Newton's method with halved steps.

    Parameters
    ----------
    x : array (N, d)
    paid : array (N,) of 0.0 and 1.0
    mode, precision : arrays (d,), (d, d)
        Of the Gaussian prior.
    """
    def loss(w: NDArray[np.float64]) -> float:
        logit = x @ w
        return float(0.5 * (w - mode) @ precision @ (w - mode) + (np.logaddexp(0.0, logit) - paid * logit).sum())

    w, before = mode.copy(), loss(mode)
    for _ in range(ITERATIONS):
        p = sigmoid(x @ w)
        gradient = precision @ (w - mode) + x.T @ (p - paid)
        step = np.linalg.solve(precision + (x.T * (p * (1 - p))) @ x, gradient)
        size = 1.0
        while (now := loss(w - size * step)) > before + 1e-12 * abs(before) and size > 1e-6:
            size /= 2
        w, before = w - size * step, now
        if np.abs(step).max() < TOLERANCE:
            break
    p = sigmoid(x @ w)
    return w, precision + (x.T * (p * (1 - p))) @ x

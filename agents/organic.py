"""Agents for customers who also browse by themselves: what they view tells what they would click.

    OrganicPopularity   pushes labels in proportion to how often all customers viewed them
    OrganicCount        for each last viewed label, the label with the best click rate in a random log
    Factorisation       a low-rank logistic model from views to clicks

The baselines of RecoGym (Rohde et al. 2018, arXiv 1808.00720): its popularity agent, `bandit_count.py` and, in the place of
`bandit_mf.py`, a factorisation that reads the whole view history instead of the last view alone.  All three learn from a log
of uniformly random pushes (hold-back included), as RecoGym trains its agents offline.  A click is a reward above zero.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents import row_blocks
from agents.base import Agent, Evaluate, Report, one_hot
from agents.checks import check_reward
from agents.errors import AgentConfigError
from agents.torch_threads import torch_threads

_REPORT_EVERY = 16_384      # interactions between two reports


class Moment(NamedTuple):
    """One step of all lanes of a random log."""

    observation: NDArray        # (N, D), before the action
    action: NDArray[np.int64]   # (N,)
    reward: NDArray             # (N,)
    last: NDArray               # (M, D), last observations of the lives that ended here


class RandomLogLearner(Agent):
    """What the three share: a random log of `total_steps` interactions, taken step by step."""

    def _log(self, env: VectorEnv, steps: int | None, report: Report | None) -> Iterator[Moment]:
        self._check_env(env)
        lanes, batches = env.num_envs, -(-self.budget(steps) // env.num_envs)
        rng = np.random.default_rng(self.seed)
        observation, _ = env.reset(seed=self.seed)
        start, reported, money = time.perf_counter(), 0, 0.0
        for batch in range(1, batches + 1):
            allowed = env.action_masks()    # type: ignore[attr-defined]
            action = np.where(allowed, rng.random(allowed.shape), -1.0).argmax(axis=1)
            following, reward, _, _, info = env.step(action)
            check_reward(reward)
            money += float(reward.sum())
            last = info["final_obs"][info["_final_obs"]] if info else observation[:0]
            yield Moment(observation, action, reward, last)
            observation = following
            if batch * lanes - reported >= _REPORT_EVERY or batch == batches:
                reported = batch * lanes
                self._report(report, reported, {
                    "rollout/value_per_step": money / reported,
                    "rollout/fps": reported / max(time.perf_counter() - start, 1e-9)})


class OrganicPopularity(RandomLogLearner):
    """Pushes label k with a probability in proportion to its organic views by all customers of the log.

    Parameters
    ----------
    views : str
        Part of the observation with log(1 + views of the label) / `views_scale`.
    views_scale : float > 0
        A fact of the observation, not a choice.
    greedy : bool
        Push the most viewed label only, with propensity 1.
    **runtime
        As `Agent`.

    Attributes
    ----------
    views_ : ndarray (K,)
        Organic views of each label in the lives that ended in the log.
    """

    name = "organic_popularity"

    def __init__(self, *, views: str = "views", views_scale: float = 3.0, greedy: bool = False,
                 total_steps: int = 512_000, **runtime: Any) -> None:
        super().__init__(total_steps=total_steps, **runtime)
        self.views, self.greedy = views, greedy
        self.views_scale = self._at_least("views_scale", views_scale, 1e-9)
        self._columns = self._per_label(views)
        self.views_: NDArray[np.float64] | None = None

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Count the views of the lives that end within `steps` interactions; pushes do not matter."""
        total = np.ones(self.num_actions - 1)           # one view each to begin with, so that no label is impossible
        for moment in self._log(env, steps, report):
            total += np.expm1(self.views_scale * moment.last[:, self._columns].astype(np.float64).clip(0)).sum(axis=0)
        self.views_ = total

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        weight = np.concatenate([[0.0], self._need("views_")])
        weight = np.where(action_mask, weight, 0.0)
        weight[~action_mask[:, 1:].any(axis=1), 0] = 1.0
        if self.greedy:
            return one_hot(weight.argmax(axis=1), self.num_actions)
        return weight / np.cumsum(weight, axis=1)[:, -1:]

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return {"views": self._need("views_")}, {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.views_ = arrays["views"]


class OrganicCount(RandomLogLearner):
    """Pushes the label that was clicked most often, per push, by customers whose last view was the same.

    The click rate of (last view j, push k) is (clicks + 1) / (pushes + 2), as in RecoGym's `bandit_count`.

    Parameters
    ----------
    last_view : str
        Part of the observation that is 1 for the label viewed last.
    **runtime
        As `Agent`.

    Attributes
    ----------
    pushes_, clicks_ : ndarray (K, K)
        By last view (row) and pushed label (column).
    """

    name = "organic_count"

    def __init__(self, *, last_view: str = "last_view", total_steps: int = 512_000, **runtime: Any) -> None:
        super().__init__(total_steps=total_steps, **runtime)
        self.last_view = last_view
        self._columns = self._per_label(last_view)
        self.clicks_: NDArray[np.float64] | None = None

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Count pushes and clicks of a random log of `steps` interactions."""
        labels = self.num_actions - 1
        pushes, clicks = np.zeros((labels, labels)), np.zeros((labels, labels))
        for moment in self._log(env, steps, report):
            pushed = moment.action > 0
            cell = moment.observation[pushed][:, self._columns].argmax(axis=1) * labels + moment.action[pushed] - 1
            pushes += np.bincount(cell, minlength=labels * labels).reshape(labels, labels)
            clicks += np.bincount(cell, moment.reward[pushed] > 0, labels * labels).reshape(labels, labels)
        self.pushes_, self.clicks_ = pushes, clicks

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        rate = (self._need("clicks_") + 1.0) / (self.pushes_ + 2.0)
        return _best_label(rate[observation[:, self._columns].argmax(axis=1)], action_mask)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return {"clicks": self._need("clicks_"), "pushes": self.pushes_}, {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.clicks_, self.pushes_ = arrays["clicks"], arrays["pushes"]


class Factorisation(RandomLogLearner):
    """Logistic matrix factorisation: views -> latent interest -> click.

        P(click on k) = sigma(b_k + u . v_k),    u = E' x,    x = share of each label in the views

    with E (K, d) and V (K, d) fitted on a random log by Adam, minibatches, cross-entropy and weight decay; then the label
    with the highest click rate is pushed (propensity 1).  Low rank shares what is learned between labels: with a click on one
    push in a hundred, K x K separate rates (`OrganicCount`) learn far slower.

    Parameters
    ----------
    parts : sequence of str
        Parts of the observation with one number per label that make up x.
    dimensions : int >= 1
        d.
    learning_rate, weight_decay : float
        Of Adam.
    batch_size, n_epochs : int >= 1
        Pushes of a minibatch; passes over the log.
    **runtime
        As `Agent`.

    Attributes
    ----------
    embedding_ : ndarray (K for each part, d)
        E.
    label_ : ndarray (K, d)
        V.
    bias_ : ndarray (K,)
        b.
    """

    name = "factorisation"

    def __init__(self, *, parts: Sequence[str] = ("view_share",), dimensions: int = 5,
                 learning_rate: float = 0.02, weight_decay: float = 0.0, batch_size: int = 8192, n_epochs: int = 20,
                 total_steps: int = 512_000, **runtime: Any) -> None:
        super().__init__(total_steps=total_steps, **runtime)
        self.parts = tuple(parts)
        if not self.parts:
            raise AgentConfigError(f"agent {self.name}: parts must name at least one part of the observation.")
        self._columns = [self._per_label(part) for part in self.parts]
        self.dimensions = self._at_least("dimensions", dimensions, 1)
        self.learning_rate = self._at_least("learning_rate", learning_rate, 0)
        self.weight_decay = self._at_least("weight_decay", weight_decay, 0)
        self.batch_size = self._at_least("batch_size", batch_size, 1)
        self.n_epochs = self._at_least("n_epochs", n_epochs, 1)
        self.embedding_: NDArray[np.float64] | None = None

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Fit the factors to a random log of `steps` interactions."""
        x, label, click = [], [], []
        for moment in self._log(env, steps, report):
            pushed = moment.action > 0
            x.append(self._x(moment.observation[pushed]))
            label.append(moment.action[pushed] - 1)
            click.append(moment.reward[pushed] > 0)
        loss = self._fit(np.concatenate(x), np.concatenate(label), np.concatenate(click))
        self._report(report, self.learning_curve[-1][0], {"train/loss": loss})

    def _x(self, observation: NDArray) -> NDArray[np.float32]:
        return np.concatenate([observation[:, columns] for columns in self._columns], axis=1).astype(np.float32)

    def _fit(self, x: NDArray[np.float32], label: NDArray[np.int64], click: NDArray[np.bool_]) -> float:
        """Adam on the cross-entropy; the loss of the last epoch per push."""
        import torch

        rng, labels = np.random.default_rng([self.seed, 1]), self.num_actions - 1
        rate = (click.sum() + 1.0) / (len(click) + 2.0)
        start = (0.1 * rng.standard_normal((x.shape[1], self.dimensions)), 0.1 * rng.standard_normal((labels, self.dimensions)),
                 np.full(labels, np.log(rate / (1.0 - rate))))
        with torch_threads(1):  # small products gain nothing from more
            e, v, b = (torch.tensor(w, dtype=torch.float32, requires_grad=True) for w in start)
            seen, which, target = torch.from_numpy(x), torch.from_numpy(label), torch.from_numpy(click.astype(np.float32))
            adam = torch.optim.Adam([{"params": [e, v], "weight_decay": self.weight_decay}, {"params": [b]}], lr=self.learning_rate)
            total = 0.0
            for _ in range(self.n_epochs):
                total = 0.0
                for rows in torch.from_numpy(rng.permutation(len(click))).split(self.batch_size):
                    chosen = which[rows]
                    logit = b[chosen] + ((seen[rows] @ e) * v[chosen]).sum(dim=1)
                    loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, target[rows])
                    adam.zero_grad()
                    loss.backward()     # type: ignore[no-untyped-call]
                    adam.step()
                    total += float(loss.detach()) * len(rows)
        self.embedding_, self.label_, self.bias_ = (w.detach().numpy().astype(np.float64) for w in (e, v, b))
        return total / max(len(click), 1)

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        weights = self._need("embedding_") @ self.label_.T                              # (X, K)
        return _best_label(row_blocks.multiply(self._x(observation), weights) + self.bias_, action_mask)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return {"embedding": self._need("embedding_"), "label": self.label_, "bias": self.bias_}, {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.embedding_, self.label_, self.bias_ = arrays["embedding"], arrays["label"], arrays["bias"]


def _best_label(score: NDArray[np.float64], action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Probabilities (N, K + 1) of pushing the allowed label of the highest score (N, K); holding back where none is allowed."""
    score = np.where(action_mask[:, 1:], score, -np.inf)
    action = np.where(action_mask[:, 1:].any(axis=1), score.argmax(axis=1) + 1, 0)
    return one_hot(action, action_mask.shape[1])

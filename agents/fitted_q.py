"""Fitted Q iteration: planning from a log alone, the offline RL baseline.

    Q_0 = 0,   Q_{k+1} = argmin_Q sum_t (Q(x_t, a_t) - r_t - gamma Q_k(x_{t+1}, a*))^2,   a* = argmax over allowed actions

(Ernst, Geurts & Wehenkel 2005, JMLR 6:503; with a neural network Riedmiller 2005, ECML); after the last opportunity of a life
nothing follows. Iteration k looks k opportunities ahead. The maximum over noisy estimates is too high, and offline nobody
tries out what was overrated, so two networks are fitted to different minibatches: the mean of both chooses a*, the lower of
both is believed (clipped double Q: Fujimoto, van Hoof & Meger 2018, ICML, arXiv:1802.09477).

With an environment it first logs the random policy, then learns from that log: what a shop could do that has never pushed
with a plan.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents import row_blocks
from agents.bandit import greedy
from agents.base import Agent, Evaluate, Report
from agents.checks import check_reward
from agents.errors import AgentConfigError, DivergedError
from agents.feature_network import FeatureNetwork
from agents.logged import InteractionLog, check_log
from agents.snapshot import Snapshot, generator_from, generator_state

NETWORKS = 2
CHUNK = 16_384          # interactions whose values are computed at once


class Transitions(NamedTuple):
    """T interactions; `following` (T,) is the row of the next one of the same customer, -1 at the end of a life."""

    observation: NDArray[np.float32]
    action_mask: NDArray[np.bool_]
    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    following: NDArray[np.int64]


class FittedQ(Agent):
    """Fitted Q iteration on logged lives.

    Parameters
    ----------
    gamma : float in [0, 1]
        Discount per opportunity.
    iterations : int >= 1
        Opportunities looked ahead.
    updates : int >= 1
        Minibatches of each network in each iteration.
    batch_size : int >= 1
    learning_rate : float > 0
        Of Adam, restarted in each iteration.
    net_arch : sequence of int
        ReLU units of each hidden layer.
    reward_scale : float > 0
        Reward units per money.
    epsilon : float in [0, 1]
        Share of decisions taken uniformly over the allowed actions when acting; above 0 its log is fit for off-policy use.
    torch_threads : int >= 1
        Threads of torch while fitting; restored afterwards.
    total_steps, num_envs : int
        Interactions of the random log, and lanes of the environment that it is made in.
    **runtime
        As `Agent`.

    Attributes
    ----------
    networks_ : list of FeatureNetwork
    """

    name = "fitted_q"

    def __init__(self, *, gamma: float = 0.97, iterations: int = 10, updates: int = 200, batch_size: int = 512,
                 learning_rate: float = 1e-3, net_arch: Sequence[int] = (64, 64), reward_scale: float = 0.2, epsilon: float = 0.0,
                 torch_threads: int = 1, total_steps: int = 262_144, num_envs: int = 512, **runtime: Any) -> None:
        super().__init__(total_steps=total_steps, num_envs=num_envs, **runtime)
        for setting, value in (("gamma", gamma), ("epsilon", epsilon)):
            if not 0 <= value <= 1:
                raise AgentConfigError(f"agent {self.name}: {setting} must lie in [0, 1], got {value}.")
        self.gamma, self.epsilon = gamma, epsilon
        self.iterations = self._at_least("iterations", iterations, 1)
        self.updates = self._at_least("updates", updates, 1)
        self.batch_size = self._at_least("batch_size", batch_size, 1)
        self.learning_rate = self._at_least("learning_rate", learning_rate, 1e-9)
        self.net_arch = tuple(int(units) for units in net_arch)
        if not self.net_arch or min(self.net_arch) < 1:
            raise AgentConfigError(f"agent {self.name}: net_arch must list at least one layer of at least one unit, "
                                   f"got {list(self.net_arch)}.")
        self.reward_scale = self._at_least("reward_scale", reward_scale, 1e-9)
        self.torch_threads = self._at_least("torch_threads", torch_threads, 1)
        self.networks_: list[FeatureNetwork] | None = None
        self._log: InteractionLog | None = None

    # ------------------------------------------------------------------ learning
    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Log `steps` interactions of the random policy, then fit to them (and to the log of `warm_start`)."""
        self._check_env(env)
        logged = self._random_log(env, self.budget(steps))
        if self._log is not None:
            logged = _joined(transitions(self._log), logged)
        self._iterate(logged, self.budget(steps), report)

    def learn_from_log(self, log: InteractionLog, *, evaluate: Evaluate | None = None, report: Report | None = None) -> None:
        """Fit to the log."""
        check_log(self.name, log, self.observation_size, self.num_actions)
        self._iterate(transitions(log), len(log.action), report)

    def warm_start(self, log: InteractionLog) -> None:
        """Let every `learn` to come fit to this log too; the log itself is not saved."""
        check_log(self.name, log, self.observation_size, self.num_actions)
        self._log = log

    def _random_log(self, env: VectorEnv, steps: int) -> Transitions:
        """Interactions of uniformly random actions; each lane's last one is dropped, since what followed is not known."""
        rng, lanes = np.random.default_rng([self.seed, 1]), env.num_envs
        batches = max(-(-steps // lanes), 1) + 1
        columns: list[tuple[NDArray, ...]] = []
        observation, _ = env.reset(seed=self.seed)
        for _ in range(batches):
            allowed = env.action_masks()        # type: ignore[attr-defined]
            action = np.where(allowed, rng.random(allowed.shape), -1.0).argmax(axis=1)
            following, reward, terminated, truncated, _ = env.step(action)
            check_reward(reward)
            columns.append((np.asarray(observation, np.float32), allowed, action, reward.astype(np.float32), terminated | truncated))
            observation = following
        seen, mask, action, reward, ended = (np.concatenate(column) for column in zip(*columns, strict=True))
        after = np.where(ended, -1, np.arange(len(action)) + lanes)
        # rows of the last batch stay as what follows, and are no targets themselves: their own reward is dropped
        return Transitions(seen, mask, action, np.where(np.arange(len(action)) < len(action) - lanes, reward, np.nan), after)

    def _iterate(self, logged: Transitions, steps: int, report: Report | None) -> None:
        rngs = [np.random.default_rng([self.seed, 2, i]) for i in range(NETWORKS)]
        sizes = (self.observation_size, *self.net_arch)
        networks = [FeatureNetwork(sizes, self.num_actions, rng) for rng in rngs]
        first, kept = 0, self._kept()       # the log is not kept: it is a function of the seed, and made in seconds
        if kept is not None:
            first, rngs = kept.values["iteration"], [generator_from(state) for state in kept.values["generators"]]
            self._set_state(kept.arrays, {})
            networks = self._need("networks_")

        def take() -> Snapshot:
            return Snapshot(self._state()[0], {"iteration": k + 1, "generators": [generator_state(rng) for rng in rngs]})

        rows = np.flatnonzero(np.isfinite(logged.reward))
        reward = self.reward_scale * logged.reward[rows]
        observation, action = logged.observation[rows], logged.action[rows]
        later = logged.following[rows]
        ahead = np.flatnonzero(later >= 0)
        next_observation, next_mask = logged.observation[later[ahead]], logged.action_mask[later[ahead]]
        clock = time.perf_counter()
        for k in range(first, self.iterations):
            target = reward.copy()
            if k:
                target[ahead] += np.float32(self.gamma) * _believed(networks, next_observation, next_mask)
            loss = 0.0
            for network, rng in zip(networks, rngs, strict=True):
                loss = network.fit(observation, action, target, rng, updates=self.updates, batch_size=self.batch_size,
                                   learning_rate=self.learning_rate, threads=self.torch_threads)
                if not np.isfinite(loss):
                    raise DivergedError(f"agent {self.name}: the network's loss is {loss} in iteration {k + 1}; lower "
                                        f"learning_rate ({self.learning_rate}) or gamma ({self.gamma}).")
            self.networks_ = networks
            done = steps * (k + 1) // self.iterations
            self._report(report, done, {"train/loss": loss, "train/value": float(target.mean()) / self.reward_scale,
                                        "rollout/value_per_step": float(reward.mean()) / self.reward_scale,
                                        "rollout/fps": done / max(time.perf_counter() - clock, 1e-9)})
            self._offer(take)

    # ------------------------------------------------------------------ acting
    def values(self, observation: NDArray) -> NDArray[np.float64]:
        """Money (N, K + 1) to be earned from here on by each action and the best ones after it."""
        return np.mean([_q(network, observation) for network in self._need("networks_")], axis=0) / self.reward_scale

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        best = greedy(self.values(observation), action_mask)
        if self.epsilon == 0:
            return best
        return (1 - self.epsilon) * best + self.epsilon * (action_mask / action_mask.sum(axis=1, keepdims=True))

    # ------------------------------------------------------------------ saving
    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        networks = self._need("networks_")
        return {f"network_{i}_{j}": array for i, network in enumerate(networks) for j, array in enumerate(network.arrays)}, {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.networks_ = []
        for i in range(NETWORKS):
            network = FeatureNetwork((self.observation_size, *self.net_arch), self.num_actions, np.random.default_rng(0))
            network.arrays = [arrays[f"network_{i}_{j}"] for j in range(len(network.arrays))]
            self.networks_.append(network)


def transitions(log: InteractionLog) -> Transitions:
    """A log's rows with what follows each."""
    following = np.arange(1, len(log.action) + 1)
    following[np.asarray(log.start)[1:] - 1] = -1
    return Transitions(np.asarray(log.observation, np.float32), log.action_mask, log.action, log.reward.astype(np.float32), following)


def _joined(a: Transitions, b: Transitions) -> Transitions:
    shifted = b._replace(following=np.where(b.following >= 0, b.following + len(a.action), -1))
    pairs: Iterable[tuple[NDArray, NDArray]] = zip(a, shifted, strict=True)
    return Transitions(*map(np.concatenate, pairs))


def _q(network: FeatureNetwork, observation: NDArray) -> NDArray[np.float64]:
    """(N, D) -> (N, K + 1), in scaled reward."""
    hidden = network.features(observation)[:, 1:]
    return row_blocks.multiply(hidden, network.arrays[-2].astype(np.float64)) + network.arrays[-1]


def _believed(networks: Sequence[FeatureNetwork], observation: NDArray, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N,) the lower of both networks' values of the action that their mean likes best."""
    out = np.empty(len(observation), np.float32)
    for first in range(0, len(observation), CHUNK):
        rows = slice(first, first + CHUNK)
        q = np.stack([_q(network, observation[rows]) for network in networks])
        best = np.where(mask[rows], q.mean(axis=0), -np.inf).argmax(axis=1)
        out[rows] = q[:, np.arange(len(best)), best].min(axis=0)
    return out

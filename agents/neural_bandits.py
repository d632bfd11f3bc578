"""Neural-linear bandit: features learned by a network, uncertainty by Bayesian regression on top of them.

    z = last hidden layer of the network at x (`agents.feature_network`), with a leading 1
    reward of action a at z ~ N(theta_a' z, sigma_a^2),   theta_a, sigma_a^2 ~ normal-inverse-gamma

(Riquelme, Tucker & Snoek 2018, ICLR, arXiv:1802.09127, section 4: the method that did well throughout). The regressions
learn from every batch; the network is fitted to the remembered interactions every `train_every` batches, and then the
regressions are computed anew on the new features. What is sampled is the score N(theta_a' z, alpha^2 s_a^2 z' A_a^-1 z)
with s_a^2 = E[sigma_a^2] = beta_a / (shape_a - 1) in the place of a draw of sigma_a^2: after some hundred uses of an action
the difference (Student instead of normal) is nil.

    shape_a = shape + n_a / 2,     beta_a = beta + (sum r^2 - theta_a' b_a) / 2,   beta = shape - 1: prior variance 1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.bandit import random_argmax
from agents.errors import AgentConfigError, DivergedError
from agents.feature_network import FeatureNetwork
from agents.ridge import RidgeBandit
from agents.snapshot import Snapshot, generator_from, generator_state

PRIOR_SHAPE = 6.0       # of the inverse gamma, as in the paper's experiments
_MEMORY = ("observation", "action", "reward")
CHUNK = 16_384          # interactions whose features are computed at once


class NeuralLinear(RidgeBandit):
    """Thompson sampling on learned features.

    Parameters
    ----------
    alpha : float >= 0
        Widens (above 1) or narrows the posterior that is sampled.
    net_arch : sequence of int
        ReLU units of each hidden layer; the last one gives the features.
    learning_rate : float > 0
        Of Adam.
    train_every : int >= 1
        Batches between two fits of the network.
    train_updates : int >= 1
        Minibatches of each fit.
    batch_size : int >= 1
        Interactions of a minibatch.
    memory : int >= 1
        Interactions remembered, the latest ones; older ones leave the regressions at the next fit.
    torch_threads : int >= 1
        Threads of torch while fitting; restored afterwards.
    **ridge_bandit
        As `RidgeBandit`, with x the learned features. With `explore_at_evaluation` it keeps sampling, with the
        probabilities of `agents.probability_matching`; else it takes the highest posterior mean.

    Attributes
    ----------
    network_ : FeatureNetwork
    square_ : ndarray (K + 1,)
        Sum of the squared scaled rewards of every action.
    """

    name = "neural_linear"

    def __init__(self, *, alpha: float = 0.3, net_arch: Sequence[int] = (64, 64), learning_rate: float = 1e-3,
                 train_every: int = 50, train_updates: int = 200, batch_size: int = 512, memory: int = 262_144,
                 torch_threads: int = 1, **ridge_bandit: Any) -> None:
        super().__init__(**ridge_bandit)
        self.alpha = self._at_least("alpha", alpha, 0)
        self.net_arch = tuple(int(units) for units in net_arch)
        if not self.net_arch or min(self.net_arch) < 1:
            raise AgentConfigError(f"agent {self.name}: net_arch must list at least one layer of at least one unit, "
                                   f"got {list(self.net_arch)}.")
        self.learning_rate = self._at_least("learning_rate", learning_rate, 1e-9)
        self.train_every = self._at_least("train_every", train_every, 1)
        self.train_updates = self._at_least("train_updates", train_updates, 1)
        self.batch_size = self._at_least("batch_size", batch_size, 1)
        self.memory = self._at_least("memory", memory, 1)
        self.torch_threads = self._at_least("torch_threads", torch_threads, 1)
        self.network_: FeatureNetwork | None = None

    @property
    def feature_size(self) -> int:
        """d, units of the last layer and the leading 1."""
        return self.net_arch[-1] + 1

    def features(self, observation: NDArray) -> NDArray[np.float64]:
        """Learned features of N customers, (N, d)."""
        return self._need("network_").features(observation)

    # ------------------------------------------------------------------ learning
    def start(self) -> None:
        """Forget everything; the network starts from the agent's seed."""
        self._rng = np.random.default_rng([self.seed, 1])      # not the generator that explores
        self.network_ = FeatureNetwork((self.observation_size, *self.net_arch), self.num_actions, self._rng)
        self.square_ = np.zeros(self.num_actions)
        self._seen = self._batches = 0
        self._memory: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]] | None = None
        super().start()

    def update(self, observation: NDArray, action: NDArray[np.integer], reward: NDArray) -> None:
        """Remember N interactions and add them to the regressions on the present features."""
        super().update(observation, action, reward)
        self.square_ += np.bincount(action, weights=np.square(reward), minlength=self.num_actions)
        self._remember(observation, action, reward)

    def absorb(self, observation: NDArray, action: NDArray[np.integer], reward: NDArray) -> None:
        """`update` and `refresh` in one."""
        self.update(observation, action, reward)
        self.refresh()

    def refresh(self) -> None:
        """Solve for weights and widths; first fit the network, when `train_every` batches have come since the last fit."""
        if self._batches >= self.train_every:
            self._fit_network()
        super().refresh()

    def _remember(self, observation: NDArray, action: NDArray[np.integer], reward: NDArray) -> None:
        if self._memory is None:
            self._memory = self._empty_memory()
        where = (self._seen + np.arange(len(action))) % self.memory         # the latest ones win
        self._memory[0][where], self._memory[1][where], self._memory[2][where] = observation, action, reward
        self._seen += len(action)
        self._batches += 1

    def _empty_memory(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        return (np.empty((self.memory, self.observation_size), np.float32),
                np.empty(self.memory, np.int64), np.empty(self.memory, np.float32))

    def _fit_network(self) -> None:
        """Fit the network to what is remembered, and compute the regressions anew on the new features."""
        assert self._memory is not None
        kept = slice(min(self._seen, self.memory))
        observation, action, reward = self._memory[0][kept], self._memory[1][kept], self._memory[2][kept]
        loss = self._need("network_").fit(observation, action, reward, self._rng, updates=self.train_updates,
                                 batch_size=self.batch_size, learning_rate=self.learning_rate, threads=self.torch_threads)
        if not np.isfinite(loss):
            raise DivergedError(f"agent {self.name}: the network's loss is {loss}; lower learning_rate ({self.learning_rate}).")
        self._batches = 0
        self.gram_[:], self.moment_[:], self.count_[:] = self.ridge * np.eye(self.feature_size), 0.0, 0
        self.square_[:] = 0.0
        for first in range(0, len(action), CHUNK):
            rows = slice(first, first + CHUNK)
            super().update(observation[rows], action[rows], reward[rows].astype(np.float64))
            self.square_ += np.bincount(action[rows], weights=np.square(reward[rows], dtype=np.float64),
                                        minlength=self.num_actions)
        self._pending[:] = self._updated = True     # those that nobody remembers using too

    # ------------------------------------------------------------------ estimating
    def noise(self) -> NDArray[np.float64]:
        """s_a (K + 1,), the root of the expected noise variance of every action, in scaled reward."""
        explained = np.einsum("ad,ad->a", self._need("weights_"), self.moment_)
        beta = (PRIOR_SHAPE - 1) + 0.5 * np.maximum(self.square_ - explained, 0.0)
        return np.sqrt(beta / (PRIOR_SHAPE + 0.5 * self.count_ - 1))

    def draw(self, observation: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
        """One sampled score per customer and action, (N, K + 1), in scaled reward."""
        mean, width = self.mean_and_width(observation)
        return mean + self.alpha * self._noise * width * rng.standard_normal(mean.shape)

    def _explore(self, observation: NDArray, allowed: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
        return random_argmax(self.draw(observation, rng), allowed, rng.random(allowed.shape))

    def _exploring(self, observation: NDArray, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        from agents.probability_matching import best_probabilities

        x = self.features(observation)
        return best_probabilities(self.means(x), self.alpha * self._noise * self.widths(x), allowed)

    def _factor(self, stale: NDArray[np.bool_]) -> None:
        super()._factor(stale)
        self._noise = self.noise()          # belongs to the weights: as of the last refresh

    def _learner(self) -> Snapshot:
        arrays, values = super()._learner()
        arrays |= {f"network_{i}": array for i, array in enumerate(self._need("network_").arrays)}
        arrays |= {"square": self.square_, "noise": self._noise}
        if self._memory is not None:
            kept = slice(min(self._seen, self.memory))
            columns: tuple[NDArray, ...] = self._memory
            arrays |= {f"memory_{name}": array[kept] for name, array in zip(_MEMORY, columns, strict=True)}
        return Snapshot(arrays, values | {"seen": self._seen, "batches": self._batches, "fitting": generator_state(self._rng)})

    def _set_learner(self, arrays: dict[str, NDArray], values: dict[str, Any]) -> None:
        super()._set_learner(arrays, values)
        self._need("network_").arrays = [arrays[f"network_{i}"] for i in range(2 * len(self.net_arch) + 2)]
        self.square_, self._noise = arrays["square"], arrays["noise"]
        self._rng = generator_from(values["fitting"])
        if "memory_action" in arrays:
            self._memory = self._empty_memory()
            columns: tuple[NDArray, ...] = self._memory
            for name, array in zip(_MEMORY, columns, strict=True):
                array[:len(arrays[f"memory_{name}"])] = arrays[f"memory_{name}"]
        self._seen, self._batches = values["seen"], values["batches"]

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays, state = super()._state()
        network = {f"network_{i}": array for i, array in enumerate(self._need("network_").arrays)}
        return arrays | network | {"square": self.square_, "noise": self._noise}, state

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        super()._set_state(arrays, state)
        self._need("network_").arrays = [arrays[f"network_{i}"] for i in range(2 * len(self.net_arch) + 2)]
        self.square_, self._noise = arrays["square"], arrays["noise"]

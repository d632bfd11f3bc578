"""Deep Q-learning: learn what every action is worth for the rest of the life, and take the best.

    Q(s, a) <- r + gamma max_a' Q'(s', a')      over allowed actions, from a memory of past interactions

(Mnih et al. 2015, Nature 518:529) in the double form and with masks (`masked_q_network`). When evaluated it is epsilon-greedy,

    P(a | s) = (1 - epsilon) 1[a = argmax_b Q(s, b)] + epsilon / (number of allowed actions)

with `evaluation_epsilon`, so its propensities are exact and, unless epsilon is 0, every allowed action has one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.bandit import greedy
from agents.sb3_agent import SB3Agent, actor_of


class DQNAgent(SB3Agent):
    """Double DQN of Stable-Baselines3 with masks.

    Parameters
    ----------
    buffer_size : int
        Transitions remembered.
    learning_starts : int
        Interactions before the first update.
    batch_size : int
        Transitions of one update.
    gradient_steps : int
        Updates after every step of all lanes.
    n_steps : int
        Rewards summed before the bootstrap (Sutton 1988); actions among them are not corrected for.
    target_update_interval : int
        Interactions between two copies of the network to the slow one.
    exploration_fraction : float in [0, 1]
        Share of the budget during which epsilon falls from 1 to `exploration_final_eps`.
    exploration_final_eps, evaluation_epsilon : float in [0, 1]
        Share of decisions taken at random, at the end of learning and afterwards.
    **sb3_agent
        As `SB3Agent`; `deterministic` is an `evaluation_epsilon` of 0.
    """

    name = "dqn"

    def __init__(self, *, buffer_size: int = 200_000, learning_starts: int = 10_000, batch_size: int = 512,
                 gradient_steps: int = 2, n_steps: int = 1, target_update_interval: int = 5_000,
                 exploration_fraction: float = 0.3, exploration_final_eps: float = 0.05,
                 evaluation_epsilon: float = 0.02, **sb3_agent: Any) -> None:
        super().__init__(**sb3_agent)
        self.buffer_size = self._at_least("buffer_size", buffer_size, 1)
        self.learning_starts = self._at_least("learning_starts", learning_starts, 0)
        self.batch_size = self._at_least("batch_size", batch_size, 1)
        self.gradient_steps = self._at_least("gradient_steps", gradient_steps, 1)
        self.n_steps = self._at_least("n_steps", n_steps, 1)
        self.target_update_interval = self._at_least("target_update_interval", target_update_interval, 1)
        self.exploration_fraction = self._fraction("exploration_fraction", exploration_fraction)
        self.exploration_final_eps = self._fraction("exploration_final_eps", exploration_final_eps)
        self.evaluation_epsilon = self._fraction("evaluation_epsilon", evaluation_epsilon)

    def _model(self, lanes: Any) -> Any:
        from torch import nn

        from agents.masked_q_network import MaskedDQN, MaskedDQNPolicy

        return MaskedDQN(
            MaskedDQNPolicy, lanes, buffer_size=max(self.buffer_size, lanes.num_envs),
            learning_starts=self.learning_starts, batch_size=self.batch_size, train_freq=1,
            gradient_steps=self.gradient_steps, n_steps=self.n_steps,
            target_update_interval=max(self.target_update_interval, lanes.num_envs),
            exploration_fraction=max(self.exploration_fraction, 1e-9), exploration_final_eps=self.exploration_final_eps,
            policy_kwargs={"net_arch": list(self.net_arch), "activation_fn": nn.Tanh}, **self._common())

    def _network(self, model: Any) -> Any:
        return actor_of(model.q_net.q_net)

    def action_values(self, observation: NDArray) -> NDArray[np.float64]:
        """Discounted scaled reward of every action for the rest of the life, (N, D) -> (N, K + 1), masks ignored."""
        return self._need("actor_").output(observation)

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        best = greedy(self.action_values(observation), action_mask)
        epsilon = 0.0 if self.deterministic else self.evaluation_epsilon
        return (1 - epsilon) * best + epsilon * (action_mask / action_mask.sum(axis=1, keepdims=True))

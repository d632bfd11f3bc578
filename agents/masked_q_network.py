"""SB3's DQN with action masks, where it acts, where it explores, and in its targets.

The observation carries the mask in its last K + 1 numbers (see `SB3VecEnv`). Masked values are -1e8, so no maximum ever
takes one, neither of a policy nor of a target. Targets are those of double DQN (van Hasselt, Guez & Silver 2016, AAAI,
arXiv:1509.06461): the learning network chooses the next action, the slow copy says what it is worth,

    y = r + gamma Q'(s', argmax_a Q(s', a)),

since with purchases as noisy as these the plain maximum of K + 1 noisy values overrates them all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.masked_policy import MASKED_LOGIT, WithoutMask
from agents.sb3 import DQN, DQNPolicy, QNetwork


class MaskedQNetwork(QNetwork):
    """Action values (N, K + 1) of observations with their masks; those of masked actions are -1e8.

    Attributes
    ----------
    chooser : tuple of MaskedQNetwork
        Where there is one, only the action that it would take keeps its value: the target of double DQN.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.chooser: tuple[MaskedQNetwork, ...] = ()       # a tuple, so that torch does not take it for a part of this one

    def forward(self, obs: Tensor | dict[str, Tensor]) -> Tensor:
        """(N, D + K + 1) -> (N, K + 1)."""
        assert isinstance(obs, Tensor)      # of a Box
        allowed = obs[:, self.features_dim:] > 0.5
        for network in self.chooser:
            best = network(obs).argmax(dim=1, keepdim=True)
            allowed = torch.zeros_like(allowed).scatter_(1, best, True)
        return torch.where(allowed, super().forward(obs), MASKED_LOGIT)


class MaskedDQNPolicy(DQNPolicy):
    """SB3's policy around two such networks."""

    q_net: MaskedQNetwork
    q_net_target: MaskedQNetwork

    def __init__(self, observation_space: Any, action_space: Any, lr_schedule: Any, **settings: Any) -> None:
        settings["features_extractor_class"] = WithoutMask
        settings["features_extractor_kwargs"] = {"num_actions": int(action_space.n)}
        super().__init__(observation_space, action_space, lr_schedule, **settings)
        self.q_net_target.chooser = (self.q_net,)

    def make_q_net(self) -> MaskedQNetwork:
        """One network."""
        return MaskedQNetwork(**self._update_features_extractor(self.net_args, features_extractor=None)).to(self.device)


class MaskedDQN(DQN):
    """SB3's DQN that explores lane by lane among allowed actions, with a generator of its own."""

    action_space: spaces.Discrete       # the only kind that DQN takes

    def __init__(self, *arguments: Any, seed: int, **settings: Any) -> None:
        self.explorer = np.random.default_rng(seed)
        super().__init__(*arguments, **settings | {"seed": seed})

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        """Actions (N,): the best allowed one, or with probability `exploration_rate` any allowed one."""
        best, _ = self.policy.predict(observation, deterministic=True)
        if deterministic:
            return best, state
        allowed = observation[:, -self.action_space.n:] > 0.5
        anything = np.where(allowed, self.explorer.random(allowed.shape), -1.0).argmax(axis=1)
        return np.where(self.explorer.random(len(best)) < self.exploration_rate, anything, best), state

    def _sample_action(self, learning_starts: int, action_noise: Any = None, n_envs: int = 1) -> tuple[Any, Any]:
        return super()._sample_action(0, action_noise, n_envs)      # its own warm-up would not know the masks

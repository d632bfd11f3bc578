"""SB3's actor-critic policy with action masks: what our own PPO is held against, for the unchanged PPO of SB3.

The observation carries the mask in its last K + 1 numbers (see `SB3VecEnv`). It is taken off before the networks, and
masked logits are replaced by -1e8 wherever a distribution is formed, in rollouts and in updates alike (invalid action
masking: Huang & Ontanon 2022, FLAIRS, arXiv:2006.14171):

    l~_a = l_a where allowed, -1e8 elsewhere;   pi(a) = softmax(l~)_a

exp(-1e8 - max) is exactly 0 in float32, so a masked action has probability 0, adds nothing to the entropy, and gets
no gradient. Actions are drawn by inverse CDF: where the cumulative sum first exceeds u times its total, u < 1, the
probability is positive, whatever the rounding (torch.multinomial does not promise that).
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agents.sb3 import ActorCriticPolicy, BaseFeaturesExtractor, Distribution

MASKED_LOGIT = -1e8


class WithoutMask(BaseFeaturesExtractor):
    """Drops the last `num_actions` numbers: (N, D + K + 1) -> (N, D)."""

    def __init__(self, observation_space: spaces.Box, num_actions: int) -> None:
        super().__init__(observation_space, features_dim=observation_space.shape[0] - num_actions)

    def forward(self, observations: Tensor) -> Tensor:
        """Features (N, D)."""
        return observations[:, :self.features_dim]


class MaskedActorCriticPolicy(ActorCriticPolicy):
    """Actor and critic (separate networks) over D features, with the action mask taken from the observation.

    Parameters
    ----------
    observation_space : Box (D + K + 1,)
    action_space : Discrete(K + 1)
    lr_schedule : callable
    **kwargs
        As SB3's `ActorCriticPolicy`.
    """

    def __init__(self, observation_space: spaces.Box, action_space: spaces.Discrete, lr_schedule: Any,
                 **kwargs: Any) -> None:
        kwargs["features_extractor_class"] = WithoutMask
        kwargs["features_extractor_kwargs"] = {"num_actions": int(action_space.n)}
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (N,) int64, values (N, 1), log-probabilities (N,)."""
        values, log_probabilities = self._evaluate(obs)
        if deterministic:
            actions = log_probabilities.argmax(dim=1)
        else:
            actions = _inverse_cdf(log_probabilities.exp())
        return actions, values, log_probabilities.gather(1, actions[:, None]).squeeze(1)

    def evaluate_actions(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Values (N, 1), log-probabilities of the actions (N,), entropies (N,) [nats]."""
        values, log_probabilities = self._evaluate(obs)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1)
        return values, log_probabilities.gather(1, actions.reshape(-1, 1)).squeeze(1), entropy

    def get_distribution(self, obs: Tensor) -> Distribution:  # type: ignore[override]
        """The masked distribution as SB3's own class."""
        latent = self.mlp_extractor.forward_actor(self.features_extractor(obs))
        return self.action_dist.proba_distribution(action_logits=self._masked_logits(latent, obs))

    def _evaluate(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        latent_actor, latent_critic = self.mlp_extractor(self.features_extractor(obs))
        log_probabilities = torch.log_softmax(self._masked_logits(latent_actor, obs), dim=1)
        return self.value_net(latent_critic), log_probabilities

    def _masked_logits(self, latent: Tensor, obs: Tensor) -> Tensor:
        return torch.where(obs[:, self.features_extractor.features_dim:] > 0.5, self.action_net(latent), MASKED_LOGIT)


def _inverse_cdf(probabilities: Tensor) -> Tensor:
    """One action per row of (N, K + 1), with uniforms from torch's generator."""
    cumulative = probabilities.cumsum(dim=1)
    threshold = torch.rand(len(probabilities), 1) * cumulative[:, -1:]
    return (cumulative <= threshold).sum(dim=1)

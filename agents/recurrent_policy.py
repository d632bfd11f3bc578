"""sb3-contrib's recurrent policy with action masks, and with a memory that ends where a visit does.

The observation carries, behind its own D numbers, the action mask and what `agents.memory` calls (begins, own). The LSTM has
two states, that of the visit and that on file, which sb3-contrib keeps, stores and hands back as if they were two layers; so
its rollouts, its buffer of sequences and its update are used unchanged, and gradients flow through the file from one visit of a
recognised customer to the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.masked_policy import MASKED_LOGIT
from agents.sb3 import BaseFeaturesExtractor, Distribution, RecurrentActorCriticPolicy
from agents.sb3_vec_env import SB3VecEnv

FLAGS = 2


class VisitVecEnv(SB3VecEnv):
    """`SB3VecEnv` with (begins, own) behind the mask: (N, D + K + 1 + 2).

    Parameters
    ----------
    heed : callable
        What the agent makes of `env.visits()` (N, 2).
    """

    env: Any        # a `VectorEnv` that has `visits` too

    def __init__(self, env: Any, reward_scale: float, heed: Any) -> None:
        super().__init__(env, reward_scale, append_mask=True)
        self._heed = heed
        assert isinstance(self.observation_space, spaces.Box)       # the base class has checked it
        low, high = self.observation_space.low, self.observation_space.high
        self.observation_space = spaces.Box(np.append(low, [0.0] * FLAGS).astype(np.float32),
                                            np.append(high, [1.0] * FLAGS).astype(np.float32), dtype=np.float32)

    def _joined(self, observation: Any) -> Any:
        return np.concatenate([super()._joined(observation), self._heed(self.env.visits())], axis=1,
                                    dtype=np.float32)

    def _with_open_mask(self, observation: Any) -> Any:
        """A last observation is valued with the memory of the visit that it ends."""
        return np.concatenate([super()._with_open_mask(observation), np.zeros(FLAGS)],
                                    dtype=np.float32)


class WithFlags(BaseFeaturesExtractor):
    """(N, D + K + 1 + 2) -> (N, D + 2): drops the mask."""

    def __init__(self, observation_space: spaces.Box, num_actions: int) -> None:
        super().__init__(observation_space, features_dim=observation_space.shape[0] - num_actions)

    def forward(self, observations: Tensor) -> Tensor:
        """Features (N, D + 2)."""
        return torch.cat([observations[:, :self.features_dim - FLAGS], observations[:, -FLAGS:]], dim=1)


class FilingLSTM(nn.Module):
    """An LSTM with a state for the visit and a state on file; see `agents.memory`.

    Parameters
    ----------
    input_size : int
        D + 2, the flags last.
    hidden_size : int
        H.
    """

    num_layers = 2      # of state, as sb3-contrib counts them

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.cell = nn.LSTMCell(input_size - FLAGS, hidden_size)

    def forward(self, x: Tensor, states: tuple[Tensor, Tensor], starts: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (T, N, D + 2), states 2 x (2, N, H), starts (T, N) of lives -> h (T, N, H) and states."""
        (visit_h, filed_h), (visit_c, filed_c) = states[0], states[1]
        outputs = []
        for features, start in zip(x, starts):
            goes_on = (1.0 - start)[:, None]
            begins, own = features[:, -FLAGS:-1], features[:, -1:]
            filed_h, filed_c = goes_on * filed_h, goes_on * filed_c
            stays, comes = goes_on * (1.0 - begins), begins * own
            visit_h, visit_c = self.cell(features[:, :-FLAGS], (stays * visit_h + comes * filed_h,
                                                                stays * visit_c + comes * filed_c))
            filed_h, filed_c = own * visit_h + (1.0 - own) * filed_h, own * visit_c + (1.0 - own) * filed_c
            outputs.append(visit_h)
        return torch.stack(outputs), (torch.stack([visit_h, filed_h]), torch.stack([visit_c, filed_c]))


class FilingPolicy(RecurrentActorCriticPolicy):
    """Actor and critic, each behind a `FilingLSTM`, with masked logits."""

    lstm_actor: Any         # `FilingLSTM`, where sb3-contrib has an `nn.LSTM`: only `_process_sequence` calls it
    lstm_critic: Any
    optimizer_class: type[Any]      # torch's base class has no `lr`, its optimizers have

    def __init__(self, observation_space: spaces.Box, action_space: spaces.Discrete, lr_schedule: Any,
                 lstm_hidden_size: int = 64, **settings: Any) -> None:
        self._actions = int(action_space.n)
        super().__init__(observation_space, action_space, lr_schedule, lstm_hidden_size=lstm_hidden_size,
                         features_extractor_class=WithFlags, features_extractor_kwargs={"num_actions": self._actions},
                         **settings)
        self.lstm_actor = FilingLSTM(self.features_dim, lstm_hidden_size)
        self.lstm_critic = FilingLSTM(self.features_dim, lstm_hidden_size)
        self.lstm_hidden_state_shape = (FilingLSTM.num_layers, 1, lstm_hidden_size)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    @staticmethod
    def _process_sequence(features: Tensor, lstm_states: tuple[Tensor, Tensor], episode_starts: Tensor,
                          lstm: Any) -> tuple[Tensor, Any]:
        """As sb3-contrib's, but the LSTM is told where lives begin, instead of being called once a step."""
        sequences = lstm_states[0].shape[1]
        x = features.reshape(sequences, -1, lstm.input_size).swapaxes(0, 1)
        output, states = lstm(x, lstm_states, episode_starts.reshape(sequences, -1).swapaxes(0, 1))
        return output.transpose(0, 1).flatten(0, 1), states

    def extract_features(self, obs: Tensor | dict[str, Tensor], features_extractor: Any = None) -> Any:
        """Features, and note the mask for the distribution that is formed of them next."""
        assert isinstance(obs, Tensor)      # of a Box
        self._allowed = obs[:, -self._actions - FLAGS:-FLAGS] > 0.5
        return super().extract_features(obs, features_extractor)

    # the signature is sb3-contrib's, which is at odds with that of its own base class
    def get_distribution(  # type: ignore[override]
        self, obs: Tensor, lstm_states: Any, episode_starts: Tensor
    ) -> tuple[Distribution, Any]:
        """The masked distribution, and the states."""
        self._allowed = obs[:, -self._actions - FLAGS:-FLAGS] > 0.5
        return super().get_distribution(obs, lstm_states, episode_starts)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        logits = torch.where(self._allowed, self.action_net(latent_pi), MASKED_LOGIT)
        return self.action_dist.proba_distribution(action_logits=logits)

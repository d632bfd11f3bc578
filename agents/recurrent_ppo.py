"""PPO with a memory: an LSTM gathers over a customer's opportunities what a single observation does not show.

Taste and mood are hidden, so the shop is a partially observed decision problem, and the history of observations knows more
than the last one (Hausknecht & Stone 2015, arXiv:1507.06527). The algorithm is RecurrentPPO of sb3-contrib. How far the memory
may reach without knowing people for free is said in `agents.memory`; what it reads is the observation alone, neither the
agent's own actions nor their rewards, which reach it where the till's record of a recognised customer shows them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.base import Evaluate, Report, one_hot
from agents.errors import AgentConfigError
from agents.lstm_actor import LSTMActor
from agents.memory import RememberingAgent, heeded
from agents.sb3_agent import SB3ActorCritic


class RecurrentPPOAgent(RememberingAgent, SB3ActorCritic):
    """RecurrentPPO of sb3-contrib with masks.

    Parameters
    ----------
    lstm_units : int
        H, of actor and of critic, which share nothing.
    batch_size : int
        Transitions of a minibatch; must divide num_envs * n_steps.
    n_epochs : int
        Passes over the transitions of an update.
    clip_range : float
        Of the ratio of new to old probability.
    memory : "visit", "recognised" or "life"
        How far the memory reaches; see `agents.memory`.
    **settings
        As `SB3ActorCritic`; `net_arch` may be empty.
    """

    name = "recurrent_ppo"

    def __init__(self, *, lstm_units: int = 64, batch_size: int = 4096, n_epochs: int = 6, clip_range: float = 0.2,
                 **settings: Any) -> None:
        super().__init__(**settings)
        self.lstm_units = self._at_least("lstm_units", lstm_units, 1)
        self.batch_size = self._at_least("batch_size", batch_size, 2)
        self.n_epochs = self._at_least("n_epochs", n_epochs, 1)
        self.clip_range = self._at_least("clip_range", clip_range, 1e-9)

    @property
    def memory_size(self) -> int:
        """4 H; see `LSTMActor`."""
        return 4 * self.lstm_units

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """As `SB3Agent.learn`.

        Raises
        ------
        AgentConfigError
            If the environment does not say when a visit begins, or `batch_size` does not divide an update.
        """
        self._check_env(env)
        self._check_batches(env, self.batch_size)
        if not hasattr(env, "visits"):
            raise AgentConfigError(f"agent {self.name} needs an environment that says when a visit begins: "
                                   f"visits() -> (N, 2) bool, as sim's vector environment has it.")
        super().learn(env, steps=steps, evaluate=evaluate, report=report)

    def _lanes(self, env: VectorEnv) -> Any:
        from agents.recurrent_policy import VisitVecEnv

        return VisitVecEnv(env, self.reward_scale, functools.partial(heeded, memory=self.memory))

    def _model(self, lanes: Any) -> Any:
        from agents.recurrent_policy import FilingPolicy
        from agents.sb3 import RecurrentPPO

        settings = self._common()
        settings["policy_kwargs"] |= {"lstm_hidden_size": self.lstm_units}
        return RecurrentPPO(FilingPolicy, lanes, batch_size=self.batch_size, n_epochs=self.n_epochs,
                            clip_range=self.clip_range, **settings)

    def _network(self, model: Any) -> Any:
        cell = model.policy.lstm_actor.cell
        inputs, states, bias = (part.detach().numpy() for part in (cell.weight_ih, cell.weight_hh, cell.bias_ih + cell.bias_hh))
        return LSTMActor(inputs.T.astype(np.float64), states.T.astype(np.float64), bias.astype(np.float64),
                         super()._network(model))

    def _recall(self, observation: NDArray, action_mask: NDArray[np.bool_], memory: NDArray[np.float64],
                visits: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        probabilities, after = self._need("actor_").recall(observation, action_mask, memory, visits)
        return (one_hot(probabilities.argmax(axis=1), self.num_actions) if self.deterministic else probabilities), after

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.actor_ = LSTMActor.unpacked(arrays)

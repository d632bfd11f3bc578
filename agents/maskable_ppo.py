"""PPO with invalid actions masked, as sb3-contrib has it: the library's word beside our own `ppo`.

(Huang & Ontanon 2022, FLAIRS, arXiv:2006.14171.) The algorithm is that of `agents.ppo`, which masks its logits too; network,
rollout and update are the library's. So the two should earn alike, and the difference in speed is the library's overhead.
"""

from __future__ import annotations

from typing import Any

from gymnasium.vector import VectorEnv

from agents.base import Evaluate, Report
from agents.sb3_agent import SB3ActorCritic


class MaskablePPOAgent(SB3ActorCritic):
    """MaskablePPO of sb3-contrib.

    Parameters
    ----------
    batch_size : int
        Transitions of a minibatch; must divide num_envs * n_steps.
    n_epochs : int
        Passes over the transitions of an update.
    clip_range : float
        Of the ratio of new to old probability.
    **sb3_actor_critic
        As `SB3ActorCritic`.
    """

    name = "maskable_ppo"
    append_mask = False     # the library asks the environment for `action_masks()` itself

    def __init__(self, *, batch_size: int = 4096, n_epochs: int = 6, clip_range: float = 0.2,
                 **sb3_actor_critic: Any) -> None:
        super().__init__(**sb3_actor_critic)
        self.batch_size = self._at_least("batch_size", batch_size, 2)
        self.n_epochs = self._at_least("n_epochs", n_epochs, 1)
        self.clip_range = self._at_least("clip_range", clip_range, 1e-9)

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """As `SB3Agent.learn`."""
        self._check_batches(env, self.batch_size)
        super().learn(env, steps=steps, evaluate=evaluate, report=report)

    def _model(self, lanes: Any) -> Any:
        from agents.sb3 import MaskablePPO

        return MaskablePPO("MlpPolicy", lanes, batch_size=self.batch_size, n_epochs=self.n_epochs,
                           clip_range=self.clip_range, **self._common())

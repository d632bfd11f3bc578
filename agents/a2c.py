"""Advantage actor-critic: one gradient step per short rollout, nothing clipped, nothing seen twice.

(Mnih et al. 2016, ICML, arXiv:1602.01783, in its synchronous form as in Stable-Baselines3) with masked logits
(`masked_policy`). What PPO adds to it, several passes under a clipped ratio, is what the difference between the two shows.
"""

from __future__ import annotations

from typing import Any

from agents.sb3_agent import SB3ActorCritic


class A2CAgent(SB3ActorCritic):
    """A2C of Stable-Baselines3.

    Parameters
    ----------
    use_rms_prop : bool
        RMSprop as in the paper; else Adam.
    normalize_advantage : bool
        Advantages of a rollout to mean 0 and standard deviation 1.
    **sb3_actor_critic
        As `SB3ActorCritic`.
    """

    name = "a2c"

    def __init__(self, *, use_rms_prop: bool = False, normalize_advantage: bool = True, **sb3_actor_critic: Any) -> None:
        super().__init__(**sb3_actor_critic)
        self.use_rms_prop = use_rms_prop
        self.normalize_advantage = normalize_advantage

    def _model(self, lanes: Any) -> Any:
        from agents.masked_policy import MaskedActorCriticPolicy
        from agents.sb3 import A2C

        return A2C(MaskedActorCriticPolicy, lanes, use_rms_prop=self.use_rms_prop,
                   normalize_advantage=self.normalize_advantage, **self._common())

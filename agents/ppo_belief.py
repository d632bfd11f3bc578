"""PPO with a belief over the customer's hidden taste: `ppo`, fed with what the till's record says once it is read aright.

The record holds counts per label.  `belief` turns them into the posterior of each label's click logit, given how alike the
labels are; `belief_network` lets one set of weights use it for all labels.  Everything else is `ppo`: same camera, same
observation, no memory of its own.

The crowd that the belief starts from (how alike labels are, base rates) is learned in the environment itself, from
`warm_up_steps` of random pushes that count as interactions.

An ablation: the flat network of `ppo` reads as much from the till's own column `affinity`, a first-order version of the same
posterior, and this one earns less at equal samples (`conf/agent/ppo_belief.yaml`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.belief import TasteBelief, fit_belief
from agents.ppo import PPOAgent, with_weights

if TYPE_CHECKING:
    from agents.belief_network import BeliefActor


class PPOBelief(PPOAgent):
    """PPO over observation and belief.

    Parameters
    ----------
    taste_variance : float > 0
        Prior variance of what taste adds to a label's click logit.
    propensity_variance : float >= 0
        Prior variance of what all labels of a customer share.
    purchase_weight : float >= 0
        How much more taste moves a purchase than a click.
    warm_up_steps : int
        Random steps of every lane, from which the crowd is learned.
    **settings
        As `PPOAgent`.

    Attributes
    ----------
    actor_ : BeliefActor
        The policy.

    Raises
    ------
    AgentConfigError
        If the observation has no till's record, or a setting is impossible.
    """

    name = "ppo_belief"

    def __init__(self, *, taste_variance: float = 0.5, propensity_variance: float = 0.1, purchase_weight: float = 0.5,
                 warm_up_steps: int = 32, **settings: Any) -> None:
        super().__init__(**settings)
        self.taste_variance = self._at_least("taste_variance", taste_variance, 1e-9)
        self.propensity_variance = self._at_least("propensity_variance", propensity_variance, 0)
        self.purchase_weight = self._at_least("purchase_weight", purchase_weight, 0)
        self.warm_up_steps = self._at_least("warm_up_steps", warm_up_steps, 1)
        for part in ("log_pushes", "click_lift", "log_purchases", "recency", "affinity", "label_valence"):
            self._feature(part)

    def _model(self, env: VectorEnv, rng: np.random.Generator) -> tuple[Any, int]:
        from agents.belief_network import BeliefActorCritic

        belief = fit_belief(self._random_observations(env, rng), self.layout, taste_variance=self.taste_variance,
                            propensity_variance=self.propensity_variance, purchase_weight=self.purchase_weight)
        model = BeliefActorCritic(self.observation_size, self.num_actions, self.net_arch, rng, self.layout, belief)
        return model, self.warm_up_steps * env.num_envs

    def _model_arrays(self, model: Any) -> dict[str, NDArray]:
        return super()._model_arrays(model) | _belief_arrays(model.belief)

    def _model_of(self, arrays: dict[str, NDArray], values: dict[str, Any]) -> Any:
        from agents.belief_network import BeliefActorCritic

        model = BeliefActorCritic(self.observation_size, self.num_actions, self.net_arch, np.random.default_rng(0), self.layout,
                                  _belief_of(arrays, self.purchase_weight))
        return with_weights(model, arrays["weights"])

    def _random_observations(self, env: VectorEnv, rng: np.random.Generator) -> NDArray:
        """What is seen in the second half of `warm_up_steps` of random allowed actions, (M, D)."""
        env.reset(seed=self.seed)
        seen = []
        for _ in range(self.warm_up_steps):
            mask = env.action_masks()                               # type: ignore[attr-defined]
            seen.append(env.step(np.where(mask, rng.random(mask.shape), -1.0).argmax(1))[0])
        return np.concatenate(seen[len(seen) // 2:])

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        actor: BeliefActor = self._need("actor_")
        arrays, state = self._network_state(actor.network)
        return arrays | _belief_arrays(actor.belief), state | {"purchase_weight": actor.belief.purchase_weight}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        from agents.belief_network import BeliefActor

        belief = _belief_of(arrays, float(state["purchase_weight"]))
        self.actor_ = BeliefActor(self._network_of(arrays, state), belief, self.layout)


def _belief_arrays(belief: TasteBelief) -> dict[str, NDArray]:
    return {"belief_factors": belief.factors, "belief_click_rate": belief.click_rate,
            "belief_purchase_rate": belief.purchase_rate}


def _belief_of(arrays: dict[str, NDArray], purchase_weight: float) -> TasteBelief:
    return TasteBelief(arrays["belief_factors"], arrays["belief_click_rate"], arrays["belief_purchase_rate"], purchase_weight)

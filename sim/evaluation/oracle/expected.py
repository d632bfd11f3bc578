"""Value of a policy with less luck in it: expected rewards, and opt-outs as weights instead of draws.

    V_i = sum_t gamma^d_t w_t E[r_t | s_t, a_t],        w_t = prod_{u < t} (1 - P(opt out | s_u, a_u))

along one life of customer i in which opt-outs are not carried out (conditional Monte Carlo, Rubinstein & Kroese ch. 5).  Its
mean is the value of the policy, as that of drawn rewards is, at a smaller variance: for expensive policies and small
differences.  The policy may be any agent; only this account of it looks at the true state.
"""

from __future__ import annotations

import numpy as np

from sim.evaluation.oracle.response import live_on, response_of
from sim.evaluation.rollout import Policy, StatePolicy, decide
from sim.shop.world import Shop


def expected_values(
    policy: Policy | StatePolicy,
    shop: Shop,
    *,
    customers: int,
    seed: int,
    split: str = "evaluate",
    discount_per_day: float = 1.0,
) -> np.ndarray:
    """V_i (n,), money, of customers 0 .. n - 1 of the split under `policy`."""
    lives = shop.customers(customers, seed, split)
    value, weight, alive = np.zeros(customers), np.ones(customers), np.arange(customers)
    while len(alive):
        actions = np.zeros(customers, np.int64)
        actions[alive] = decide(policy, lives, alive).action
        executed = np.where(lives.action_masks()[alive, actions[alive]], actions[alive], 0)
        response, each = response_of(lives, alive), np.arange(len(alive))
        value[alive] += weight[alive] * response.reward[each, executed]
        lives.step(actions)
        weight[alive] *= 1.0 - response.opt_out[each, executed]
        weight[alive] *= discount_per_day ** lives.state.events["gap"][alive]
        alive = alive[~live_on(lives.world, lives.state, alive)]
    return value

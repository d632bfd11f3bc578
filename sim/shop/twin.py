"""The tabular twin T3: a small shop whose optimum is known exactly.

Everything is the shop's own (response, reward, opt-out, loop, log, adapters, rollout); only the transition of fatigue f and
mood m is swapped for one on a finite grid, f in 0..4, m in -2..2, each moving independently once per day:

    push    f + 1 (capped) with probability `twin_rise`;   m + sign(care) (capped) with probability `twin_sway`
    none    f - 1 with probability `twin_rest`;            m one step towards 0 with probability `twin_home`

The agent sees (f, m) as two one-hot vectors in place of the till's record, so that the twin is a Markov decision process.
Responses are P(buy) = sigma(b_A - .3 f + .45 m), b_hard = -.4, b_care = -1; opt-out on a push sigma(-3 + .25 f - .45 m).
`sim.evaluation.oracle.dynamic_programming` solves it.
"""

from __future__ import annotations

from sim.shop import camera
from sim.shop.compiled import inlined, woven

FATIGUE_LEVELS, MOOD_LEVELS, MOOD_SPAN = 5, 5, 2
LAYOUT = {"twin_fatigue": FATIGUE_LEVELS, "twin_mood": MOOD_LEVELS}

_START = camera.FEATURES


@inlined
def move(p, customer, care, pushed, u_fatigue, u_mood):
    """One day on the grid, in place; `care` of the label pushed, of any value without a push."""
    if pushed:
        if u_fatigue < p.twin_rise:
            customer.fatigue = min(customer.fatigue + 1.0, FATIGUE_LEVELS - 1.0)
        if u_mood < p.twin_sway:
            step = 1.0 if care > 0.0 else -1.0
            customer.mood = min(max(customer.mood + step, -float(MOOD_SPAN)), float(MOOD_SPAN))
    else:
        if u_fatigue < p.twin_rest:
            customer.fatigue = max(customer.fatigue - 1.0, 0.0)
        if u_mood < p.twin_home:
            customer.mood -= 1.0 if customer.mood > 0.0 else -1.0 if customer.mood < 0.0 else 0.0


@woven
def show_state(lives, i):
    """Write (f, m) as one-hot vectors behind the camera's features."""
    customer = lives.customers[i]
    for r in range(lives.record.shape[1]):
        lives.observation[i, _START + r] = 0.0
    lives.observation[i, _START + int(customer.fatigue)] = 1.0
    lives.observation[i, _START + FATIGUE_LEVELS + int(customer.mood) + MOOD_SPAN] = 1.0

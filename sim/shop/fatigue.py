"""Push fatigue, and the opt-out that ends it.

    f' = exp(-Delta / tau_f) (f + 1[push] (1 + chi (1 - rel_k)/2 + chi_p pressure_k))
    logit P(opt out | push) = o0 + o1 f - o2 m - o_v v + o_p pressure_k

Opt-out is absorbing (`terminated`).  Directions: volume lowers engagement and drives people away (O'Brien et al. 2022,
arXiv 2202.08812; Gupta et al., KDD 2016; Zhao et al., KDD 2018); sizes are assumed and their sensitivity is shown.
"""

from __future__ import annotations

from sim.shop.choice import sigmoid
from sim.shop.compiled import inlined
from sim.shop.elementary import exp


@inlined
def opt_out_probability(p, customer, item):
    """P(opt out) on a push, before the push itself tires."""
    return sigmoid(opt_out_logit(p, customer, item))


@inlined
def opt_out_logit(p, customer, item):
    """logit P(opt out) on a push, before the push itself tires."""
    return (
        p.opt_out_intercept
        + p.opt_out_fatigue_weight * customer.fatigue
        - p.opt_out_mood_weight * customer.mood
        - p.opt_out_valence_weight * p.emotion_scale * customer.valence
        + p.opt_out_pressure_weight * item.pressure
    )


@inlined
def tire(p, customer, label, item):
    """Fatigue added by a push, in place."""
    customer.fatigue += 1.0 + p.irrelevance_fatigue * 0.5 * (1.0 - label.relevance) + p.pressure_fatigue * item.pressure


@inlined
def fatigue_left(p, days):
    """Share of fatigue that is left after some days of rest."""
    return exp(-days / p.fatigue_days)


@inlined
def rest(customer, left):
    """As `recover`, where the share `left` of the fatigue is known."""
    customer.fatigue *= left


@inlined
def recover(p, customer, gap):
    """Fatigue after `gap` days of rest, in place."""
    rest(customer, fatigue_left(p, gap))

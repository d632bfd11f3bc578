"""Core affect, expectation and mood: what a push does to how the customer feels.

Outcome of a push        o  = care_k + (o_buy | o_click | - iota (1 - rel_k)/2)      bought | clicked | ignored
Perceived outcome        o~ = o b^m                  mood biases reward (Eldar & Niv 2015, Nat. Commun. 6:6149)
Surprise                 d  = o~ - e                 prediction error
Expectation              e' = e + alpha_e d          Rescorla-Wagner
Mood                     m' = m + alpha_m (d - m)    happiness follows prediction errors (Rutledge et al., PNAS 2014)
Without a push nothing of this moves.  Over a gap of Delta days mood fades, m' = m exp(-Delta / tau_m), and core
affect x = (valence, arousal) follows an Ornstein-Uhlenbeck process around its home base mu = (v0 + c m, 0)

    x' = mu + q (x - mu) + (j_v d, j_a |d|) + sigma sqrt(1 - q^2) N(0, I),    q = exp(-theta Delta)

(Kuppens, Oravecz & Tuerlinckx 2010; Oravecz et al. 2011), kept within [-1, 1]; sigma is the stationary deviation.
"""

from __future__ import annotations

import math

from sim.shop.compiled import inlined
from sim.shop.elementary import exp, log


@inlined
def clip(x, low, high):
    return min(max(x, low), high)


@inlined
def feel(p, customer, label, item, clicked, bought):
    """Outcome of a push: updates expectation and mood in place, returns the surprise."""
    return feel_biased(p, customer, label, item, clicked, bought, bias_of(p, customer.mood))


@inlined
def bias_of(p, mood):
    """b^m, by which mood biases reward."""
    return exp(mood * log(p.mood_bias))


@inlined
def feel_biased(p, customer, label, item, clicked, bought, bias):
    """As `feel`, where `bias_of` the mood is known."""
    ignored = -p.annoyance * 0.5 * (1.0 - label.relevance)
    response = p.outcome_buy if bought else (p.outcome_click if clicked else ignored)
    surprise = (item.care + response) * bias - customer.expectation
    customer.expectation += p.expectation_rate * surprise
    customer.mood = clip(customer.mood + p.mood_rate * (surprise - customer.mood), -1.0, 1.0)
    return surprise


@inlined
def drift(p, customer, surprise, gap, z_valence, z_arousal):
    """Core affect and mood over `gap` days (0 within a visit), after a push with `surprise` (0 without)."""
    q = inertia(p, gap)
    wander(p, customer, surprise, q, affect_noise(p, q), mood_left(p, gap), z_valence, z_arousal)


@inlined
def inertia(p, days):
    """q: the share of core affect's distance from home that is left after some days; 1 within a visit."""
    return exp(-p.affect_rate * days)


@inlined
def affect_noise(p, q):
    """Deviation of what chance adds to core affect meanwhile; 0 within a visit."""
    return p.affect_deviation * math.sqrt(1.0 - q * q)


@inlined
def mood_left(p, days):
    """Share of mood that is left after some days."""
    return exp(-days / p.mood_days)


@inlined
def wander(p, customer, surprise, q, noise, left, z_valence, z_arousal):
    """As `drift`, where `inertia` q, `affect_noise` and `mood_left` of the gap are known."""
    home = clip(customer.home_valence + p.mood_pull * customer.mood, -1.0, 1.0)
    valence = customer.valence + (1.0 - q) * (home - customer.valence) + noise * z_valence
    arousal = q * customer.arousal + noise * z_arousal
    customer.mood *= left
    customer.valence = clip(valence + p.valence_jump * surprise, -1.0, 1.0)
    customer.arousal = clip(arousal + p.arousal_jump * abs(surprise), -1.0, 1.0)

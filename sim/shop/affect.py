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


@inlined
def clip(x, low, high):
    return min(max(x, low), high)


@inlined
def feel(p, customer, label, item, clicked, bought):
    """Outcome of a push: updates expectation and mood in place, returns the surprise."""
    if bought:
        outcome = item.care + p.outcome_buy
    elif clicked:
        outcome = item.care + p.outcome_click
    else:
        outcome = item.care - p.annoyance * 0.5 * (1.0 - label.relevance)
    surprise = outcome * p.mood_bias**customer.mood - customer.expectation
    customer.expectation += p.expectation_rate * surprise
    customer.mood = clip(customer.mood + p.mood_rate * (surprise - customer.mood), -1.0, 1.0)
    return surprise


@inlined
def drift(p, customer, surprise, gap, z_valence, z_arousal):
    """Core affect and mood over `gap` days (0 within a visit), after a push with `surprise` (0 without)."""
    home = clip(customer.home_valence + p.mood_pull * customer.mood, -1.0, 1.0)
    if gap > 0:
        q = math.exp(-p.affect_rate * gap)
        noise = p.affect_deviation * math.sqrt(1.0 - q * q)
        valence = home + q * (customer.valence - home) + noise * z_valence
        arousal = q * customer.arousal + noise * z_arousal
        customer.mood *= math.exp(-gap / p.mood_days)
    else:
        valence, arousal = customer.valence, customer.arousal
    customer.valence = clip(valence + p.valence_jump * surprise, -1.0, 1.0)
    customer.arousal = clip(arousal + p.arousal_jump * abs(surprise), -1.0, 1.0)

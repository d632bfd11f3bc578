"""What a pushed label makes a customer do: click, and buy after a click.

    U_k = logit P(click) = a0 + a_k + w rel_k - beta p_k / p_ref - lambda s_k + b1 n_k/10 - b2 (n_k/10)^2
                           + eta_v v + eta_va (v tau_v + a tau_a) + eta_m m - kappa f
    logit P(buy | click) = psi_0 + psi_1 rel_k + psi_2 v - psi_3 p_k / B          and zero where p_k > B

A single push is a binary logit against not clicking, of utility U_0 = 0 (McFadden 1974); `sim.shop.slate` has the logit of
several labels at once.  rel = theta . phi_k is a cosine; s satiation
(Leqi et al., NeurIPS 2021); the inverted U in the exposure count n follows Montoya et al. 2017; v, a core affect and
tau the label's tone (affective coherence, Polignano et al. 2021); m mood; f push fatigue; B the budget left.
The size of eta_v + psi_2 is set by the impulse-buying meta-analysis of Santini et al. 2019 (positive emotion, r = .32).
"""

from __future__ import annotations

import math

from sim.shop.compiled import inlined
from sim.shop.logistic import sigmoid as sigmoid
from sim.shop.organic import squash_logit


@inlined
def utility(p, customer, label, item):
    """U_k of one pushed label, over that of not clicking."""
    n = min(label.exposures / 10.0, 3.0)  # the curve is fitted to at most some 30 exposures
    v, a = p.emotion_scale * customer.valence, p.emotion_scale * customer.arousal
    return (
        p.click_intercept
        + item.appeal
        + p.taste_weight * label.relevance
        - customer.price_sensitivity * item.price / p.price_reference
        - p.satiation_weight * label.satiation
        + p.exposure_gain * n
        - p.exposure_wear * n * n
        + p.valence_weight * v
        + p.tone_weight * (v * item.tone_valence + a * item.tone_arousal)
        + p.mood_weight * customer.mood
        - p.fatigue_weight * customer.fatigue
    )


@inlined
def click_logit(p, customer, label, item):
    """logit P(click) of one label pushed alone."""
    if p.organic > 0.0:
        return squash_logit(label.relevance + item.appeal)
    return utility(p, customer, label, item)


@inlined
def click_probability(p, customer, label, item):
    """P(click) of one label pushed alone."""
    return sigmoid(click_logit(p, customer, label, item))


@inlined
def purchase_probability(p, customer, label, item):
    """P(buy | click) of one pushed label; zero beyond the budget."""
    return sigmoid(purchase_logit(p, customer, label, item))


@inlined
def purchase_logit(p, customer, label, item):
    """logit P(buy | click) of one pushed label; minus infinity beyond the budget."""
    if item.price > customer.budget:
        return -math.inf
    return (
        p.buy_intercept
        + p.buy_taste_weight * label.relevance
        + p.buy_valence_weight * p.emotion_scale * customer.valence
        - p.buy_price_weight * item.price / customer.budget
    )

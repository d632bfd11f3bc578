"""Taste, and how it drifts with what is shown.

    rel_k  = theta . phi_k                                                        relevance of label k, a cosine
    theta' = norm((1 - rho) theta + rho 1[click] phi_k - rho' 1[ignored] phi_k + eps),      eps ~ N(0, sigma^2 / D I)

at every opportunity, on the unit sphere S^(D-1); after it the relevance of all labels is computed anew.  Being drawn to what
one has engaged with, and away from what did not appeal, follows preference dynamics under personalised recommendations (Dean
& Morgenstern, EC 2022) and psychology-aware ones, mere exposure and operant conditioning (Curmei, Haupt,
Hadfield-Menell & Recht, RecSys 2022, arXiv 2208.01534); the random walk eps is drift that nobody causes.  With rho = rho' = sigma = 0
taste is fixed for life and nothing is computed.
"""

from __future__ import annotations

import math

from sim.shop.compiled import aside, inlined, stack_floats, woven
from sim.shop.random_streams import TASTE, normals, uniforms

_cosines = stack_floats(8)


@woven
def relate(world, lives, i):
    """Relevance of every label to the taste of the customer in row i, in place."""
    relate_all(lives.labels[i], lives.taste[i], world.feature_columns)


@aside
def relate_all(labels, taste, feature_columns):
    """Relevance of all labels (K,) to a taste (D,), in place."""
    cosines = _cosines()
    for first in range(0, len(labels), 8):  # eight labels at once
        for j in range(8):
            cosines[j] = 0.0
        for d in range(len(taste)):
            for j in range(8):
                cosines[j] += taste[d] * feature_columns[d, first + j]
        for j in range(min(8, len(labels) - first)):
            labels[first + j].relevance = cosines[j]


@inlined
def drifts(p):
    return p.taste_click_rate > 0.0 or p.taste_ignore_rate > 0.0 or p.taste_noise > 0.0


@woven
def drift_taste(world, lives, i, seed, split, action, clicked):
    """Taste after one opportunity at which `action` was taken, in place."""
    p, customer, taste = world.params[0], lives.customers[i], lives.taste[i]
    dimensions, k = len(taste), max(action - 1, 0)
    pull = 0.0
    if action > 0:
        pull = p.taste_click_rate if clicked else -p.taste_ignore_rate
    noise, draws, square = p.taste_noise / math.sqrt(dimensions), (dimensions + 1) // 2, 0.0
    for d in range(dimensions):
        taste[d] = (1.0 - p.taste_click_rate) * taste[d] + pull * world.label_features[k, d]
    if noise > 0.0:
        for h in range(draws):
            za, zb = normals(*uniforms(seed, split, customer.id, customer.opportunity * draws + h, TASTE)[:2])
            taste[2 * h] += noise * za
            if 2 * h + 1 < dimensions:
                taste[2 * h + 1] += noise * zb
    for d in range(dimensions):
        square += taste[d] * taste[d]
    for d in range(dimensions):
        taste[d] /= math.sqrt(square)
    relate(world, lives, i)

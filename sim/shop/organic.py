"""Organic browsing and pushes in turn: RecoGym's customer, run through the shop's own loop, reward, log and adapters.

A customer browses products on their own account (organic views, which the shop sees), then meets push opportunities, and so
on until they leave; one latent interest omega drives both:

    view            P(next view = k) ~ exp(Gamma_k . omega + mu_k)
    click           P(click on k)    = ff(Gamma_k . omega + mu_k),    ff(x) = sigma(5 sigma(2 sigma(.3 x) - 2) - 6)
    drift           omega' = omega + N(0, sigma_omega^2 I) whenever the chain draws browsing;  omega_0 ~ N(0, sigma_0^2 I)
    chain           organic -> push w.p. `organic_to_push`, -> gone w.p. `leave_organic`, else one more view
                    push -> organic w.p. `push_to_organic`, -> gone w.p. `leave_push`, else one more opportunity;
                    a click always leads back to browsing

(Rohde, Bonner, Dunlop, Vasile & Karatzoglou 2018, "RecoGym", arXiv 1808.00720; `reco_gym/envs/reco_env_v1.py`.)  Gamma_k is the
label's taste vector, at its own length, and mu_k its appeal.  Only the response, the chain and what the agent sees are swapped.

Departures:
- RecoGym's published chain takes the probability of leaving after a push from `prob_leave_organic`, so its own parameter
  `prob_leave_bandit` does nothing (a later revision of its repository corrects this).  Here `leave_push` works.
- A customer who would leave before the first opportunity, 1 visitor in 26, never steps up: an episode needs a decision.  So
  opportunities per customer here times (1 - 1/26) are RecoGym's per user (`opportunities_per_customer`).
- Holding back is allowed and earns nothing; RecoGym has no such action.
"""

from __future__ import annotations

import math

import numpy as np

from sim.shop.compiled import aside, inlined
from sim.shop.elementary import exp, log1p
from sim.shop.logistic import sigmoid
from sim.shop.random_streams import CHAIN, INTEREST, VIEWS, normals, uniforms
from sim.shop.taste import relate

VIEW_SCALE = 3.0  # log(1 + views) / 3 is of order one


def layout(labels: int) -> dict[str, int]:
    """Sizes of the parts of the observation that stand behind the camera's features."""
    return {"views": labels, "view_share": labels, "last_view": labels}


def events_per_visitor(
    organic_to_push: float, leave_organic: float, push_to_organic: float, leave_push: float
) -> tuple[float, float]:
    """Expected (organic views, push opportunities) of a visitor who never clicks: the fundamental matrix (I - Q)^-1."""
    moves = np.array(
        [[1 - organic_to_push - leave_organic, organic_to_push], [push_to_organic, 1 - push_to_organic - leave_push]]
    )
    views, pushes = np.linalg.inv(np.eye(2) - moves)[0]
    return float(views), float(pushes)


@inlined
def squash(x):
    """RecoGym's ff: from the real line to a click rate between .0045 and .029."""
    return sigmoid(squash_logit(x))


@inlined
def squash_logit(x):
    """The logit of `squash`."""
    return 5.0 * sigmoid(2.0 * sigmoid(0.3 * x) - 2.0) - 6.0


@inlined
def draw_view(labels, catalog, u):
    """Label drawn from the softmax of interest and appeal, by inverse CDF."""
    top, total = -math.inf, 0.0
    for k in range(len(labels)):
        top = max(top, labels[k].relevance + catalog[k].appeal)
    for k in range(len(labels)):
        total += exp(labels[k].relevance + catalog[k].appeal - top)
    threshold = u * total
    for k in range(len(labels)):
        threshold -= exp(labels[k].relevance + catalog[k].appeal - top)
        if threshold < 0.0:
            return k
    return len(labels) - 1


@aside
def drift_interest(world, lives, i, seed, split, moment, deviation):
    """One Gaussian step of omega (kept as `taste`), and Gamma omega (kept as the labels' `relevance`) with it, in place."""
    customer, taste = lives.customers[i], lives.taste[i]
    draws = (len(taste) + 1) // 2
    for h in range(draws):
        u_a, u_b, _, _ = uniforms(seed, split, customer.id, moment * draws + h, INTEREST)
        z_a, z_b = normals(u_a, u_b)
        taste[2 * h] += deviation * z_a
        if 2 * h + 1 < len(taste):
            taste[2 * h + 1] += deviation * z_b
    relate(world, lives, i)


@inlined
def views_so_far(labels):
    """Organic views of a customer, kept per label as `exposures`."""
    seen = 0
    for k in range(len(labels)):
        seen += int(labels[k].exposures)
    return seen


@aside
def browse(world, lives, i, seed, split, arriving):
    """One organic session, in place; returns whether the customer goes on to a push opportunity (always, where `arriving`)."""
    p, customer, labels = world.params[0], lives.customers[i], lives.labels[i]
    size, seen, last = len(labels), views_so_far(labels), 0
    while True:
        u_view, u_move, _, _ = uniforms(seed, split, customer.id, seen, VIEWS)
        last = draw_view(labels, world.catalog, u_view)
        labels[last].exposures += 1.0
        seen += 1
        if u_move < p.organic_to_push + p.leave_organic:
            break
        drift_interest(world, lives, i, seed, split, seen, p.interest_drift)
    for k in range(size):
        lives.record[i, k] = log1p(labels[k].exposures) / VIEW_SCALE
        lives.record[i, size + k] = labels[k].exposures / seen
        lives.record[i, 2 * size + k] = 1.0 if k == last else 0.0
    return arriving or u_move < p.organic_to_push


@aside
def begin_browsing(world, lives, i, seed, split):
    """Interest and first organic session of a new customer, in place."""
    lives.record[i, :] = np.float32(0.0)
    lives.taste[i, :] = 0.0
    drift_interest(world, lives, i, seed, split, 0, world.params[0].interest_deviation)
    browse(world, lives, i, seed, split, True)


@aside
def next_session(world, lives, i, seed, split, clicked):
    """What follows an opportunity: 0 = the next one at once, 1 = after a session of browsing, beyond lapse_days = gone."""
    p, customer = world.params[0], lives.customers[i]
    u = uniforms(seed, split, customer.id, customer.opportunity, CHAIN)[0]
    gap = 0
    if u < p.push_to_organic:
        drift_interest(world, lives, i, seed, split, views_so_far(lives.labels[i]), p.interest_drift)
    if clicked or u < p.push_to_organic:
        gap = 1 if browse(world, lives, i, seed, split, False) else int(p.lapse_days) + 1
    elif u < p.push_to_organic + p.leave_push:
        gap = int(p.lapse_days) + 1
    return gap

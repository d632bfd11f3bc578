"""Long-term satisfaction: RecSim's choc/kale model, run through the shop's own loop, reward, log, adapters and rollout.

Every label is a candidate with a clickbait score c in [0, 1] that is drawn anew at each opportunity and shown to the agent.
What is pushed is consumed; how much of it depends on a satisfaction that the agent never sees:

    satisfaction    SAT   = sigma(tau NPE)
    engagement      log w ~ N((c mu_choc + (1 - c) mu_kale) SAT,  (c sd_choc + (1 - c) sd_kale)^2)       the reward
    next            NPE'  = beta NPE - 2 (c - 1/2) + N(0, eta^2)            net positive exposure, logged as `mood`
    start           NPE_0 ~ U(-1/2, 1/2) / (1 - beta)

(Ie, Hsu, Mladenov et al. 2019, "RecSim", arXiv 1909.04847; `recsim/environments/long_term_satisfaction.py`, whose code
subtracts the clickbait term while its docstring adds it: the code is followed.)  Only the transition, the candidates and what
the agent sees are swapped; clicking is certain and purchases and opt-outs are off by the scenario's parameters.

Departures, each without effect on RecSim's numbers: holding back is allowed, earns nothing and lets NPE fade (c = 1/2); the
60 steps are a horizon (`truncated`); and the agent sees what RecSim's agent would have to remember, the engagement of its
last push and a fading mean of what it has pushed.

With equal deviations and little noise, always kale beats always choc in the long run where (closed form, `threshold`)

    tau > (1 - beta) ln(mu_choc / mu_kale) = .0669 at RecSim's defaults

which ship tau = .01: there the myopic policy is optimal.
"""

from __future__ import annotations

import math

import numpy as np

from sim.shop.compiled import aside, inlined
from sim.shop.elementary import exp, log1p
from sim.shop.logistic import sigmoid
from sim.shop.random_streams import CANDIDATES, ENGAGEMENT, normals, uniforms

SEEN_ENGAGEMENT, ENGAGEMENT_SCALE = 100.0, 3.0  # RecSim's agent sees at most 100; log(1 + w) / 3 is of order one
HISTORY_RATE = 0.3  # of the fading mean of 1 - 2 c: forgets as fast as NPE does at RecSim's beta = .7


def layout(labels: int) -> dict[str, int]:
    """Sizes of the parts of the observation that stand behind the camera's features."""
    return {"clickbait": labels, "last_engagement": 1, "kale_history": 1}


def threshold(memory_discount: float, choc_mean: float, kale_mean: float) -> float:
    """tau* above which kale wins in the long run: kale's exp(mu_kale sigma(x)) equals choc's exp(mu_choc sigma(-x))."""
    return (1.0 - memory_discount) * math.log(choc_mean / kale_mean)


@aside
def draw_candidates(lives, i, seed, split, opportunity):
    """Fresh clickbait scores for the opportunity, kept as the labels' `relevance` and shown in the record, in place."""
    labels, who = lives.labels[i], lives.customers[i].id
    draws = (len(labels) + 3) // 4
    for h in range(draws):
        scores = uniforms(seed, split, who, opportunity * draws + h, CANDIDATES)
        for j, score in enumerate(scores):
            if 4 * h + j < len(labels):
                labels[4 * h + j].relevance = score
                lives.record[i, 4 * h + j] = score


@aside
def begin_satisfaction(p, lives, i, seed, split):
    """First net positive exposure and first candidates of a new customer, in place."""
    customer = lives.customers[i]
    lives.record[i, :] = np.float32(0.0)
    customer.mood = (uniforms(seed, split, customer.id, 0, ENGAGEMENT)[2] - 0.5) / (1.0 - p.memory_discount)
    draw_candidates(lives, i, seed, split, 0)


@inlined
def engagement(p, npe, clickbait, z):
    """Log-normal engagement with a label of this clickbait score; z standard normal."""
    mean = (clickbait * p.choc_mean + (1.0 - clickbait) * p.kale_mean) * sigmoid(p.sensitivity * npe)
    return exp(mean + (clickbait * p.choc_deviation + (1.0 - clickbait) * p.kale_deviation) * z)


@inlined
def expected_engagement(p, npe, clickbait):
    """Mean of the log-normal `engagement`: exp(mean + deviation^2 / 2)."""
    deviation = clickbait * p.choc_deviation + (1.0 - clickbait) * p.kale_deviation
    return engagement(p, npe, clickbait, 0.5 * deviation)


@inlined
def expose(p, npe, clickbait, z):
    """Net positive exposure after consuming a label of this clickbait score; .5 where nothing was consumed."""
    return p.memory_discount * npe - 2.0 * (clickbait - 0.5) + p.innovation_deviation * z


@aside
def consume(p, lives, i, seed, split, action):
    """The customer consumes what was pushed: moves NPE and the record in place, returns the engagement (0 without a push)."""
    customer, overall = lives.customers[i], lives.labels.shape[1]
    u_a, u_b, _, _ = uniforms(seed, split, customer.id, customer.opportunity + 1, ENGAGEMENT)
    z_engagement, z_exposure = normals(u_a, u_b)
    clickbait, consumed = 0.5, 0.0
    if action > 0:
        clickbait = lives.labels[i, action - 1].relevance
        consumed = engagement(p, customer.mood, clickbait, z_engagement)
        lives.record[i, overall] = log1p(min(consumed, SEEN_ENGAGEMENT)) / ENGAGEMENT_SCALE
    customer.mood = expose(p, customer.mood, clickbait, z_exposure)
    history = lives.record[i, overall + 1]
    lives.record[i, overall + 1] = history + HISTORY_RATE * ((1.0 - 2.0 * clickbait) - history)
    draw_candidates(lives, i, seed, split, customer.opportunity + 1)
    return consumed

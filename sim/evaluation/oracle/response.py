"""What every label would do now, from the true state of live customers: the ground under all oracles.

For customer i and action a (0 = hold back, k = push label k) the shop's own equations give

    E[r | i, a] = P(buy) (margin_k - P(returned | buy) (margin_k + c_refund)) + P(click) w_click - c_push - P(opt out) c_opt

with P(buy) = P(click) P(buy | click), and E[r | i, 0] = 0 (the reward that an action causes, whenever it is paid),

together with what a push leaves behind: the fatigue it adds, and the expected change of mood.  Nothing of the customer is
changed: satiation is brought to today and fatigue is tried on for the length of one look, and both are put back bit by bit.

The mood step is the mean of `sim.shop.affect.feel` over bought, clicked and ignored (before mood is clipped to [-1, 1]):
mood moves linearly with the outcome.  On the twin both steps are the means of `sim.shop.twin.move`,
in choc/kale of `sim.shop.long_term.expose`, where a click is worth its expected engagement besides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.shop.choice import click_probability, purchase_probability
from sim.shop.compiled import compiled
from sim.shop.fatigue import opt_out_probability, tire
from sim.shop.lives import LiveCustomers
from sim.shop.long_term import expected_engagement, expose
from sim.shop.refunds import refund_probability
from sim.shop.satiation import rebound
from sim.shop.twin import FATIGUE_LEVELS, MOOD_SPAN
from sim.shop.types import Lives, World, borrow_lives, borrow_world


class Response(NamedTuple):
    """Per customer and action, each (n, K + 1) float64; column 0 is holding back."""

    reward: np.ndarray  # expected immediate reward, money
    click: np.ndarray  # P(click)
    purchase: np.ndarray  # P(buy), click included
    opt_out: np.ndarray  # P(opt out)
    tiredness: np.ndarray  # expected change of fatigue by the action itself
    mood_step: np.ndarray  # expected change of mood by the action itself


@compiled
def _respond(world, lives, rows, reward, click, purchase, opt_out, tiredness, mood_step):
    world, lives = borrow_world(world), borrow_lives(lives)
    p = world.params[0]
    for j in range(len(rows)):
        customer, labels = lives.customers[rows[j]], lives.labels[rows[j]]
        fatigue, mood = customer.fatigue, customer.mood
        bias = p.mood_bias**mood
        reward[j, 0] = click[j, 0] = purchase[j, 0] = opt_out[j, 0] = tiredness[j, 0] = mood_step[j, 0] = 0.0
        if p.twin > 0.0:
            tiredness[j, 0] = -p.twin_rest if fatigue > 0.0 else 0.0
            mood_step[j, 0] = -p.twin_home if mood > 0.0 else p.twin_home if mood < 0.0 else 0.0
        elif p.long_term > 0.0:
            mood_step[j, 0] = expose(p, mood, 0.5, 0.0) - mood
        for k in range(len(world.catalog)):
            label, item = labels[k], world.catalog[k]
            satiation, satiation_day = label.satiation, label.satiation_day
            rebound(p, label, customer.day)
            clicks = click_probability(p, customer, label, item)
            buys = clicks * purchase_probability(p, customer, label, item)
            label.satiation, label.satiation_day = satiation, satiation_day
            leaves = opt_out_probability(p, customer, item)
            click[j, k + 1], purchase[j, k + 1], opt_out[j, k + 1] = clicks, buys, leaves
            kept = item.margin - refund_probability(p, customer, label) * (item.margin + p.refund_price)
            worth = p.click_price
            if p.long_term > 0.0:
                worth *= expected_engagement(p, mood, label.relevance)
            reward[j, k + 1] = buys * kept + clicks * worth - p.push_price - leaves * p.opt_out_price
            if p.twin > 0.0:
                tiredness[j, k + 1] = p.twin_rise if fatigue < FATIGUE_LEVELS - 1.0 else 0.0
                sway = 1.0 if item.care > 0.0 else -1.0
                mood_step[j, k + 1] = p.twin_sway * sway if abs(mood + sway) <= MOOD_SPAN else 0.0
            elif p.long_term > 0.0:
                tiredness[j, k + 1] = 0.0
                mood_step[j, k + 1] = expose(p, mood, label.relevance, 0.0) - mood
            elif p.organic > 0.0:
                tiredness[j, k + 1] = mood_step[j, k + 1] = 0.0
            else:
                tire(p, customer, label, item)
                tiredness[j, k + 1] = customer.fatigue - fatigue
                customer.fatigue = fatigue
                outcome = (
                    item.care
                    + buys * p.outcome_buy
                    + (clicks - buys) * p.outcome_click
                    - (1.0 - clicks) * p.annoyance * 0.5 * (1.0 - label.relevance)
                )
                mood_step[j, k + 1] = p.mood_rate * (outcome * bias - customer.expectation - mood)


def respond(world: World, state: Lives, rows: np.ndarray) -> Response:
    """Response of the customers in `rows` (n,) of `state` to every action, from their true state, masks ignored."""
    rows = np.ascontiguousarray(rows, np.int64)
    response = Response(*(np.empty((len(rows), len(world.catalog) + 1)) for _ in Response._fields))
    _respond(world, state, rows, *response)
    return response


def response_of(lives: LiveCustomers, rows: np.ndarray) -> Response:
    """As `respond`, of live customers."""
    return respond(lives.world, lives.state, rows)


def best_allowed(score: np.ndarray, action_mask: np.ndarray) -> np.ndarray:
    """Action (n,) of the highest score (n, K + 1) that is not masked; the smallest such action on a tie."""
    return np.where(action_mask, score, -np.inf).argmax(1)


def live_on(world: World, state: Lives, rows: np.ndarray) -> np.ndarray:
    """Right after a step, let customers who opted out live on; returns whose life (n,) is over by absence or horizon.

    For accounts that carry P(opt out) as a weight.  An opt-out does nothing but end the episode, so the life goes on as it
    would have; only money still under way (`sim.shop.settlement`) has been settled early.
    """
    p, customers = world.params[0], state.customers
    over = (
        (state.events["lapsed"][rows] != 0)
        | (customers["day"][rows] >= p["horizon_days"])
        | (customers["opportunity"][rows] >= p["horizon_opportunities"])
    )
    customers["done"][rows] = over
    return over

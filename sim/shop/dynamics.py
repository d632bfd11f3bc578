"""One push opportunity of one customer, and the loop that maps it over customers.

`step` is written once and serves every adapter (single environment, vector environment, SB3): it reads as the story of an
interaction.  Each sentence of it is a module of this package, which holds the equation and its source.
"""

from __future__ import annotations

import numpy as np

from sim.shop.affect import drift, feel
from sim.shop.availability import allowed_actions
from sim.shop.budget import earn, spend
from sim.shop.camera import perceive, take_picture
from sim.shop.choice import click_probability, purchase_probability
from sim.shop.compiled import compiled, inlined, woven
from sim.shop.delay import purchase_delay
from sim.shop.fatigue import opt_out_probability, recover, tire
from sim.shop.long_term import consume
from sim.shop.observation import observe_own_record, observe_record
from sim.shop.organic import next_session
from sim.shop.population import draw_traits
from sim.shop.random_streams import PURCHASE, RESPONSE, RETURN, normals, uniforms
from sim.shop.refunds import refund_probability, refund_wait
from sim.shop.returning import next_gap
from sim.shop.reward import affect_term, settle
from sim.shop.satiation import rebound, satiate
from sim.shop.settlement import await_money, settle_due
from sim.shop.slate import Impression, show_slate
from sim.shop.taste import drift_taste, drifts
from sim.shop.till import age_record, book, greet, open_record
from sim.shop.twin import move, show_state
from sim.shop.types import SELF, borrow_lives, borrow_world
from sim.shop.variants import has_affect, keeps_till, open_variant


@woven
def arrive(world, lives, i, seed, split):
    """A visit begins: a picture is taken and perceived."""
    take_picture(world, lives, i, seed, split)
    perceive(world, lives, i, seed, split)
    greet(lives, i, len(world.catalog))


@woven
def observe(world, lives, i, seed):
    """Fill observation and action mask of the coming opportunity."""
    if world.params[0].twin > 0.0:
        show_state(lives, i)
    elif keeps_till(world.params[0]):
        observe_record(world, lives, i)
    else:
        observe_own_record(lives, i)
    allowed_actions(world, lives, i, seed)


@woven
def begin(world, lives, i, seed, split, identifier):
    """A new customer steps up in row `i`."""
    lives.customers[i].id = identifier
    draw_traits(world, lives, i, seed, split)
    open_record(lives, i, len(world.catalog))
    open_variant(world, lives, i, seed, split)
    arrive(world, lives, i, seed, split)
    observe(world, lives, i, seed)


@inlined
def note_truth(customer, event, requested, action):
    """Copy what is true before the opportunity into the log's event."""
    event.customer, event.step, event.day, event.visit = customer.id, customer.opportunity, customer.day, customer.visit
    event.image, event.recognised, event.person = customer.image, customer.recognised, customer.person
    event.masked, event.enrolled, event.requested, event.action = customer.masked, customer.enrolled, requested, action
    event.valence, event.arousal, event.mood = customer.valence, customer.arousal, customer.mood
    event.expectation, event.fatigue, event.budget = customer.expectation, customer.fatigue, customer.budget
    event.price_sensitivity = customer.price_sensitivity


@woven
def step(world, lives, i, seed, split, requested):
    """One opportunity of the customer in row `i`; `requested` 0 holds back, k pushes label k (slates: see `sim.shop.slate`)."""
    p, customer = world.params[0], lives.customers[i]
    event = lives.events[min(i, lives.events.shape[0] - 1)]  # one row for all where nobody reads the events
    action = requested if lives.action_mask[i, requested] else 0
    slated, click, seen = lives.slate.shape[1] > 0, 0.0, Impression(np.float32(0.0), 0.0, 0.0)
    u_click, u_buy, u_leave, _ = uniforms(seed, split, customer.id, customer.opportunity, RESPONSE)
    u_stay, u_gap, u_a, u_b = uniforms(seed, split, customer.id, customer.opportunity, RETURN)
    if slated:
        action, requested, click, seen = show_slate(world, lives, i, u_click)
    note_truth(customer, event, requested, action)

    pushed, clicked, bought, opted_out, surprise, price = action > 0, False, False, False, 0.0, 0.0
    returned, delay, wait = False, 0.0, 0.0
    item = world.catalog[max(action - 1, 0)]
    if pushed:
        label = lives.labels[i, action - 1]
        rebound(p, label, customer.day)
        if not slated:
            click = click_probability(p, customer, label, item)
            seen = Impression(label.relevance, item.care, item.pressure)
        event.click_probability = click
        event.purchase_probability = purchase_probability(p, customer, label, item)
        event.opt_out_probability = opt_out_probability(p, customer, seen)
        event.relevance, event.satiation = label.relevance, label.satiation
        clicked = u_click < event.click_probability
        bought = clicked and u_buy < event.purchase_probability
        opted_out = u_leave < event.opt_out_probability
        price = item.price if bought else 0.0
        if bought and (p.delay_days > 0.0 or p.refunds > 0.0):
            u_delay, u_back, u_wait, _ = uniforms(seed, split, customer.id, customer.opportunity, PURCHASE)
            delay, wait = purchase_delay(p, customer, u_delay), refund_wait(p, u_wait)
            returned = u_back < refund_probability(p, customer, label)
        if has_affect(p):
            surprise = feel(p, customer, seen, seen, clicked, bought)
            tire(p, customer, seen, seen)
        if keeps_till(p):  # elsewhere `exposures` counts what the variant says
            satiate(label)
        spend(customer, p.budget_enforced * price)
        customer.visit_pushes += 1
        customer.cap_pushes += 1
    else:
        event.click_probability = event.purchase_probability = event.opt_out_probability = 0.0
        event.relevance = event.satiation = 0.0
    event.clicked, event.bought, event.opted_out = clicked, bought, opted_out
    event.price, event.delay, event.returned = price, delay, returned
    engagement = consume(p, lives, i, seed, split, action) if p.long_term > 0.0 else 1.0
    received = settle(p, event, item, pushed, clicked, bought, opted_out, returned, engagement)
    known = customer.recognised == SELF and keeps_till(p)
    if known:
        book(world, lives, i, action, clicked, bought and delay == 0.0, price)
    if delay > 0.0:
        received += (
            await_money(p, lives, i, customer.day + delay, action - 1, event.margin, price, known) - event.margin
        )
    if returned:
        due = customer.day + delay + wait
        received += await_money(p, lives, i, due, action - 1, -event.refund, -price, known) + event.refund

    if drifts(p):
        drift_taste(world, lives, i, seed, split, action, clicked)

    gap = (
        next_session(world, lives, i, seed, split, clicked) if p.organic > 0.0 else next_gap(p, customer, u_stay, u_gap)
    )
    if p.twin > 0.0:
        move(p, customer, item.care, pushed, u_a, u_b)
    elif has_affect(p):
        z_valence, z_arousal = normals(u_a, u_b) if gap > 0 else (0.0, 0.0)
        drift(p, customer, surprise, gap, z_valence, z_arousal)
        recover(p, customer, gap)
    received += affect_term(p, customer, event)
    customer.opportunity += 1
    customer.day += gap
    event.gap, event.lapsed = gap, gap > p.lapse_days
    terminated = opted_out or gap > p.lapse_days
    truncated = not terminated and (customer.day >= p.horizon_days or customer.opportunity >= p.horizon_opportunities)
    event.pending = delay > gap and not (terminated or truncated)
    if customer.awaited > 0:
        received += settle_due(p, lives, i, terminated or truncated)
    lives.reward[i] = event.received = received
    if gap > 0:
        earn(customer, gap)
        age_record(lives, i, len(world.catalog), gap)
        customer.visit += 1
        customer.visit_opportunity = customer.visit_pushes = 0
        arrive(world, lives, i, seed, split)
    else:
        customer.visit_opportunity += 1
    event.terminated, event.truncated = terminated, truncated
    lives.terminated[i], lives.truncated[i] = terminated, truncated
    observe(world, lives, i, seed)


@compiled
def begin_many(world, lives, seed, split, identifiers):
    """Start customer `identifiers[i]` in row i; identifiers (N,) int64."""
    world, lives = borrow_world(world), borrow_lives(lives)
    for i in range(len(identifiers)):
        begin(world, lives, i, seed, split, identifiers[i])


@compiled
def advance(world, lives, seed, split, actions, stride):
    """One opportunity for every live row; actions (N,) int64.

    With `stride` > 0 a row whose episode ended starts its next customer at once (id + stride), and its last observation is
    kept in `final_observation`.  With 0 it is marked done and stays as it is; later calls pass it over with reward 0.
    """
    world, lives = borrow_world(world), borrow_lives(lives)
    for i in range(len(actions)):
        if lives.customers[i].done:
            lives.reward[i] = 0.0
            continue
        step(world, lives, i, seed, split, actions[i])
        if lives.terminated[i] or lives.truncated[i]:
            if stride > 0:
                lives.final_observation[i, :] = lives.observation[i, :]
                begin(world, lives, i, seed, split, lives.customers[i].id + stride)
            else:
                lives.customers[i].done = 1


@compiled
def observe_again(world, lives, seed):
    """Write every row's observation and mask anew from its state; the picture of the visit stays."""
    world, lives = borrow_world(world), borrow_lives(lives)
    for i in range(len(lives.customers)):
        observe(world, lives, i, seed)

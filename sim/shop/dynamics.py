"""One push opportunity of one customer, and the loop that maps it over customers.

`step` is written once and serves every adapter (single environment, vector environment, SB3): it reads as the story of an
interaction.  Each sentence of it is a module of this package, which holds the equation and its source.
"""

from __future__ import annotations

import math

import numpy as np

from sim.shop.affect import bias_of, feel_biased, wander
from sim.shop.availability import allowed_actions
from sim.shop.bench import (
    ACTION,
    AROUSAL,
    BIAS,
    BLOCK,
    BUY,
    CLICK,
    CLICKED,
    DAYS,
    DELAY,
    EXPRESSION,
    FACE,
    FIRST,
    HOUR,
    IMAGE,
    LEAVE,
    MASK,
    OPTED_OUT,
    P_BUY,
    P_CLICK,
    P_LEAVE,
    PATIENCE,
    RECEIVED,
    SECOND,
    STAY,
    SURPRISE,
    VALENCE,
    VISITS,
    Z_AROUSAL,
    Z_VALENCE,
    new_bench,
    new_counters,
)
from sim.shop.budget import earn, spend
from sim.shop.camera import draw_expression, perceive, take_picture
from sim.shop.choice import click_logit, purchase_logit
from sim.shop.compiled import aside, borrow, compiled, copy, inlined, prefetch, widen, woven
from sim.shop.delay import purchase_delay
from sim.shop.fading import fade
from sim.shop.fatigue import opt_out_logit, rest, tire
from sim.shop.handle import Handle, lives_at, world_at
from sim.shop.logistic import sigmoid
from sim.shop.long_term import consume
from sim.shop.luck import count, draw_camera_luck, draw_response_luck, draw_return_luck
from sim.shop.observation import observe_own_record, observe_picture, observe_record
from sim.shop.organic import next_session
from sim.shop.population import draw_traits
from sim.shop.random_streams import CAMERA, PURCHASE, uniforms
from sim.shop.refunds import refund_probability, refund_wait
from sim.shop.returning import days_away, return_logit, stays
from sim.shop.reward import affect_term, settle
from sim.shop.satiation import satiate, wait_out
from sim.shop.settlement import await_money, settle_due
from sim.shop.slate import impression_of, is_slated, show_slate
from sim.shop.taste import drift_taste, drifts
from sim.shop.till import age_record, book, greet, open_record
from sim.shop.twin import move, show_state
from sim.shop.types import SELF
from sim.shop.variants import has_affect, is_variant, keeps_till, open_variant


@woven
def recognise(world, lives, i, seed, split):
    """A visit begins: the picture that was taken is perceived, and the till greets whom it shows."""
    perceive(world, lives, i, seed, split)
    customer = lives.customers[i]
    _, _, _, _, _, _, left = fade(world, customer.day - customer.last_seen)
    greet(lives, i, len(world.catalog), left)


@woven
def observe(world, lives, i, seed):
    """Fill observation and action mask of the coming opportunity."""
    observe_picture(lives, i)
    if world.params[0].twin > 0.0:
        show_state(lives, i)
    elif keeps_till(world.params[0]):
        observe_record(world, lives, i)
    else:
        observe_own_record(lives, i)
    allowed_actions(world, lives, i, seed)


@aside
def begin(handle, i, seed, split, identifier):
    """A new customer steps up in row `i`."""
    widen()
    world, lives = world_at(handle), lives_at(handle)
    lives.customers[i].id = identifier
    draw_traits(world, lives, i, seed, split)
    open_record(lives, i, len(world.catalog))
    if is_variant(world.params[0]):
        open_variant(world, lives, i, seed, split)
    u_expression, u_mask, u_image, u_hour = uniforms(seed, split, identifier, 0, CAMERA)
    expression = draw_expression(world.params[0], lives.customers[i].valence, lives.customers[i].arousal, u_expression)
    take_picture(world, lives, i, expression, u_mask, u_image, u_hour)
    recognise(world, lives, i, seed, split)
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


@inlined
def is_logged(lives):
    """Is there an event per customer; else one row serves all, and nobody reads it."""
    return len(lives.events) == len(lives.customers)


@woven
def decide(world, lives, i, requested, bench, b):
    """What is pushed, and how the customer is inclined towards it; `requested` 0 holds back, k pushes label k (a slate: see
    `sim.shop.slate`)."""
    p, customer, slated = world.params[0], lives.customers[i], is_slated(lives)
    action = requested if lives.action_mask[i, requested] else 0
    inclination = -math.inf  # never, where nothing is pushed
    if slated:
        action, requested, inclination = show_slate(world, lives, i, bench[CLICK + b])
    if is_logged(lives):
        note_truth(customer, lives.events[i], requested, action)
    bench[ACTION + b], bench[BIAS + b] = action, customer.mood
    bench[P_CLICK + b] = bench[P_BUY + b] = bench[P_LEAVE + b] = -math.inf
    if action > 0:
        label, item = lives.labels[i, action - 1], world.catalog[action - 1]
        _, _, _, _, left, _, _ = fade(world, customer.day - label.satiation_day)
        wait_out(label, customer.day, left)
        bench[P_CLICK + b] = inclination if slated else click_logit(p, customer, label, item)
        bench[P_BUY + b] = purchase_logit(p, customer, label, item)
        bench[P_LEAVE + b] = opt_out_logit(p, customer, impression_of(lives, i, label, item))


@woven
def weigh(p, number, bench):
    """From logits to probabilities, and from mood to its bias, for `number` customers."""
    for b in range(number):
        bench[P_CLICK + b] = sigmoid(bench[P_CLICK + b])
    for b in range(number):
        bench[P_BUY + b] = sigmoid(bench[P_BUY + b])
    for b in range(number):
        bench[P_LEAVE + b] = sigmoid(bench[P_LEAVE + b])
    for b in range(number):
        bench[BIAS + b] = bias_of(p, bench[BIAS + b])


@woven
def respond(world, lives, i, seed, split, bench, b):
    """Click, purchase, opt-out; what they are worth, feel like and leave in the till's record."""
    p, customer, action = world.params[0], lives.customers[i], int(bench[ACTION + b])
    logged = is_logged(lives)
    event, item, pushed = lives.events[i if logged else np.uintp(0)], world.catalog[max(action - 1, 0)], action > 0
    clicked, opted_out = bench[CLICK + b] < bench[P_CLICK + b], bench[LEAVE + b] < bench[P_LEAVE + b]
    bought = clicked and bench[BUY + b] < bench[P_BUY + b]
    surprise, price, returned, delay, wait = 0.0, item.price if bought else 0.0, False, 0.0, 0.0
    if logged:
        event.click_probability, event.purchase_probability = bench[P_CLICK + b], bench[P_BUY + b]
        event.opt_out_probability = bench[P_LEAVE + b]
        event.relevance = event.satiation = 0.0
    if pushed:
        label = lives.labels[i, action - 1]
        if logged:
            event.relevance, event.satiation = label.relevance, label.satiation
        if bought and (p.delay_days > 0.0 or p.refunds > 0.0):
            u_delay, u_back, u_wait, _ = uniforms(seed, split, customer.id, customer.opportunity, PURCHASE)
            delay, wait = purchase_delay(p, customer, u_delay), refund_wait(p, u_wait)
            returned = u_back < refund_probability(p, customer, label)
        if has_affect(p):
            seen = impression_of(lives, i, label, item)
            surprise = feel_biased(p, customer, seen, seen, clicked, bought, bench[BIAS + b])
            tire(p, customer, seen, seen)
        if keeps_till(p):  # elsewhere `exposures` counts what the variant says
            satiate(label)
        spend(customer, p.budget_enforced * price)
        customer.visit_pushes += 1
        customer.cap_pushes += 1
    engagement = consume(p, lives, i, seed, split, action) if p.long_term > 0.0 else 1.0
    received = settle(p, event, item, pushed, clicked, bought, opted_out, returned, engagement)
    known = customer.recognised == SELF and keeps_till(p)
    if known:
        book(world, lives, i, action, clicked, bought and delay == 0.0, price)
    if delay > 0.0:
        received += (
            await_money(world, lives, i, customer.day + delay, action - 1, event.margin, price, known) - event.margin
        )
    if returned:
        due = customer.day + delay + wait
        received += await_money(world, lives, i, due, action - 1, -event.refund, -price, known) + event.refund

    if drifts(p):
        drift_taste(world, lives, i, seed, split, action, clicked)
    if logged:
        event.clicked, event.bought, event.opted_out = clicked, bought, opted_out
        event.price, event.delay, event.returned = price, delay, returned
    bench[CLICKED + b], bench[OPTED_OUT + b], bench[SURPRISE + b] = clicked, opted_out, surprise
    bench[RECEIVED + b], bench[DELAY + b], bench[DAYS + b] = received, delay, return_logit(p, customer)


@woven
def wait_for_return(number, bench):
    """From the logit of coming back to the days away, for `number` customers, of whom some will stay."""
    for b in range(number):
        bench[DAYS + b] = days_away(bench[DAYS + b], bench[PATIENCE + b])


@woven
def pass_time(world, lives, i, seed, split, bench, b):
    """The time until the next opportunity: affect wanders, fatigue rests, money falls due, and the episode may end."""
    p, customer, logged = world.params[0], lives.customers[i], is_logged(lives)
    event, action = lives.events[i if logged else np.uintp(0)], int(bench[ACTION + b])
    if p.organic > 0.0:
        gap = next_session(world, lives, i, seed, split, bench[CLICKED + b] > 0.0)
    else:
        gap = int(bench[DAYS + b]) * (not stays(p, customer, bench[STAY + b]))
    inertia, noise, mood, fatigue, _, memory, _ = fade(world, gap)
    if p.twin > 0.0:
        move(p, customer, world.catalog[max(action - 1, 0)].care, action > 0, bench[FIRST + b], bench[SECOND + b])
    elif has_affect(p):
        wander(p, customer, bench[SURPRISE + b], inertia, noise, mood, bench[Z_VALENCE + b], bench[Z_AROUSAL + b])
        rest(customer, fatigue)
    received = bench[RECEIVED + b] + affect_term(p, customer, event)
    customer.opportunity += 1
    customer.day += gap
    lapsed = gap > p.lapse_days
    terminated = bench[OPTED_OUT + b] > 0.0 or lapsed
    truncated = not terminated and (customer.day >= p.horizon_days or customer.opportunity >= p.horizon_opportunities)
    if customer.awaited > 0:
        received += settle_due(world, lives, i, terminated or truncated)
    lives.reward[i], lives.terminated[i], lives.truncated[i] = received, terminated, truncated
    if logged:
        event.gap, event.lapsed, event.received = gap, lapsed, received
        event.pending = bench[DELAY + b] > gap and not (terminated or truncated)
        event.terminated, event.truncated = terminated, truncated
    leaves = gap > 0  # no branch: the processor could not guess it, and no days change nothing
    earn(customer, gap)
    age_record(lives, i, len(world.catalog), memory)
    customer.visit += leaves
    customer.visit_opportunity = (customer.visit_opportunity + 1) * (not leaves)
    customer.visit_pushes *= not leaves
    bench[VISITS + b], bench[VALENCE + b], bench[AROUSAL + b] = leaves, customer.valence, customer.arousal


@woven
def express(p, number, bench):
    """The expression that core affect would show on a picture now, for `number` customers."""
    for b in range(number):
        bench[FACE + b] = draw_expression(p, bench[VALENCE + b], bench[AROUSAL + b], bench[EXPRESSION + b])


@aside
def play_decisions(handle, start, stop, actions, bench):
    """The first act for the customers in rows start, ..., stop - 1; one who is done sits out, here and below."""
    world, lives, bench = world_at(handle), lives_at(handle), borrow(bench)
    for i in range(start, stop):
        ahead = min(i + np.uintp(BLOCK), np.uintp(len(actions) - 1))  # of the next block
        prefetch(lives.customers[ahead])
        prefetch(lives.labels[ahead, max(actions[ahead] - 1, 0)])
        if not lives.customers[i].done:
            decide(world, lives, i, actions[i], bench, i - start)


@aside
def play_responses(handle, start, stop, seed, split, bench):
    """The second act."""
    world, lives, bench = world_at(handle), lives_at(handle), borrow(bench)
    for i in range(start, stop):
        prefetch(lives.record[min(i + np.uintp(BLOCK), np.uintp(len(lives.record) - 1))])  # of the next block
        if not lives.customers[i].done:
            respond(world, lives, i, seed, split, bench, i - start)


@aside
def play_time(handle, start, stop, seed, split, bench):
    """The third act."""
    world, lives, bench = world_at(handle), lives_at(handle), borrow(bench)
    for i in range(start, stop):
        prefetch(lives.observation[i])  # of this block's last act
        if not lives.customers[i].done:
            pass_time(world, lives, i, seed, split, bench, i - start)


@aside
def play_arrivals(handle, start, stop, seed, split, bench):
    """The last act."""
    world, lives, bench, visitors = world_at(handle), lives_at(handle), borrow(bench), new_counters()
    number = np.uintp(0)
    for i in range(start, stop):  # who visits: found without a branch, which the processor could not guess
        visitors[number] = i
        number += np.uintp((lives.customers[i].done == 0) & (bench[VISITS + (i - start)] > 0.0))
    for v in range(number):
        row = np.uintp(visitors[v])
        b = row - start
        take_picture(world, lives, row, int(bench[FACE + b]), bench[MASK + b], bench[IMAGE + b], bench[HOUR + b])
        prefetch(world.pictures[lives.customers[row].image])
    for v in range(number):
        recognise(world, lives, np.uintp(visitors[v]), seed, split)
    for i in range(start, stop):
        if not lives.customers[i].done:
            observe(world, lives, i, seed)


@woven
def step(handle, start, stop, seed, split, actions, bench, counters):
    """One opportunity of the customers in rows start, ..., stop - 1, at most a block of them; actions (N,).

    Four acts, each played for the whole block before the next (`sim.shop.bench` says why).  What chance brings to an act is
    drawn after the one before it, which gives that one's results the time to reach memory.
    """
    p, number = world_at(handle).params[0], stop - start
    count(lives_at(handle), start, stop, counters)
    draw_response_luck(number, seed, split, counters, bench)
    play_decisions(handle, start, stop, actions, bench)
    draw_return_luck(number, seed, split, counters, bench)
    weigh(p, number, bench)
    play_responses(handle, start, stop, seed, split, bench)
    draw_camera_luck(number, seed, split, counters, bench)
    wait_for_return(number, bench)
    play_time(handle, start, stop, seed, split, bench)
    express(p, number, bench)
    play_arrivals(handle, start, stop, seed, split, bench)


@compiled
def begin_at(handle, seed, split, identifiers):
    """`begin_many` behind a handle."""
    for i in range(np.uintp(len(identifiers))):
        begin(handle, i, seed, split, identifiers[i])


def begin_many(world, lives, seed, split, identifiers):
    """Start customer `identifiers[i]` in row i; identifiers (N,) int64."""
    handle = Handle(world, lives)
    begin_at(handle.address, seed, split, identifiers)


@compiled
def advance_at(handle, seed, split, actions, stride):
    """`advance` behind a handle."""
    widen()
    lives, bench, counters = lives_at(handle), new_bench(), new_counters()
    number, block = np.uintp(len(actions)), np.uintp(BLOCK)
    for start in range(np.uintp(0), number, block):
        stop = min(start + block, number)
        step(handle, start, stop, seed, split, actions, bench, counters)
        for i in range(start, stop):
            if lives.customers[i].done:
                lives.reward[i] = 0.0
            elif lives.terminated[i] or lives.truncated[i]:
                if stride > 0:
                    copy(lives.final_observation[i], 0, lives.observation[i])
                    begin(handle, i, seed, split, lives.customers[i].id + stride)
                else:
                    lives.customers[i].done = 1


def advance(world, lives, seed, split, actions, stride):
    """One opportunity for every live row; actions (N,) int64.

    With `stride` > 0 a row whose episode ended starts its next customer at once (id + stride), and its last observation is
    kept in `final_observation`.  With 0 it is marked done and stays as it is; later calls pass it over with reward 0.
    """
    handle = Handle(world, lives)
    advance_at(handle.address, seed, split, actions, stride)


@compiled
def observe_again_at(handle, seed):
    """`observe_again` behind a handle."""
    world, lives = world_at(handle), lives_at(handle)
    for i in range(np.uintp(len(lives.customers))):
        observe(world, lives, i, seed)


def observe_again(world, lives, seed):
    """Write every row's observation and mask anew from its state; the picture of the visit stays."""
    handle = Handle(world, lives)
    observe_again_at(handle.address, seed)

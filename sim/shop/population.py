"""Who steps up: traits of a customer, drawn once per life as a pure function of (seed, split, customer).

taste        theta uniform on the unit sphere S^(D-1), relevance rel_k = theta . phi_k
price        log beta ~ N(log median, sd),  segment = log beta + noise (what a till could know of it)
budget       log B ~ N(log median, sd) money per 30 days
home valence N(mean, sd), first mood N(0, sd)
mask         a share of customers wears one on most visits, the others rarely
enrolled     a share of customers is known to the identity gallery
person       whose face the customer wears, uniform over the split's persons: many customers share a face
"""

from __future__ import annotations

import math

import numpy as np

from sim.shop.affect import clip
from sim.shop.compiled import clear, stack_floats, woven
from sim.shop.elementary import exp, log
from sim.shop.random_streams import TRAITS, normals, uniforms, woven_uniforms
from sim.shop.taste import relate

_traits, _first, _second = stack_floats(8), stack_floats(8), stack_floats(8)


@woven
def draw_normals(seed, split, customer, traits, taste):
    """Standard normals traits[0], ..., traits[7] and taste (D,), in place: two a moment, from moments 1 and 16 on."""
    first, second, together = _first(), _second(), np.uintp(8)
    draws = (np.uintp(len(traits) + len(taste) + 1) // np.uintp(2) + together - np.uintp(1)) // together * together
    for start in range(np.uintp(0), draws, together):  # eight moments at once, wanted or not
        lanes = min(together, draws - start)
        for h in range(lanes):
            moment = start + h + (np.uintp(1) if start + h < np.uintp(4) else np.uintp(12))
            first[h], second[h], _, _ = woven_uniforms(seed, split, customer, moment, TRAITS)
        for h in range(lanes):
            first[h], second[h] = normals(first[h], second[h])
        for h in range(lanes):
            for j in range(2):
                n, z = int(2 * np.intp(start + h) + j), second[h] if j else first[h]
                if n < len(traits):
                    traits[n] = z
                elif n - len(traits) < len(taste):
                    taste[n - len(traits)] = z


@woven
def draw_traits(world, lives, i, seed, split):
    """Fill traits and first state of the customer in row i, whose `id` is set."""
    p, customer = world.params[0], lives.customers[i]
    taste = lives.taste[i]
    u0, u1, u2, u3 = uniforms(seed, split, customer.id, 0, TRAITS)
    z = _traits()
    draw_normals(seed, split, customer.id, z, taste)
    z_price, z_budget, z_home, z_mood, z_segment, z_valence, z_arousal = z[0], z[1], z[2], z[3], z[4], z[5], z[6]

    customer.person = world.persons[min(int(u0 * len(world.persons)), len(world.persons) - 1)]
    customer.enrolled = u1 < p.enrolled_share
    customer.mask_habit = p.mask_probability_habit if u2 < p.mask_share else p.mask_probability_other
    log_beta = log(max(p.price_sensitivity_median, 1e-12)) + p.price_sensitivity_deviation * z_price
    customer.price_sensitivity = exp(log_beta)
    customer.segment = clip(log_beta + p.segment_noise * z_segment, -10.0, 10.0)
    customer.monthly_budget = p.budget_median * exp(p.budget_deviation * z_budget)
    customer.home_valence = p.home_valence_mean + p.home_valence_deviation * z_home

    square = 0.0
    for d in range(len(taste)):
        square += taste[d] * taste[d]
    norm = math.sqrt(square)
    for d in range(len(taste)):
        taste[d] /= norm
    clear(lives.labels[i])  # satiation, exposures, and what the till has booked
    relate(world, lives, i)

    customer.mood = clip(p.mood_deviation * z_mood, -1.0, 1.0)
    home = clip(customer.home_valence + p.mood_pull * customer.mood, -1.0, 1.0)
    customer.valence = clip(home + p.affect_deviation * z_valence, -1.0, 1.0)
    customer.arousal = clip(p.affect_deviation * z_arousal, -1.0, 1.0)
    customer.expectation = customer.fatigue = 0.0
    customer.budget = customer.monthly_budget
    customer.opportunity = customer.visit = customer.visit_opportunity = customer.day = 0
    customer.last_seen = customer.visits_booked = 0
    customer.spent_booked = 0.0
    customer.cap_window = -1
    customer.cap_pushes = customer.visit_pushes = customer.awaited = 0
    customer.done = 0

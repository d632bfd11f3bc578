"""What a customer's past says about the hidden state: the exact posterior under the true model, by a particle filter.

N particles a customer are drawn from the shop's own prior of traits and first states. What happens weighs them,

    log w += log P(clicked, bought, not opted out | particle, push) + log P(gap | particle) + log P(picture | valence, arousal)

and moves them with the shop's own equations: the customer's outcome and gap are imposed, the noise of core affect is drawn
(bootstrap filter: Gordon, Salmond & Smith 1993, IEE Proc. F 140:107). Where the effective number of particles,
1 / sum w^2, falls below N / 2, they are resampled systematically (Douc & Cappe 2005). Traits do not move, so few resamplings
matter more here than fine ones: `tests/sim/test_informed.py` holds the posterior of taste against quadrature.

What the camera shows of the expression comes as likelihoods (`expression_likelihood`). The till's segment, a noisy reading of
price sensitivity, is conditioned on exactly: log beta | segment is Gaussian.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sim.shop.affect import drift, feel
from sim.shop.budget import earn, spend
from sim.shop.camera import ORACLE, PERCEIVED, expression_weight
from sim.shop.choice import click_probability, purchase_probability, sigmoid
from sim.shop.compiled import compiled
from sim.shop.dynamics import begin_many
from sim.shop.fatigue import opt_out_probability, recover, tire
from sim.shop.lives import LiveCustomers, allocate
from sim.shop.parameters import VARIANTS, ShopError
from sim.shop.satiation import rebound, satiate
from sim.shop.types import Lives, borrow_world
from sim.shop.world import Shop

SMALLEST = 1e-12  # a likelihood that no float rounds to zero


class Cloud(NamedTuple):
    """Particles of n customers: customers (n, N) and labels (n, N, K) as in `Lives`, log_weight (n, N)."""

    customers: np.ndarray
    labels: np.ndarray
    log_weight: np.ndarray

    def lives(self, like: Lives) -> Lives:
        """The particles as rows of `Lives` (views), for the equations that read customers and labels only."""
        return like._replace(customers=self.customers.reshape(-1), labels=self.labels.reshape(-1, self.labels.shape[2]))

    def weights(self) -> np.ndarray:
        """(n, N), rows summing to one."""
        w = np.exp(self.log_weight - self.log_weight.max(1, keepdims=True))
        return w / w.sum(1, keepdims=True)


def check_filtered(shop: Shop) -> None:
    """Refuse a shop whose customers change in ways that the particles do not follow.

    Raises
    ------
    ShopError
        Names the mechanism.
    """
    p = shop.params[0]
    for name in (*VARIANTS, "taste_click_rate", "taste_ignore_rate", "taste_noise", "delay_days", "refunds"):
        if p[name] > 0:
            raise ShopError(
                f"the informed oracle follows the customers of the default shop; here {name} is {p[name]:g}, not 0"
            )


def prior(lives: LiveCustomers, rows: np.ndarray, particles: int, seed: int) -> Cloud:
    """Imagined customers for those in `rows` (n,), who have just begun, given nothing but their segment."""
    world, p, n = lives.world, lives.world.params[0], len(rows)
    state = allocate(n * particles, lives.shop.labels, lives.shop.catalog.features.shape[1])
    identifiers = (lives.ids[rows][:, None] * particles + np.arange(particles)).ravel()
    begin_many(world, state, seed, lives.split, np.ascontiguousarray(identifiers))
    customers = state.customers.reshape(n, particles)
    spread, noise = p["price_sensitivity_deviation"], p["segment_noise"]
    if spread > 0:
        median = math.log(max(p["price_sensitivity_median"], 1e-12))
        gain = spread**2 / (spread**2 + noise**2)
        centre = median + gain * (lives.state.customers["segment"][rows] - median)
        # the prior's own draw, squeezed: z of the particle under the prior is z of it under the posterior
        z = (np.log(customers["price_sensitivity"]) - median) / spread
        customers["price_sensitivity"] = np.exp(centre[:, None] + math.sqrt(1.0 - gain) * spread * z)
    return Cloud(customers, state.labels.reshape(n, particles, -1), np.zeros((n, particles)))


@compiled
def _follow(world, customers, labels, rows, events, noise, log_weight):
    world = borrow_world(world)
    p = world.params[0]
    for j in range(len(rows)):
        event, r = events[j], rows[j]
        action, gap, bought, clicked = event.action, event.gap, event.bought != 0, event.clicked != 0
        item = world.catalog[max(action - 1, 0)]
        for i in range(customers.shape[1]):
            customer, surprise, weight = customers[r, i], 0.0, 0.0
            if action > 0:
                label = labels[r, i, action - 1]
                rebound(p, label, customer.day)
                click = click_probability(p, customer, label, item)
                weight += math.log(max(click if clicked else 1.0 - click, SMALLEST))
                if clicked:
                    buy = purchase_probability(p, customer, label, item)
                    weight += math.log(max(buy if bought else 1.0 - buy, SMALLEST))
                weight += math.log(max(1.0 - opt_out_probability(p, customer, item), SMALLEST))
                surprise = feel(p, customer, label, item, clicked, bought)
                tire(p, customer, label, item)
                satiate(label)
                spend(customer, p.budget_enforced * (item.price if bought else 0.0))
            if gap > 0:
                rate = sigmoid(
                    p.return_intercept
                    + p.return_mood_weight * customer.mood
                    + p.return_valence_weight * customer.valence
                    - p.return_fatigue_weight * customer.fatigue
                )
                weight += math.log(max(rate, SMALLEST)) + (gap - 1.0) * math.log(max(1.0 - rate, SMALLEST))
            drift(p, customer, surprise, gap, noise[j, i, 0], noise[j, i, 1])
            recover(p, customer, gap)
            customer.day += gap
            customer.opportunity += 1
            if gap > 0:
                earn(customer, gap)
            log_weight[r, i] += weight


def follow(lives: LiveCustomers, cloud: Cloud, rows: np.ndarray, which: np.ndarray, rng: np.random.Generator) -> None:
    """Weigh and move the particles of cloud rows `which` (n,) by what just happened to the customers in `rows` (n,), in place."""
    noise = rng.standard_normal((len(rows), cloud.log_weight.shape[1], 2))
    _follow(lives.world, cloud.customers, cloud.labels, which, lives.state.events[rows], noise, cloud.log_weight)


@compiled
def _look(world, customers, rows, likelihood, log_weight):
    world = borrow_world(world)
    p, weight = world.params[0], np.empty(7)
    for j in range(len(rows)):
        for i in range(customers.shape[1]):
            customer, total, shown = customers[rows[j], i], 0.0, 0.0
            for e in range(7):
                weight[e] = expression_weight(p, customer.valence, customer.arousal, e)
                total += weight[e]
                shown += weight[e] * likelihood[j, e]
            log_weight[j, i] = math.log(max(shown / total, SMALLEST))


def look(world: object, customers: np.ndarray, rows: np.ndarray, likelihood: np.ndarray) -> np.ndarray:
    """log P(picture | state) (n, N) of particles `customers` (m, N) in `rows` (n,), for likelihoods (n, 7) of expressions."""
    out = np.empty((len(rows), customers.shape[1]))
    _look(world, customers, np.ascontiguousarray(rows, np.int64), np.ascontiguousarray(likelihood), out)
    return out


def resample(cloud: Cloud, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Systematic resampling, in place, of those of `rows` whose effective number is below half of the particles."""
    number = cloud.log_weight.shape[1]
    weights = Cloud(*(array[rows] for array in cloud)).weights()
    poor = np.flatnonzero(1.0 / np.square(weights).sum(1) < 0.5 * number)
    steps = (np.arange(number) + rng.random((len(poor), 1))) / number
    for step, j in zip(steps, poor, strict=True):
        kept = np.minimum(np.searchsorted(np.cumsum(weights[j]), step), number - 1)
        r = rows[j]
        cloud.customers[r], cloud.labels[r], cloud.log_weight[r] = cloud.customers[r][kept], cloud.labels[r][kept], 0.0


def expression_likelihood(shop: Shop) -> np.ndarray:
    """P(what the camera shows of picture i | expression j) (I, 7), up to a factor that depends on i alone.

    Under `camera.emotion=oracle` the truth. Under `perceived`, P(j | features) / P(j) of a softmax regression of the true
    expression on the logarithms of the seven perceived probabilities and the mask's, fitted to the pictures of the training
    faces: what a labelled gallery teaches about the camera, mistakes included. No face, or a blind channel: all alike.

    Raises
    ------
    ShopError
        The emotion channel is noisy, or the gallery has no labels.
    """
    gallery, channel = shop.gallery, int(shop.params["emotion_channel"][0])
    flat = np.ones((len(gallery.true_emotion), 7))
    if channel == ORACLE:
        flat[:] = np.eye(7)[gallery.true_emotion]
        return flat
    if channel != PERCEIVED:
        return flat
    if not gallery.labelled:
        raise ShopError("the informed oracle needs a gallery whose true emotions are known; this one has no labels")
    x = np.column_stack([np.log(gallery.emotion + 1e-3), gallery.mask_probability, np.ones(len(flat))]).astype(float)
    x = np.column_stack([x, x[:, :7] * x[:, 7:8]])
    x[:, :7] -= x[:, :7].mean(0)
    used = np.isin(gallery.person_of, gallery.train.persons) & (gallery.has_face > 0)
    truth = gallery.true_emotion[used]
    weights = _softmax_regression(x[used], np.eye(7)[truth])
    odds = np.exp(x @ weights - (x @ weights).max(1, keepdims=True))
    share = np.bincount(truth, minlength=7) / len(truth)
    seen = odds / odds.sum(1, keepdims=True) / np.maximum(share, 1e-6)
    return np.where(gallery.has_face[:, None] > 0, seen, flat)


def _softmax_regression(x: np.ndarray, target: np.ndarray, penalty: float = 1.0) -> np.ndarray:
    """Weights (D, C) of the largest penalised likelihood of targets (n, C)."""
    from scipy.optimize import minimize

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(x.shape[1], -1)
        logits = x @ w
        logits -= logits.max(1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        value = -(target * log_p).sum() + 0.5 * penalty * np.square(w).sum()
        return float(value), (x.T @ (np.exp(log_p) - target) + penalty * w).ravel()

    found = minimize(
        loss, np.zeros(x.shape[1] * target.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500}
    )
    return np.asarray(found.x.reshape(x.shape[1], -1))

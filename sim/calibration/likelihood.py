"""Likelihood of a push log under the shop, hidden traits and moods integrated out.

Given a customer's traits and the noise of affect, everything else in a life is decided by what is logged: pushes, clicks,
purchases and gaps drive fatigue, satiation, expectation, mood and budget through the shop's own equations.  So with z the
standard normals behind taste, price sensitivity, budget, home valence, first mood and the Ornstein-Uhlenbeck steps of affect,

    L_i = E_z prod_t  P(click_t | z, past) P(buy_t | ...) P(opt out_t | ...) P(gap_t | ...) P(emotion read_t | ...)

is an integral over z alone: maximum simulated likelihood of a mixed logit (McFadden & Train 2000; Train 2009, ch. 10).
R draws per customer, kept for all parameter values (common random numbers), make it smooth in the parameters, and

    log L_i = log(1/R sum_r w_r) + 1/2 (sum_r w_r^2 / (sum_r w_r)^2 - 1/R)

takes off the bias of the logarithm to first order in 1/R (Gourieroux & Monfort 1991).  The responses and transitions are the
functions of `sim.shop`; only the derivatives of the four logits and the geometric law of the gap are written here, and tests
hold them to the shop's.
"""

from __future__ import annotations

import math

import numpy as np

from sim.calibration.push_log import AWAY, LEFT, NO_READING
from sim.shop.affect import clip, drift, feel
from sim.shop.budget import earn, spend
from sim.shop.camera import expression_weight
from sim.shop.choice import click_probability, purchase_probability, sigmoid
from sim.shop.compiled import compiled, inlined
from sim.shop.fatigue import opt_out_probability, recover, tire
from sim.shop.random_streams import normals, uniforms
from sim.shop.satiation import rebound, satiate

# Coefficients that enter a logit linearly (price sensitivity through its logarithm): their scores are exact.
LINEAR = (
    "click_intercept", "taste_weight", "price_sensitivity_median", "price_sensitivity_deviation", "satiation_weight",
    "exposure_gain", "exposure_wear", "valence_weight", "tone_weight", "mood_weight", "fatigue_weight",
    "buy_intercept", "buy_taste_weight", "buy_valence_weight", "buy_price_weight",
    "opt_out_intercept", "opt_out_fatigue_weight", "opt_out_mood_weight", "opt_out_valence_weight", "opt_out_pressure_weight",
    "return_intercept", "return_mood_weight", "return_valence_weight", "return_fatigue_weight",
)  # fmt: skip
CLICK, BUY, OPT_OUT, RETURN, EMOTION = range(5)
KINDS = ("click", "buy", "opt_out", "return", "emotion")
STATIC = 6  # standard normals of a customer beside taste: price, budget, home valence, mood, valence, arousal
_VISITS = 102  # random stream of calibration, apart from the shop's
_TINY = 1e-12  # floor of a probability: a draw that cannot explain an event counts for next to nothing


@compiled
def fill_visits(seed, visits, visit_start, draws):
    """Standard normals (sum_i R v_i, 2) behind the affect of customers between their visits, in place."""
    for i in range(len(visit_start) - 1):
        steps = visit_start[i + 1] - visit_start[i]
        for r in range(draws):
            base = visit_start[i] * draws + r * steps
            for v in range(steps):
                u = uniforms(seed, 0, i * 1_000_000 + r, v, _VISITS)
                visits[base + v, 0], visits[base + v, 1] = normals(u[0], u[1])


@inlined
def _step_up(p, customer, taste, z):
    """Traits and first state from standard normals z (D + 6,), as `sim.shop.population` draws them."""
    dimensions, norm = len(taste), 0.0
    for d in range(dimensions):
        norm += z[d] * z[d]
    for d in range(dimensions):
        taste[d] = z[d] / math.sqrt(norm)
    z = z[dimensions:]
    median = max(p.price_sensitivity_median, 1e-12)
    customer.price_sensitivity = math.exp(math.log(median) + p.price_sensitivity_deviation * z[0])
    customer.monthly_budget = p.budget_median * math.exp(p.budget_deviation * z[1])
    customer.home_valence = p.home_valence_mean + p.home_valence_deviation * z[2]
    customer.mood = clip(p.mood_deviation * z[3], -1.0, 1.0)
    home = clip(customer.home_valence + p.mood_pull * customer.mood, -1.0, 1.0)
    customer.valence = clip(home + p.affect_deviation * z[4], -1.0, 1.0)
    customer.arousal = clip(p.affect_deviation * z[5], -1.0, 1.0)
    customer.expectation = customer.fatigue = 0.0
    customer.budget = customer.monthly_budget
    customer.day = 0


@inlined
def _log_either(probability, happened):
    return math.log(max(probability if happened else 1.0 - probability, _TINY))


@inlined
def return_rate(p, customer):
    """Probability per day of coming back; the logit of `sim.shop.returning.next_gap`."""
    return sigmoid(
        p.return_intercept
        + p.return_mood_weight * customer.mood
        + p.return_valence_weight * customer.valence
        - p.return_fatigue_weight * customer.fatigue
    )


@inlined
def _read_emotion(p, customer, confusion, reading):
    """P(most probable perceived emotion = reading | core affect), through the confusion (7 true, 7 perceived)."""
    total = right = 0.0
    for j in range(7):
        weight = expression_weight(p, customer.valence, customer.arousal, j)
        total += weight
        right += weight * confusion[j, reading]
    return right / total


@compiled
def _live(
    params, catalog, features, rows, static, visits, z_price, confusion, customers, labels, taste, out, chance, score
):
    """One draw of a customer's life along the logged rows (t,).

    out (t, 5) log-probabilities by KINDS; chance (t, 4) of click, purchase given click, opt-out, and the daily rate of
    return; score (24,) derivatives of the sum of `out` by LINEAR.
    """
    p, customer = params[0], customers[0]
    _step_up(p, customer, taste, static)
    for k in range(len(labels)):
        labels[k].satiation = labels[k].exposures = 0.0
        labels[k].satiation_day = 0
    score[:] = 0.0
    visit, fresh = 0, True
    for t in range(len(rows)):
        row = rows[t]
        out[t, :] = 0.0
        chance[t, :] = 0.0
        surprise = 0.0
        if fresh and row.reading != NO_READING:
            seen = _read_emotion(p, customer, confusion[row.masked], row.reading)
            out[t, EMOTION] = math.log(max(seen, _TINY))
        if row.label > 0:
            label, item = labels[row.label - 1], catalog[row.label - 1]
            item.price = row.price
            if label.exposures == 0.0:
                cosine = 0.0
                for d in range(len(taste)):
                    cosine += taste[d] * features[row.label - 1, d]
                label.relevance = cosine
            rebound(p, label, row.day)
            v, a = p.emotion_scale * customer.valence, p.emotion_scale * customer.arousal

            chance[t, CLICK] = click_probability(p, customer, label, item)
            out[t, CLICK] = _log_either(chance[t, CLICK], row.clicked)
            rest, n = row.clicked - chance[t, CLICK], min(label.exposures / 10.0, 3.0)
            worth = customer.price_sensitivity * row.price / p.price_reference
            score[0] += rest
            score[1] += rest * label.relevance
            score[2] -= rest * worth
            score[3] -= rest * worth * z_price
            score[4] -= rest * label.satiation
            score[5] += rest * n
            score[6] -= rest * n * n
            score[7] += rest * v
            score[8] += rest * (v * item.tone_valence + a * item.tone_arousal)
            score[9] += rest * customer.mood
            score[10] -= rest * customer.fatigue

            chance[t, BUY] = purchase_probability(p, customer, label, item)
            if row.clicked:
                out[t, BUY] = _log_either(chance[t, BUY], row.bought)
                if row.price <= customer.budget:
                    rest = row.bought - chance[t, BUY]
                    score[11] += rest
                    score[12] += rest * label.relevance
                    score[13] += rest * v
                    score[14] -= rest * row.price / customer.budget

            chance[t, OPT_OUT] = opt_out_probability(p, customer, item)
            out[t, OPT_OUT] = _log_either(chance[t, OPT_OUT], row.opted_out)
            rest = row.opted_out - chance[t, OPT_OUT]
            score[15] += rest
            score[16] += rest * customer.fatigue
            score[17] -= rest * customer.mood
            score[18] -= rest * v
            score[19] += rest * item.pressure

            surprise = feel(p, customer, label, item, row.clicked > 0, row.bought > 0)
            tire(p, customer, label, item)
            satiate(label)
            if row.bought:
                spend(customer, min(p.budget_enforced * row.price, customer.budget))
        if row.end == LEFT:
            break
        chance[t, RETURN] = rate = return_rate(p, customer)
        fresh = row.gap > 0
        if fresh or row.end == AWAY:
            days = row.gap if row.end == AWAY else row.gap - 1  # in vain
            rate = min(max(rate, _TINY), 1.0 - _TINY)
            out[t, RETURN] = days * math.log1p(-rate) + (0.0 if row.end == AWAY else math.log(rate))
            rest = -days * rate + (0.0 if row.end == AWAY else 1.0 - rate)
            score[20] += rest
            score[21] += rest * customer.mood
            score[22] += rest * customer.valence
            score[23] -= rest * customer.fatigue
        if fresh and row.end != AWAY:
            drift(p, customer, surprise, row.gap, visits[visit, 0], visits[visit, 1])
            recover(p, customer, row.gap)
            earn(customer, row.gap)
            visit += 1
        else:
            drift(p, customer, surprise, 0, 0.0, 0.0)


@inlined
def _weigh(log_weight, weight):
    """Normalise log-weights (R,) into weight (R,); returns (log mean, sum of squares of the weights)."""
    largest, total, squares = log_weight.max(), 0.0, 0.0
    for r in range(len(weight)):
        weight[r] = math.exp(log_weight[r] - largest)
        total += weight[r]
    for r in range(len(weight)):
        weight[r] /= total
        squares += weight[r] * weight[r]
    return largest + math.log(total / len(weight)), squares


@compiled
def log_likelihoods(
    params, catalog, features, rows, start, static, offset, visits, visit_start, confusion, draws, stored, customers, labels,
    taste, first, last, with_score, value, weights, score,
):  # fmt: skip
    """Of the customers first..last-1, in place: value (N,) log L_i; weights (N, R) of the draws, sum 1; score (N, 24 + K).

    `draws` of the `stored` draws per customer are used; offset (N, R) is log prior / proposal of each.
    """
    linear, dimensions = len(LINEAR), len(taste)
    log_weight, part = np.empty(draws), np.empty((draws, linear))
    for i in range(first, last):
        own = rows[start[i] : start[i + 1]]
        length, steps = len(own), visit_start[i + 1] - visit_start[i]
        out, chance, clicks = np.zeros((length, 5)), np.zeros((length, 4)), np.empty((draws, length))
        for r in range(draws):
            base = visit_start[i] * stored + r * steps
            _live(
                params, catalog, features, own, static[i, r], visits[base : base + steps], static[i, r, dimensions],
                confusion, customers, labels, taste, out, chance, part[r],
            )  # fmt: skip
            log_weight[r] = out.sum() + offset[i, r]
            for t in range(length):
                clicks[r, t] = chance[t, CLICK]
        weight = weights[i, :draws]
        mean, squares = _weigh(log_weight, weight)
        value[i] = mean + 0.5 * (squares - 1.0 / draws)
        if with_score:
            score[i, :] = 0.0
            for r in range(draws):
                # derivative of log-mean plus correction: sum_r (w_r + w_r^2 - w_r sum w^2) g_r
                factor = weight[r] * (1.0 + weight[r] - squares)
                for j in range(linear):
                    score[i, j] += factor * part[r, j]
                for t in range(length):
                    if own[t].label > 0:
                        score[i, linear + own[t].label - 1] += factor * (own[t].clicked - clicks[r, t])


@compiled
def predictions(
    params, catalog, features, rows, start, static, offset, visits, visit_start, confusion, draws, stored, customers, labels,
    taste, first, last, density, chances,
):  # fmt: skip
    """One step ahead, in place: density (T, 5) log-probability of each logged event given the customer's past by KINDS, and
    chances (T, 4) of click, purchase given click, opt-out and the daily rate of return as they stood before the event.

    Within a row the emotion is read first, then come click, purchase, opt-out and gap.
    """
    dimensions = len(taste)
    log_weight, weight, score = np.empty(draws), np.empty(draws), np.empty(len(LINEAR))
    order = (EMOTION, CLICK, BUY, OPT_OUT, RETURN)
    for i in range(first, last):
        own = rows[start[i] : start[i + 1]]
        length, steps = len(own), visit_start[i + 1] - visit_start[i]
        out, chance = np.zeros((draws, length, 5)), np.zeros((draws, length, 4))
        for r in range(draws):
            base = visit_start[i] * stored + r * steps
            _live(
                params, catalog, features, own, static[i, r], visits[base : base + steps], static[i, r, dimensions],
                confusion, customers, labels, taste, out[r], chance[r], score,
            )  # fmt: skip
        log_weight[:] = offset[i, :draws]
        before, square = _weigh(log_weight, weight)
        before += 0.5 * (square - 1.0 / draws)
        for t in range(length):
            for kind in order:
                if kind != EMOTION:
                    mean = 0.0
                    for r in range(draws):
                        mean += weight[r] * chance[r, t, kind]
                    chances[start[i] + t, kind] = mean
                any_news = False
                for r in range(draws):
                    any_news |= out[r, t, kind] != 0.0
                    log_weight[r] += out[r, t, kind]
                if any_news:
                    after, square = _weigh(log_weight, weight)
                    after += 0.5 * (square - 1.0 / draws)
                    density[start[i] + t, kind] = after - before
                    before = after
                else:
                    density[start[i] + t, kind] = 0.0

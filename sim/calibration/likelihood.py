"""Likelihood of a push log under the shop, hidden traits and affect integrated out.

Given a customer's traits, everything but core affect is decided by what is logged: pushes, clicks, purchases and gaps drive
fatigue, satiation, expectation, mood and budget through the shop's own equations.  With z the standard normals behind taste,
price sensitivity, budget, home valence and first mood, and x_v core affect at visit v,

    L_i = E_z prod_v  V_v(z),    V_v = E_x[ P(emotion read | x) prod_{t in v} P(click_t | x, z) P(buy_t) P(opt out_t) P(gap_t) ]

The outer expectation is simulated: maximum simulated likelihood of a mixed logit (McFadden & Train 2000; Train 2009, ch. 10).
R draws per customer, kept for all parameter values (common random numbers), make it smooth in the parameters, and

    log L_i = log(1/R sum_r w_r) + 1/2 (sum_r w_r^2 / (sum_r w_r)^2 - 1/R)

takes off the bias of the logarithm to first order in 1/R (Gourieroux & Monfort 1991).  The inner expectation, over the two
numbers of core affect, is a Gaussian filter with Gauss-Hermite nodes (Ito & Xiong 2000): after a visit affect has the
mean and variance of the weighted nodes, which the Ornstein-Uhlenbeck law carries over the gap.  Drawing every visit's affect
instead leaves a handful of the draws of a long life with any weight, and then taste and affect come out too small.

The score sum_t E[d log P(event_t) | log up to the visit's end] takes a visit's first mean and variance as given: a sum of
martingale differences, so its root is consistent (Godambe 1960), and the derivative of log L where a gap lets affect forget.

The responses and transitions are the functions of `sim.shop`; only the derivatives of the four logits, the geometric law of
the gap and the moments of affect over a gap are written here, and tests hold them to the shop's.
"""

from __future__ import annotations

import math

import numpy as np

from sim.calibration.push_log import AWAY, LEFT, NO_READING, RETURNED
from sim.shop.affect import clip, drift, feel
from sim.shop.budget import earn, spend
from sim.shop.camera import expression_weight
from sim.shop.choice import click_probability, purchase_probability, sigmoid
from sim.shop.compiled import compiled, inlined
from sim.shop.fatigue import opt_out_probability, recover, tire
from sim.shop.satiation import rebound, satiate

# Coefficients that enter a logit linearly (price sensitivity through its logarithm): their scores are exact.
LINEAR = (
    "click_intercept", "taste_weight", "price_sensitivity_median", "price_sensitivity_deviation", "satiation_weight",
    "exposure_gain", "exposure_wear", "valence_weight", "tone_weight", "mood_weight", "fatigue_weight",
    "buy_intercept", "buy_taste_weight", "buy_valence_weight", "buy_price_weight",
    "opt_out_intercept", "opt_out_fatigue_weight", "opt_out_mood_weight", "opt_out_valence_weight", "opt_out_pressure_weight",
    "return_intercept", "return_mood_weight", "return_valence_weight", "return_fatigue_weight",
)  # fmt: skip
CURVED = ("fatigue_days", "satiation_days")  # no logit is linear in these; scores by their logarithm, of the fading states
SCORED = (*LINEAR, *CURVED)
CLICK, BUY, OPT_OUT, RETURN, EMOTION = range(5)
KINDS = ("click", "buy", "opt_out", "return", "emotion")
STATIC = 4  # standard normals of a customer beside taste: price, budget, home valence, mood
NODES = (5, 5)  # of valence and arousal; 15 x 15 change log L of a customer by .03 (one standard deviation; tests)
UNREAD_NODES = (5, 3)  # enough where no emotion was read: responses bend less than expressions do
_TINY = 1e-12  # floor of a probability: a draw that cannot explain an event counts for next to nothing


def affect_nodes(valence: int = NODES[0], arousal: int = NODES[1]) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes (1, M, 2) of two standard normals and their weights (M,), sum 1; the first axis is for visits."""
    (x, u), (y, w) = (np.polynomial.hermite_e.hermegauss(n) for n in (valence, arousal))
    nodes = np.stack(np.meshgrid(x, y, indexing="ij"), 2).reshape(1, -1, 2)
    weights = np.outer(u, w).ravel()
    return np.ascontiguousarray(nodes), weights / weights.sum()


@inlined
def _step_up(p, customer, taste, z):
    """Traits and first state, affect aside, from standard normals z (D + 4,), as `sim.shop.population` draws them."""
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
    customer.expectation = customer.fatigue = 0.0
    customer.budget = customer.monthly_budget
    customer.day = 0


@inlined
def _either(probability, happened):
    return max(probability if happened else 1.0 - probability, _TINY)


@inlined
def _home(p, customer):
    return clip(customer.home_valence + p.mood_pull * customer.mood, -1.0, 1.0)


@inlined
def _place(points, moments, nodes):
    """Put the nodes (M, 2) of affect where its moments say: mean and deviation of valence, of arousal."""
    for j in range(len(points)):
        points[j, 0] = clip(moments[0] + moments[1] * nodes[j, 0], -1.0, 1.0)
        points[j, 1] = clip(moments[2] + moments[3] * nodes[j, 1], -1.0, 1.0)


@inlined
def _stand_at(customer, points, j):
    customer.valence, customer.arousal = points[j, 0], points[j, 1]


@inlined
def _carry(p, customer, points, weight, surprise, gap, moments):
    """Moments of affect `gap` days later, from its weighted nodes; the law of `sim.shop.affect.drift`."""
    q, home = math.exp(-p.affect_rate * gap), _home(p, customer)
    noise = p.affect_deviation * p.affect_deviation * (1.0 - q * q)
    v = a = vv = aa = 0.0
    for j in range(len(points)):
        v += weight[j] * points[j, 0]
        a += weight[j] * points[j, 1]
    for j in range(len(points)):
        vv += weight[j] * (points[j, 0] - v) ** 2
        aa += weight[j] * (points[j, 1] - a) ** 2
    moments[0] = home + q * (v - home) + p.valence_jump * surprise
    moments[1] = math.sqrt(q * q * vv + noise)
    moments[2] = q * a + p.arousal_jump * abs(surprise)
    moments[3] = math.sqrt(q * q * aa + noise)


@inlined
def _update(weight, likelihood):
    """Weigh the nodes by the likelihood of an event, in place; returns the event's probability."""
    total = 0.0
    for j in range(len(weight)):
        weight[j] *= likelihood[j]
        total += weight[j]
    for j in range(len(weight)):
        weight[j] /= total
    return total


@inlined
def _mean(weight, chance):
    total = 0.0
    for j in range(len(weight)):
        total += weight[j] * chance[j]
    return total


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
    params, catalog, features, rows, static, nodes, node_weights, confusion, customers, labels, taste, out, chance, clicks, score
):
    """One draw of a customer's life along the logged rows (t,), core affect integrated out.

    nodes (V or 1, M, 2) standard normals of affect at each visit, or the same at all; out (t, 5) log-probabilities by KINDS,
    each given all that came before it; chance (t, 4) of click, purchase given click, opt-out, and the daily rate of return,
    likewise; clicks (t,) chance of a click given the whole visit; score (26,) derivatives of the sum of `out` by SCORED.
    """
    p, customer, number = params[0], customers[0], nodes.shape[1]
    points, weight, moments = np.empty((number, 2)), node_weights.copy(), np.empty(4)
    likelihood, rate, part, clicked = np.empty(number), np.empty(number), np.zeros((number, len(SCORED))), np.zeros((4, number))
    fading = np.zeros(len(labels))  # d satiation / d log satiation_days, as it stood on `satiation_day`
    recovering = 0.0  # d fatigue / d log fatigue_days
    dimensions = len(taste)
    _step_up(p, customer, taste, static)
    moments[0], moments[2] = _home(p, customer), 0.0
    moments[1] = moments[3] = p.affect_deviation
    _place(points, moments, nodes[0])
    for k in range(len(labels)):
        labels[k].satiation = labels[k].exposures = 0.0
        labels[k].satiation_day = 0
    score[:] = 0.0
    visit, fresh, first = 0, True, 0
    for t in range(len(rows)):
        row = rows[t]
        out[t, :] = 0.0
        chance[t, :] = 0.0
        surprise = 0.0
        if t - first >= len(clicked):  # a visit longer than any before
            clicked = np.concatenate((clicked, np.zeros_like(clicked)))
        clicked[t - first, :] = 0.0
        if fresh and row.reading != NO_READING:
            for j in range(number):
                _stand_at(customer, points, j)
                likelihood[j] = max(_read_emotion(p, customer, confusion[row.masked], row.reading), _TINY)
            out[t, EMOTION] = math.log(_update(weight, likelihood))
        if row.label > 0:
            label, item = labels[row.label - 1], catalog[row.label - 1]
            item.price = row.price
            if label.exposures == 0.0:
                cosine = 0.0
                for d in range(dimensions):
                    cosine += taste[d] * features[row.label - 1, d]
                label.relevance = cosine
            before, days = label.satiation, row.day - label.satiation_day
            rebound(p, label, row.day)
            if before > 0.0 and days > 0:
                fading[row.label - 1] = (
                    fading[row.label - 1] * label.satiation / before + label.satiation * days / p.satiation_days
                )
            n, worth = min(label.exposures / 10.0, 3.0), customer.price_sensitivity * row.price / p.price_reference
            for j in range(number):
                _stand_at(customer, points, j)
                v, a = p.emotion_scale * customer.valence, p.emotion_scale * customer.arousal
                rate[j] = clicked[t - first, j] = click_probability(p, customer, label, item)
                likelihood[j] = _either(rate[j], row.clicked)
                rest = row.clicked - rate[j]
                part[j, 0] += rest
                part[j, 1] += rest * label.relevance
                part[j, 2] -= rest * worth
                part[j, 3] -= rest * worth * static[dimensions]
                part[j, 4] -= rest * label.satiation
                part[j, 5] += rest * n
                part[j, 6] -= rest * n * n
                part[j, 7] += rest * v
                part[j, 8] += rest * (v * item.tone_valence + a * item.tone_arousal)
                part[j, 9] += rest * customer.mood
                part[j, 10] -= rest * customer.fatigue
                part[j, 24] -= rest * p.fatigue_weight * recovering
                part[j, 25] -= rest * p.satiation_weight * fading[row.label - 1]
            chance[t, CLICK] = _mean(weight, rate)
            out[t, CLICK] = math.log(_update(weight, likelihood))

            for j in range(number):
                _stand_at(customer, points, j)
                rate[j] = purchase_probability(p, customer, label, item)
                likelihood[j] = _either(rate[j], row.bought)
                if row.clicked and row.price <= customer.budget:
                    rest = row.bought - rate[j]
                    part[j, 11] += rest
                    part[j, 12] += rest * label.relevance
                    part[j, 13] += rest * p.emotion_scale * customer.valence
                    part[j, 14] -= rest * row.price / customer.budget
            chance[t, BUY] = _mean(weight, rate)
            if row.clicked:
                out[t, BUY] = math.log(_update(weight, likelihood))

            for j in range(number):
                _stand_at(customer, points, j)
                rate[j] = opt_out_probability(p, customer, item)
                likelihood[j] = _either(rate[j], row.opted_out)
                rest = row.opted_out - rate[j]
                part[j, 15] += rest
                part[j, 16] += rest * customer.fatigue
                part[j, 17] -= rest * customer.mood
                part[j, 18] -= rest * p.emotion_scale * customer.valence
                part[j, 19] += rest * item.pressure
                part[j, 24] += rest * p.opt_out_fatigue_weight * recovering
            chance[t, OPT_OUT] = _mean(weight, rate)
            out[t, OPT_OUT] = math.log(_update(weight, likelihood))

            surprise = feel(p, customer, label, item, row.clicked > 0, row.bought > 0)
            tire(p, customer, label, item)
            satiate(label)
            if row.bought:
                spend(customer, min(p.budget_enforced * row.price, customer.budget))
        fresh = row.gap > 0
        if row.end != LEFT:
            days = row.gap if row.end == AWAY else row.gap - 1  # in vain
            for j in range(number):
                _stand_at(customer, points, j)
                rate[j] = return_rate(p, customer)
                if fresh or row.end == AWAY:
                    back = min(max(rate[j], _TINY), 1.0 - _TINY)
                    likelihood[j] = days * math.log1p(-back) + (0.0 if row.end == AWAY else math.log(back))
                    rest = -days * back + (0.0 if row.end == AWAY else 1.0 - back)
                    part[j, 20] += rest
                    part[j, 21] += rest * customer.mood
                    part[j, 22] += rest * customer.valence
                    part[j, 23] -= rest * customer.fatigue
                    part[j, 24] -= rest * p.return_fatigue_weight * recovering
            chance[t, RETURN] = _mean(weight, rate)
            if fresh or row.end == AWAY:
                largest = likelihood.max()
                likelihood[:] = np.exp(likelihood - largest)
                out[t, RETURN] = largest + math.log(_update(weight, likelihood))
        if fresh or row.end != RETURNED or t == len(rows) - 1:  # the visit is over: what it says of its own affect is complete
            for j in range(number):
                for s in range(len(SCORED)):
                    score[s] += weight[j] * part[j, s]
            for s in range(first, t + 1):
                clicks[s] = _mean(weight, clicked[s - first])
            part[:] = 0.0
            first = t + 1
        if row.end == LEFT:
            break
        if fresh and row.end != AWAY:
            _carry(p, customer, points, weight, surprise, row.gap, moments)
            before = customer.fatigue
            drift(p, customer, surprise, row.gap, 0.0, 0.0)  # mood fades; affect is the nodes'
            recover(p, customer, row.gap)
            if before > 0.0:
                recovering = recovering * customer.fatigue / before + customer.fatigue * row.gap / p.fatigue_days
            earn(customer, row.gap)
            visit += 1
            _place(points, moments, nodes[visit % len(nodes)])
            weight[:] = node_weights
        else:
            for j in range(number):
                _stand_at(customer, points, j)
                drift(p, customer, surprise, 0, 0.0, 0.0)
                points[j, 0], points[j, 1] = customer.valence, customer.arousal


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
    params, catalog, features, rows, start, static, offset, nodes, node_weights, confusion, draws, customers, labels,
    taste, first, last, with_score, value, weights, score,
):  # fmt: skip
    """Of the customers first..last-1, in place: value (N,) log L_i; weights (N, R) of the draws, sum 1; score (N, 26 + K).

    The first `draws` of the stored draws of each customer are used; offset (N, R) is log prior / proposal of each.
    """
    linear = len(SCORED)
    log_weight, part = np.empty(draws), np.empty((draws, linear))
    for i in range(first, last):
        own = rows[start[i] : start[i + 1]]
        length = len(own)
        out, chance, clicks = np.zeros((length, 5)), np.zeros((length, 4)), np.zeros((draws, length))
        for r in range(draws):
            _live(
                params, catalog, features, own, static[i, r], nodes, node_weights, confusion, customers, labels, taste,
                out, chance, clicks[r], part[r],
            )  # fmt: skip
            log_weight[r] = out.sum() + offset[i, r]
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
    params, catalog, features, rows, start, static, offset, nodes, node_weights, confusion, draws, customers, labels,
    taste, first, last, density, chances,
):  # fmt: skip
    """One step ahead, in place: density (T, 5) log-probability of each logged event given the customer's past by KINDS, and
    chances (T, 4) of click, purchase given click, opt-out and the daily rate of return as they stood before the event.

    Within a row the emotion is read first, then come click, purchase, opt-out and gap.
    """
    log_weight, weight, score = np.empty(draws), np.empty(draws), np.empty(len(SCORED))
    order = (EMOTION, CLICK, BUY, OPT_OUT, RETURN)
    for i in range(first, last):
        own = rows[start[i] : start[i + 1]]
        length = len(own)
        out, chance, clicks = np.zeros((draws, length, 5)), np.zeros((draws, length, 4)), np.zeros(length)
        for r in range(draws):
            _live(
                params, catalog, features, own, static[i, r], nodes, node_weights, confusion, customers, labels, taste,
                out[r], chance[r], clicks, score,
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

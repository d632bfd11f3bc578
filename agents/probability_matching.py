"""The probability that an action has the highest drawn score: Thompson sampling's propensities without Monte Carlo.

Given the posterior, the scores of one customer's actions are independent, s_a = g_a(mean_a + sd_a Z) with Z standard normal
and g_a increasing, so that action a is the best with probability

    P(a) = int f_a(s) prod_{b != a} F_b(s) ds,      F_a(s) = Phi((g_a^-1(s) - mean_a) / sd_a),  f_a = F_a'

over the allowed actions (probability matching, Thompson 1933). The integral is taken by Gauss-Legendre quadrature with two
points in each cell between nodes, which lie at equally spaced quantiles (in Z) of every action, so that each action is
resolved at its own width; then rows are normalised. The error is some 1e-4, and is no error of the propensities, since
actions are drawn from the very numbers that are logged. Actions that lie more than `REACH` standard deviations off get 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from agents.compiled import compiled

REACH = 5.0     # standard deviations: Phi(-5) = 3e-7
NODES = np.linspace(-REACH, REACH, 17)
GAUSS = 0.5 / math.sqrt(3.0)        # the two points of Gauss and Legendre lie this share of a cell off its middle


def best_probabilities(mean: NDArray[np.float64], deviation: NDArray[np.float64], allowed: NDArray[np.bool_],
                       low: NDArray[np.float64] | None = None,
                       high: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """P(a is the best allowed action), (N, A); rows sum to 1, and each depends on its own customer only.

    Parameters
    ----------
    mean, deviation : array (N, A)
        Of the normal variable of every action; a deviation of 0 is a constant.
    allowed : array (N, A) bool
    low, high : array (A,), optional
        Where given, the score is low + (high - low) sigma(normal); else it is the normal itself.
    """
    logistic = low is not None
    if low is None or high is None:
        low = high = np.zeros(mean.shape[1])
    out = np.zeros(mean.shape)
    _match(mean, deviation, np.ascontiguousarray(allowed), low, high, logistic, NODES, out)
    return out


@compiled
def _score(u, low, high, logistic):
    """g: the score at a value u of the normal variable."""
    return low + (high - low) / (1.0 + math.exp(-u)) if logistic else u


@compiled
def _distribution(s, mean, deviation, low, high, logistic):
    """F and f at the score s, of an action that is no constant."""
    slope = 1.0
    if logistic:
        if s <= low:
            return 0.0, 0.0
        if s >= high:
            return 1.0, 0.0
        slope = (high - low) / ((s - low) * (high - s))
        s = math.log((s - low) / (high - s))
    z = (s - mean) / deviation
    return 0.5 * math.erfc(-z * math.sqrt(0.5)), math.exp(-0.5 * z * z) / (deviation * math.sqrt(2.0 * math.pi)) * slope


@compiled
def _match(mean, deviation, allowed, low, high, logistic, nodes, out):
    rows, actions = mean.shape
    points, who = np.empty(actions * len(nodes) + 1), np.empty(actions, np.int64)
    below, density = np.empty(actions), np.empty(actions)
    for i in range(rows):
        # the best constant is a floor under the others; so is what the best of them surpasses but for 3e-7
        floor, constant = -np.inf, -1
        for a in range(actions):
            if allowed[i, a]:
                fixed = deviation[i, a] <= 0.0 or (logistic and high[a] <= low[a])
                s = _score(mean[i, a] + (0.0 if fixed else nodes[0] * deviation[i, a]), low[a], high[a], logistic)
                if s > floor:
                    floor, constant = s, a if fixed else -1
        count, number = 0, 1
        points[0] = floor
        for a in range(actions):
            fixed = deviation[i, a] <= 0.0 or (logistic and high[a] <= low[a])
            if allowed[i, a] and not fixed:
                if _score(mean[i, a] + nodes[-1] * deviation[i, a], low[a], high[a], logistic) > floor:
                    who[count] = a
                    count += 1
                    for k in range(len(nodes)):
                        s = _score(mean[i, a] + nodes[k] * deviation[i, a], low[a], high[a], logistic)
                        if s > floor:
                            points[number] = s
                            number += 1
        if constant >= 0:
            share = 1.0
            for c in range(count):
                a = who[c]
                share *= _distribution(floor, mean[i, a], deviation[i, a], low[a], high[a], logistic)[0]
            out[i, constant] = share
        elif count == 1:
            out[i, who[0]] = 1.0
            continue
        points[1:number].sort()
        for j in range(number - 1):
            width = points[j + 1] - points[j]
            if width <= 0.0:
                continue
            for side in (-GAUSS, GAUSS):
                s = points[j] + (0.5 + side) * width
                for c in range(count):
                    a = who[c]
                    below[c], density[c] = _distribution(s, mean[i, a], deviation[i, a], low[a], high[a], logistic)
                for c in range(count):
                    share = 0.5 * width * density[c]
                    if share > 0.0:
                        for b in range(count):
                            if b != c:
                                share *= below[b]
                        out[i, who[c]] += share
        total = 0.0
        for a in range(actions):
            total += out[i, a]
        if total > 0.0:
            for a in range(actions):
                out[i, a] /= total
        else:                   # beliefs too narrow for floating point: the best of the middles
            best = -np.inf
            for a in range(actions):
                if allowed[i, a]:
                    s = _score(mean[i, a], low[a], high[a], logistic)
                    if s > best:
                        best, constant = s, a
            out[i, constant] = 1.0

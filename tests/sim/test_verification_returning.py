"""V5: with the weights of state on return off, visits follow the BG/BB model, whose expectations have closed forms.

A customer visits on each day with probability p ~ Beta(alpha, beta) and is gone for ever at the start of each with probability
theta ~ Beta(gamma, delta) (Fader, Hardie & Shang, Marketing Science 29(6), 2010).  The shop's `next_gap` is the visiting half;
leaving for ever is drawn here.
"""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln, gammaln

from sim.shop import returning
from tests.sim.records import record

ALPHA, BETA, GAMMA, DELTA = 1.2, 0.75, 0.66, 2.78
CUSTOMERS, DAYS = 20000, 17


def show(what, value, expected):
    print(f"  {what:58s} {value:12.6f}   expected {expected:12.6f}")


def expected_visits(n):
    """Closed form of E[X(n)]."""
    ratio = math.exp(gammaln(GAMMA + DELTA) + gammaln(1 + DELTA + n) - gammaln(GAMMA + DELTA + n) - gammaln(1 + DELTA))
    return ALPHA / (ALPHA + BETA) * DELTA / (GAMMA - 1) * (1 - ratio)


@pytest.fixture(scope="module")
def visits():
    """(CUSTOMERS, DAYS) bool: did the shop's customer come on day 1, 2, ...; nobody leaves."""
    rng = np.random.default_rng(5)
    calm = {"return_mood_weight": 0.0, "return_valence_weight": 0.0, "return_fatigue_weight": 0.0}
    p = record(same_visit_probability=0.0, opportunities_per_visit=1, return_intercept=0.0, **calm)
    customer = record(visit_opportunity=0, mood=0.9, valence=-0.9, fatigue=5.0)  # must not matter
    came = np.zeros((CUSTOMERS, DAYS), bool)
    for i, rate in enumerate(rng.beta(ALPHA, BETA, CUSTOMERS).clip(1e-12, 1 - 1e-12)):
        p.return_intercept = math.log(rate / (1 - rate))
        day = 0
        while (day := day + returning.next_gap(p, customer, 0.5, 1 - rng.random())) <= DAYS:
            came[i, day - 1] = True
    return came


@pytest.mark.parametrize(("n", "expected"), [(1, 0.497317), (6, 2.211389), (17, 4.448016)])
def test_verification_v5_visits_of_bg_bb(visits, n, expected):
    assert expected_visits(n) == pytest.approx(expected, abs=1e-6)
    rng = np.random.default_rng(6)
    theta = rng.beta(GAMMA, DELTA, CUSTOMERS)
    survives = np.ceil(np.log(1 - rng.random(CUSTOMERS)) / np.log1p(-theta))  # the first day on which the customer is gone
    alive = np.arange(1, DAYS + 1) < survives[:, None]
    x = (visits & alive)[:, :n].sum(1)
    error = x.std() / math.sqrt(CUSTOMERS)
    show(f"BG/BB, visits in {n} days +- {error:.4f}", x.mean(), expected)
    assert abs(x.mean() - expected) < 3.5 * error and error < 0.05


@pytest.mark.parametrize("n", [6, 17])
def test_verification_v5_visits_without_leaving_are_beta_binomial(visits, n):
    x = visits[:, :n].sum(1)
    k = np.arange(n + 1)
    log_choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    expected = CUSTOMERS * np.exp(log_choose + betaln(k + ALPHA, n - k + BETA) - betaln(ALPHA, BETA))
    statistic, chance = stats.chisquare(np.bincount(x, minlength=n + 1), expected * CUSTOMERS / expected.sum())
    show(f"beta-binomial, chi-square of visits in {n} days", statistic, n)
    assert chance > 1e-3

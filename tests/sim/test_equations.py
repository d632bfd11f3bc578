"""Every mechanism against numbers worked out by hand from its docstring's equation."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from sim.shop import affect, budget, choice, delay, fatigue, refunds, returning, reward, satiation
from tests.sim.records import record

MONOTONE_STEP = 0.1
SATIATION_DAYS = record(satiation_days=6.0)


def sigma(z):
    return 1 / (1 + math.exp(-z))


@pytest.fixture
def p(shop):
    return record(**{name: float(shop.params[name][0]) for name in shop.params.dtype.names})


@pytest.fixture
def customer():
    return record(
        valence=0.4, arousal=-0.2, mood=0.1, expectation=0.05, fatigue=1.5, budget=60.0, monthly_budget=80.0,
        price_sensitivity=0.35, home_valence=0.05, visit_opportunity=0,
    )  # fmt: skip


@pytest.fixture
def label():
    return record(relevance=0.5, satiation=2.0, satiation_day=0, exposures=5.0)


@pytest.fixture
def item():
    return record(price=20.0, margin=11.0, appeal=-0.1, tone_valence=-0.6, tone_arousal=0.0, care=0.0, pressure=0.2)


def test_click_probability_of_a_hand_computed_case(p, customer, label, item):
    # -.7 - .1 + 1.4*.5 - .35*20/20 - .35*2 + .5*.5 - .25*.25 + .8*.4 + 1.5*(.4*-.6) + .6*.1 - .25*1.5 = -1.3175
    assert choice.click_probability(p, customer, label, item) == pytest.approx(sigma(-1.3175), abs=1e-12)


def test_purchase_probability_of_a_hand_computed_case_and_beyond_the_budget(p, customer, label, item):
    # -1.1 + .7*.5 + .4*.4 - 1*20/60 = -.923333
    assert choice.purchase_probability(p, customer, label, item) == pytest.approx(sigma(-0.59 - 1 / 3), abs=1e-12)
    customer.budget = 19.99
    assert choice.purchase_probability(p, customer, label, item) == 0.0


def test_opt_out_probability_of_a_hand_computed_case(p, customer, item):
    # -5.3 + .5*1.5 - 1*.1 - 1*.4 + .5*.2 = -4.95
    assert fatigue.opt_out_probability(p, customer, item) == pytest.approx(sigma(-4.95), abs=1e-12)


def test_mood_follows_the_prediction_error(p, customer, label, item):
    surprise = affect.feel(p, customer, label, item, True, True)
    expected = 0.6 * 1.2**0.1 - 0.05
    assert surprise == pytest.approx(expected)
    assert customer.expectation == pytest.approx(0.05 + 0.05 * expected)
    assert customer.mood == pytest.approx(0.1 + 0.25 * (expected - 0.1))


def test_an_ignored_irrelevant_push_annoys(p, customer, label, item):
    # outcome = care - .5*(1 - .5)/2 = -.125, then biased by mood
    assert affect.feel(p, customer, label, item, False, False) == pytest.approx(-0.125 * 1.2**0.1 - 0.05)


def test_affect_returns_home_over_a_gap(p, customer):
    affect.drift(p, customer, 0.0, 2, 0.0, 0.0)
    q, home = math.exp(-0.5 * 2), 0.05 + 0.5 * 0.1
    assert customer.valence == pytest.approx(home + q * (0.4 - home))
    assert customer.arousal == pytest.approx(q * -0.2)
    assert customer.mood == pytest.approx(0.1 * math.exp(-2 / 20))


def test_within_a_visit_only_surprise_moves_affect(p, customer):
    affect.drift(p, customer, -0.3, 0, 9.0, 9.0)
    assert (customer.valence, customer.arousal) == (pytest.approx(0.4 - 0.2 * 0.3), pytest.approx(-0.2 + 0.15 * 0.3))
    assert customer.mood == 0.1


def test_ornstein_uhlenbeck_has_its_stationary_deviation_and_lag_one_correlation(p):
    p.mood_pull, p.affect_deviation = 0.0, 0.2  # far from the borders at +-1
    rng = np.random.default_rng(0)
    c = record(valence=0.0, arousal=0.0, mood=0.0, home_valence=0.0)
    path = []
    for z in rng.standard_normal((20000, 2)):
        affect.drift(p, c, 0.0, 1, *z)
        path.append(c.valence)
    x = np.array(path)
    assert x.std() == pytest.approx(0.2, rel=0.03)
    assert np.corrcoef(x[:-1], x[1:])[0, 1] == pytest.approx(math.exp(-0.5), abs=0.02)


def test_verification_v4_moments_of_ornstein_uhlenbeck(p):
    """theta = .4 a day, Gamma = .3, one day apart: variance Gamma^2 / 2 theta = .1125, correlation e^-.4 = .670320."""
    p.mood_pull, p.affect_rate, p.affect_deviation = 0.0, 0.4, math.sqrt(0.3**2 / 0.8)
    rng, n = np.random.default_rng(4), 60000
    c = record(valence=0.0, arousal=0.0, mood=0.0, home_valence=0.0)
    path = []
    for z in rng.standard_normal((n, 2)):
        affect.drift(p, c, 0.0, 1, *z)
        path.append((c.valence, c.arousal))
    x = np.array(path)
    variance, q = 0.1125, math.exp(-0.4)
    # standard errors of an AR(1): variance by (1 + q^2) / (1 - q^2) effective draws, correlation by Bartlett's formula
    errors = variance * math.sqrt(2 * (1 + q * q) / (1 - q * q) / n), math.sqrt((1 - q * q) / n)
    z = np.linspace(1 / math.sqrt(variance), 9, 20001)  # the shop keeps affect within [-1, 1], three deviations here:
    lost = 2 * np.trapezoid((variance * z**2 - 1) * np.exp(-z * z / 2) / math.sqrt(2 * math.pi), z)  # off the variance
    assert lost < 0.001
    for axis, name in enumerate(("valence", "arousal")):
        found = x[:, axis].var(), float(np.corrcoef(x[:-1, axis], x[1:, axis])[0, 1])
        for what, value, expected, error in zip(("variance", "lag-1"), found, (variance, q), errors, strict=True):
            print(f"  OU {name} {what:43s} {value:12.6f}   expected {expected:12.6f} +- {error:.4f}")
            assert abs(value - expected) < 4 * error + lost


def test_fatigue_rises_by_push_irrelevance_and_pressure_and_fades(p, customer, label, item):
    fatigue.tire(p, customer, label, item)
    assert customer.fatigue == pytest.approx(1.5 + 1 + 0.6 * 0.25 + 1.2 * 0.2)
    fatigue.recover(p, customer, 8)
    assert customer.fatigue == pytest.approx(2.89 / math.e)


def test_satiation_counts_up_and_budget_refills_to_the_month(label, customer):
    label.satiation_day = 3
    satiation.rebound(SATIATION_DAYS, label, 9)
    assert label.satiation == pytest.approx(2 * math.exp(-6 / 6))
    label.satiation = 2.0
    satiation.satiate(label)
    assert (label.satiation, label.exposures) == (3.0, 6.0)
    budget.spend(customer, 20.0)
    budget.earn(customer, 3)
    assert customer.budget == pytest.approx(40 + 8)
    budget.earn(customer, 300)
    assert customer.budget == 80.0


def test_return_gap_is_geometric(p, customer):
    rate = sigma(-1.1 + 0.8 * 0.1 + 0.2 * 0.4 - 0.1 * 1.5)
    u = (np.arange(20000) + 0.5) / 20000
    gaps = np.array([returning.next_gap(p, customer, 0.99, x) for x in u])
    assert gaps.min() == 1
    assert gaps.mean() == pytest.approx(1 / rate, rel=0.01)
    assert (gaps == 1).mean() == pytest.approx(rate, abs=1e-3)


def test_a_visit_ends_after_its_last_opportunity(p, customer):
    assert returning.next_gap(p, customer, 0.0, 0.5) == 0
    customer.visit_opportunity = 3
    assert returning.next_gap(p, customer, 0.0, 0.5) > 0


def test_reward_is_the_sum_of_its_logged_terms(p, item):
    event = SimpleNamespace()
    assert reward.settle.py_func(p, event, item, True, True, True, True) == pytest.approx(11 - 0.05 - 2)
    assert reward.settle.py_func(p, event, item, False, False, False, False) == 0.0
    # a returned purchase gives its margin back and costs 2 of handling
    assert reward.settle.py_func(p, event, item, True, True, True, False, True) == pytest.approx(11 - 0.05 - 11 - 2)
    assert event.refund == 13


def test_purchase_delay_is_the_inverse_of_an_exponential_with_a_log_linear_rate(p, customer):
    p.delay_days = 3.0
    # S(d) = exp(-exp(.5*.4) d / 3) = .25 at d = 3 ln 4 / e^.2
    assert delay.purchase_delay(p, customer, 0.25) == pytest.approx(3 * math.log(4) / math.exp(0.2))
    p.delay_days = 0.0
    assert delay.purchase_delay(p, customer, 0.25) == 0.0


def test_refund_probability_of_a_hand_computed_case_and_switched_off(p, customer, label):
    assert refunds.refund_probability(p, customer, label) == 0.0
    p.refunds = 1.0
    # -2 - 1*.5 - .5*.4 = -2.7
    assert refunds.refund_probability(p, customer, label) == pytest.approx(sigma(-2.7), abs=1e-12)
    assert refunds.refund_wait(p, math.exp(-2)) == pytest.approx(14)


def test_the_exposure_curve_is_an_inverted_u_with_its_peak_at_ten(p, customer, label, item):
    def after(n):
        label.exposures = n
        return choice.click_probability(p, customer, label, item)

    curve = [after(n) for n in range(31)]
    assert int(np.argmax(curve)) == 10
    assert (np.diff(curve[:11]) > 0).all() and (np.diff(curve[10:]) < 0).all()


MONOTONE = [
    ("click", "relevance", +1), ("click", "price", -1), ("click", "fatigue", -1), ("click", "satiation", -1),
    ("click", "mood", +1), ("click", "price_sensitivity", -1), ("click", "appeal", +1), ("click", "tone_valence", +1),
    ("buy", "relevance", +1), ("buy", "price", -1), ("buy", "budget", +1), ("buy", "valence", +1),
    ("return", "mood", +1), ("return", "valence", +1), ("return", "fatigue", -1),
    ("refund", "relevance", -1), ("refund", "valence", -1), ("delay", "valence", -1), ("tire", "relevance", -1), ("tire", "pressure", +1),
    ("opt_out", "fatigue", +1), ("opt_out", "mood", -1), ("opt_out", "valence", -1), ("opt_out", "pressure", +1),
]  # fmt: skip


@pytest.mark.parametrize(("which", "name", "sign"), MONOTONE)
def test_verification_v7_responses_are_monotone(p, customer, label, item, which, name, sign):
    def value():
        if which == "return":  # the mean gap falls where the probability of coming back rises
            return -float(np.mean([returning.next_gap(p, customer, 0.99, u) for u in np.linspace(0.001, 0.999, 999)]))
        if which == "tire":
            before = customer.fatigue
            fatigue.tire(p, customer, label, item)
            added, customer.fatigue = customer.fatigue - before, before
            return added
        return {
            "click": lambda: choice.click_probability(p, customer, label, item),
            "buy": lambda: choice.purchase_probability(p, customer, label, item),
            "opt_out": lambda: fatigue.opt_out_probability(p, customer, item),
            "refund": lambda: refunds.refund_probability(p, customer, label),
            "delay": lambda: delay.purchase_delay(p, customer, 0.5),
        }[which]()

    p.refunds, p.delay_days = 1.0, 3.0
    owner = next(r for r in (customer, label, item) if hasattr(r, name))
    before = value()
    setattr(owner, name, getattr(owner, name) + MONOTONE_STEP)
    change = value() - before
    print(f"  {which} by {name:40s} {change / MONOTONE_STEP:+12.6f}   expected {'> 0' if sign > 0 else '< 0'}")
    assert change * sign > 0

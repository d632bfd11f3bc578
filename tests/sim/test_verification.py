"""Verification against closed forms and exact optima; `pytest -k verification -s` prints each number beside its expectation."""

import itertools
import math

import numpy as np
import pytest

from sim.evaluation.metrics import per_customer
from sim.evaluation.oracle.dynamic_programming import START, TwinPolicy, state_index, twin_model
from sim.evaluation.rollout import rollout
from sim.evaluation.statistics import mean_interval
from tests.sim.conftest import make_shop
from tests.sim.records import record

HOLD, HARD, CARE = 0, 1, 2


def show(what, value, expected):
    print(f"  {what:58s} {value:12.6f}   expected {expected:12.6f}")


@pytest.fixture(scope="module")
def twin():
    return make_shop(["env=twin"])


@pytest.fixture(scope="module")
def model(twin):
    return twin_model(twin)


def always(action):
    return np.eye(3)[np.full(25, action)]


@pytest.mark.parametrize(
    ("policy", "expected"), [("optimal", 3.658049), ("myopic", 1.058815), ("hard", 0.952867), ("care", 2.266823), ("uniform", 1.697840)]
)
def test_verification_v1_values_of_the_twin(model, policy, expected):
    tables = {
        "optimal": lambda: np.eye(3)[model.optimal(0.98)[1]],
        "myopic": lambda: np.eye(3)[model.myopic()],
        "hard": lambda: always(HARD),
        "care": lambda: always(CARE),
        "uniform": lambda: np.full((25, 3), 1 / 3),
    }
    value = model.value_of(tables[policy](), 0.98)[START]
    show(f"T3 {policy}", value, expected)
    assert value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("discount", "optimal", "myopic"),
    [(0, 0.301312, 0.301312), (0.5, 0.478595, 0.478194), (0.8, 0.834153, 0.720292), (0.9, 1.386648, 0.868321), (0.95, 2.199363, 0.974709)],
)
def test_verification_v1_gamma_sweep(model, discount, optimal, myopic):
    best = model.optimal(discount)[0][START]
    greedy = model.value_of(np.eye(3)[model.myopic()], discount)[START]
    show(f"T3 optimal at gamma {discount}", best, optimal)
    show(f"T3 myopic at gamma {discount}", greedy, myopic)
    assert best == pytest.approx(optimal, abs=1e-6) and greedy == pytest.approx(myopic, abs=1e-6)


def test_verification_v1_structure_of_the_optimal_and_the_myopic_policy(model):
    policy, myopic = model.optimal(0.98)[1], model.myopic()
    expected, expected_myopic = np.full(25, HOLD), np.full(25, HARD)
    expected[[state_index(0, 0), state_index(0, 1)]] = CARE
    expected[[state_index(f, 2) for f in (0, 1, 2)]] = HARD
    expected_myopic[[state_index(f, -2) for f in (3, 4)]] = HOLD
    assert (policy == expected).all() and (myopic == expected_myopic).all()


@pytest.mark.parametrize(("which", "expected"), [("optimal", 3.658049), ("hard", 0.952867), ("care", 2.266823)])
def test_verification_v1_the_simulator_earns_what_dynamic_programming_says(twin, model, which, expected):
    table = np.eye(3)[model.optimal(0.98)[1]] if which == "optimal" else always(HARD if which == "hard" else CARE)
    log = rollout(TwinPolicy(table, twin), twin, customers=6000, seed=11)
    i = mean_interval(per_customer(log, 0.98)["discounted"], level=0.999)
    show(f"T3 {which}, 6,000 simulated lives +- {(i['high'] - i['low']) / 2:.3f} (99.9 %)", i["mean"], expected)
    assert i["low"] <= expected <= i["high"]


def test_verification_v1_transition_frequencies_equal_the_model(twin, model):
    lives = twin.customers(20000, 3)
    rng = np.random.default_rng(0)
    counts = np.zeros((25, 3, 25))
    for _ in range(40):
        state = _states(twin, lives)
        live = ~lives.done
        actions = rng.integers(0, 3, 20000)
        lives.step(actions)
        stayed = live & ~lives.state.terminated
        np.add.at(counts, (state[stayed], actions[stayed], _states(twin, lives)[stayed]), 1)
    visits = counts.sum(2)
    checked = visits > 500
    frequency = counts[checked] / visits[checked][:, None]
    error = np.abs(frequency - model.transition[checked]) / np.sqrt(0.25 / visits[checked])[:, None]
    assert checked.sum() >= 25 and error.max() < 4.5


def _states(twin, lives):
    (f0, f1), (m0, m1) = twin.layout["twin_fatigue"], twin.layout["twin_mood"]
    return lives.observation[:, f0:f1].argmax(1) * 5 + lives.observation[:, m0:m1].argmax(1)


def test_verification_v3_rebounding_bandit():
    """K = 3 equal arms, satiation x .8 a step, lambda .5, b = 1, T = 10: cycling is optimal (brute force over 59,049 sequences)."""
    from sim.shop import satiation

    # the discount of .8 a step as a rate per day
    p = record(satiation_days=-1 / math.log(0.8))

    def earned(sequence):
        labels = [record(satiation=0.0, satiation_day=0, exposures=0.0) for _ in range(3)]
        total = 0.0
        for day, arm in enumerate(sequence):
            satiation.rebound(p, labels[arm], day)
            total += 1 - 0.5 * labels[arm].satiation
            satiation.satiate.py_func(labels[arm])
        return total

    cyclic, one = earned([t % 3 for t in range(10)]), earned([0] * 10)
    show("rebounding bandit, cyclic", cyclic, 7.616603136)
    show("rebounding bandit, one arm only", one, -1.073741824)
    assert cyclic == pytest.approx(7.616603136, abs=1e-9) and one == pytest.approx(-1.073741824, abs=1e-9)
    best = max(earned(sequence) for sequence in itertools.product(range(3), repeat=10))
    show(f"rebounding bandit, best of all {3**10:,} sequences", best, 7.616603136)
    assert best == pytest.approx(7.616603136, abs=1e-9)


def test_verification_v14_terminated_is_leaving_and_truncated_is_the_horizon(shop):
    from tests.sim.conftest import UniformPolicy

    e = rollout(UniformPolicy(), shop, customers=1500, seed=2).events
    ended = e[(e["terminated"] | e["truncated"]) == 1]
    assert len(ended) == 1500
    assert ((ended["opted_out"] | ended["lapsed"]) == ended["terminated"]).all()
    horizon = shop.params["horizon_days"][0]
    assert (ended["day"] + ended["gap"] >= horizon)[ended["truncated"] == 1].all()
    assert (e["opted_out"] <= e["terminated"]).all()

"""V6 on slates: the multinomial logit over the labels pushed at once, held to what makes it one (McFadden 1974)."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.evaluation.rollout import rollout
from sim.shop.choice import click_probability
from sim.shop.slate import click_share
from tests.sim.conftest import UniformPolicy, make_shop

ROWS = 60_000


def show(what, value, expected):
    print(f"  {what:58s} {value:12.6f}   expected {expected:>12s}")


@pytest.fixture(scope="module")
def shop():
    return make_shop(["env=slate"])


def one_customer_many_times(shop, slate, rows=ROWS):
    """Click probabilities alone (S,), and what `rows` customers in the same state, each with their own luck, clicked."""
    lives = shop.customers(rows, 3)
    state = lives.state
    luck = state.customers["id"].copy()
    for array in (state.customers, state.labels, state.taste):
        array[:] = array[0]
    state.customers["id"] = luck
    alone = [
        click_probability(shop.params[0], state.customers[0], state.labels[0, k - 1], shop.catalog.table[k - 1])
        for k in slate
        if k > 0
    ]
    lives.step(np.tile(slate, (rows, 1)))
    e = state.events
    return np.array(alone), np.where(e["clicked"] == 1, e["action"], 0), float(e["click_probability"][0])


def test_verification_v6_frequencies_on_a_slate_equal_the_multinomial_logit(shop):
    slate = [4, 9, 2]
    alone, clicked, logged = one_customer_many_times(shop, slate)
    odds = alone / (1 - alone)  # e^{U_k}, since U_0 = 0
    expected = np.append(1, odds) / (1 + odds.sum())
    counts = np.array([(clicked == k).sum() for k in (0, *slate)])
    for k, n, p in zip((0, *slate), counts, expected, strict=True):
        show(f"share of {ROWS:,} slates with a click on label {k}", n / ROWS, f"{p:.6f}")
    statistic, chance = stats.chisquare(counts, ROWS * expected)
    show("chi-square on 3 degrees of freedom, its probability", chance, "> .001")
    assert counts.sum() == ROWS and chance > 1e-3
    assert logged == pytest.approx(1 - expected[0], abs=1e-7)


@pytest.mark.parametrize("beside", [(), (0.3,), (-2.0, 1.5), (5.0, 5.0, 5.0)])
def test_verification_v6_the_odds_of_two_labels_do_not_depend_on_what_else_is_shown(beside):
    a, b = 0.4, -0.9
    utilities = np.array([a, b, *beside])
    ratio = click_share(utilities, 0) / click_share(utilities, 1)
    total = sum(click_share(utilities, k) for k in range(len(utilities)))
    show(f"odds of two labels beside {len(beside)} others", ratio, f"{math.exp(a - b):.6f}")
    assert ratio == pytest.approx(math.exp(a - b), rel=1e-12)
    assert click_share(utilities, 0) / (1 - total) == pytest.approx(math.exp(a), rel=1e-9)  # against not clicking


def test_verification_v6_measured_odds_of_two_labels_are_the_same_in_two_slates(shop):
    ratios, errors = [], []
    for slate in ([4, 9, 0], [4, 9, 1]):
        _, clicked, _ = one_customer_many_times(shop, slate)
        a, b = (clicked == 4).sum(), (clicked == 9).sum()
        ratios.append(math.log(a / b))
        errors.append(1 / a + 1 / b)
        show(f"log odds of labels 4 and 9 in slate {slate}", ratios[-1], "the same")
    assert abs(ratios[0] - ratios[1]) < 3.5 * math.sqrt(sum(errors)) < 0.15


def test_verification_v6_one_slot_is_the_default_shop_bit_for_bit(shop):
    for changed in (["env.slate_size=1"], ["env=slate", "env.slate_size=1"]):
        one, default = make_shop(changed), make_shop()
        a, b = (rollout(UniformPolicy(), each, customers=300, seed=4) for each in (one, default))
        pairs = [(a.events[name], b.events[name]) for name in a.events.dtype.names]
        pairs += [(a.camera, b.camera), (a.propensity, b.propensity), (a.probabilities, b.probabilities)]
        differing = sum(x.tobytes() != y.tobytes() for x, y in pairs)
        show(f"{' '.join(changed)}: columns of {len(a.events)} logged rows that differ", differing, "0")
        assert differing == 0 and one.digest == default.digest


def test_verification_v6_a_slate_of_one_label_is_the_single_push_bit_for_bit(shop):
    single, slates = shop.single.customers(500, 7), shop.customers(500, 7)
    rng, steps, differing = np.random.default_rng(1), 0, 0
    while not single.done.all() and steps < 60:
        action = rng.integers(0, 13, 500)
        slot = np.zeros((500, 3), np.int64)
        slot[np.arange(500), rng.integers(0, 3, 500)] = action  # whichever slot it stands in
        single.step(action)
        slates.step(slot)
        steps += 1
        for a, b, name in zip(single.state, slates.state, single.state._fields, strict=True):
            columns = [(a[n], b[n]) for n in a.dtype.names] if a.dtype.names else [(a, b)]
            differing += 0 if name in ("slate", "impression") else sum(x.tobytes() != y.tobytes() for x, y in columns)
    show(f"{steps} steps of 500 customers: columns of state that differ", differing, "0")
    assert differing == 0 and single.done.all()


def test_verification_v6_a_slate_is_clicked_at_least_as_often_as_each_of_its_labels_alone(shop):
    lives, rng = shop.customers(400, 5), np.random.default_rng(2)
    least = math.inf
    for _ in range(20):
        slate = np.stack([rng.permutation(12)[:3] + 1 for _ in range(400)])
        state, p, live = lives.state, shop.params[0], ~lives.done
        labels = state.labels.copy()
        gone = np.exp((labels["satiation_day"] - state.customers["day"][:, None]) / p["satiation_days"])
        labels["satiation"] *= np.where(labels["satiation_day"] == state.customers["day"][:, None], 1, gone)
        alone = np.array(
            [
                [click_probability(p, c, labels[i, k - 1], shop.catalog.table[k - 1]) for k in slate[i]]
                for i, c in enumerate(state.customers)
            ]
        )
        lives.step(slate)
        gain = state.events["click_probability"][live] - alone.max(1)[live]
        odds = (alone / (1 - alone)).sum(1)[live]
        np.testing.assert_allclose(state.events["click_probability"][live], odds / (1 + odds), atol=1e-6)
        least = min(least, float(gain.min()))
    show("least gain of a slate's click chance over its best label's", least, "> 0")
    assert least > 0

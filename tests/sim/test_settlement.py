"""Delayed and returned purchases: when the money comes, to whom it is booked, and that none is lost on the way."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.evaluation.rollout import rollout, value_per_customer
from sim.shop import settlement
from sim.shop.random_streams import policy_uniforms
from sim.shop.types import CAPACITY
from tests.sim.conftest import UniformPolicy, make_shop

PLENTY = ("env.choice.click_intercept=3", "env.choice.buy_intercept=3", "population.traits.budget_median=1e6")
DELAY = ("env.delay.delay_days=6", "env.delay.delay_valence_weight=.8")
REFUND = ("env.refunds.refunds=1", "env.refunds.refund_intercept=-.5")


def lived(shop, number=400, seed=3):
    """Whole lives under random pushes: rewards the agents got, and events, in order of (customer, step)."""
    lives = shop.customers(number, seed)
    received, events = np.zeros(number), []
    while not lives.done.all():
        alive = ~lives.done
        u = policy_uniforms(99, 0, lives.ids, lives.state.customers["opportunity"])
        received += lives.step((u * (shop.labels + 1)).astype(int))
        events.append(lives.state.events[alive].copy())
    events = np.concatenate(events)
    return lives, received, events[np.lexsort((events["step"], events["customer"]))]


@pytest.fixture(scope="module", params=[DELAY, REFUND, DELAY + REFUND, DELAY + REFUND + PLENTY], ids=["delay", "refund", "both", "plenty"])
def life(request):
    shop = make_shop(["camera.identity=oracle", *request.param])
    return shop, *lived(shop)


def test_the_agents_rewards_sum_to_the_logged_rewards_of_every_life(life):
    shop, _, received, e = life
    np.testing.assert_allclose(received, np.bincount(e["customer"], e["reward"]), atol=1e-9)
    np.testing.assert_allclose(received, np.bincount(e["customer"], e["received"]), atol=1e-9)
    assert (np.abs(e["received"] - e["reward"]) > 1).any()
    terms = e["margin"] + e["click_value"] - e["push_cost"] - e["opt_out_cost"] - e["refund"]
    assert (e["reward"] == terms).all()


def test_verification_v11_revenue_is_the_sum_of_prices_of_kept_orders(life):
    shop, lives, _, e = life
    kept = (e["bought"] == 1) & (e["returned"] == 0)
    revenue = np.bincount(e["customer"], np.where(kept, e["price"], 0), minlength=len(lives.ids))
    np.testing.assert_allclose(lives.state.customers["spent_booked"], revenue, atol=1e-8)
    for k in range(shop.labels):
        orders = np.bincount(e["customer"], kept & (e["action"] == k + 1), minlength=len(lives.ids))
        assert (lives.state.labels["purchases"][:, k] == orders).all()
    assert (lives.state.customers["awaited"] == 0).all() and (lives.state.customers["budget"] >= 0).all()
    bought = e["bought"] == 1
    assert (e["price"][bought] == shop.catalog.table["price"][e["action"][bought] - 1]).all()
    assert not e["price"][~bought].any() and not e["returned"][~bought].any() and not e["delay"][~bought].any()
    price = shop.params["refund_price"][0]
    assert (e["refund"] == np.where(e["returned"], e["margin"] + price, 0)).all()


def test_the_budget_is_what_was_earned_spent_and_given_back():
    shop = make_shop(["env.refunds.refunds=1", "env.refunds.refund_intercept=20", "env.refunds.refund_days=0", *PLENTY])
    lives, _, e = lived(shop, 100)
    assert (e["returned"] == e["bought"]).all() and e["bought"].sum() > 300
    # ceil of a wait of 0 days: the price is back before the next opportunity
    whole = lives.state.customers["monthly_budget"][e["customer"]].astype(np.float32)
    np.testing.assert_allclose(e["budget"], whole, rtol=1e-6)


def test_delays_are_exponential_with_a_rate_that_depends_on_valence():
    shop = make_shop([*DELAY, *PLENTY])
    _, _, e = lived(shop)
    bought = e[e["bought"] == 1]
    scaled = bought["delay"] / (6 * np.exp(-0.8 * bought["valence"]))
    assert len(bought) > 2000 and stats.kstest(scaled, "expon").pvalue > 1e-3
    glad, low = bought["delay"][bought["valence"] > 0.2].mean(), bought["delay"][bought["valence"] < -0.2].mean()
    assert glad < low


def test_pending_means_unpaid_at_the_next_opportunity():
    shop = make_shop([*DELAY])
    _, _, e = lived(shop)
    ended = (e["terminated"] | e["truncated"]) == 1
    due = np.ceil(e["day"] + e["delay"].astype(float)) > e["day"] + e["gap"]
    bought = e["bought"] == 1
    assert ((e["pending"] == 1) == (bought & due & ~ended)).all() and 0.3 < e["pending"][bought].mean() < 0.95
    # a life without any pending purchase has nothing to wait for
    calm = np.bincount(e["customer"], e["pending"])[e["customer"]] == 0
    assert calm.any() and (e["received"][calm] == e["reward"][calm]).all()


def test_a_pending_margin_arrives_at_the_step_that_reaches_its_day():
    shop = make_shop([*DELAY])
    _, _, e = lived(shop, 300)
    checked = 0
    for i in np.unique(e["customer"]):
        own = e[e["customer"] == i]
        expected = own["reward"] - np.where(own["delay"] > 0, own["margin"], 0)
        reached = own["day"] + own["gap"]
        for row in np.flatnonzero(own["delay"] > 0):
            due = math.ceil(own["day"][row] + float(own["delay"][row]))
            later = np.flatnonzero((reached >= due) & (np.arange(len(own)) >= row))
            expected[later[0] if len(later) else -1] += own["margin"][row]
            checked += 1
        np.testing.assert_allclose(own["received"], expected, atol=1e-9)
    assert checked > 100


def test_returns_have_their_probability_and_depend_on_fit_and_spirits():
    shop = make_shop([*REFUND, *PLENTY])
    _, _, e = lived(shop)
    b = e[e["bought"] == 1]
    p = 1 / (1 + np.exp(0.5 + 1.0 * b["relevance"] + 0.5 * b["valence"]))
    z = (b["returned"].sum() - p.sum()) / math.sqrt((p * (1 - p)).sum())
    assert len(b) > 2000 and abs(z) < 3.5
    assert b["returned"][b["relevance"] > 0.5].mean() < b["returned"][b["relevance"] < -0.5].mean()


def test_one_item_too_many_settles_the_earliest_at_once():
    shop = make_shop()
    lives = shop.customers(1, 0)
    w, v = lives.world, lives.state
    early = [settlement.await_money(w, v, 0, float(day), 0, float(day), 1.0, False) for day in (9, 8, 7, 3, 4, 5, 6, 10)]
    assert early == [0.0] * CAPACITY and v.customers["awaited"][0] == CAPACITY
    assert settlement.await_money(w, v, 0, 11.2, 0, 11.0, 1.0, False) == 3.0
    v.customers["day"] = 8
    assert settlement.settle_due(w, v, 0, False) == 4 + 5 + 6 + 7 + 8
    assert sorted(v.pending["due"][0, : v.customers["awaited"][0]]) == [9, 10, 12]
    assert settlement.settle_due(w, v, 0, True) == 9 + 10 + 11 and v.customers["awaited"][0] == 0


def test_without_the_mechanisms_reward_is_received_at_once(shop):
    e = rollout(UniformPolicy(), shop, customers=200, seed=5).events
    assert (e["received"] == e["reward"]).all() and e["bought"].any()
    assert not any(e[name].any() for name in ("delay", "pending", "returned", "refund"))


def test_tuning_value_counts_money_that_comes_late():
    shop = make_shop([*DELAY, *REFUND])
    log = rollout(UniformPolicy(), shop, customers=150, seed=3, split="tune")
    assert value_per_customer(UniformPolicy(), shop, customers=150, seed=3) == pytest.approx(log.events["reward"].sum() / 150)


def test_two_settings_of_delay_make_the_same_decisions(shop):
    # the delay draws from a stream of its own: the response at the first opportunity is untouched
    slow = make_shop([*DELAY])
    a, b = (s.customers(500, 3) for s in (shop, slow))
    for lives in (a, b):
        lives.step(np.full(500, 4))
    assert (a.state.events["bought"] == b.state.events["bought"]).all() and a.state.events["bought"].any()
    assert (a.state.events["gap"] == b.state.events["gap"]).all()

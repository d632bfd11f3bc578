"""The informed oracle: its posterior is Bayes' rule, and what it is told beyond it can only be the state."""

from __future__ import annotations

import numpy as np
import pytest

from sim.evaluation.oracle.informed import InformedOracle
from sim.evaluation.oracle.posterior import Cloud, expression_likelihood, follow, prior, resample
from sim.evaluation.oracle.priced import PricedOracle
from sim.evaluation.rollout import value_per_customer
from sim.shop.parameters import ShopError
from tests.sim.conftest import make_shop

ORACLE = [f"camera.{channel}=oracle" for channel in ("emotion", "identity", "mask")]
# only taste is hidden: everybody has the same purse, mood and affect, and nothing but the days moves
ONLY_TASTE = [
    "env=bandit", *ORACLE, "population.traits.price_sensitivity_deviation=0", "population.traits.budget_deviation=0",
    "population.traits.home_valence_deviation=0", "population.traits.mood_deviation=0", "env.affect.affect_deviation=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def clear():
    return make_shop(ORACLE)


def sphere(dimensions, number):
    x = np.random.default_rng(3).standard_normal((number, dimensions))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_posterior_of_taste_is_the_likelihood_weighted_mean_over_the_sphere_within_four_standard_errors():
    """20 pushes of three labels; independent weighting of 200,000 tastes by the closed-form likelihood."""
    shop = make_shop(ONLY_TASTE)
    p, table, features = shop.params[0], shop.catalog.table, shop.catalog.features
    particles = 4096
    lives = shop.customers(6, 5, "tune")
    rows = np.arange(6)
    cloud, rng = prior(lives, rows, particles, 77), np.random.default_rng(0)
    theta = sphere(features.shape[1], 200_000)
    log_w = np.zeros((6, len(theta)))
    for t in range(20):
        k = (0, 7, 11)[t % 3]
        home = p["home_valence_mean"]
        valence = lives.state.customers["valence"].copy()
        assert np.allclose(valence, home, atol=1e-12)
        lives.step(np.full(6, k + 1))
        e = lives.state.events
        follow(lives, cloud, rows, rows, rng)
        relevance, item = theta @ features[k], table[k]
        logit = (
            p["click_intercept"] + item["appeal"] + p["taste_weight"] * relevance
            - p["price_sensitivity_median"] * item["price"] / p["price_reference"]
            + (p["valence_weight"] + p["tone_weight"] * item["tone_valence"]) * p["emotion_scale"] * home
        )  # fmt: skip
        click = 1 / (1 + np.exp(-logit))
        buy = 1 / (1 + np.exp(-(p["buy_intercept"] + p["buy_taste_weight"] * relevance
                                + p["buy_valence_weight"] * p["emotion_scale"] * home
                                - p["buy_price_weight"] * item["price"] / p["budget_median"])))  # fmt: skip
        for i in rows:
            log_w[i] += np.log(click if e["clicked"][i] else 1 - click)
            if e["clicked"][i]:
                log_w[i] += np.log(buy if e["bought"][i] else 1 - buy)
    w = np.exp(log_w - log_w.max(1, keepdims=True))
    w /= w.sum(1, keepdims=True)
    expected = w @ (theta @ features.T)
    weights = cloud.weights()
    found = np.einsum("nm,nmk->nk", weights, cloud.labels["relevance"])
    effective = 1 / np.square(weights).sum(1)
    assert effective.min() > 300
    assert np.abs(expected).max() > 0.2  # the data do say something
    # a relevance has standard deviation at most 1/2 under the prior (D = 4)
    assert (np.abs(found - expected) < 4 * 0.5 / np.sqrt(effective)[:, None]).all()


def test_told_the_whole_state_it_is_the_priced_oracle_action_by_action(clear):
    oracle, base = InformedOracle(clear, 8, revealed=("taste", "affect", "purse")), PricedOracle()
    lives, alive = clear.customers(60, 4, "tune"), np.arange(60)
    for _ in range(12):
        actions = np.zeros(60, np.int64)
        actions[alive] = oracle.choose(lives, alive)
        assert (actions[alive] == base.choose(lives, alive)).all()
        lives.step(actions)
        alive = alive[~lives.done[alive]]


def test_the_particles_of_a_customer_share_what_is_no_secret(clear):
    """Day, satiation and exposures follow from what was done; 15 steps of the oracle itself."""
    oracle = InformedOracle(clear, 16)
    lives, alive = clear.customers(40, 4, "tune"), np.arange(40)
    for _ in range(15):
        actions = np.zeros(40, np.int64)
        actions[alive] = oracle.choose(lives, alive)
        lives.step(actions)
        alive = alive[~lives.done[alive]]
    oracle.choose(lives, alive)
    cloud = oracle._cloud
    assert len(alive) > 5
    assert (cloud.customers["day"][alive] == lives.state.customers["day"][alive][:, None]).all()
    assert (cloud.labels["exposures"][alive] == lives.state.labels["exposures"][alive][:, None]).all()
    assert np.allclose(cloud.labels["satiation"][alive], lives.state.labels["satiation"][alive][:, None], atol=1e-6)


def test_resampling_keeps_the_weighted_mean_and_leaves_even_weights_alone():
    rng = np.random.default_rng(1)
    shop = make_shop(ORACLE)
    cloud = prior(shop.customers(2, 5, "tune"), np.arange(2), 2000, 9)
    x = cloud.customers["valence"]
    cloud.log_weight[0] = 6 * x[0]
    before, untouched = float((cloud.weights()[0] * x[0]).sum()), x[1].copy()
    resample(cloud, np.arange(2), rng)
    assert (cloud.log_weight == 0).all() and (cloud.customers["valence"][1] == untouched).all()
    assert cloud.customers["valence"][0].mean() == pytest.approx(before, abs=0.01) and before > 0.2


def test_price_sensitivity_given_the_segment_is_the_gaussian_posterior():
    """Prior sd .5, noise .5: the mean of log beta moves half way to the segment, and the variance halves."""
    lives = make_shop(ORACLE).customers(3, 5, "tune")
    cloud = prior(lives, np.arange(3), 4000, 9)
    log_beta, median = np.log(cloud.customers["price_sensitivity"]), np.log(0.35)
    half_way = median + 0.5 * (lives.state.customers["segment"] - median)
    assert np.abs(log_beta.mean(1) - half_way).max() < 4 * 0.354 / np.sqrt(4000)
    assert log_beta.std(1) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_what_the_camera_says_of_an_expression_is_the_truth_under_oracle_and_nothing_when_blind():
    shop = make_shop(ORACLE)
    assert (expression_likelihood(shop) == np.eye(7)[shop.gallery.true_emotion]).all()
    assert (expression_likelihood(make_shop(["camera=blind"])) == 1).all()
    seen, gallery = expression_likelihood(make_shop()), make_shop().gallery
    face = gallery.has_face > 0
    assert (seen[~face] == 1).all() and (~face).any()
    right = (seen[face].argmax(1) == gallery.true_emotion[face]).mean()
    assert 0.45 < right < 0.75  # the synthetic gallery shows 65 % bare, 45 % masked


@pytest.mark.slow
def test_knowing_more_earns_more_on_300_customers(clear):
    """Perceived < oracle camera < taste told < whole state; same customers, same luck."""
    options = {"customers": 300, "seed": 31, "split": "tune"}
    value = {
        "perceived": value_per_customer(InformedOracle(shop := make_shop(), 32, pool_rounds=1), shop, **options),
        "camera": value_per_customer(InformedOracle(clear, 32), clear, **options),
        "taste": value_per_customer(InformedOracle(clear, 32, revealed=("taste",)), clear, **options),
        "state": value_per_customer(PricedOracle(), clear, **options),
    }
    print({name: round(v, 2) for name, v in value.items()})
    assert 10 < value["perceived"] < value["camera"] < value["taste"] < value["state"]


def test_it_refuses_what_it_cannot_follow_by_name(clear):
    with pytest.raises(ShopError, match="taste_click_rate is 0.05"):
        InformedOracle(make_shop(["env=drift"]))
    with pytest.raises(ShopError, match="revealed names hope; known are taste, affect, purse"):
        InformedOracle(clear, revealed=("hope",))
    with pytest.raises(ShopError, match="particles is 1"):
        InformedOracle(clear, 1)
    lives = clear.customers(3, 4, "tune")
    lives.step(np.zeros(3, np.int64))
    with pytest.raises(ShopError, match="from the first one on"):
        InformedOracle(clear, 4).choose(lives, np.arange(3))


def test_a_cloud_of_equal_log_weights_has_equal_weights():
    assert (Cloud(np.zeros(0), np.zeros(0), np.full((2, 4), -900.0)).weights() == 0.25).all()


def test_twenty_opportunities_resolve_between_a_fifth_and_a_half_of_the_variance_of_taste(clear):
    """Fisher information of a push at click rate p, weight 1.4 a cosine: 1.4^2 p (1 - p) a squared unit of relevance, so some
    eleven pushes over four dimensions cannot do much against a prior variance of 1/4; the whole truth would be a ratio of 0."""
    oracle, n = InformedOracle(clear, 128), 80
    lives, alive, ratio = clear.customers(n, 6, "tune"), np.arange(n), []
    for t in range(21):
        actions = np.zeros(n, np.int64)
        actions[alive] = oracle.choose(lives, alive)
        if t in (0, 10, 20):
            cloud = oracle.posterior(alive)
            w, relevance = cloud.weights(), cloud.labels["relevance"].astype(float)
            mean = np.einsum("nm,nmk->nk", w, relevance)
            ratio.append(float((np.einsum("nm,nmk->nk", w, relevance**2) - mean**2).mean() / 0.25))
        lives.step(actions)
        alive = alive[~lives.done[alive]]
    print("posterior / prior variance of relevance after 0, 10, 20 opportunities", np.round(ratio, 2))
    assert ratio[0] > 0.95 > ratio[1] > ratio[2] and 0.5 < ratio[2] < 0.8

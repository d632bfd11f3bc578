"""RecSim's choc/kale model: its published numbers, the closed-form threshold, and one step by hand."""

import dataclasses
import math

import numpy as np
import pytest

from sim.evaluation.metrics import per_customer
from sim.evaluation.oracle.myopic import MyopicOracle
from sim.evaluation.oracle.response import response_of
from sim.evaluation.rollout import rollout
from sim.evaluation.statistics import mean_interval
from sim.shop.long_term import engagement, expose, threshold
from tests.sim.conftest import Decision, make_shop
from tests.sim.test_verification import show


@pytest.fixture(scope="module")
def choc_kale():
    return make_shop(["env=long_term_satisfaction"])


@pytest.fixture(scope="module")
def past():
    return make_shop(["env=long_term_satisfaction_past_threshold"])


@dataclasses.dataclass
class Candidate:
    """Pushes one of the twenty candidates by its clickbait score: a random one, the highest or the lowest."""

    shop: object
    name: str
    propensity_kind: str = "exact"

    def act(self, observation, action_mask, uniform):
        scores = observation[:, slice(*self.shop.layout["clickbait"])]
        draw = (uniform * scores.shape[1]).astype(int)
        action = 1 + {"random": draw, "most": scores.argmax(1), "least": scores.argmin(1)}[self.name]
        return Decision(action, np.ones(len(action)), np.eye(scores.shape[1] + 1)[action])


@pytest.mark.parametrize(
    ("scenario", "policy", "expected"),
    [("choc_kale", "random", 950.2), ("choc_kale", "most", 1135.8), ("choc_kale", "least", 771.6),
     ("past", "random", 984.4), ("past", "most", 447.2), ("past", "least", 1704.0)],
)  # fmt: skip
def test_verification_choc_kale_engagement_of_a_life_is_recsims(request, scenario, policy, expected):
    shop = request.getfixturevalue(scenario)
    log = rollout(Candidate(shop, policy), shop, customers=3000, seed=11, regret=False)
    i = mean_interval(per_customer(log, 1.0)["value"], level=0.999)
    show(f"{scenario} {policy}, 3,000 lives +- {(i['high'] - i['low']) / 2:.1f} (99.9 %)", i["mean"], expected)
    assert len(log.events) == 60 * 3000 and log.events["truncated"].sum() == 3000
    assert i["low"] - 1.5 <= expected <= i["high"] + 1.5  # the fixture's own error is 1.2 to 1.5


def test_verification_v2_threshold_of_choc_and_kale(choc_kale):
    """Pure choc (c = 1) against pure kale (c = 0) after NPE has settled: equal at tau*, and in the stated order beside it."""
    expected = threshold(0.7, 5.0, 4.0)
    show("tau* = (1 - beta) ln(mu_choc / mu_kale)", expected, 0.066943)
    assert expected == pytest.approx(0.3 * math.log(1.25), abs=1e-12) == pytest.approx(0.0669, abs=5e-5)

    def settled(tau, clickbait, customers=4000, steps=60):
        lives = choc_kale.with_params(sensitivity=tau).customers(customers, 5)
        total = np.zeros(customers)
        for step in range(steps - 1):
            lives.state.labels["relevance"] = clickbait  # of the coming opportunity, in place of the drawn ones
            total += np.log(lives.step(np.ones(customers, int))) if step >= 25 else 0 * lives.step(np.ones(customers, int))
        return total / (steps - 26)

    for tau, sign in ((0.8 * expected, -1), (expected, 0), (1.2 * expected, 1)):
        i = mean_interval(settled(tau, 0.0) - settled(tau, 1.0), level=0.999)
        x = tau / 0.3
        exact = 4.0 / (1 + math.exp(-x)) - 5.0 / (1 + math.exp(x))
        show(f"tau = {tau:.4f}: kale - choc, log engagement +- {(i['high'] - i['low']) / 2:.4f}", i["mean"], exact)
        assert i["low"] - 1e-3 <= exact <= i["high"] + 1e-3  # 1e-3: the small noise eta = .05 through a bent sigma
        assert sign == 0 and abs(exact) < 1e-9 or exact * sign > 0.05 and i["mean"] * sign > 0


def test_the_myopic_oracle_pushes_the_most_clickbait(choc_kale, past):
    for shop in (choc_kale, past):  # mu_choc > mu_kale and equal deviations: whatever the satisfaction
        lives = shop.customers(300, 2)
        lives.step(np.full(300, 3))
        expected = response_of(lives, np.arange(300)).reward
        assert (MyopicOracle().choose(lives, np.arange(300)) == 1 + lives.state.labels["relevance"].argmax(1)).all()
        mood, score = lives.state.customers["mood"][7], float(lives.state.labels["relevance"][7, 4])
        satisfaction = 1 / (1 + math.exp(-shop.params["sensitivity"][0] * mood))
        assert expected[7, 5] == pytest.approx(math.exp((4 + score) * satisfaction + 0.5), rel=1e-6)


def test_one_step_by_hand(choc_kale):
    p = choc_kale.params[0]
    # NPE 1, c = .25: mean (.25 * 5 + .75 * 4) * sigma(.01) = 4.25 * .5025 = 2.135625, deviation 1
    assert engagement(p, 1.0, 0.25, 0.5) == pytest.approx(math.exp(4.25 / (1 + math.exp(-0.01)) + 0.5), rel=1e-12)
    assert expose(p, 1.0, 0.25, 2.0) == pytest.approx(0.7 + 0.5 + 0.1, rel=1e-12)  # kale adds: the code's sign, not the docstring's


def test_candidates_are_uniform_shown_and_drawn_anew_at_every_opportunity(choc_kale):
    lives = choc_kale.customers(2000, 3)
    columns = slice(*choc_kale.layout["clickbait"])
    first = lives.observation[:, columns].copy()
    assert (first == lives.state.labels["relevance"]).all() and (choc_kale.catalog.names[0] == "candidate 01")
    assert first.mean() == pytest.approx(0.5, abs=0.006) and first.var() == pytest.approx(1 / 12, abs=0.002)  # 40,000 draws
    assert abs(np.corrcoef(first.T)[np.triu_indices(20, 1)]).max() < 0.09
    lives.step(np.full(2000, 7))
    assert (lives.state.events["relevance"] == first[:, 6]).all()
    assert abs(np.corrcoef(first.ravel(), lives.observation[:, columns].ravel())[0, 1]) < 0.02


def test_satisfaction_is_hidden_and_what_was_consumed_is_shown(choc_kale):
    lives = choc_kale.customers(500, 3)
    npe = lives.state.customers["mood"].copy()
    assert abs(npe).max() <= 0.5 / 0.3 + 1e-9 and npe.var() == pytest.approx((1 / 0.3) ** 2 / 12, rel=0.15)
    score = lives.state.labels["relevance"][:, 2].copy()
    reward = lives.step(np.full(500, 3)).copy()
    shown = lives.observation[:, slice(*choc_kale.layout["last_engagement"])][:, 0]
    np.testing.assert_allclose(shown, np.log1p(np.minimum(reward, 100)) / 3, rtol=1e-6)
    np.testing.assert_allclose(lives.observation[:, slice(*choc_kale.layout["kale_history"])][:, 0], 0.3 * (1 - 2 * score), atol=1e-6)
    assert (lives.state.events["mood"] == npe.astype(np.float32)).all()
    assert np.std(lives.state.customers["mood"] - (0.7 * npe - 2 * (score - 0.5))) == pytest.approx(0.05, rel=0.1)
    lives.step(np.zeros(500, int))
    assert (lives.state.reward == 0).all()

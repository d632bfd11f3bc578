"""Slates: what is shown, what is booked, how single-label policies fill them, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env

from sim.envs.single import ProductPushEnv
from sim.envs.vector import ProductPushVectorEnv
from sim.evaluation.rollout import rollout
from sim.evaluation.session_log import write_sessions
from sim.evaluation.slates import draw_slates
from sim.shop.parameters import ShopError
from tests.sim.conftest import ConstantPolicy, Decision, UniformPolicy, make_shop

CALM = ["env.fatigue.opt_out_intercept=-50", "env.fatigue.opt_out_fatigue_weight=0", "env.fatigue.opt_out_mood_weight=0",
        "env.fatigue.opt_out_valence_weight=0", "env.fatigue.opt_out_pressure_weight=0"]  # fmt: skip


@pytest.fixture(scope="module")
def shop():
    return make_shop(["env=slate"])


def test_every_label_shown_is_satiated_and_booked_and_the_slate_tires_once(shop):
    lives = shop.customers(2000, 1)
    before = lives.state.customers.copy()
    lives.step(np.tile([3, 7, 11], (2000, 1)))
    labels, e, after = lives.state.labels, lives.state.events, lives.state.customers
    assert (labels["exposures"] == np.isin(np.arange(12), [2, 6, 10])).all()
    stayed = e["gap"] == 0
    assert (labels["satiation"][stayed][:, [2, 6, 10]] == 1).all()
    known = before["recognised"] == 1
    assert (labels["pushes"][known].sum(1) == 3).all() and (labels["pushes"][~known] == 0).all()
    assert (labels["clicks"][known].sum(1) == e["clicked"][known]).all() and known.sum() > 500
    clicked = known & (e["clicked"] == 1)
    assert (labels["clicks"][clicked, e["action"][clicked] - 1] == 1).all() and len(set(e["action"][clicked])) == 3
    assert (e["action"][e["clicked"] == 0] == 3).all()  # the first where none is clicked
    assert (e["push_cost"] == shop.params["push_price"][0]).all()
    assert (after["cap_pushes"][stayed] == 1).all()
    # one unit of fatigue, and the means of irrelevance and pressure
    p, shown = shop.params[0], [2, 6, 10]
    irrelevance = 0.5 * (1 - labels["relevance"][:, shown].astype(float).mean(1))
    tired = 1 + p["irrelevance_fatigue"] * irrelevance + p["pressure_fatigue"] * shop.catalog.table["pressure"][shown].mean()
    np.testing.assert_allclose(after["fatigue"][stayed], tired[stayed], atol=1e-6)
    hazard = p["opt_out_intercept"] - p["opt_out_mood_weight"] * before["mood"] - p["opt_out_valence_weight"] * before["valence"]
    hazard += p["opt_out_pressure_weight"] * shop.catalog.table["pressure"][shown].mean()
    np.testing.assert_allclose(e["opt_out_probability"], 1 / (1 + np.exp(-hazard)), rtol=1e-6)


def test_an_ignored_slate_feels_like_the_mean_of_its_labels_and_a_clicked_one_like_the_label_clicked(shop):
    lives = shop.customers(4000, 6)
    before = lives.state.customers.copy()
    lives.step(np.tile([3, 7, 11], (4000, 1)))
    e, after, p, table = lives.state.events, lives.state.customers, shop.params[0], shop.catalog.table
    relevance = lives.state.labels["relevance"][:, [2, 6, 10]].astype(float).mean(1)
    ignored = table["care"][[2, 6, 10]].mean() - p["annoyance"] * 0.5 * (1 - relevance)
    answered = table["care"][e["action"] - 1] + np.where(e["bought"] == 1, p["outcome_buy"], p["outcome_click"])
    outcome = np.where(e["clicked"] == 1, answered, ignored)
    surprise = outcome * p["mood_bias"] ** before["mood"] - before["expectation"]
    np.testing.assert_allclose(after["expectation"], before["expectation"] + p["expectation_rate"] * surprise, atol=1e-6)
    assert min(e["clicked"].sum(), e["bought"].sum(), (e["clicked"] == 0).sum()) > 30


def test_taste_turns_away_from_the_mean_of_what_was_ignored():
    shop = make_shop(["env=slate", "env.taste.taste_click_rate=.05", "env.taste.taste_ignore_rate=.2"])
    lives = shop.customers(300, 2)
    taste = lives.state.taste.copy()
    lives.step(np.tile([3, 7, 11], (300, 1)))
    phi, clicked, action = shop.catalog.features, lives.state.events["clicked"] == 1, lives.state.events["action"]
    turned = 0.95 * taste + np.where(clicked[:, None], 0.05 * phi[action - 1], -0.2 * phi[[2, 6, 10]].mean(0))
    np.testing.assert_allclose(lives.state.taste, turned / np.linalg.norm(turned, axis=1, keepdims=True), atol=1e-12)
    assert 20 < clicked.sum() < 280


def test_empty_slots_masked_labels_and_labels_named_twice_are_not_shown():
    shop = make_shop(["env=slate", "env.availability.out_of_stock_probability=.5"])
    lives = shop.customers(800, 4)
    slate, mask = np.random.default_rng(0).integers(0, 5, (800, 3)), lives.action_masks().copy()
    lives.step(slate)
    e = lives.state.events
    for i in range(800):
        kept = [k for k in dict.fromkeys(slate[i].tolist()) if k > 0 and mask[i, k]]
        refused = [k for k in slate[i].tolist() if k > 0 and not mask[i, k]]
        assert lives.state.slate[i].tolist() == kept + [0] * (3 - len(kept))
        assert e["action"][i] == 0 if not kept else e["action"][i] in kept
        assert e["requested"][i] == (refused[0] if refused else e["action"][i])
        assert (e["push_cost"][i] > 0) == bool(kept)


def test_a_log_of_slates_says_what_was_shown_and_how_likely_it_was(shop, tmp_path):
    log = rollout(UniformPolicy(), shop, customers=200, seed=3)
    assert write_sessions(tmp_path / "sessions.parquet", [log], shop) == len(log.events)
    frame = pd.read_parquet(tmp_path / "sessions.parquet")
    sizes = frame["slate"].str.len()
    assert ((sizes == 0) == (frame["action"] == 0)).all() and sizes.max() == 3
    inside = [a == 0 or a in s for a, s in zip(frame["action"], frame["slate"], strict=True)]
    assert all(inside) and (frame["label"].isna() == (frame["action"] == 0)).all()
    # uniform over 12 labels and hold-back: 1/13, then 1/12, then 1/11; holding back ends the slate
    expected = {0: 1 / 13, 1: 1 / 13 / 12, 2: 1 / 13 / 12 / 11, 3: 1 / 13 / 12 / 11}
    np.testing.assert_allclose(frame["propensity"], sizes.map(expected), rtol=1e-12)
    assert "true_immediate_regret" not in frame and (frame["requested"] == frame["action"]).all()


class Softmax:
    """Fixed single-label probabilities, renormalised over what is allowed."""

    def __init__(self, p):
        self.p = np.asarray(p)

    def __call__(self, rows, mask, uniform):
        p = np.where(mask, self.p, 0.0)
        p /= p.sum(1, keepdims=True)
        action = (p.cumsum(1) <= uniform[:, None]).sum(1).clip(max=len(self.p) - 1)
        return Decision(action, p[np.arange(len(action)), action], p)


def test_slates_are_drawn_as_plackett_and_luce_say():
    p, n = np.array([0.1, 0.5, 0.25, 0.15]), 60_000
    rng = np.random.default_rng(0)
    drawn = draw_slates(Softmax(p), np.ones((n, 4), bool), [rng.random(n) for _ in range(2)])
    seen = {tuple(s): (drawn.action == s).all(1).mean() for s in np.unique(drawn.action, axis=0)}
    expected = {(0, 0): p[0]}
    for a in (1, 2, 3):
        for b in (0, 1, 2, 3):
            if b != a:
                expected[(a, b)] = p[a] * p[b] / (1 - p[a])
    assert set(seen) == set(expected) and math.isclose(sum(expected.values()), 1)
    for slate, share in expected.items():
        assert abs(seen[slate] - share) < 4 * math.sqrt(share * (1 - share) / n)
        mine = (drawn.action == slate).all(1)
        np.testing.assert_allclose(drawn.propensity[mine], share, rtol=1e-12)
    # inverse probability weighting finds the value of another policy: always the slate (3, 1)
    mine = (drawn.action == (3, 1)).all(1)
    assert (mine / drawn.propensity).mean() == pytest.approx(1, abs=4 * math.sqrt(1 / expected[(3, 1)] / n))


def test_a_policy_that_takes_the_best_label_shows_the_next_best_beside_it(shop):
    class Ordered:
        name, propensity_kind = "ordered", "exact"

        def act(self, observation, mask, uniform):
            best = np.where(mask[:, [5, 2, 8]].any(1), np.array([5, 2, 8])[mask[:, [5, 2, 8]].argmax(1)], 0)
            return Decision(best, np.ones(len(best)), np.eye(mask.shape[1])[best])

    log = rollout(Ordered(), shop, customers=50, seed=1)
    assert (log.slate == [5, 2, 8]).all() and (log.propensity == 1).all()


def test_a_policy_that_asks_for_a_masked_label_holds_back_and_the_log_says_so():
    shop = make_shop(["env=slate", "env.availability.cap_pushes_per_visit=1"])
    log = rollout(ConstantPolicy(6), shop, customers=100, seed=1)
    refused = log.events["requested"] != log.events["action"]
    assert refused.sum() > 50 and (log.events["action"][refused] == 0).all() and (log.slate[refused] == 0).all()
    assert (log.slate[~refused] == [6, 0, 0]).all() and (log.propensity == 1).all()
    strict = make_shop(["env=slate", "env.availability.cap_pushes_per_visit=1", "env.strict_mask=true"])
    with pytest.raises(ShopError, match="is masked for customer .* env.strict_mask is set"):
        rollout(ConstantPolicy(6), strict, customers=100, seed=1)
    assert len(rollout(UniformPolicy(), strict, customers=100, seed=1).events) > 500


def test_the_first_label_of_a_slate_is_the_single_push_on_the_same_luck(shop):
    slates, single = (rollout(UniformPolicy(), each, customers=300, seed=9) for each in (shop, shop.single))
    first = [log.events["step"] == 0 for log in (slates, single)]
    assert (slates.slate[first[0], 0] == single.events["action"][first[1]]).all()


def test_a_batch_of_slates_does_not_depend_on_its_size(shop):
    a, b = (rollout(UniformPolicy(), shop, customers=120, seed=2, batch=batch) for batch in (120, 37))
    assert all((a.events[name] == b.events[name]).all() for name in a.events.dtype.names)
    assert a.slate.tobytes() == b.slate.tobytes() and a.propensity.tobytes() == b.propensity.tobytes()


def test_both_checkers_pass(shop, recwarn):
    import agents.sb3  # noqa: F401, I001  # first: keeps SB3 from loading TensorFlow through tensorboard
    from stable_baselines3.common.env_checker import check_env as check_sb3

    check_env(ProductPushEnv(shop), skip_render_check=True)
    check_sb3(ProductPushEnv(shop), warn=True)
    assert [str(w.message) for w in recwarn if "env_checker" in str(w.filename)] == []


@pytest.mark.slow
def test_maskable_ppo_learns_on_slates_and_never_asks_for_a_masked_label():
    import agents.sb3  # noqa: F401, I001
    from sb3_contrib import MaskablePPO

    strict = make_shop(["env=slate", "env.availability.out_of_stock_probability=.4", "env.strict_mask=true"])
    MaskablePPO("MlpPolicy", ProductPushEnv(strict), n_steps=64, batch_size=64, n_epochs=1, seed=0).learn(128)  # a masked one would raise


def test_masks_stand_one_behind_the_other_for_every_slot(shop):
    env = ProductPushEnv(make_shop(["env=slate", "env.availability.out_of_stock_probability=.4"]))
    assert env.action_space.nvec.tolist() == [13, 13, 13]
    env.reset(seed=1)
    mask = env.action_masks()
    assert mask.shape == (39,) and 0 < mask[:13].sum() < 13 and (mask.reshape(3, 13) == mask[:13]).all()
    many = ProductPushVectorEnv(5, shop)
    many.reset(seed=1)
    assert many.action_masks().shape == (5, 39)
    observation, reward, *_ = many.step(many.action_space.sample())
    assert observation.shape == (5, shop.observation_size) and reward.shape == (5,)


def test_a_row_of_the_vector_env_equals_the_single_env(shop):
    many, one = ProductPushVectorEnv(4, shop), ProductPushEnv(shop)
    many.reset(seed=8)
    one.reset(seed=8, options={"customer": 2})
    rng = np.random.default_rng(0)
    for _ in range(15):
        actions = rng.integers(0, 13, (4, 3))
        batch, reward, terminated, truncated, _ = many.step(actions)
        alone, own, *ended, _ = one.step(actions[2])
        assert own == reward[2] and ended == [terminated[2], truncated[2]]
        if any(ended):
            break
        assert alone.tobytes() == batch[2].tobytes()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["env.slate_size=0"], "env.slate_size = 0 is out of range; allowed is 1 .* to 12, the labels of the catalog"),
        (["env.slate_size=13"], "env.slate_size = 13 is out of range"),
        (["env.slate_size=2.5"], "env.slate_size = 2.5 is out of range"),
        (["env=twin", "env.slate_size=2"], "env.slate_size = 2 needs the shop's own customer, but env.twin.twin is on"),
        (["env=organic", "env.slate_size=3"], "env.organic.organic is on; set it to 1"),
    ],
)
def test_an_impossible_size_is_named(overrides, message):
    with pytest.raises(ShopError, match=message):
        make_shop(overrides)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([[1, 2, 13]] * 4, "action 13 is out of range; 0 holds back, 1 to 12 push a label"),
        ([[0, -1, 2]] * 4, "action -1 is out of range"),
        ([1, 2, 3, 4], r"actions have shape \(4,\); 4 customers need \(4, 3\)"),
        ([[1, 2]] * 4, r"actions have shape \(4, 2\); 4 customers need \(4, 3\)"),
        ([[1.5, 2, 3]] * 4, "actions are of type float64; they must be integers from 0 to 12"),
    ],
)
def test_wrong_actions_are_named(shop, actions, message):
    lives = shop.customers(4, 1)
    before = [array.tobytes() for array in lives.state]
    with pytest.raises(ShopError, match=message):
        lives.step(np.array(actions))
    assert before == [array.tobytes() for array in lives.state]


def test_an_oracle_of_single_pushes_is_refused_on_slates(shop):
    from sim.evaluation.oracle.myopic import MyopicOracle

    with pytest.raises(ShopError, match="myopic_oracle knows single pushes only, and this shop shows slates; set env.slate_size=1"):
        rollout(MyopicOracle(), shop, customers=5, seed=1)


def test_an_episode_of_slates_pays_what_it_logs(shop):
    lives = make_shop(["env=slate", "env.delay.delay_days=4", "env.refunds.refunds=1", *CALM]).customers(300, 3)
    rng, received, logged, price, spent = np.random.default_rng(0), np.zeros(300), np.zeros(300), 0.0, 0
    while not lives.done.all():
        live = ~lives.done
        received += lives.step(rng.integers(0, 13, (300, 3)))
        e = lives.state.events
        logged[live] += e["reward"][live]
        terms = e["margin"] + e["click_value"] - e["push_cost"] - e["opt_out_cost"] - e["refund"]
        assert (e["reward"] == terms)[live].all() and (e["bought"] <= e["clicked"])[live].all()
        bought = live & (e["bought"] == 1)
        price = shop.catalog.table["price"][e["action"] - 1]
        assert (e["price"][bought] == price[bought]).all()
        spent += bought.sum()
        assert (lives.state.customers["budget"] >= -1e-9).all()
    np.testing.assert_allclose(received, logged, atol=1e-9)
    assert spent > 100

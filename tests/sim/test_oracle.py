"""Oracles: what they expect is what happens, what they know is no luck, and each earns more than the one before."""

import numpy as np
import pytest

from sim.evaluation.metrics import per_customer
from sim.evaluation.oracle.base import twin_states, twin_table
from sim.evaluation.oracle.dynamic_programming import START, STATES, twin_model
from sim.evaluation.oracle.expected import expected_values
from sim.evaluation.oracle.myopic import MyopicOracle
from sim.evaluation.oracle.planning import PlanningOracle
from sim.evaluation.oracle.priced import SHOP_PRICES, TWIN_PRICES, PricedOracle, Prices, annuity, tune_prices
from sim.evaluation.oracle.regret import immediate_regret, value_regret_interval
from sim.evaluation.oracle.response import best_allowed, respond, response_of
from sim.evaluation.rollout import rollout, value_per_customer
from sim.evaluation.statistics import mean_interval
from sim.shop.dynamics import advance
from sim.shop.lives import allocate
from sim.shop.parameters import ShopError
from sim.shop.types import EVENT
from tests.sim.conftest import ConstantPolicy, UniformPolicy, make_shop

OPTIMUM, DISCOUNT = 3.658049, 0.98


@pytest.fixture(scope="module")
def twin():
    return make_shop(["env=twin"])


@pytest.fixture(scope="module")
def model(twin):
    return twin_model(twin)


def lived(shop, number, seed=5, opportunities=6):
    """Customers some random pushes into their lives, all still there."""
    lives = shop.customers(number, seed)
    rng = np.random.default_rng(seed)
    for _ in range(opportunities):
        lives.step(rng.integers(0, shop.labels + 1, number))
    return lives, np.flatnonzero(~lives.done)


def exact(model, oracle, twin):
    return float(model.value_of(twin_table(oracle, twin), DISCOUNT)[START])


def half(interval):
    return (interval["high"] - interval["low"]) / 2


# response -------------------------------------------------------------------------------------------------------------


def test_the_response_is_the_mean_of_40_000_drawn_outcomes_of_the_same_customer(shop):
    still = shop.with_params(
        fatigue_days=1e6, mood_days=1e6, push_price=0.05, refunds=1.0, refund_price=1.5, click_price=0.3
    )
    lives, rows = lived(still, 40)
    row, copies = rows[0], 40_000
    response = response_of(lives, rows[:1])
    for action in (1, 4, still.labels):
        state = allocate(copies, still.labels, lives.state.taste.shape[1])
        for copy, original in zip(state, lives.state, strict=True):
            copy[:] = original[row]
        state.customers["id"] = np.arange(copies)
        before = state.customers[0].copy()
        advance(lives.world, state, 99, lives.split, np.full(copies, action), 0)
        drawn = {
            "reward": state.events["reward"],
            "click": state.events["clicked"],
            "purchase": state.events["bought"],
            "opt_out": state.events["opted_out"],
            "tiredness": state.customers["fatigue"] - before["fatigue"],
            "mood_step": state.customers["mood"] - before["mood"],
        }
        for name, x in drawn.items():
            error = x.std() / np.sqrt(copies) + 2e-4
            assert getattr(response, name)[0, action] == pytest.approx(x.mean(), abs=4 * error), (action, name)


def test_looking_changes_no_bit_of_a_customer_and_holding_back_is_worth_0(shop):
    lives, rows = lived(shop, 200)
    before = [array.tobytes() for array in lives.state]
    response = response_of(lives, rows)
    assert all(old == new.tobytes() for old, new in zip(before, lives.state, strict=True))
    assert all((column[:, 0] == 0).all() for column in response)
    assert (response.purchase <= response.click).all()
    one = respond(lives.world, lives.state, rows[7:8])
    assert all((a[0] == b[7]).all() for a, b in zip(one, response, strict=True))


def test_the_response_on_the_twin_is_the_reward_table_of_dynamic_programming(twin, model):
    lives = twin_states(twin)
    response = response_of(lives, np.arange(STATES))
    assert np.abs(response.reward - model.reward).max() < 1e-12
    assert np.abs(1 - response.opt_out - model.survival).max() < 1e-12
    fatigue, mood = (lives.state.customers[name] for name in ("fatigue", "mood"))
    assert np.abs(model.transition @ fatigue - fatigue[:, None] - response.tiredness).max() < 1e-12
    assert np.abs(model.transition @ mood - mood[:, None] - response.mood_step).max() < 1e-12


def test_the_best_action_is_never_a_masked_one():
    score, mask = np.array([[0.0, 3.0, 2.0], [0.0, -1.0, 5.0]]), np.array([[True, False, True], [True, True, False]])
    assert best_allowed(score, mask).tolist() == [2, 0]


# myopic and priced ----------------------------------------------------------------------------------------------------


def test_the_myopic_oracle_is_worth_1_058815_on_the_twin(twin, model):
    assert exact(model, MyopicOracle(), twin) == pytest.approx(1.058815, abs=1e-6)


def test_the_oracles_on_1_500_customers_random_8_myopic_22_priced_27(shop):
    policies = (UniformPolicy(), MyopicOracle(), PricedOracle())
    logs = {policy.name: rollout(policy, shop, customers=1500, seed=31) for policy in policies}
    value = {name: per_customer(log, 1.0)["value"].mean() for name, log in logs.items()}
    print({name: round(v, 2) for name, v in value.items()})
    assert value["random"] < 10 < 20 < value["myopic_oracle"] < 24 < 26 < value["priced_oracle"] < 30
    gain = value_regret_interval(logs["myopic_oracle"], logs["priced_oracle"])
    assert gain["low"] > 3.5
    pushed = {name: (log.events["action"] > 0).mean() for name, log in logs.items()}
    assert pushed["priced_oracle"] < 0.8 < pushed["myopic_oracle"]


def test_without_prices_or_without_a_tomorrow_the_priced_oracle_is_the_myopic_one(shop):
    lives, rows = lived(shop, 300)
    myopic = MyopicOracle().choose(lives, rows)
    assert (PricedOracle(Prices(0, 0, 0)).choose(lives, rows) == myopic).all()
    assert (PricedOracle().choose(lives, rows) != myopic).mean() > 0.1
    lives.state.customers["day"] = int(shop.params["horizon_days"][0])
    assert (PricedOracle().choose(lives, rows) == MyopicOracle().choose(lives, rows)).all()


def test_an_annuity_of_3_days_at_one_half_is_1_75():
    assert annuity(np.array([0.0, 3.0]), 0.5).tolist() == [0.0, 1.75] and annuity(np.array([3.0]), 1.0)[0] == 3.0


def test_tuning_finds_the_top_of_a_smooth_hill_within_5_percent_and_never_loses():
    def hill(p):
        return -sum(np.log(getattr(p, n) / top) ** 2 for n, top in (("fatigue", 0.3), ("life", 0.02), ("mood", 1.0)))

    best, value = tune_prices(hill, Prices(1.0, 0.1, 0.1))
    assert value == hill(best) and best.fatigue == pytest.approx(0.3, rel=0.05)
    assert best.life == pytest.approx(0.02, rel=0.05) and best.mood == pytest.approx(1.0, rel=0.05)


def test_a_frequency_cap_holds_for_oracles_too():
    capped = make_shop(["env.availability.cap_pushes_per_visit=1"])
    for oracle in (MyopicOracle(), PricedOracle(), PlanningOracle(4, 3, steps=2)):
        e = rollout(oracle, capped, customers=60, seed=2).events
        assert (e["requested"] == e["action"]).all()
        pairs, pushes = np.unique(e[["customer", "visit"]][e["action"] > 0], return_counts=True)
        assert len(pairs) > 60 and pushes.max() == 1


# regret ---------------------------------------------------------------------------------------------------------------


def test_living_through_a_log_again_gives_each_decision_an_expected_reward_that_is_right_on_average(shop):
    log = rollout(UniformPolicy(), shop, customers=1500, seed=8)
    columns = immediate_regret(log, shop, seed=8)
    assert all(column.shape == (len(log.events),) for column in columns.values())
    assert (columns["true_immediate_regret"] >= 0).all() and (columns["true_best_expected_reward"] >= 0).all()
    surprise = mean_interval(log.events["reward"] - columns["true_expected_reward"], level=0.999)
    print("drawn minus expected reward", surprise)
    assert surprise["low"] < 0 < surprise["high"] and half(surprise) < 0.05
    e = log.events
    told = (
        e["click_probability"]
        * e["purchase_probability"]
        * shop.catalog.table["margin"][np.maximum(e["action"] - 1, 0)]
        - shop.params["push_price"][0] * (e["action"] > 0)
        - shop.params["opt_out_price"][0] * e["opt_out_probability"]
    )
    assert np.abs(told - columns["true_expected_reward"]).max() < 1e-5  # the log keeps float32


def test_immediate_regret_is_0_for_the_myopic_oracle_and_positive_for_who_plans_or_guesses(shop):
    regret = {
        policy.name: immediate_regret(rollout(policy, shop, customers=300, seed=4), shop, seed=4)["true_immediate_regret"].mean()
        for policy in (MyopicOracle(), PricedOracle(), UniformPolicy(), ConstantPolicy(0, name="hold_back"))
    }
    print({name: round(float(x), 3) for name, x in regret.items()})
    assert regret["myopic_oracle"] == 0.0
    assert 0 < regret["priced_oracle"] < 0.4 * regret["random"] and regret["hold_back"] > regret["priced_oracle"]


def test_a_replay_refuses_a_log_of_another_seed_or_shop_and_names_customer_and_field(shop):
    log = rollout(UniformPolicy(), shop, customers=20, seed=8)
    with pytest.raises(ShopError, match=r"customer \d+, opportunity 0, \w+ is"):
        immediate_regret(log, shop, seed=9)
    with pytest.raises(ShopError, match="does not come from this shop"):
        immediate_regret(log, shop.with_params(mood_rate=0.1), seed=8)
    assert EVENT.names is not None


def test_value_regret_is_paired_and_refuses_other_customers(shop):
    priced, hold = (rollout(p, shop, customers=200, seed=4) for p in (PricedOracle(), ConstantPolicy(0)))
    assert value_regret_interval(priced, priced) == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 200}
    assert value_regret_interval(hold, priced)["mean"] == pytest.approx(priced.events["reward"].sum() / 200)
    with pytest.raises(ShopError, match="the same customers"):
        value_regret_interval(rollout(PricedOracle(), shop, customers=50, seed=4), priced)


def test_expected_values_have_the_mean_of_drawn_ones_and_less_than_two_thirds_of_their_deviation(shop):
    for policy in (UniformPolicy(), PricedOracle()):
        drawn = per_customer(rollout(policy, shop, customers=3000, seed=12), 0.99)["discounted"]
        expected = expected_values(policy, shop, customers=3000, seed=12, discount_per_day=0.99)
        gap = mean_interval(expected - drawn, level=0.999)
        print(
            f"{policy.name}: drawn {drawn.mean():.2f} sd {drawn.std():.1f}, expected {expected.mean():.2f} sd {expected.std():.1f}"
        )
        assert gap["low"] < 0 < gap["high"] and expected.std() < 0.67 * drawn.std()


# planning -------------------------------------------------------------------------------------------------------------


def test_planning_reaches_98_percent_of_the_twins_optimum_and_doubling_its_rollouts_changes_less_than_1_percent(
    twin, model
):
    base = PricedOracle(TWIN_PRICES, DISCOUNT)
    value = {r: exact(model, PlanningOracle(r, 3, base), twin) for r in (32, 64)}
    print({r: f"{v:.6f} = {v / OPTIMUM:.2%} of V*" for r, v in value.items()})
    assert min(value.values()) >= 0.98 * OPTIMUM
    assert abs(value[64] / value[32] - 1) < 0.01


def test_one_step_of_planning_lifts_a_base_policy_of_69_percent_above_90_percent_of_the_optimum(twin, model):
    base = PricedOracle(Prices(0.1, 0.02, 0.1), DISCOUNT)
    before, after = exact(model, base, twin), exact(model, PlanningOracle(128, 3, base, margin=0.0), twin)
    print(f"base {before / OPTIMUM:.2%}, planned {after / OPTIMUM:.2%} of V*")
    assert before < 0.7 * OPTIMUM and after > 0.9 * OPTIMUM


def test_imagined_futures_on_the_twin_have_the_action_values_of_dynamic_programming_as_their_mean(twin, model):
    base = PricedOracle(Prices(0.1, 0.02, 0.1), DISCOUNT)
    q = model.action_values(model.value_of(twin_table(base, twin), DISCOUNT), DISCOUNT)
    every = np.tile(np.arange(3), (STATES, 1))
    futures = PlanningOracle(100, 3, base, negligible=1e-4).futures(twin_states(twin), np.arange(STATES), every)
    z = (futures.mean(2) - q) / (futures.std(2) / 10)
    print(f"largest |z| of 75 action values {np.abs(z).max():.2f}, mean error {np.abs(futures.mean(2) - q).mean():.4f}")
    assert np.abs(z).max() < 4.5 and 0.6 < z.std() < 1.5


def test_imagined_lives_are_worth_what_real_ones_are_at_less_than_half_the_standard_deviation(shop):
    base, number = PricedOracle(), 3000
    real = per_customer(rollout(base, shop, customers=number, seed=20001), 1.0)["value"]
    lives = shop.customers(number, 20001, "evaluate")
    rows = np.arange(number)
    planner = PlanningOracle(2, 2, base, rows=2 * number)
    imagined = planner.futures(lives, rows, base.choose(lives, rows)[:, None])[:, 0]
    gap = mean_interval(imagined.mean(1) - real, level=0.999)
    within = np.sqrt(imagined.var(axis=1, ddof=1).mean())  # of one future around its customer's mean
    print(
        f"imagined {imagined.mean():.2f}, real {real.mean():.2f}; sd of a life {real.std():.1f}, of a future {within:.1f}"
    )
    assert gap["low"] < 0 < gap["high"] and half(gap) < 1.5
    assert within < 0.5 * real.std()


def test_common_luck_makes_differences_between_actions_surer_than_own_luck_would(shop):
    lives, rows = lived(shop, 60)
    planner = PlanningOracle(64, 3)
    action, _ = planner.shortlist(lives, rows)
    futures = planner.futures(lives, rows, action)
    paired = (futures[:, 1] - futures[:, 0]).var(axis=1).mean()
    unpaired = futures[:, :2].var(axis=2).sum(1).mean()
    print(f"variance of the difference {paired:.1f}, with luck of its own {unpaired:.1f}")
    assert paired < 0.7 * unpaired


def test_planning_leaves_the_customers_alone_and_decides_alike_whatever_the_batch(shop):
    lives, rows = lived(shop, 40)
    before = [array.tobytes() for array in lives.state]
    whole = PlanningOracle(8, 3).choose(lives, rows)
    assert all(old == new.tobytes() for old, new in zip(before, lives.state, strict=True))
    assert (PlanningOracle(8, 3, rows=24).choose(lives, rows[5:9]) == whole[5:9]).all()
    assert (PlanningOracle(8, 3, margin=1e9).choose(lives, rows) == PricedOracle().choose(lives, rows)).all()


def test_planning_with_the_customers_own_luck_is_refused(shop):
    lives = shop.customers(3, 7)
    with pytest.raises(ShopError, match="imagines with seed 7, the customers' own"):
        PlanningOracle(4, seed=7).choose(lives, np.arange(3))
    with pytest.raises(ShopError, match="needs 2 to 4096"):
        PlanningOracle(1)
    with pytest.raises(ShopError, match="candidates is 1"):
        PlanningOracle(4, candidates=1)


@pytest.mark.slow
def test_planning_earns_more_than_the_priced_oracle_on_the_big_shop(shop):
    planned, priced = (expected_values(o, shop, customers=300, seed=10000) for o in (PlanningOracle(), PricedOracle()))
    gain = mean_interval(planned - priced)
    print(f"planning - priced oracle {gain['mean']:.2f} ± {half(gain):.2f} money a customer")
    assert gain["low"] > 0


@pytest.mark.slow
def test_tuned_prices_are_no_worse_on_other_customers_than_doubled_or_halved_ones(shop):
    def value(prices):
        return value_per_customer(PricedOracle(prices), shop, customers=4000, seed=20001)

    best = value(SHOP_PRICES)
    for factor in (0.25, 4.0):
        for name in ("life", "mood"):
            changed = Prices(**{**vars(SHOP_PRICES), name: getattr(SHOP_PRICES, name) * factor})
            assert value(changed) < best + 0.1, (name, factor)

"""Each mechanism is switched off on its own, and the switch has exactly the stated effect: what was pushed no longer reaches it."""

import dataclasses

import numpy as np
import pytest

from sim.shop.choice import click_probability, purchase_probability
from sim.shop.fatigue import opt_out_probability
from sim.shop.returning import next_gap
from sim.shop.types import CUSTOMER, LABEL
from tests.sim.conftest import make_shop


def at(shop, response, **state):
    """A response of the shop for a customer and a label in a stated condition."""
    customer, label = np.zeros(1, CUSTOMER), np.zeros(1, LABEL)
    for array, names in ((customer, CUSTOMER.names), (label, LABEL.names)):
        array["price_sensitivity" if array is customer else "relevance"] = 0.3
        for name in set(names) & set(state):
            array[name] = state[name]
    if "budget" not in state:
        customer["budget"] = 80.0
    p, item = shop.params[0], shop.catalog.table[3]
    if response == "click":
        return click_probability(p, customer[0], label[0], item)
    if response == "buy":
        return purchase_probability(p, customer[0], label[0], item)
    if response == "opt_out":
        return opt_out_probability(p, customer[0], item)
    return float(np.mean([next_gap(p, customer[0], 0.99, u) for u in (np.arange(50) + 0.5) / 50]))


SWITCHES = [  # parameters that switch off; the response, and the state it then no longer depends on; one it still depends on
    (["choice.satiation_weight"], "click", "satiation", "fatigue"),
    (["choice.exposure_gain", "choice.exposure_wear"], "click", "exposures", "satiation"),
    (["choice.fatigue_weight"], "click", "fatigue", "satiation"),
    (["fatigue.opt_out_fatigue_weight"], "opt_out", "fatigue", "valence"),
    (["choice.emotion_scale"], "click", "valence", "mood"),
    (["choice.emotion_scale"], "click", "arousal", "mood"),
    (["choice.emotion_scale"], "buy", "valence", "relevance"),
    (["choice.emotion_scale"], "opt_out", "valence", "mood"),
    (["choice.tone_weight"], "click", "arousal", "valence"),
    (["choice.mood_weight"], "click", "mood", "valence"),
    (["fatigue.opt_out_mood_weight"], "opt_out", "mood", "fatigue"),
    (["choice.taste_weight"], "click", "relevance", "satiation"),
    (["choice.buy_taste_weight"], "buy", "relevance", "valence"),
    (["choice.buy_valence_weight"], "buy", "valence", "relevance"),
    (["choice.buy_price_weight"], "buy", "budget", "relevance"),
    (["fatigue.opt_out_valence_weight"], "opt_out", "valence", "mood"),
    (["returning.return_mood_weight"], "return", "mood", "fatigue"),
    (["returning.return_valence_weight"], "return", "valence", "mood"),
    (["returning.return_fatigue_weight"], "return", "fatigue", "mood"),
]
SHIFT = {"satiation": 3, "exposures": 12, "fatigue": 6, "valence": 0.8, "arousal": 0.8, "mood": -0.9, "relevance": -0.9, "budget": 200}
TONED = {"arousal": "tone_arousal"}


@pytest.mark.parametrize(("names", "response", "gone", "kept"), SWITCHES, ids=lambda x: x if isinstance(x, str) else "")
def test_a_switch_removes_one_influence_and_no_other(shop, names, response, gone, kept):
    if gone in TONED:  # a label that speaks to arousal
        table = shop.catalog.table.copy()
        table[TONED[gone]] = 0.5
        shop = dataclasses.replace(shop, catalog=dataclasses.replace(shop.catalog, table=table))
    off = make_shop_like(shop, {name.split(".")[1]: 0.0 for name in names})
    assert at(shop, response, **{gone: SHIFT[gone]}) != at(shop, response)
    assert at(off, response, **{gone: SHIFT[gone]}) == at(off, response)
    assert at(off, response, **{kept: SHIFT[kept]}) != at(off, response)


def make_shop_like(shop, changes):
    """`shop` with parameters changed, without rolling out typical records anew (responses do not read them)."""
    params = shop.params.copy()
    for name, number in changes.items():
        params[name] = number
    return dataclasses.replace(shop, params=params)


def pushed_and_rested(overrides, number=500, steps=5):
    """The same customers after five pushes of label 4, and after five hold-backs."""
    shop = make_shop([f"env.{text}" for text in overrides])
    pushed, rested = shop.customers(number, 2), shop.customers(number, 2)
    for _ in range(steps):
        pushed.step(np.full(number, 4))
        rested.step(np.zeros(number, int))
    return pushed.state, rested.state, ~pushed.done & ~rested.done


NO_OPT_OUT = "fatigue.opt_out_intercept=-50"


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        (["affect.mood_rate=0"], "mood"),
        (["affect.expectation_rate=0"], "expectation"),
        (["affect.valence_jump=0", "affect.mood_rate=0"], "valence"),
        (["affect.arousal_jump=0"], "arousal"),
        (["budget.budget_enforced=0"], "budget"),
    ],
)
def test_a_state_that_is_switched_off_does_not_answer_to_pushes(overrides, field):
    # returning is kept alike, so that both lives meet the same gaps
    alike = ["returning.return_mood_weight=0", "returning.return_valence_weight=0", "returning.return_fatigue_weight=0"]
    pushed, rested, live = pushed_and_rested([*overrides, *alike, NO_OPT_OUT])
    assert live.sum() > 300
    np.testing.assert_array_equal(pushed.customers[field][live], rested.customers[field][live])
    pushed, rested, live = pushed_and_rested([*alike, NO_OPT_OUT])
    assert (pushed.customers[field][live] != rested.customers[field][live]).mean() > 0.02


def test_with_satiation_and_exposure_off_a_click_does_not_depend_on_past_pushes_of_the_label():
    off = ["choice.satiation_weight=0", "choice.exposure_gain=0", "choice.exposure_wear=0", "choice.fatigue_weight=0"]
    calm = ["affect.mood_rate=0", "affect.valence_jump=0", "affect.arousal_jump=0", "returning.return_fatigue_weight=0"]
    for overrides, alike in ((off, True), (off[1:], False), ([off[0], *off[3:]], False), (off[:3], False)):
        shop = make_shop([f"env.{text}" for text in (*overrides, *calm, NO_OPT_OUT)])
        pushed, rested = shop.customers(300, 2), shop.customers(300, 2)
        for _ in range(5):
            pushed.step(np.full(300, 4))
            rested.step(np.zeros(300, int))
        live = ~pushed.done & ~rested.done
        for lives in (pushed, rested):
            lives.step(np.full(300, 4))
        same = (pushed.state.events["click_probability"] == rested.state.events["click_probability"])[live]
        assert live.sum() > 200 and (same.all() if alike else not same.any())


def test_with_return_weights_off_visits_come_alike_whatever_is_pushed():
    alike = ["returning.return_mood_weight=0", "returning.return_valence_weight=0", "returning.return_fatigue_weight=0"]
    pushed, rested, live = pushed_and_rested([*alike, NO_OPT_OUT])
    assert live.sum() > 300 and (pushed.customers["day"] == rested.customers["day"]).all()
    pushed, rested, live = pushed_and_rested([NO_OPT_OUT])
    assert (pushed.customers["day"] != rested.customers["day"]).mean() > 0.1


def lived(overrides, actions=4, number=400, steps=6):
    """Events (steps, number) and final state of customers who are always pushed one label (or left alone)."""
    lives = make_shop([f"env.{text}" for text in overrides]).customers(number, 2)
    events = []
    for _ in range(steps):
        lives.step(np.full(number, actions))
        events.append(lives.state.events.copy())
    return np.array(events), lives


def test_mood_bias_1_leaves_the_outcome_as_it_is_and_more_makes_it_follow_mood():
    for bias, same in ((1, True), (1.5, False)):
        lives = make_shop([f"env.affect.mood_bias={bias}"]).customers(300, 2)
        lives.state.customers["mood"] = np.where(np.arange(300) % 2, 0.8, -0.8)
        expectation, p = lives.state.customers["expectation"].copy(), lives.shop.params[0]
        lives.step(np.full(300, 4))
        e, item = lives.state.events, lives.shop.catalog.table[3]
        answered = np.where(e["bought"] == 1, p["outcome_buy"], p["outcome_click"])
        ignored = -p["annoyance"] * 0.5 * (1 - e["relevance"].astype(float))
        outcome = item["care"] + np.where(e["clicked"] == 1, answered, ignored)
        learned = (lives.state.customers["expectation"] - expectation) / p["expectation_rate"]
        assert np.allclose(learned, outcome - expectation, atol=1e-5) == same


def test_without_its_noise_affect_walks_home_and_without_jumps_too_pushes_do_not_show():
    still = ["affect.affect_deviation=0", "affect.valence_jump=0", "affect.arousal_jump=0", "affect.mood_pull=0"]
    _, lives = lived([*still, NO_OPT_OUT])
    start = make_shop([f"env.{text}" for text in still]).customers(400, 2).state.customers
    c, live = lives.state.customers, ~lives.done
    q = np.exp(-lives.shop.params["affect_rate"][0] * c["day"])
    expected = start["home_valence"] + q * (start["valence"] - start["home_valence"])
    np.testing.assert_allclose(c["valence"][live], expected[live], atol=1e-9)
    np.testing.assert_allclose(c["arousal"][live], (q * start["arousal"])[live], atol=1e-9)
    _, noisy = lived([*still[1:], NO_OPT_OUT])
    assert (np.abs(noisy.state.customers["valence"] - expected)[live & (c["day"] > 0)] > 1e-3).mean() > 0.9


def test_a_mood_that_does_not_pull_leaves_home_where_it_is():
    pulled, free = (lived([f"affect.mood_pull={pull}", "affect.affect_deviation=0", NO_OPT_OUT])[1].state.customers for pull in (0.5, 0))
    assert (pulled["valence"] != free["valence"])[pulled["day"] > 0].mean() > 0.9


def test_return_gaps_are_switched_off_by_a_certain_return_on_the_next_day():
    gaps, _ = lived(["returning.return_intercept=20", "returning.same_visit_probability=0", NO_OPT_OUT])
    assert (gaps["gap"] == 1).all()
    gaps, _ = lived(["returning.return_intercept=20", NO_OPT_OUT])
    assert set(np.unique(gaps["gap"])) == {0, 1}
    gaps, lives = lived(["returning.same_visit_probability=0", NO_OPT_OUT])
    assert gaps["gap"][0].min() == 1 and gaps["gap"][0].max() > 8 and (lives.state.customers["visit"][~lives.done] == 6).all()


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ("fatigue.opt_out_intercept=-50", "opted_out"),
        ("returning.lapse_days=100000", "lapsed"),
        ("delay.delay_days=0", "delay"),
        ("refunds.refunds=0", "returned"),
    ],
)
def test_what_is_switched_off_never_happens_and_does_where_it_is_on(overrides, field):
    on = ["fatigue.opt_out_intercept=-2", "returning.lapse_days=5", "delay.delay_days=4", "refunds.refunds=1"]
    assert lived(on)[0][field].any()
    assert not lived([*on, overrides])[0][field].any()


@pytest.mark.parametrize("others", [["delay.delay_days=4"], ["refunds.refunds=1"], ["taste.taste_click_rate=.05"]])
def test_one_mechanism_switched_on_alone_leaves_the_luck_of_the_first_push_alone(shop, others):
    events, _ = lived(others, steps=1)
    default, _ = lived([], steps=1)
    for name in ("customer", "image", "clicked", "bought", "opted_out", "gap", "valence", "mood"):
        assert (events[name] == default[name]).all(), name


@pytest.mark.parametrize("name", ["taste_click_rate", "taste_ignore_rate", "taste_noise"])
def test_each_cause_of_drift_moves_taste_by_itself(name):
    _, still = lived([NO_OPT_OUT], steps=3)
    _, moved = lived([f"taste.{name}=.05", NO_OPT_OUT], steps=3)
    shift = np.abs(moved.state.taste - still.state.taste).max(1)
    clicked = moved.state.labels["clicks"].sum(1) > 0
    assert (shift > 1e-4).mean() > (0.2 if name == "taste_click_rate" else 0.8)
    assert name != "taste_click_rate" or (shift[clicked] > 1e-4).all()


@pytest.mark.parametrize("name", ["irrelevance_fatigue", "pressure_fatigue"])
def test_fatigue_of_irrelevance_and_of_pressure_are_switched_off_one_by_one(name):
    _, lives = lived([f"fatigue.{name}=0", NO_OPT_OUT], steps=1)
    p, item, stayed = lives.shop.params[0], lives.shop.catalog.table[3], lives.state.events["gap"] == 0
    added = 1 + p["irrelevance_fatigue"] * 0.5 * (1 - lives.state.labels["relevance"][:, 3]) + p["pressure_fatigue"] * item["pressure"]
    np.testing.assert_allclose(lives.state.customers["fatigue"][stayed], added[stayed], atol=1e-6)
    assert p[name] == 0 and stayed.sum() > 50


def test_customers_are_alike_where_their_deviations_are_0():
    traits = ("price_sensitivity", "budget", "home_valence", "mood")
    overrides = [f"population.traits.{name}_deviation=0" for name in traits] + ["population.traits.segment_noise=0"]
    c = make_shop(overrides).customers(200, 2).state.customers
    for name in ("price_sensitivity", "monthly_budget", "home_valence", "mood", "segment"):
        assert len(np.unique(c[name])) == 1, name
    for share, expected in ((0, 0), (1, 1)):
        crowd = make_shop([f"population.traits.enrolled_share={share}", f"population.traits.mask_share={share}",
                           "population.traits.mask_probability_habit=1", "population.traits.mask_probability_other=0"])  # fmt: skip
        c = crowd.customers(200, 2).state.customers
        assert (c["enrolled"] == expected).all() and (c["masked"] == expected).all()


def test_delay_refunds_drift_and_slates_are_off_by_default(shop):
    assert shop.slate_size == 1 and shop.params["affect_price"][0] == 0 and shop.params["out_of_stock_probability"][0] == 0
    for name in ("delay_days", "refunds", "taste_click_rate", "taste_ignore_rate", "taste_noise"):
        assert shop.params[name][0] == 0, name
    assert shop.params["budget_enforced"][0] == 1

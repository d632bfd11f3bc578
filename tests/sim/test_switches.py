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
    (["choice.mood_weight"], "click", "mood", "valence"),
    (["fatigue.opt_out_mood_weight"], "opt_out", "mood", "fatigue"),
    (["choice.taste_weight"], "click", "relevance", "satiation"),
    (["choice.buy_taste_weight"], "buy", "relevance", "valence"),
    (["choice.buy_price_weight"], "buy", "budget", "relevance"),
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


def test_delay_refunds_and_drift_are_off_by_default(shop):
    for name in ("delay_days", "refunds", "taste_click_rate", "taste_ignore_rate", "taste_noise"):
        assert shop.params[name][0] == 0, name
    assert shop.params["budget_enforced"][0] == 1

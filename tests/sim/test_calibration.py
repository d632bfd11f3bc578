"""The likelihood of a push log is the shop itself: its chances, its derivatives, its closed forms."""

import numpy as np
import pytest

from sim.calibration import likelihood, visits
from sim.calibration.coefficients import LOGARITHMIC, choose, prepare
from sim.calibration.fit import maximise
from sim.calibration.likelihood import BUY, CLICK, OPT_OUT, RETURN, SCORED, STATIC
from sim.calibration.model import LifeLikelihood
from sim.calibration.push_log import AWAY, LEFT, RETURNED
from sim.shop import random_streams
from sim.shop.random_streams import RETURN as RETURN_STREAM
from sim.shop.random_streams import TRAITS
from sim.shop.types import CUSTOMER, LABEL
from tests.sim.conftest import make_shop
from tests.sim.logged import logged

EVEN = np.full((2, 7, 7), 1 / 7)


def model_of(shop, log, draws=32, seed=1, confusion=EVEN):
    return LifeLikelihood(log, shop.catalog.table, shop.catalog.features, confusion, draws=draws, seed=seed, threads=1)


def normal_pair(seed, split, customer, moment, stream, half=0):
    u = random_streams.uniforms(seed, split, customer, moment, stream)
    return random_streams.normals(*u[2 * half : 2 * half + 2])


def shops_own_draws(shop, seed, split, customer, events):
    """The standard normals behind one customer of the shop, as the likelihood orders them: taste, four traits; affect at each visit."""
    dimensions = shop.catalog.features.shape[1]
    taste = [z for d in range(0, dimensions, 2) for z in normal_pair(seed, split, customer, 16 + d // 2, TRAITS)]
    (price, budget), (home, mood), (_, valence), (arousal, _) = (
        normal_pair(seed, split, customer, m, TRAITS) for m in (1, 2, 3, 4)
    )
    moves = [normal_pair(seed, split, customer, int(e["step"]), RETURN_STREAM, 1) for e in events if e["gap"] > 0]
    return np.array([*taste[:dimensions], price, budget, home, mood]), np.array([(valence, arousal), *moves])[:, None, :]


def test_verification_given_a_customers_own_draws_the_likelihoods_chances_are_those_the_shop_drew_with(shop):
    log, events, _ = logged(shop, 60, seed=3)
    worst = np.zeros(4)
    for i in range(log.customers):
        own = slice(log.start[i], log.start[i + 1])
        rows, mine = log.rows[own], events[own]
        static, moves = shops_own_draws(shop, 3, random_streams.EVALUATE, i, mine)
        out, chance, clicks = np.zeros((len(rows), 5)), np.zeros((len(rows), 4)), np.zeros(len(rows))
        d = shop.catalog.features.shape[1]
        features = np.ascontiguousarray(shop.catalog.features, np.float64)
        likelihood._live(
            shop.params, shop.catalog.table.copy(), features, rows, static, moves, np.ones(1), EVEN,
            np.zeros(1, CUSTOMER), np.zeros(shop.labels, LABEL), np.zeros(d), out, chance, clicks, np.zeros(len(SCORED)),
        )  # fmt: skip
        assert len(static) == d + STATIC
        assert np.array_equal(clicks, chance[:, CLICK])  # one node: its own affect is all there is
        for kind, name in (
            (CLICK, "click_probability"),
            (BUY, "purchase_probability"),
            (OPT_OUT, "opt_out_probability"),
        ):
            worst[kind] = max(worst[kind], np.abs(chance[:, kind] - mine[name]).max())
        # the gap that the shop drew is the inverse of the geometric law at the likelihood's rate
        for t in np.flatnonzero((rows["end"] == RETURNED) & (rows["gap"] > 0)):
            u = random_streams.uniforms(3, random_streams.EVALUATE, i, int(mine["step"][t]), RETURN_STREAM)[1]
            gap = max(1, int(np.ceil(np.log(u) / np.log1p(-chance[t, RETURN]))))
            worst[RETURN] = max(worst[RETURN], abs(gap - rows["gap"][t]))
    print(
        f"\nworst difference of click, purchase, opt-out chance (expected 0): {worst[:3]}; of a gap in days (0): {worst[RETURN]}"
    )
    assert (worst[:3] < 2e-6).all() and worst[RETURN] == 0


def test_verification_without_differences_between_customers_the_likelihood_is_the_closed_form_of_constant_rates():
    off = {name: 0.0 for name in (
        "taste_weight", "satiation_weight", "exposure_gain", "exposure_wear", "valence_weight", "tone_weight", "mood_weight",
        "fatigue_weight", "buy_taste_weight", "buy_valence_weight", "buy_price_weight", "opt_out_fatigue_weight",
        "opt_out_mood_weight", "opt_out_valence_weight", "opt_out_pressure_weight", "return_mood_weight",
        "return_valence_weight", "return_fatigue_weight", "price_sensitivity_median", "price_sensitivity_deviation",
    )}  # fmt: skip
    shop = make_shop().with_params(**off, budget_median=1e8)
    log, _, _ = logged(shop, 50, seed=1)
    appeal = np.zeros(shop.labels)
    value, _, weights = model_of(shop, log).evaluate(shop.params, appeal)
    p = shop.params[0]
    names = ("click_intercept", "buy_intercept", "opt_out_intercept", "return_intercept")
    rates = np.array([1 / (1 + np.exp(-p[name])) for name in names])
    expected = np.add.reduceat(visits.constant_density(log, rates).sum(1), log.start[:-1])
    print(f"\nlog-likelihood {value.sum():.6f}, closed form {expected.sum():.6f}")
    assert np.allclose(value, expected, atol=1e-9)
    assert np.allclose(weights, 1 / 32)


def test_every_score_is_the_derivative_of_the_log_likelihood_where_affect_forgets_between_visits(shop):
    """Else the derivative of what a visit says of affect at the next one is left out; see `likelihood`."""
    shop = shop.with_params(affect_rate=50.0)
    log, _, _ = logged(shop, 40, seed=5, emotions=True)
    model = model_of(shop, log, draws=24, confusion=np.tile(0.5 * np.eye(7) + 0.5 / 7, (2, 1, 1)))
    appeal = shop.catalog.table["appeal"].copy()
    _, score, _ = model.evaluate(shop.params, appeal, with_score=True)
    h = 1e-4
    for j, name in enumerate(model.scores):
        ends = []
        for sign in (1, -1):
            params, moved = shop.params.copy(), appeal.copy()
            if j >= len(SCORED):
                moved[j - len(SCORED)] += sign * h
            elif name in LOGARITHMIC:
                params[name] *= np.exp(sign * h)
            else:
                params[name] += sign * h
            ends.append(model.evaluate(params, moved)[0])
        difference = (ends[0] - ends[1]) / (2 * h)
        scale = max(1, np.abs(difference).max())
        exact = 5e-4 if name == "satiation_days" else 2e-5  # satiation is kept in single precision
        assert np.allclose(score[:, j], difference, atol=exact * scale), name


def test_twenty_five_nodes_of_affect_say_what_225_say(shop):
    log, _, _ = logged(shop, 60, seed=5, emotions=True)
    model = model_of(shop, log, draws=16, confusion=np.tile(0.5 * np.eye(7) + 0.5 / 7, (2, 1, 1)))
    appeal = shop.catalog.table["appeal"]
    few = model.evaluate(shop.params, appeal)[0]
    model.nodes = likelihood.affect_nodes(15, 15)
    apart = few - model.evaluate(shop.params, appeal)[0]
    print(f"\nlog L of a customer, mean {few.mean():.2f}; 25 nodes against 225: mean {apart.mean():+.4f}, sd {apart.std():.4f}")
    assert apart.std() < 0.05 and abs(apart.mean()) < 0.01


def test_the_likelihood_does_not_depend_on_threads_and_same_seed_gives_the_same_bits(shop):
    log, _, _ = logged(shop, 150, seed=5)
    appeal = shop.catalog.table["appeal"]
    table, features = shop.catalog.table, shop.catalog.features
    runs = [
        LifeLikelihood(log, table, features, EVEN, draws=16, seed=1, threads=n).evaluate(shop.params, appeal)[0]
        for n in (1, 3, 1)
    ]
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])
    other = LifeLikelihood(log, table, features, EVEN, draws=16, seed=2, threads=1).evaluate(shop.params, appeal)[0]
    assert not np.array_equal(runs[0], other)


def test_moving_the_draws_to_where_traits_are_likely_keeps_the_likelihood_and_makes_half_again_as_many_count(shop):
    log, _, _ = logged(shop, 120, seed=8)
    appeal = shop.catalog.table["appeal"]
    model = model_of(shop, log, draws=256)
    before, _, weights = model.evaluate(shop.params, appeal)
    model.focus(shop.params, appeal, seed=9)
    after, _, moved = model.evaluate(shop.params, appeal)
    count = [np.median(1 / (w**2).sum(1)) for w in (weights, moved)]
    difference = after - before
    assert count[1] > 1.5 * count[0]
    assert abs(difference.mean()) < 3 * difference.std() / np.sqrt(len(difference)) + 0.01
    assert difference.std() < 0.4  # of customers' log-likelihoods that vary by some 30


def test_predictions_add_up_to_the_log_likelihood(shop):
    log, _, _ = logged(shop, 30, seed=8, emotions=True)
    model = model_of(shop, log, draws=64, confusion=np.tile(0.5 * np.eye(7) + 0.5 / 7, (2, 1, 1)))
    appeal = shop.catalog.table["appeal"]
    density, chances = model.predict(shop.params, appeal)
    assert np.allclose(
        np.add.reduceat(density.sum(1), log.start[:-1]), model.evaluate(shop.params, appeal)[0], atol=1e-9
    )
    assert (chances >= 0).all() and (chances <= 1).all()


def test_a_life_cut_short_keeps_its_first_rows_and_says_nothing_of_the_rest(shop):
    log, _, _ = logged(shop, 20, seed=8)
    short = log.select(np.arange(0, 20, 2), opportunities=5)
    assert short.customers == 10 and np.diff(short.start).max() == 5
    for i in range(10):
        theirs = log.rows[log.start[2 * i] : log.start[2 * i + 1]][:5]
        assert np.array_equal(short.rows[short.start[i] : short.start[i + 1]], theirs)


def test_verification_the_share_of_same_visits_is_recovered_with_its_error(shop):
    log, events, _ = logged(shop, 800, seed=2)
    share, error, most = visits.same_visit(log)
    true = shop.params["same_visit_probability"][0]
    print(f"\nsame visit {share:.4f} +- {1.96 * error:.4f}, true {true}; most in a visit {most}, true 4")
    assert abs(share - true) < 3 * error and error < 0.01 and most == 4
    assert set(np.unique(log.rows["end"])) == {RETURNED, AWAY, LEFT}
    assert ((log.rows["end"] == LEFT) == (events["opted_out"] == 1)).all()


def test_a_log_without_emotions_or_price_changes_holds_what_it_cannot_see(shop):
    log, _, _ = logged(shop, 20, seed=2)
    names, held = choose(log, shop.catalog.table)
    assert "valence_weight" in held and "price_sensitivity_median" in held and "tone_weight" in held
    assert "opt_out_pressure_weight" in names and "mood_weight" not in names
    seeing, _, _ = logged(shop, 20, seed=2, emotions=True)
    assert {"valence_weight", "mood_weight", "tone_weight"} <= set(choose(seeing, shop.catalog.table)[0])


def test_the_fit_stops_at_a_bound_that_the_log_wants_to_cross(shop):
    grows = shop.with_params(satiation_weight=0.0, exposure_gain=3.0, exposure_wear=0.0)
    log, _, _ = logged(grows, 150, seed=2)
    model = model_of(shop, log, draws=32)
    c = prepare(["click_intercept", "satiation_weight"], dict.fromkeys(("click_intercept", "satiation_weight", "appeal"), 2.0),
                shop.params, shop.catalog.table["appeal"], shop.catalog.names)  # fmt: skip
    fit = maximise(model, c, seed=4)
    assert fit.converged and fit.theta[1] == 0.0
    assert fit.errors[1] > 0  # what is known of it, bound aside


@pytest.mark.parametrize("name", ["taste_weight", "return_intercept"])
def test_the_prior_alone_speaks_where_the_log_is_silent(shop, name):
    log, _, _ = logged(shop, 40, seed=2)
    rows = log.rows.copy()
    rows["label"], rows["clicked"], rows["bought"], rows["opted_out"] = 0, 0, 0, 0  # nothing was ever pushed
    import dataclasses

    model = model_of(shop, dataclasses.replace(log, rows=rows))
    c = prepare([name, "click_intercept"], {name: 0.7, "click_intercept": 5, "appeal": 2}, shop.params,
                shop.catalog.table["appeal"], shop.catalog.names)  # fmt: skip
    fit = maximise(model, c, seed=4)
    if name == "taste_weight":
        assert fit.theta[0] == pytest.approx(shop.params[name][0]) and fit.errors[0] == pytest.approx(0.7)
    else:
        assert fit.errors[0] < 0.1  # gaps are there to be seen

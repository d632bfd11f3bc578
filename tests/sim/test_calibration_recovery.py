"""V15: parameters that a log was simulated with are recovered within their intervals, and so are the held-out moments."""

import dataclasses
import sys

import numpy as np
import pytest

from sim.calibration import identification, moments
from sim.calibration.coefficients import choose, coordinate, natural, prepare
from sim.calibration.fit import maximise
from sim.calibration.model import LifeLikelihood
from sim.calibration.readings import confusion
from sim.calibration.settings import read_settings
from sim.shop.world import with_typical_records
from tests.sim.conftest import make_shop
from tests.sim.logged import TRUTH, logged

OFF_DEFAULT_APPEAL = np.array([0.4, -0.1, 0.3, 0.2, -0.3, 0.5, 0.0, -0.4, 0.1, -0.2, 0.15, -0.65])


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    file = tmp_path_factory.mktemp("settings") / "log.csv"
    file.write_text("")
    return read_settings([f"logs={file}"]).prior


@pytest.fixture(scope="module")
def base():
    return make_shop()


def with_appeal(shop, appeal):
    table = shop.catalog.table.copy()
    table["appeal"] = appeal
    return with_typical_records(dataclasses.replace(shop, catalog=dataclasses.replace(shop.catalog, table=table)))


def refit(true_shop, base, log, prior, draws, seed):
    """Fit from the default shop; (estimates, fit, params, appeal)."""
    model = LifeLikelihood(
        log, base.catalog.table, base.catalog.features, confusion(base.gallery), draws=draws, seed=seed
    )
    names, _ = choose(log, base.catalog.table)
    c = prepare(names, prior, base.params, base.catalog.table["appeal"], base.catalog.names)
    fit = maximise(model, c, seed=seed + 1)
    return identification.estimates(c, fit), fit, *c.apply(fit.theta)


def truth_of(shop, rows):
    """True values in the order of the estimates, appeals with mean zero."""
    appeal = shop.catalog.table["appeal"]
    true = dict(zip((f"appeal[{n}]" for n in shop.catalog.names), appeal - appeal.mean(), strict=True))
    true |= {r.name: float(shop.params[r.name][0]) for r in rows if r.name not in true}
    true["click_intercept"] += appeal.mean()
    return np.array([true[r.name] for r in rows])


def table_of(rows, true):
    lines = [f"{'parameter':26} {'true':>8} {'fitted':>8} {'from':>8} {'to':>8}"]
    lines += [
        f"{r.name:26} {t:8.3f} {r.fitted:8.3f} {r.low:8.3f} {r.high:8.3f} {r.verdict}"
        for r, t in zip(rows, true, strict=True)
    ]
    return "\n".join(lines)


def inside(rows, true):
    return np.array([r.low <= t <= r.high for r, t in zip(rows, true, strict=True)])


def test_verification_v15_known_parameters_lie_within_the_intervals_of_a_refit_and_held_out_moments_agree(base, prior):
    shop = with_appeal(base.with_params(**TRUTH), OFF_DEFAULT_APPEAL)
    log, _, _ = logged(shop, 400, seed=11)
    rows, fit, params, appeal = refit(shop, base, log, prior, draws=32, seed=3)
    true = truth_of(shop, rows)
    hits = inside(rows, true)
    print("\n" + table_of(rows, true) + f"\nwithin their 95 % intervals: {hits.sum()} of {len(hits)}")
    assert fit.converged
    assert hits.mean() >= 0.8  # the number over many seeds is that of the slow study below
    moved = [r for r in rows if r.name in ("taste_weight", "buy_intercept", "return_intercept", "opt_out_intercept")]
    assert all(not r.low <= r.start <= r.high for r in moved)  # the default is refuted where the truth is elsewhere

    fitted = with_appeal(base.with_params(**{n: float(params[n][0]) for n in TRUTH}), appeal)
    other, _, _ = logged(shop, 1500, seed=12)  # customers that were not fitted to
    simulated = moments.simulate(fitted, other, customers=1500, seed=5)
    compared = moments.compare(other, None, simulated)
    for m in compared[:8]:
        print(
            f"{m.name:28} held-out {m.data['mean']:.3f}  fitted shop {m.simulated['mean']:.3f}  apart {m.off:.1f} s.e."
        )
    rates = {m.name: m for m in compared}
    for name in ("clicks per push", "purchases per push", "opt-outs per push", "returns per day away"):
        m = rates[name]
        held_out, drawn = ((i["high"] - i["low"]) / 2 / 1.96 for i in (m.data, m.simulated))
        fitted_error = held_out * np.sqrt(1500 / 400)  # the fit knows a rate as well as 400 customers do
        allowed = 3 * np.sqrt(held_out**2 + drawn**2 + fitted_error**2)
        assert allowed < 0.3 * m.data["mean"] and abs(m.simulated["mean"] - m.data["mean"]) < allowed, name


def test_verification_a_price_that_changes_reveals_price_sensitivity(base, prior):
    """Half of the customers meet every price cut by a third: the effect is then no part of the labels' appeal."""
    shop = base.with_params(price_sensitivity_median=1.0, **TRUTH)
    table = shop.catalog.table.copy()
    table["price"] *= 2 / 3
    sale = dataclasses.replace(shop, catalog=dataclasses.replace(shop.catalog, table=table))
    first, _, _ = logged(shop, 350, seed=21)
    second, _, _ = logged(sale, 350, seed=22)
    log = dataclasses.replace(
        first,
        rows=np.concatenate([first.rows, second.rows]),
        start=np.concatenate([first.start, second.start[1:] + first.start[-1]]),
        price_spread=np.full(shop.labels, 0.2),
    )
    rows, fit, *_ = refit(shop, base, log, prior, draws=32, seed=3)
    row = next(r for r in rows if r.name == "price_sensitivity_median")
    print(
        f"\nprice sensitivity true 1.0, fitted {row.fitted:.3f} ({row.low:.3f} to {row.high:.3f}), default {row.start}"
    )
    assert fit.converged and row.low <= 1.0 <= row.high and row.low > row.start


def coverage(shop, base, prior, *, seeds, customers, draws, emotions=False):
    """Prints z-scores by parameter; returns (share of intervals that hold the truth, (seeds, P) z in fitted coordinates)."""
    zs, hits = [], []
    for seed in range(seeds):
        log, _, _ = logged(shop, customers, seed=1000 + seed, emotions=emotions)
        rows, fit, *_ = refit(shop, base, log, prior, draws=draws, seed=50 + 10 * seed)
        true = truth_of(shop, rows)
        hits.append(inside(rows, true))
        zs.append([(r.fitted - t) / r.error for r, t in zip(rows, true, strict=True)])
        print(f"seed {seed}: {fit.iterations} steps, coverage so far {np.mean(hits):.3f}", file=sys.stderr, flush=True)
    z, hit = np.array(zs), np.array(hits)
    for j, r in enumerate(rows):
        print(f"{r.name:26} mean z {z[:, j].mean():+.2f}  sd z {z[:, j].std():.2f}  covered {hit[:, j].mean():.2f}")
    print(f"coverage {hit.mean():.3f} of {hit.size} intervals, {seeds} logs of {customers} customers, {draws} draws")
    return float(hit.mean()), z


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_verification_v15_the_intervals_of_many_refits_hold_the_truth_about_95_times_in_100(base, prior):
    shop = with_appeal(base.with_params(**TRUTH), OFF_DEFAULT_APPEAL)
    share, _ = coverage(shop, base, prior, seeds=20, customers=600, draws=64)
    assert 0.90 <= share <= 0.985


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_verification_v15_with_perceived_emotions_the_weights_of_mood_and_valence_are_recovered_too(base, prior):
    shop = base.with_params(
        **TRUTH, valence_weight=1.2, mood_weight=1.0, opt_out_valence_weight=0.5, return_mood_weight=0.4
    )
    share, _ = coverage(shop, base, prior, seeds=8, customers=800, draws=64, emotions=True)
    assert 0.87 <= share <= 0.995


def test_a_fitted_value_is_reported_in_its_own_unit():
    assert natural("fatigue_days", coordinate("fatigue_days", 8.0)) == pytest.approx(8.0)
    assert natural("taste_weight", coordinate("taste_weight", 1.4)) == 1.4

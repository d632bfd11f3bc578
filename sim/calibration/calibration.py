"""A calibration from log to result, as a table of contents."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sim.calibration import identification, label_table, moments, reading, scenario, visits
from sim.calibration.coefficients import Coefficients, choose, prepare
from sim.calibration.fit import Fit, maximise
from sim.calibration.likelihood import BUY, CLICK, OPT_OUT
from sim.calibration.model import LifeLikelihood
from sim.calibration.push_log import PushLog
from sim.calibration.readings import confusion
from sim.calibration.report import Result
from sim.calibration.settings import Settings
from sim.shop.catalog import Catalog, read_catalog
from sim.shop.scenarios import build_shop
from sim.shop.world import Shop
from sim.targets import built


def split(log: PushLog, share: float, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Customers (indices) to fit to and to hold out, at random, at most `most` of each."""
    order = np.random.default_rng([seed, 104]).permutation(log.customers)
    cut = max(10, round(share * log.customers))
    return np.sort(order[cut:][:most]), np.sort(order[:cut][:most])


def start_near(model: LifeLikelihood, c: Coefficients) -> np.ndarray:
    """Starting values with the four intercepts moved so that overall rates agree; spares the fit its longest steps."""
    theta, rows = c.centre.copy(), model.log.rows
    pushed, clicked = rows["label"] > 0, rows["clicked"] == 1
    chances = model.predict(*c.apply(theta))[1]
    observed = visits.constant_rates(model.log)
    for kind, name, able in (
        (CLICK, "click_intercept", pushed),
        (BUY, "buy_intercept", clicked),
        (OPT_OUT, "opt_out_intercept", pushed),
    ):
        if able.any():
            expected = float(np.clip(chances[able, kind].mean(), 1e-6, 1 - 1e-6))
            shift = np.log(observed[kind] / (1 - observed[kind])) - np.log(expected / (1 - expected))
            theta[c.names.index(name)] += float(np.clip(shift, -8, 8))
    return theta


def fit_log(
    log: PushLog, shop: Shop, settings: Settings, progress: Any = None
) -> tuple[LifeLikelihood, Coefficients, Fit, dict[str, str]]:
    """Fit the parameters that `log` can speak about; `shop` is where it starts."""
    matrix = confusion(shop.gallery)
    model = LifeLikelihood(
        log, shop.catalog.table, shop.catalog.features, matrix, draws=settings.draws, seed=settings.seed
    )
    names, held = choose(log, shop.catalog.table)
    c = prepare(names, settings.prior, shop.params, shop.catalog.table["appeal"], shop.catalog.names)
    found = maximise(model, c, start=start_near(model, c), seed=settings.seed + 1, report=progress)
    return model, c, found, held


def log_digest(log: PushLog) -> str:
    return hashlib.sha256(log.rows.tobytes() + log.start.tobytes()).hexdigest()[:16]


def calibrate(settings: Settings, quiet: bool = False) -> Result:
    """Read, fit and check; returns what the report tells and what the scenario holds.

    Raises
    ------
    LogError, ShopError
        The log or a setting does not fit.
    """
    from tqdm import tqdm

    # 1 the log, and its labels as a catalog
    env = settings.shop["env"]
    ours = reading.is_sessions(settings.logs)
    known = settings.catalog if settings.own_catalog or ours else None
    prices = {} if known is None else _prices(read_catalog(known))
    log = reading.read_log(
        settings.logs,
        policy=settings.policy,
        max_rows=settings.max_rows,
        lapse_days=env["returning"]["lapse_days"],
        catalog_prices=prices,
        capped=int(env["returning"]["horizon_opportunities"]) if ours else None,
        quiet=quiet,
    )
    if ours and not settings.own_catalog and not set(log.labels) <= set(prices):
        known = None  # a run on another catalog than the one configured here
    log, catalog = label_table.label_table(log, known, settings.margin_share)
    chosen, kept = split(log, settings.held_out, settings.customers, settings.seed)
    train, test = log.select(chosen, settings.opportunities), log.select(kept, settings.opportunities)

    # 2 the shop where fitting starts
    p = settings.shop["population"]
    gallery = built("population.loader", p["loader"])(p["gallery"], p["consent"], weights=p["weights"], cache=p["cache"])
    with tempfile.TemporaryDirectory() as folder:
        base = _build(settings.shop, catalog, catalog.table["appeal"], Path(folder) / "catalog.csv", gallery)

    # 3 fit
    with tqdm(desc="fit", unit="step", file=sys.stderr, disable=quiet) as bar:

        def progress(iteration: int, value: float, gain: float) -> None:
            bar.update()
            bar.set_postfix_str(f"log-likelihood {value:,.1f}, {max(gain, 0) / 2:.3g} to gain")

        model, c, found, held = fit_log(train, base, settings, progress)
    rows = identification.estimates(c, found)

    # 4 the fitted shop, as it will be run, and whether it behaves like customers it was not fitted to
    share, error, most = visits.same_visit(log)
    seen = {
        "same_visit_probability": scenario.rounded(share),
        "opportunities_per_visit": most,
        "lapse_days": int(max(env["returning"]["lapse_days"], _longest_gap(log))),
        "horizon_days": log.last_day + 1,
        "horizon_opportunities": int(max(env["returning"]["horizon_opportunities"], np.diff(log.start).max())),
    }
    groups = scenario.fitted_groups(settings.shop, rows, seen, settings.out / "catalog.csv")
    appeal = np.array([scenario.rounded(r.fitted) for r in rows[-len(catalog.names) :]])
    with tempfile.TemporaryDirectory() as folder:
        fitted = _build(groups, catalog, appeal, Path(folder) / "catalog.csv", gallery)
    checker = LifeLikelihood(
        test, base.catalog.table, base.catalog.features, model.confusion, draws=settings.draws, seed=settings.seed + 2
    )
    density, chances = checker.predict(fitted.params, appeal)
    before, _ = checker.predict(base.params, catalog.table["appeal"])
    densities = {
        "fitted shop": density,
        "starting shop": before,
        "constant rates": visits.constant_density(test, visits.constant_rates(train)),
    }
    whole = log.select(kept)
    simulated = moments.simulate(fitted, whole, customers=settings.simulated_customers, seed=settings.seed)
    everyone = np.arange(simulated.customers)
    compared = moments.compare(test, chances, simulated.select(everyone, settings.opportunities))

    # 5 tell
    facts = [
        f"log `{settings.logs.name}`"
        + (f", policy {settings.policy}" if settings.policy else "")
        + f", digest {log_digest(log)}",
        f"{len(log.rows):,} rows, {log.customers:,} customers, {log.last_day + 1:,} days, {len(catalog.names)} labels",
        f"fitted to {train.customers:,} customers ({len(train.rows):,} rows), "
        f"checked on {test.customers:,} others ({len(test.rows):,} rows)",
        f"{settings.draws} draws per customer, {float(np.median(found.effective_draws)):.0f} effective (median); seed {settings.seed}; "
        f"{found.iterations} steps, " + ("settled" if found.converged else "NOT settled"),
        f"same visit: {share:.4f} ±{1.96 * error:.4f}, at most {most} opportunities in one",
    ]
    told = identification.warnings(rows, found, settings.draws)
    told += _cautions(log, compared)
    return Result(
        title="the shop fitted to the log",
        facts=facts,
        rows=rows,
        held=held,
        warnings=told,
        moments=compared,
        held_out=moments.held_out(test, densities),
        command=scenario.run_command(settings.out),
        numbers={
            "log": {"file": settings.logs.name, "policy": settings.policy, "digest": log_digest(log), "rows": len(log.rows),
                    "customers": log.customers, "days": log.last_day + 1, "labels": len(catalog.names)},
            "fit": {"customers": train.customers, "rows": len(train.rows), "draws": settings.draws, "seed": settings.seed,
                    "iterations": found.iterations, "converged": found.converged, "log_likelihood": found.log_likelihood,
                    "effective_draws_median": float(np.median(found.effective_draws))},
            "held_out_customers": test.customers, "visits": seen, "groups": groups, "appeal": appeal.tolist(),
            "catalog_csv": label_table.to_csv(catalog, appeal),
        },
    )  # fmt: skip


def _prices(catalog: Catalog) -> dict[str, float]:
    return dict(zip(catalog.names, catalog.table["price"].tolist(), strict=True))


def _longest_gap(log: PushLog) -> int:
    inner = log.rows["gap"][log.rows["end"] == 0]
    return int(inner.max()) if len(inner) else 0


def _build(groups: dict[str, Any], catalog: Catalog, appeal: np.ndarray, path: Path, gallery: Any) -> Shop:
    """A shop of these groups on the catalog, through the very file that a run would read."""
    path.write_text(label_table.to_csv(catalog, appeal), encoding="utf-8")
    return build_shop(groups["env"], {"path": str(path)}, groups["population"], groups["camera"], gallery)


def _cautions(log: PushLog, compared: list[moments.Moment]) -> list[str]:
    told = []
    if not log.rows["bought"].any():
        told.append(
            "Nobody bought anything: purchases keep their starting values, whatever the log's customers would do."
        )
    if not log.rows["opted_out"].any():
        told.append("Nobody opted out: the hazard is only bounded from above.")
    if not (log.rows["label"] == 0).any():
        told.append(
            "The log holds pushes only: an opportunity of the fitted shop is a push of yours, and a gap the time between pushes."
        )
    off = [m.name for m in compared if m.off > 2.6]
    if off:
        told.append(
            f"{len(off)} of {sum(m.simulated is not None for m in compared)} simulated moments are further from the log than chance "
            f"explains (2.6 standard errors): {', '.join(off[:6])}."
        )
    return told

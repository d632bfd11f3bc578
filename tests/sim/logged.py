"""Push logs of a shop with known parameters, as calibration would read them."""

from __future__ import annotations

import numpy as np

from sim.calibration.push_log import NO_READING, ROW, PushLog, link
from sim.calibration.reading import EMOTION_COLUMNS
from sim.evaluation.rollout import rollout
from tests.sim.conftest import UniformPolicy

# Parameters that a push log can speak about, away from the default shop.
TRUTH = dict(
    click_intercept=-0.2, taste_weight=2.0, satiation_weight=0.6, satiation_days=10.0, exposure_gain=0.9, exposure_wear=0.35,
    fatigue_weight=0.15, fatigue_days=5.0, buy_intercept=-0.5, buy_taste_weight=1.2, buy_price_weight=1.6,
    opt_out_intercept=-4.6, opt_out_fatigue_weight=0.3, opt_out_pressure_weight=1.0, return_intercept=-1.6,
    return_fatigue_weight=0.05,
)  # fmt: skip


def logged(shop, customers, seed, split="evaluate", emotions=False):
    """(PushLog, events, camera) of random pushes to `customers` customers of a shop."""
    log = rollout(UniformPolicy(), shop, customers=customers, seed=seed, split=split)
    events = log.events
    rows = np.zeros(len(events), ROW)
    for name in ("day", "clicked", "bought", "opted_out"):
        rows[name] = events[name]
    rows["label"] = events["action"]
    rows["price"] = np.concatenate([[0.0], shop.catalog.table["price"]])[events["action"]]
    rows["reading"] = NO_READING
    if emotions:
        seen = log.camera[:, : len(EMOTION_COLUMNS)]
        rows["reading"] = np.where(seen.max(1) - seen.min(1) < 1e-6, NO_READING, seen.argmax(1))
        rows["masked"] = log.camera[:, 7] > 0.5
    start = link(events["customer"], rows, int(shop.params["horizon_days"][0]) - 1, float(shop.params["lapse_days"][0]))
    labels = shop.catalog.names
    table = shop.catalog.table
    nothing = np.zeros(len(labels))
    return PushLog(rows, start, labels, table["price"], table["margin"], nothing, emotions), events, log.camera


def frame(log_rows, start, labels):
    """The log as a user's table: a row per opportunity, with ISO timestamps."""
    import pandas as pd

    customer = np.repeat(np.arange(len(start) - 1), np.diff(start))
    position = np.arange(len(log_rows)) - np.repeat(start[:-1], np.diff(start))
    time = pd.Timestamp("2024-01-01T09:00:00") + pd.to_timedelta(log_rows["day"], unit="D") + pd.to_timedelta(position, unit="m")
    names = np.array(["", *labels])[log_rows["label"]]
    price = np.where(log_rows["label"] > 0, log_rows["price"], np.nan)
    table = {"customer": [f"c{c:06d}" for c in customer], "time": time.strftime("%Y-%m-%dT%H:%M:%S"), "label": names, "price": price}
    return pd.DataFrame(table | {name: log_rows[name] for name in ("clicked", "bought", "opted_out")})

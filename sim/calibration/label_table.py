"""The labels of a log as a catalog of the shop.

Prices and margins are the log's medians.  Tone, care, pressure and taste stand in no log: they come from the table given
as `catalog.path`, else they are neutral and every label has a taste of its own (one taste dimension per label, up to 24; more
labels get fixed random directions), so that liking one label says next to nothing of another.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np

from sim.calibration.errors import LogError
from sim.calibration.push_log import PushLog
from sim.shop.catalog import CATALOG, Catalog, read_catalog

OWN_DIMENSIONS = 24
NEUTRAL_CARE = 0.1  # the catalog's own default for a column that is missing


def _own_tastes(labels: int) -> np.ndarray:
    if labels <= OWN_DIMENSIONS:
        return np.eye(max(labels, 2))[:labels]
    directions = np.random.default_rng(0).standard_normal((labels, OWN_DIMENSIONS))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def label_table(log: PushLog, known: Path | None, margin_share: float) -> tuple[PushLog, Catalog]:
    """The catalog of a log, and the log with its labels in the catalog's order.

    `known` is a catalog that must hold every label of the log, or None; `margin_share` of the price where no margin is known.
    """
    if known is None:
        table = np.zeros(len(log.labels), CATALOG)
        table["care"] = NEUTRAL_CARE
        table["price"] = log.price
        table["margin"] = np.where(np.isnan(log.margin), margin_share * log.price, log.margin)
        return log, Catalog(log.labels, table, _own_tastes(len(log.labels)))
    catalog = read_catalog(known)
    absent = [name for name in log.labels if name not in catalog.names]
    if absent:
        raise LogError(
            f"catalog.path={known}: lacks the label {', '.join(map(repr, absent))} of logs={log.source}; add a row for it"
        )
    place = np.array([catalog.names.index(name) for name in log.labels])
    table = catalog.table.copy()
    table["price"][place] = log.price
    margins = table["margin"][place] / catalog.table["price"][place] * log.price
    table["margin"][place] = np.where(np.isnan(log.margin), margins, log.margin)
    rows = log.rows.copy()
    rows["label"] = np.concatenate([[0], place + 1])[rows["label"]]
    spread = np.zeros(len(catalog.names))
    spread[place] = log.price_spread
    log = dataclasses.replace(
        log, rows=rows, labels=catalog.names, price=table["price"], margin=table["margin"], price_spread=spread
    )
    return log, Catalog(catalog.names, table, catalog.features)


def to_csv(catalog: Catalog, appeal: np.ndarray) -> str:
    """The catalog as the CSV that `catalog.path` reads, with `appeal` (K,)."""
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("price", "margin", "appeal", "tone_valence", "tone_arousal", "care", "pressure")
    writer.writerow(["label", *columns, *(f"taste_{d + 1}" for d in range(catalog.features.shape[1]))])
    table = catalog.table.copy()
    table["appeal"] = appeal
    for name, row, taste in zip(catalog.names, table, catalog.features, strict=True):
        writer.writerow([name, *(f"{row[c]:.6g}" for c in columns), *(f"{x:.6g}" for x in taste)])
    return text.getvalue()

"""sessions.parquet: one row per opportunity, policies one below the other.

What a policy could know stands under plain names; the hidden truth stands under `true_*`, for analysis only.
`reward` is the sum of the money terms, booked to the opportunity that caused them; `received` is what the agent was rewarded
with at that step.  They differ where purchases are paid late (`delay` days; `pending`: not yet at the next opportunity) or are
`returned`.  `propensity` is the probability of the executed action; `action_probability_<i>` that of every action (0 = hold back).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perception.features import EMOTIONS
from sim.evaluation.rollout import SessionLog
from sim.shop.types import OTHER, SELF
from sim.shop.world import Shop

_RECOGNISED = ("unknown", "self", "other")
_PLAIN = ("customer", "step", "day", "visit", "requested", "action")
_FLAGS = ("clicked", "bought", "pending", "returned", "opted_out", "lapsed", "terminated", "truncated")
_MONEY = ("reward", "margin", "click_value", "push_cost", "opt_out_cost", "refund", "received", "price")
_TRUTH = (
    "valence", "arousal", "mood", "expectation", "fatigue", "budget", "price_sensitivity", "relevance", "satiation",
    "click_probability", "purchase_probability", "opt_out_probability",
)  # fmt: skip


def _names(codes: np.ndarray, names: Iterable[str]) -> pa.DictionaryArray:
    """Dictionary-encoded strings; a code below zero is null."""
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32), mask=codes < 0), pa.array(list(names), pa.string())
    )


def perceived_identities(shop: Shop, events: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Whom the camera took each customer for, as codes (T,) into the names returned; -1 unknown."""
    gallery = shop.gallery
    names = list(gallery.persons)
    index = {name: i for i, name in enumerate(names)}
    tables = []
    for row in gallery.identities:
        for name in row:
            if name is not None and name not in index:
                index[name] = len(names)
                names.append(name)
        tables.append(np.array([-1 if name is None else index[name] for name in row]))
    seen = np.where(events["enrolled"] == 1, tables[1][events["image"]], tables[0][events["image"]])
    codes = np.where(events["recognised"] == SELF, events["person"], np.where(events["recognised"] == OTHER, seen, -1))
    return codes, names


def to_table(log: SessionLog, shop: Shop) -> pa.Table:
    """The log of one policy as an Arrow table; columns as in the module's docstring."""
    e, gallery = log.events, shop.gallery
    rows = len(e)
    identity, identity_names = perceived_identities(shop, e)
    columns: dict[str, pa.Array] = {"policy": _names(np.zeros(rows), [log.policy])}
    columns |= {name: pa.array(e[name]) for name in _PLAIN}
    columns["label"] = _names(e["action"].astype(int) - 1, shop.catalog.names)
    columns["image"] = _names(e["image"], gallery.images)
    columns |= {f"perceived_emotion_{name}": pa.array(log.camera[:, j]) for j, name in enumerate(EMOTIONS)}
    columns["perceived_identity"] = _names(identity, identity_names)
    columns["perceived_similarity"] = pa.array(log.camera[:, 10], mask=log.camera[:, 9] == 0)
    columns["perceived_mask"] = pa.array(log.camera[:, 7])
    columns["perceived_face"] = pa.array(log.camera[:, 8] > 0)
    columns["propensity"] = pa.array(log.propensity)
    columns["propensity_kind"] = _names(np.zeros(rows), [log.propensity_kind])
    columns |= {name: pa.array(e[name].astype(bool)) for name in _FLAGS}
    columns |= {name: pa.array(e[name]) for name in _MONEY}
    columns["delay"] = pa.array(e["delay"])
    columns |= {f"action_probability_{a}": pa.array(log.probabilities[:, a]) for a in range(log.probabilities.shape[1])}
    columns["true_person"] = _names(e["person"], gallery.persons)
    columns["true_recognition"] = _names(e["recognised"], _RECOGNISED)
    columns["true_emotion"] = _names(gallery.true_emotion[e["image"]].astype(int), EMOTIONS)
    columns["true_mask"] = pa.array(e["masked"].astype(bool))
    columns["true_enrolled"] = pa.array(e["enrolled"].astype(bool))
    columns |= {f"true_{name}": pa.array(e[name].astype(np.float32)) for name in _TRUTH}
    return pa.table(columns)


def write_sessions(path: Path, logs: Iterable[SessionLog], shop: Shop) -> int:
    """Write the logs of several policies to one Parquet file, published by rename; returns the number of rows."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    rows, writer = 0, None
    try:
        for log in logs:
            table = to_table(log, shop)
            if writer is None:
                metadata = {b"shop_digest": shop.digest.encode(), b"labels": "\x1f".join(shop.catalog.names).encode()}
                schema = table.schema.with_metadata(metadata)
                writer = pq.ParquetWriter(temporary, schema, compression="zstd")
            writer.write_table(table.cast(schema))
            rows += len(table)
        if writer is not None:
            writer.close()
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return rows

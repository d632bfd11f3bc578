"""customers.parquet: one row per policy and customer: totals of the customer's life, and who the customer is.

Small beside the session log, and all that a comparison of policies needs: every total is a sum over the customer's
opportunities (`sim.evaluation.metrics.per_customer`), and what tells customers apart does not depend on the policy, since
everybody meets the same customers with the same luck:

    face                 whose face the customer wears, as a number; customers share faces
    emotion              true expression of the first picture, null in a gallery without labels
    masked, known        at the first visit: wears a mask; recognised as himself
    enrolled             the identity gallery knows the customer
    price_sensitivity    logit per reference price
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from perception.features import EMOTIONS
from sim.evaluation.metrics import Totals
from sim.shop.types import SELF
from sim.shop.world import Shop

TRAITS = ("face", "emotion", "masked", "known", "enrolled", "price_sensitivity")
_BATCH = 4096


def traits(shop: Shop, customers: int, seed: int, split: str = "evaluate") -> dict[str, np.ndarray]:
    """Who the customers 0..customers-1 are, each (n,); `emotion` (n,) int8 into EMOTIONS, -1 unknown."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in TRAITS}
    for first in range(0, customers, _BATCH):
        lives = shop.customers(min(_BATCH, customers - first), seed, split, first=first, keep_events=False)
        c = lives.state.customers
        for name, column in (
            ("face", c["person"].astype(np.int32)),
            ("emotion", shop.gallery.true_emotion[c["image"]].astype(np.int8)),
            ("masked", c["masked"].astype(bool)),
            ("known", c["recognised"] == SELF),
            ("enrolled", c["enrolled"].astype(bool)),
            ("price_sensitivity", c["price_sensitivity"].copy()),
        ):
            parts[name].append(column)
    return {name: np.concatenate(columns) for name, columns in parts.items()}


def write_customers(path: Path, totals: Mapping[str, Totals], who: Mapping[str, np.ndarray]) -> None:
    """Publish the table of all policies; a policy that met fewer customers than the others (an oracle) has fewer rows."""
    tables = []
    for policy, own in totals.items():
        n = len(own["value"])
        emotion = who["emotion"][:n].astype(np.int32)
        columns: dict[str, pa.Array] = {
            "policy": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([policy])),
            "customer": pa.array(np.arange(n, dtype=np.int64)),
            "emotion": pa.DictionaryArray.from_arrays(pa.array(emotion, mask=emotion < 0), pa.array(list(EMOTIONS))),
        }
        columns |= {name: pa.array(who[name][:n]) for name in TRAITS if name != "emotion"}
        columns |= {name: pa.array(column) for name, column in own.items()}
        tables.append(pa.table(columns))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}", suffix=".tmp")
    os.close(handle)
    try:
        pq.write_table(
            pa.concat_tables(tables, promote_options="default").unify_dictionaries(), temporary, compression="zstd"
        )
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_customers(path: Path, columns: Collection[str] | None = None) -> pd.DataFrame:
    """The table, or those of `columns` that it has, besides policy and customer; raises OSError or pyarrow's errors where it is
    missing or damaged."""
    if columns is not None:
        columns = [name for name in pq.read_schema(path).names if name in ("policy", "customer", *columns)]
    frame = pq.read_table(path, columns=columns).to_pandas()
    frame["policy"] = frame["policy"].astype(str)
    return frame

"""Everybody at a glance: what each policy did to all customers of the evaluation, added up from the whole log, block by block.

funnel     opportunities -> pushes -> clicks -> purchases, and customers who opted out or stayed away
heat       label x perceived emotion: how often it was offered there, and how often a push of it ended in a purchase
confusion  true x perceived emotion: how often, and what an opportunity earned
segments   money per customer by emotion at the first visit, mask, enrolment and price sensitivity, with 95 % intervals

A face that was not seen, or a camera that shows nothing, counts as the eighth "emotion".
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from perception.features import EMOTIONS
from sim.evaluation.statistics import Interval, mean_interval
from sim.replay.choose import Everybody
from sim.replay.log import RECOGNISED, SessionTable, coded

NOT_SEEN = len(EMOTIONS)
_COLUMNS = [
    "customer", "step", "visit", "action", "clicked", "bought", "opted_out", "lapsed", "reward", "perceived_face",
    "true_emotion", "true_mask", "true_enrolled", "true_recognition", "true_price_sensitivity",
    *(f"perceived_emotion_{name}" for name in EMOTIONS),
]  # fmt: skip


def seen_emotion(emotion: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Likeliest perceived emotion (T,) of emotion (T, 7); 7 where there is no face or nothing stands out."""
    return np.where((emotion.max(1) - emotion.min(1) > 1e-6) & face, emotion.argmax(1), NOT_SEEN)


def read_everybody(log: SessionTable, policy: str, labels: int) -> tuple[Counts, dict[str, np.ndarray]]:
    """Counts over all opportunities of one policy, and what is known of every customer (`per_customer`); none without rows."""
    columns = _COLUMNS + (["true_immediate_regret"] if "true_immediate_regret" in log.columns else [])
    counts, people = Counts.none(labels), []
    for table in log.lives(columns, policy):
        block = _block(table, columns)
        counts.add(block)
        people.append(per_customer(block))
    return counts, {name: np.concatenate([part[name] for part in people]) for name in people[0]} if people else {}


def _block(table: pa.Table, columns: list[str]) -> dict[str, np.ndarray]:
    """Columns of opportunities, sorted by (customer, step); emotions as codes."""
    plain = ("true_emotion", "true_recognition", *(f"perceived_emotion_{name}" for name in EMOTIONS))
    out = {name: table[name].to_numpy() for name in columns if name not in plain}
    emotion = np.column_stack([table[f"perceived_emotion_{name}"].to_numpy() for name in EMOTIONS])
    out["seen"] = seen_emotion(emotion, out["perceived_face"])
    for name, values in (("true_emotion", EMOTIONS), ("true_recognition", RECOGNISED)):
        out[name] = coded(table[name], values)
    return out


@dataclasses.dataclass
class Counts:
    """Funnel, heat and confusion of one policy, added up over blocks of whole lives."""

    funnel: dict[str, float]
    heat: dict[str, np.ndarray]
    confusion: dict[str, np.ndarray]

    @classmethod
    def none(cls, labels: int) -> Counts:
        """Nothing counted yet."""
        names = ("customers", "opportunities", "pushes", "clicks", "purchases", "opted_out", "lapsed", "money")
        heat = {name: np.zeros((labels + 1, NOT_SEEN + 1)) for name in ("count", "bought")}
        confusion = {name: np.zeros((NOT_SEEN, NOT_SEEN + 1)) for name in ("count", "pushed", "bought", "money")}
        return cls(dict.fromkeys(names, 0.0), heat, confusion)

    def add(self, c: dict[str, np.ndarray]) -> None:
        """Count a block."""
        action, bought, pushed = c["action"], c["bought"].astype(float), (c["action"] > 0).astype(float)
        own = (len(np.unique(c["customer"])), len(action), pushed.sum(), c["clicked"].sum(), bought.sum(), c["opted_out"].sum(),
               c["lapsed"].sum(), c["reward"].sum())  # fmt: skip
        for name, number in zip(self.funnel, own, strict=True):
            self.funnel[name] += float(number)
        truth = c["true_emotion"]
        for table, row, weight in (
            (self.heat["count"], action, None), (self.heat["bought"], action, bought), (self.confusion["count"], truth, None),
            (self.confusion["pushed"], truth, pushed), (self.confusion["bought"], truth, bought),
            (self.confusion["money"], truth, c["reward"]),
        ):  # fmt: skip
            where = row >= 0
            flat = row[where] * (NOT_SEEN + 1) + c["seen"][where]
            table += np.bincount(flat, None if weight is None else weight[where], minlength=table.size).reshape(table.shape)

    def view(self) -> dict[str, Any]:
        """As plain numbers."""
        whole = {name: int(number) for name, number in self.funnel.items() if name != "money"}
        return {
            "funnel": whole | {"money": round(self.funnel["money"], 4)},
            "heat": {name: np.round(table, 4).tolist() for name, table in self.heat.items()},
            "confusion": {name: np.round(table, 4).tolist() for name, table in self.confusion.items()},
        }


def per_customer(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Totals and first impressions of every customer (n,), by ascending id."""
    c = columns
    ids, first = np.unique(c["customer"], return_index=True)

    def total(x: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.asarray(x, float), first)

    new_visit = np.r_[True, (c["customer"][1:] != c["customer"][:-1]) | (c["visit"][1:] != c["visit"][:-1])]
    wrong = (c["true_emotion"] >= 0) & (c["seen"] != c["true_emotion"])
    return {
        "ids": ids,
        "value": total(c["reward"]),
        "opted_out": total(c["opted_out"]) > 0,
        "lapsed": total(c["lapsed"]) > 0,
        "visits": total(new_visit),
        "misread": total(new_visit & wrong),
        "mistaken": total(new_visit & (c["true_recognition"] == 2)),
        "masked": total(new_visit & c["true_mask"]),
        "recognised": total(new_visit & (c["true_recognition"] == 1)),
        "regret": total(c["true_immediate_regret"]) if "true_immediate_regret" in c else np.full(len(ids), np.nan),
        "emotion": c["true_emotion"][first],
        "mask": c["true_mask"][first],
        "enrolled": c["true_enrolled"][first],
        "price_sensitivity": c["true_price_sensitivity"][first],
    }


def segments(people: dict[str, dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """Money per customer and policy in each segment, `people` by policy over the same ids."""
    any_one = next(iter(people.values()))
    thirds = np.quantile(any_one["price_sensitivity"], [1 / 3, 2 / 3])
    price = np.searchsorted(thirds, any_one["price_sensitivity"])
    kinds: list[tuple[str, list[tuple[str, np.ndarray]]]] = [
        ("Emotion at the first visit", [(name, any_one["emotion"] == j) for j, name in enumerate(EMOTIONS)]),
        ("Face at the first visit", [("bare", any_one["mask"] == 0), ("masked", any_one["mask"] == 1)]),
        ("Known to the shop", [("enrolled", any_one["enrolled"] == 1), ("not enrolled", any_one["enrolled"] == 0)]),
        ("Price sensitivity", [(name, price == j) for j, name in enumerate(("low third", "middle third", "high third"))]),
    ]  # fmt: skip
    out = []
    for title, parts in kinds:
        rows = [
            {
                "name": name,
                "n": int(where.sum()),
                "value": {policy: _rounded(mean_interval(p["value"][where])) for policy, p in people.items()},
            }
            for name, where in parts
            if where.sum() > 1
        ]
        if len(rows) > 1:
            out.append({"title": title, "rows": rows})
    return out


def _rounded(interval: Interval) -> dict[str, float]:
    return {"mean": round(interval["mean"], 4), "low": round(interval["low"], 4), "high": round(interval["high"], 4)}


def everybody(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> Everybody:
    """What casting needs, from the totals of both policies over the same ids."""
    return Everybody(
        a["ids"], a["value"], b["value"], a["opted_out"], a["lapsed"], a["misread"], a["mistaken"], a["regret"]
    )

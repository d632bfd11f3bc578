"""Everybody at a glance: what each policy did to all customers of the evaluation, added up from the whole log.

funnel     opportunities -> pushes -> clicks -> purchases, and customers who opted out or stayed away
heat       label x perceived emotion: how often it was offered there, and how often a push of it ended in a purchase
confusion  true x perceived emotion: how often, and what an opportunity earned
segments   money per customer by emotion at the first visit, mask, enrolment and price sensitivity, with 95 % intervals

A face that was not seen, or a camera that shows nothing, counts as the eighth "emotion".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from perception.features import EMOTIONS
from sim.evaluation.statistics import Interval, mean_interval
from sim.replay.choose import Everybody
from sim.replay.log import RECOGNISED, SessionTable

NOT_SEEN = len(EMOTIONS)
_COLUMNS = [
    "customer", "step", "visit", "action", "clicked", "bought", "opted_out", "lapsed", "reward", "perceived_face",
    "true_emotion", "true_mask", "true_enrolled", "true_recognition", "true_price_sensitivity",
    *(f"perceived_emotion_{name}" for name in EMOTIONS),
]  # fmt: skip


def seen_emotion(emotion: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Likeliest perceived emotion (T,) of emotion (T, 7); 7 where there is no face or nothing stands out."""
    return np.where((emotion.max(1) - emotion.min(1) > 1e-6) & face, emotion.argmax(1), NOT_SEEN)


def read_everybody(log: SessionTable, policy: str) -> dict[str, np.ndarray]:
    """Columns of all opportunities of one policy, sorted by (customer, step); emotions as codes."""
    columns = _COLUMNS + (["true_immediate_regret"] if "true_immediate_regret" in log.columns else [])
    table = log.read(columns, [policy]).sort_by([("customer", "ascending"), ("step", "ascending")])
    plain = ("true_emotion", "true_recognition", *(f"perceived_emotion_{name}" for name in EMOTIONS))
    out = {name: table[name].to_numpy() for name in columns if name not in plain}
    emotion = np.column_stack([table[f"perceived_emotion_{name}"].to_numpy() for name in EMOTIONS])
    out["seen"] = seen_emotion(emotion, out["perceived_face"])
    for name, values in (("true_emotion", EMOTIONS), ("true_recognition", RECOGNISED)):
        texts = table[name].to_numpy(zero_copy_only=False)
        out[name] = np.select([texts == value for value in values], list(range(len(values))), -1)
    return out


def view(columns: dict[str, np.ndarray], labels: int) -> dict[str, Any]:
    """Funnel, heat and confusion of one policy, as counts."""
    c, action = columns, columns["action"]
    money = c["reward"]

    def table(row: np.ndarray, rows: int, weight: np.ndarray | None = None) -> Any:
        where = row >= 0
        flat = np.bincount(
            row[where] * (NOT_SEEN + 1) + c["seen"][where],
            None if weight is None else weight[where],
            minlength=rows * (NOT_SEEN + 1),
        )
        return np.round(flat, 4).reshape(rows, NOT_SEEN + 1).tolist()

    truth = c["true_emotion"]
    return {
        "funnel": {
            "customers": int(len(np.unique(c["customer"]))),
            "opportunities": len(action),
            "pushes": int((action > 0).sum()),
            "clicks": int(c["clicked"].sum()),
            "purchases": int(c["bought"].sum()),
            "opted_out": int(c["opted_out"].sum()),
            "lapsed": int(c["lapsed"].sum()),
            "money": round(float(money.sum()), 4),
        },
        "heat": {"count": table(action, labels + 1), "bought": table(action, labels + 1, c["bought"].astype(float))},
        "confusion": {
            "count": table(truth, NOT_SEEN),
            "pushed": table(truth, NOT_SEEN, (action > 0).astype(float)),
            "bought": table(truth, NOT_SEEN, c["bought"].astype(float)),
            "money": table(truth, NOT_SEEN, money),
        },
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

"""Per-person precision and recall: a classifier of persons trained on some images of each, as the slides' table shows.

``per_person`` images of each person (20, as there) are dealt into training and validation; multinomial logistic
regression is fitted on the embeddings of the training images.  A person's precision is the share of images given its name
that are its own, its recall the share of its images given its name.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.evaluation.bootstrap import DRAWS, Measure, bootstrap, codes, weighted_mean

PER_PERSON = 20
VALIDATION = 0.2
"""Share of a person's images kept for validation (at least one), where the manifest has no column ``split``."""
TRAINING_NAMES, VALIDATION_NAMES = frozenset({"train", "training"}), frozenset({"validation", "val", "valid", "test"})


def deal(images: np.ndarray, person: np.ndarray, split: np.ndarray, per_person: int, seed: int) -> np.ndarray:
    """``training``, ``validation`` or ``unused`` for every image.

    Where the column ``split`` says so for any image, it decides; else a seeded choice by the images' names.

    Raises
    ------
    InputError
        If a split is of neither name.
    """
    if any(value is not None for value in split):
        unknown = {str(v) for v in split if v is not None and str(v).lower() not in TRAINING_NAMES | VALIDATION_NAMES}
        if unknown:
            raise InputError(f"the column split must say train or validation, not {sorted(unknown)[0]!r}")
        words = np.array([str(v).lower() for v in split])
        return np.where(np.isin(words, list(TRAINING_NAMES)), "training",
                        np.where(np.isin(words, list(VALIDATION_NAMES)), "validation", "unused"))
    parts = np.full(len(images), "unused", dtype="<U10")
    for name in np.unique(person):
        mine = np.flatnonzero(person == name)
        keys = [hashlib.sha256(f"{seed}\0{images[i]}".encode()).digest() for i in mine]
        chosen = [mine[k] for k in sorted(range(len(mine)), key=keys.__getitem__)][:per_person]
        held = max(1, round(VALIDATION * len(chosen)))
        parts[chosen[:held]], parts[chosen[held:]] = "validation", "training"
    return parts


def evaluate_persons(embeddings: np.ndarray, person: np.ndarray, images: np.ndarray, split: np.ndarray,
                     per_person: int = PER_PERSON, draws: int = DRAWS,
                     seed: int = 0) -> tuple[dict[str, Measure], list[dict[str, Any]]]:
    """Accuracy of both parts, and the table.

    Returns
    -------
    metrics : dict of str to Measure
    table : list of dict
        ``person``, and for each part ``n``, ``precision`` and ``recall`` (None where nobody was given the name).

    Raises
    ------
    InputError
        If fewer than two persons have an image in each part.
    """
    from sklearn.linear_model import LogisticRegression

    part = deal(images, person, split, per_person, seed)
    known = sorted(set(person[part == "training"]) & set(person[part == "validation"]))
    if len(known) < 2:
        raise InputError("classification needs at least two persons with a usable image for training and one for validation each")
    rows = {name: np.flatnonzero((part == name) & np.isin(person, known)) for name in ("training", "validation")}
    fit = LogisticRegression(C=10.0, max_iter=1000).fit(embeddings[rows["training"]], person[rows["training"]])
    answers = {name: fit.predict(embeddings[chosen]) for name, chosen in rows.items()}
    table = []
    for who in known:
        line: dict[str, Any] = {"person": str(who)}
        for name, chosen in rows.items():
            right = answers[name] == person[chosen]
            mine, given = person[chosen] == who, answers[name] == who
            line |= {f"{name}_n": int(mine.sum()), f"{name}_recall": float(right[mine].mean()),
                     f"{name}_precision": float(right[given].mean()) if given.any() else None}
        table.append(line)
    cluster, clusters = codes(person[np.isin(person, known)])
    place = dict(zip(person[np.isin(person, known)], cluster, strict=True))

    def measure(weights: np.ndarray) -> dict[str, float]:
        values = {}
        for name, chosen in rows.items():
            w = weights[[place[who] for who in person[chosen]]]
            values[f"{name}/accuracy"] = weighted_mean(answers[name] == person[chosen], w)
        return values

    return bootstrap(measure, clusters, {f"{name}/accuracy": len(chosen) for name, chosen in rows.items()}, draws, seed), table

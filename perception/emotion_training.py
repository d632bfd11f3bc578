"""Fit and measure the combined emotion head on faces that are already numbers (no network here).

Cross-validation is by person: all versions of all pictures of one person are in one fold, and persons who look alike to
FaceNet count as one (:func:`person_groups`).  Rendered faces of the training seeds help every fold and are scored apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from perception.emotion_head import BLOCKS, LinearClassifier, fit_discriminant, fit_temperature
from perception.features import EMOTIONS

FOLDS = 5
SAME_PERSON = 0.65
"""Cosine of two embeddings from which two names count as one person (a false match rate below 1e-4)."""
FEWEST = 15
"""Classes with fewer test pictures are not scored."""


@dataclass(frozen=True)
class Examples:
    """Faces as inputs of the head.

    Attributes
    ----------
    x : ndarray, shape (versions, n, 1031)
        The same faces in several versions; the first is the picture as it is.
    emotion : ndarray, shape (n,), int
    group : ndarray, shape (n,)
        Person.
    """

    x: np.ndarray
    emotion: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.emotion)


def person_groups(names: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Group numbers, shape (n,): equal names, and names whose pictures reach :data:`SAME_PERSON`, are one group."""
    _, group = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    parent = np.arange(group.max() + 1)

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, j in zip(*np.nonzero(np.triu(embeddings @ embeddings.T > SAME_PERSON, 1)), strict=True):
        parent[root(group[i])] = root(group[j])
    return np.array([root(i) for i in group])


def fit(photographs: Examples, rendered: Examples | None, *, rendered_weight: float, fer_share: float, shrinkage: float,
        seed: int = 0) -> tuple[LinearClassifier, np.ndarray, dict[str, Any]]:
    """Cross-validate, calibrate, and fit on everything.

    Returns
    -------
    classifier : LinearClassifier
        Fitted on all faces, with the temperatures of the held-out ones.
    held_out : ndarray, shape (versions, n, 7)
        Held-out probabilities of every version of every photograph.
    about : dict
        Temperatures.
    """
    fold = fold_of(photographs.group, seed)
    raw = np.zeros((*photographs.x.shape[:2], len(EMOTIONS)))
    for k in range(FOLDS):
        classifier = _discriminant(photographs, fold != k, rendered, rendered_weight, shrinkage)
        raw[:, fold == k] = classifier.logits(photographs.x[:, fold == k])
    first = fit_temperature(raw[0], photographs.emotion)
    fer = photographs.x[..., BLOCKS[0]:BLOCKS[0] + BLOCKS[1]]
    mixed = raw / first + fer_share * fer
    # the second temperature is fitted on every version: faces as they come, not as the photographer wished them
    second = fit_temperature(mixed.reshape(-1, mixed.shape[-1]), np.tile(photographs.emotion, len(mixed)))
    everything = _discriminant(photographs, np.ones(len(photographs), bool), rendered, rendered_weight, shrinkage)
    classifier = everything.cooled(first).with_fer(fer_share).cooled(second)
    held_out = np.exp(mixed / second - (mixed / second).max(-1, keepdims=True))
    held_out /= held_out.sum(-1, keepdims=True)
    return classifier, held_out, {"temperatures": [round(first, 4), round(second, 4)]}


def _discriminant(photographs: Examples, rows: np.ndarray, rendered: Examples | None, rendered_weight: float,
                  shrinkage: float) -> LinearClassifier:
    x, emotion = photographs.x[:, rows], np.tile(photographs.emotion[rows], len(photographs.x))
    x = x.reshape(-1, x.shape[-1])
    domain, weight = np.zeros(len(x), int), np.ones(len(x))
    if rendered is not None:
        drawn = rendered.x.reshape(-1, rendered.x.shape[-1])
        x = np.vstack([x, drawn])
        emotion = np.concatenate([emotion, np.tile(rendered.emotion, len(rendered.x))])
        domain = np.concatenate([domain, np.ones(len(drawn), int)])
        weight = np.concatenate([weight, np.full(len(drawn), rendered_weight)])
    return fit_discriminant(x, emotion, domain, weight, shrinkage=shrinkage)


def fold_of(group: np.ndarray, seed: int) -> np.ndarray:
    """Fold of every face, by person."""
    names, inverse = np.unique(group, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[inverse]


def recalls(probability: np.ndarray, emotion: np.ndarray, fewest: int = FEWEST) -> dict[str, float]:
    """Share read right of every class with at least ``fewest`` faces."""
    said = probability.argmax(-1)
    return {name: float((said[emotion == c] == c).mean()) for c, name in enumerate(EMOTIONS) if (emotion == c).sum() >= fewest}


def score(probability: np.ndarray, emotion: np.ndarray, group: np.ndarray, seed: int = 0, resamples: int = 1000) -> dict[str, Any]:
    """Balanced accuracy with a 95 % bootstrap interval over persons, recalls, log-loss and calibration error.

    ``log_loss`` weighs classes the same (chance: log 7 = 1.946).  ``calibration_error`` is the expected calibration error of
    the most probable class in ten equal bins, classes weighing the same.
    """
    def balanced(rows: np.ndarray) -> float:
        return float(np.mean(list(recalls(probability[rows], emotion[rows], 1 if len(rows) < len(emotion) else FEWEST).values())))

    scored = np.isin(emotion, [EMOTIONS.index(name) for name in recalls(probability, emotion)])
    probability, emotion, group = probability[scored], emotion[scored], group[scored]
    names, inverse = np.unique(group, return_inverse=True)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    generator = np.random.default_rng(seed)
    right = probability.argmax(-1) == emotion
    classes = np.unique(emotion)
    hits = np.array([[right[m][emotion[m] == c].sum() for c in classes] for m in members], float)
    counts = np.array([[(emotion[m] == c).sum() for c in classes] for m in members], float)
    spread = []
    for _ in range(resamples):
        rows = generator.integers(len(names), size=len(names))
        with np.errstate(invalid="ignore"):
            spread.append(np.nanmean(hits[rows].sum(0) / counts[rows].sum(0)))
    low, high = np.percentile(spread, [2.5, 97.5])
    weight = 1.0 / np.bincount(emotion, minlength=len(EMOTIONS))[emotion]
    weight /= weight.sum()
    loss = -(weight * np.log(np.clip(probability[np.arange(len(emotion)), emotion], 1e-12, None))).sum()
    confidence = probability.max(-1)
    bins = np.minimum((confidence * 10).astype(int), 9)
    error = sum(abs((weight * (right - confidence))[bins == b].sum()) for b in range(10))
    return {"balanced_accuracy": {"mean": round(balanced(np.arange(len(emotion))), 4), "low": round(float(low), 4),
                                  "high": round(float(high), 4), "n": len(emotion), "persons": len(names)},
            "recall": {k: round(v, 4) for k, v in recalls(probability, emotion).items()},
            "log_loss": round(float(loss), 4), "calibration_error": round(float(error), 4)}

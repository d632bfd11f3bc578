"""Labelled classes: accuracy, balanced accuracy, confusion, calibration; for the mask head precision, recall and F1.

Balanced accuracy is the mean recall of the classes that occur; the expected calibration error (ECE) is the mean, over 15
bins of the stated probability of the answer, of |share right - mean stated probability|, weighted by the bin's count [1]_.
Images without a face are failures to acquire: they are counted, and scored as wrong in ``accuracy_with_failures`` alone.

References
----------
.. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from perception.evaluation.bootstrap import DRAWS, Measure, bootstrap, weighted_mean

BINS = 15
ENOUGH = 15
"""Images that a class needs to count in ``balanced_accuracy_15``: a recall of fewer is mostly noise."""


def calibration_error(stated: np.ndarray, right: np.ndarray, weights: np.ndarray) -> float:
    """ECE of the stated probabilities of the answers given."""
    total = weights.sum()
    if total <= 0:
        return float("nan")
    place = np.minimum((stated * BINS).astype(int), BINS - 1)
    gap = np.bincount(place, weights * (right - stated), BINS)
    return float(np.abs(gap).sum() / total)


def confusion(truth: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """Counts, shape (classes, classes): row = truth, column = answer."""
    return np.bincount(truth * classes + answer, minlength=classes * classes).reshape(classes, classes)


def evaluate_classes(truth: np.ndarray, probabilities: np.ndarray, names: Sequence[str], cluster: np.ndarray, clusters: int,
                     acquired: np.ndarray, group: np.ndarray, draws: int = DRAWS, seed: int = 0,
                     positive: int | None = None) -> tuple[dict[str, Measure], dict[str, Any]]:
    """Metrics and confusion matrix of labelled images.

    Parameters
    ----------
    truth : ndarray, shape (n,), int
    probabilities : ndarray, shape (n, classes)
        Rows of images without a face are not read.
    names : sequence of str
    cluster : ndarray, shape (n,), int
        Person (or image) of every row.
    clusters : int
    acquired : ndarray, shape (n,), bool
        A face was found.
    group : ndarray, shape (n,), object
    positive : int, optional
        Class whose precision, recall and F1 are reported.

    Returns
    -------
    metrics : dict of str to Measure
    confusion : dict
        ``labels`` and ``counts`` (row = truth).
    """
    answer = np.where(acquired, probabilities.argmax(1), -1)
    right = answer == truth
    seen = acquired
    stated = np.clip(probabilities.max(1), 0.0, 1.0)
    counts = np.bincount(truth[seen], minlength=len(names))
    likely = np.flatnonzero(counts >= ENOUGH)
    groups = sorted({str(g) for g in group if g is not None})
    log_loss = -np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-12, 1.0))

    def recall(k: int, w: np.ndarray) -> float:
        rows = seen & (truth == k)
        return weighted_mean(right[rows], w[rows])

    def balanced(w: np.ndarray, classes: np.ndarray) -> float:
        recalls = np.array([recall(int(k), w) for k in classes])
        return float(np.nanmean(recalls)) if np.isfinite(recalls).any() else float("nan")

    def measure(weights: np.ndarray) -> dict[str, float]:
        w = weights[cluster]
        values = {"accuracy": weighted_mean(right[seen], w[seen]), "balanced_accuracy": balanced(w, np.flatnonzero(counts))}
        if len(likely) not in (0, int((counts > 0).sum())):
            values[f"balanced_accuracy_{ENOUGH}"] = balanced(w, likely)
        values["accuracy_with_failures"] = weighted_mean(right, w)
        values["failure_to_acquire"] = weighted_mean(~seen, w)
        values["ece"] = calibration_error(stated[seen], right[seen].astype(float), w[seen])
        values["log_loss"] = weighted_mean(log_loss[seen], w[seen])
        if positive is not None:
            said, is_so = seen & (answer == positive), seen & (truth == positive)
            values["precision"], values["recall"] = weighted_mean(right[said], w[said]), weighted_mean(right[is_so], w[is_so])
            both = values["precision"] + values["recall"]
            values["f1"] = 2 * values["precision"] * values["recall"] / both if both > 0 else float("nan")
        else:
            values |= {f"recall/{names[int(k)]}": recall(int(k), w) for k in np.flatnonzero(counts)}
        for name in groups:
            rows = seen & (group == name)
            values[f"group/{name}/accuracy"] = weighted_mean(right[rows], w[rows])
            recalls = [weighted_mean(right[rows & (truth == k)], w[rows & (truth == k)]) for k in np.unique(truth[rows])]
            values[f"group/{name}/balanced_accuracy"] = float(np.nanmean(recalls)) if np.isfinite(recalls).any() else float("nan")
            values[f"group/{name}/failure_to_acquire"] = weighted_mean(~seen[group == name], w[group == name])
        return values

    n = int(seen.sum())
    per_name = dict.fromkeys(("accuracy", "balanced_accuracy", "ece", "log_loss"), n)
    per_name |= {"accuracy_with_failures": len(truth), "failure_to_acquire": len(truth),
                 f"balanced_accuracy_{ENOUGH}": int(counts[likely].sum())}
    per_name |= {f"recall/{names[k]}": int(counts[k]) for k in range(len(names))}
    if positive is not None:
        per_name |= {"precision": int((answer[seen] == positive).sum()), "recall": int(counts[positive]), "f1": n}
    for name in groups:
        per_name |= {f"group/{name}/{m}": int((seen & (group == name)).sum()) for m in ("accuracy", "balanced_accuracy")}
        per_name[f"group/{name}/failure_to_acquire"] = int((group == name).sum())
    metrics = bootstrap(measure, clusters, per_name, draws, seed)
    table = confusion(truth[seen], answer[seen], len(names))
    return metrics, {"labels": list(names), "counts": table.tolist()}

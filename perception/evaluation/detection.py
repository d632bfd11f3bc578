"""Detection: are the annotated faces found (recall), and is what is found a face (precision), at IoU .5.

Detections are taken by falling score; each claims the free annotated box that it overlaps most, if their intersection
over union reaches :data:`IOU` (the PASCAL VOC rule).  Sizes are the shorter side of the annotated box (of the detection,
for what matched none).  Images are drawn anew for the intervals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perception.evaluation.bootstrap import DRAWS, Measure, bootstrap, weighted_mean

IOU = 0.5
SIZES = ((0, 32), (32, 64), (64, 128), (128, 10**9))
"""Shorter side, pixels: from, below."""


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4), shape (n, m)."""
    a, b = np.asarray(a, float).reshape(-1, 4), np.asarray(b, float).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(2)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)]
    return inner / np.maximum(areas[0][:, None] + areas[1][None, :] - inner, 1e-12)


def match(found: np.ndarray, score: np.ndarray, truth: np.ndarray, iou: float = IOU) -> np.ndarray:
    """Annotated box that every detection claims, -1 for none; shape (n,)."""
    claimed = np.full(len(found), -1)
    overlaps = overlap(found, truth)
    free = np.ones(len(truth), bool)
    for i in np.argsort(-np.asarray(score), kind="stable"):
        usable = np.where(free, overlaps[i], -1.0)
        if len(usable) and usable.max() >= iou:
            claimed[i] = int(usable.argmax())
            free[claimed[i]] = False
    return claimed


def size_name(box: np.ndarray) -> str:
    """The size class of a box."""
    side = min(box[2] - box[0], box[3] - box[1])
    low, high = next((low, high) for low, high in SIZES if side < high)
    return f"{low}-{high}px" if high < 10**9 else f"{low}px+"


def evaluate_detection(found: Sequence[tuple[np.ndarray, np.ndarray]], truth: Sequence[tuple[np.ndarray, list[bool | None]]],
                       group: np.ndarray, draws: int = DRAWS, seed: int = 0) -> dict[str, Measure]:
    """Recall and precision, overall, by face size and by mask.

    Parameters
    ----------
    found : sequence of (boxes (n, 4), scores (n,))
        One per image.
    truth : sequence of (boxes (m, 4), masked: list of bool or None, length m)
    group : ndarray, shape (images,), object
    """
    faces: list[tuple[int, str, bool | None, bool]] = []  # image, size, masked, found
    claims: list[tuple[int, str, bool]] = []  # image, size, right
    for i, ((boxes, score), (true_boxes, masked)) in enumerate(zip(found, truth, strict=True)):
        claimed = match(boxes, score, true_boxes)
        faces += [(i, size_name(box), masked[k], k in claimed) for k, box in enumerate(true_boxes)]
        claims += [(i, size_name(true_boxes[k] if k >= 0 else boxes[j]), k >= 0) for j, k in enumerate(claimed)]
    where = [np.array([row[0] for row in rows], int) for rows in (faces, claims)]
    hit = [np.array([row[-1] for row in rows], bool) for rows in (faces, claims)]
    sizes = [np.array([row[1] for row in rows], object) for rows in (faces, claims)]
    masks = np.array([row[2] for row in faces], object)
    selections = {"recall": (0, np.ones(len(faces), bool)), "precision": (1, np.ones(len(claims), bool))}
    for name in dict.fromkeys(size_name(np.array([0, 0, low, low])) for low, _ in SIZES):
        selections |= {f"size/{name}/recall": (0, sizes[0] == name), f"size/{name}/precision": (1, sizes[1] == name)}
    selections |= {"mask/masked/recall": (0, masks == True), "mask/plain/recall": (0, masks == False)}  # noqa: E712 (elementwise)
    for name in sorted({str(g) for g in group if g is not None}):
        selections |= {f"group/{name}/{kind}": (k, group[where[k]] == name) for k, kind in enumerate(("recall", "precision"))}
    selections = {name: (k, rows) for name, (k, rows) in selections.items() if rows.any()}

    def measure(images: np.ndarray) -> dict[str, float]:
        return {name: weighted_mean(hit[k][rows], images[where[k][rows]]) for name, (k, rows) in selections.items()}

    return bootstrap(measure, len(found), {name: int(rows.sum()) for name, (_, rows) in selections.items()}, draws, seed)

"""The pictures that customers show the camera, arranged in cells (person, masked, expression).

With truth (`true_emotion`, `true_mask` in the gallery's table) a cell holds the person's pictures of that expression, each
as likely as the other.  Without, every picture of the person is in every cell, in proportion to its *perceived* probability
of that expression, and the true emotion is unknown.  An empty cell takes the nearest expression in affect space.

Customers of the evaluation wear faces that training never showed: persons are split.  A gallery of fewer than
`SMALL_GALLERY` persons is split by picture instead, and `split_by` says so.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pandas as pd

from perception.features import EMOTIONS
from sim.shop.camera import CENTRES
from sim.shop.parameters import ShopError
from sim.shop.types import OTHER, SELF, UNKNOWN

SMALL_GALLERY = 10  # persons; below, splitting by person would leave too few faces on either side
_NEEDED = ("image", "person", "role", "status", "true_emotion", "true_mask", "identity", "similarity")


@dataclasses.dataclass(frozen=True)
class Cells:
    """Pictures by (person, masked, expression), as flat arrays (see `types.World`)."""

    persons: np.ndarray
    masked_images: np.ndarray
    start: np.ndarray
    size: np.ndarray
    image: np.ndarray
    cumulative: np.ndarray
    empty: int  # cells that had to take the nearest expression


@dataclasses.dataclass(frozen=True)
class Gallery:
    """I camera pictures of P persons with their perceived features; see `types.World` for shapes."""

    images: tuple[str, ...]
    persons: tuple[str, ...]
    person_of: np.ndarray  # (I,) int32
    emotion: np.ndarray
    mask_probability: np.ndarray
    has_face: np.ndarray
    true_emotion: np.ndarray
    true_mask: np.ndarray
    recognised: np.ndarray
    similarity: np.ndarray
    identities: tuple[np.ndarray, np.ndarray]  # (I,) object: whom the picture is taken for, without / with enrolment
    train: Cells
    evaluate: Cells
    split_by: str
    digest: str

    @property
    def labelled(self) -> bool:
        """Whether the true emotion of every picture is known (claim 1 can be measured only then)."""
        return bool((self.true_emotion >= 0).all())


def _weights(rows: np.ndarray, expression: int, labelled: bool, truth: np.ndarray, emotion: np.ndarray) -> np.ndarray:
    return (truth[rows] == expression).astype(float) if labelled else emotion[rows, expression].astype(float)


def _cells(allowed: np.ndarray, persons: np.ndarray, person_of, masked, labelled, truth, emotion) -> Cells:
    """Cells of the pictures where `allowed`, for `persons`."""
    count = int(person_of.max()) + 1
    start, size = np.zeros((count, 2, 7), np.int32), np.zeros((count, 2, 7), np.int32)
    has_masked = np.zeros(count, np.uint8)
    images: list[np.ndarray] = []
    cumulative: list[np.ndarray] = []
    position = empty = 0
    distance = np.linalg.norm(CENTRES[:, None] - CENTRES[None], axis=2)
    for person in persons:
        own = np.flatnonzero(allowed & (person_of == person))
        has_masked[person] = masked[own].any()
        for state in (0, 1):
            rows = own[masked[own] == state]
            rows = rows if len(rows) else own  # only masked (or only bare) pictures: those are shown
            for expression in range(7):
                weight = np.zeros(len(rows))
                for rank, nearest in enumerate(np.argsort(distance[expression], kind="stable")):
                    weight = _weights(rows, nearest, labelled, truth, emotion)
                    if weight.sum() > 0:
                        empty += rank > 0
                        break
                chosen = weight > 0
                start[person, state, expression], size[person, state, expression] = position, chosen.sum()
                images.append(rows[chosen].astype(np.int32))
                cumulative.append(np.cumsum(weight[chosen]) / weight.sum())
                position += int(chosen.sum())
    return Cells(
        persons.astype(np.int32), has_masked, start, size, np.concatenate(images), np.concatenate(cumulative), empty
    )


def _check_features(camera: pd.DataFrame, opaque: bool) -> None:
    """Refuse numbers that no perception gives: they would reach every observation."""
    face = (camera["status"] == "face").to_numpy()
    emotions = [f"emotion_{e}" for e in EMOTIONS]
    identified = [(s, camera[f"identity{s}"].notna().to_numpy()) for s in ("", "_unenrolled") if f"identity{s}" in camera]
    # column, rows where it is needed, may it be null, lowest, highest
    rules = [(name, face, False, 0.0, 1.0) for name in emotions] + [("mask_probability", face, True, 0.0, 1.0)]
    rules += [(f"similarity{s}", face & rows, True, -1.0, 1.0) for s, rows in identified if f"similarity{s}" in camera]
    for name, rows, nullable, low, high in rules:
        x = camera[name].to_numpy(np.float64)
        slack = 1e-3  # float16 exports, rounding
        wrong = rows & ~((x >= low - slack) & (x <= high + slack)) & ~(np.isnan(x) & nullable)
        if wrong.any():
            _refuse(camera, opaque, int(np.flatnonzero(wrong)[0]), name, f"is {{}}; it must be from {low:g} to {high:g}")
    total = camera[emotions].to_numpy(np.float64).sum(1)
    wrong = face & (np.abs(total - 1.0) > 0.01)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        _refuse(camera, opaque, i, "emotion_*", f"sum to {total[i]:g}; the seven probabilities must sum to 1")


def _refuse(camera: pd.DataFrame, opaque: bool, row: int, name: str, what: str) -> None:
    which = f"picture {row}" if opaque else f"picture {camera['image'][row]}"  # names of real people stay out of messages
    told = what.format(camera[name][row]) if name in camera else what
    raise ShopError(f"population.gallery: {which}: {name} {told}; extract the feature table again")


def build_gallery(table: pd.DataFrame, evaluation_share: float, seed: int, opaque: bool) -> Gallery:
    """Arrange a gallery feature table (see `perception.gallery`) for the shop.

    Parameters
    ----------
    table : one row per picture, the customer's face.
    evaluation_share : share of persons (or, in a small gallery, of each person's pictures) kept for evaluation.
    seed : of the split.
    opaque : replace person and picture names by opaque ids, as for real customers.

    Raises
    ------
    ShopError
        Columns are missing, fewer than two persons have at least two camera pictures, or a feature of a face is no finite
        number in its range (named by picture and column).
    """
    lacking = [c for c in (*_NEEDED, *(f"emotion_{e}" for e in EMOTIONS)) if c not in table.columns]
    if lacking:
        raise ShopError(
            f"population.gallery: the feature table lacks the column {', '.join(lacking)}; extract it again"
        )
    camera = table[table["role"] == "camera"].sort_values(["person", "image"], kind="stable").reset_index(drop=True)
    counts = camera.groupby("person").size()
    names = sorted(counts[counts >= 2].index)
    if len(names) < 2:
        raise ShopError(
            f"population.gallery: {len(names)} person(s) with at least two camera pictures; a shop needs two or more persons, "
            "each with pictures beyond those enrolled"
        )
    camera = camera[camera["person"].isin(names)].reset_index(drop=True)
    _check_features(camera, opaque)
    index = {name: i for i, name in enumerate(names)}
    person_of = camera["person"].map(index).to_numpy(np.int32)
    face = (camera["status"] == "face").to_numpy()
    emotion = camera[[f"emotion_{e}" for e in EMOTIONS]].to_numpy(np.float32)
    emotion = np.where(face[:, None] & np.isfinite(emotion), emotion, np.float32(1 / 7)).astype(np.float32)
    mask_probability = np.nan_to_num(camera["mask_probability"].to_numpy(np.float32)).astype(np.float32)
    truth = camera["true_emotion"].map({e: i for i, e in enumerate(EMOTIONS)}).fillna(-1).to_numpy(np.int8)
    labelled = bool((truth >= 0).all())
    true_mask = camera["true_mask"]
    masked = np.where(true_mask.notna(), true_mask.eq(True), mask_probability > 0.5).astype(np.uint8)

    recognised, similarity, identities = np.zeros((2, len(camera)), np.int8), np.zeros((2, len(camera)), np.float32), []
    for row, suffix in enumerate(("_unenrolled", "")):
        identity = camera[f"identity{suffix}"] if f"identity{suffix}" in camera else camera["identity"].where(False)
        own = (identity == camera["person"]).to_numpy()
        recognised[row] = np.where(identity.isna(), UNKNOWN, np.where(own, SELF, OTHER))
        if f"similarity{suffix}" in camera:
            similarity[row] = np.nan_to_num(camera[f"similarity{suffix}"].to_numpy(np.float32))
        identities.append(np.array([name if isinstance(name, str) else None for name in identity], object))

    rng = np.random.default_rng([seed, 77])
    if len(names) >= SMALL_GALLERY:
        split_by, held = "person", max(1, round(evaluation_share * len(names)))
        order = rng.permutation(len(names))
        evaluate_persons, train_persons = np.sort(order[:held]), np.sort(order[held:])
        train_images = np.isin(person_of, train_persons)
        evaluate_images = ~train_images
    else:
        split_by, train_persons = "picture", np.arange(len(names))
        evaluate_persons, evaluate_images = train_persons, np.zeros(len(camera), bool)
        for person in train_persons:
            # stratified by expression and mask, so that both sides keep every cell where they can
            own = np.flatnonzero(person_of == person)
            own = own[np.lexsort((rng.random(len(own)), truth[own], masked[own]))]
            evaluate_images[own[1::2]] = True
        train_images = ~evaluate_images
    arguments = (person_of, masked, labelled, truth, emotion)
    digest = hashlib.sha256(
        pd.util.hash_pandas_object(camera.drop(columns=["embedding"], errors="ignore").astype(str)).to_numpy().tobytes()
    )
    digest.update(emotion.tobytes())
    if opaque:
        alias = {name: f"customer-{i:04d}" for i, name in enumerate(names)}
        identities = [
            np.array([None if name is None else alias.get(name, "customer-other") for name in row], object)
            for row in identities
        ]
        images, persons = tuple(f"picture-{i:05d}" for i in range(len(camera))), tuple(alias[name] for name in names)
    else:
        images, persons = tuple(camera["image"]), tuple(names)
    return Gallery(
        images=images,
        persons=persons,
        person_of=person_of,
        emotion=np.ascontiguousarray(emotion),
        mask_probability=mask_probability,
        has_face=face.astype(np.uint8),
        true_emotion=truth,
        true_mask=masked,
        recognised=recognised,
        similarity=similarity,
        identities=(identities[0], identities[1]),
        train=_cells(train_images, train_persons, *arguments),
        evaluate=_cells(evaluate_images, evaluate_persons, *arguments),
        split_by=split_by,
        digest=digest.hexdigest()[:16],
    )

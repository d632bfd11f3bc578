"""One set, one task: rows of a manifest and perceived images in, a filled finding out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from perception.errors import InputError
from perception.evaluation.bootstrap import Measure, bootstrap, codes, weighted_mean
from perception.evaluation.detection import overlap
from perception.evaluation.manifest import BOX
from perception.evaluation.report import Finding
from perception.features import EMOTIONS

if TYPE_CHECKING:
    import pandas as pd

    from perception.results import Face, ImageResult

LABELLED_IOU = 0.3
"""Overlap with the row's box that the labelled face must have."""
Annotated = Mapping[str, tuple[list[tuple[float, float, float, float]], list[bool | None]]]


def evaluate_task(finding: Finding, rows: pd.DataFrame, results: Mapping[str, ImageResult], annotated: Annotated, fixed: float,
                  per_person: int, draws: int, seed: int) -> None:
    """Fill a finding.

    Parameters
    ----------
    finding : Finding
        With its set and task; metrics and the like are written into it.
    rows : pandas.DataFrame
        Of the manifest, prepared for the task.
    results : mapping of image name to ImageResult
    annotated : mapping of image name to (boxes, masked)
        Of an annotation file; empty where there is none.
    fixed : float
        Threshold at which pairs are decided beside the calibrated one.

    Raises
    ------
    InputError
        If the set has too little of what the task needs.
    """
    unusable = sum(results[name].status == "unusable" for name in dict.fromkeys(rows["path"]))
    finding.counts |= {"images": rows["path"].nunique(), "unusable": unusable}
    if finding.task == "detection":
        _detection(finding, rows, results, annotated, draws, seed)
    elif finding.task == "identity":
        _identity(finding, rows, results, draws, seed)
    elif finding.task == "pairs":
        _pairs(finding, rows, results, fixed, draws, seed)
    elif finding.task == "emotion":
        _emotion(finding, rows, results, draws, seed)
    elif finding.task == "mask":
        _mask(finding, rows, results, draws, seed)
    else:
        _classification(finding, rows, results, per_person, draws, seed)


def labelled_face(row: Mapping[str, object], result: ImageResult) -> Face | None:
    """The face that a row speaks of: nearest to its box, else the largest."""
    if not result.faces:
        return None
    if row["x0"] is None:
        return result.faces[0]
    overlaps = overlap(np.array([[row[name] for name in BOX]], float), np.array([face.box for face in result.faces]))[0]
    return result.faces[int(overlaps.argmax())] if overlaps.max() >= LABELLED_IOU else None


def _faces(rows: pd.DataFrame, results: Mapping[str, ImageResult]) -> list[Face | None]:
    return [labelled_face(row, results[str(row["path"])]) for row in rows.to_dict("records")]


def _clusters(rows: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Persons where they are known (an image without one counts for itself)."""
    names = [f"image {path}" if person is None else f"person {person}" for person, path in zip(rows["person"], rows["path"], strict=True)]
    return codes(np.array(names))


def _masked(rows: pd.DataFrame, faces: list[Face | None]) -> np.ndarray:
    """Whether the face wears a mask: as labelled, else as the mask head says."""
    return np.array([bool(m) if m is not None else face is not None and face.masked for m, face in zip(rows["mask"], faces, strict=True)])


def _failures(found: np.ndarray, person: np.ndarray, draws: int, seed: int) -> dict[str, Measure]:
    """Failure to acquire (images) and to enrol (persons without any usable face)."""
    cluster, clusters = codes(person)
    enrolled = np.bincount(cluster, found, clusters) > 0
    return bootstrap(lambda w: {"failure_to_acquire": weighted_mean(~found, w[cluster]), "failure_to_enrol": weighted_mean(~enrolled, w)},
                     clusters, {"failure_to_acquire": len(found), "failure_to_enrol": clusters}, draws, seed)


def _vectors(faces: list[Face | None]) -> np.ndarray:
    return np.stack([face.embedding for face in faces if face is not None and face.embedding is not None])


def _usable(faces: list[Face | None]) -> np.ndarray:
    found = np.array([face is not None and face.embedding is not None for face in faces], dtype=bool)
    if found.sum() < 2:
        raise InputError(f"faces were found on {int(found.sum())} images only")
    return found


def _identity(finding: Finding, rows: pd.DataFrame, results: Mapping[str, ImageResult], draws: int, seed: int) -> None:
    from perception.evaluation.identification import evaluate_identification
    from perception.evaluation.verification import all_pairs, rate_table, verify_all

    faces = _faces(rows, results)
    found = _usable(faces)
    person = rows["person"].to_numpy(str)
    finding.metrics |= _failures(found, person, draws, seed)
    vectors, masked = _vectors(faces), _masked(rows, faces)[found]
    numbers, persons = codes(person[found])
    comparisons = all_pairs(vectors, numbers, persons, masked, rows["group"].to_numpy(object)[found], seed)
    count = comparisons.count()
    if not count["genuine"] or not count["impostor"]:
        raise InputError("identity needs at least two persons with two usable images each")
    metrics, finding.thresholds, curve = verify_all(comparisons, draws, seed)
    finding.metrics |= metrics | evaluate_identification(vectors, person[found], rows["path"].to_numpy(str)[found], draws, seed)
    finding.counts |= {"faces": int(found.sum()), "persons": persons, **count, "masked": int(masked.sum())}
    finding.curve = curve.rates(np.ones(len(comparisons.score)))
    bare = comparisons.part(comparisons.masked == 0)
    finding.rates = rate_table(bare, draws, seed)
    finding.rated = {"faces": int((~masked).sum()), "persons": len(np.unique(numbers[~masked])), **bare.count()}


def _pairs(finding: Finding, rows: pd.DataFrame, results: Mapping[str, ImageResult], fixed: float, draws: int, seed: int) -> None:
    from perception.evaluation.pairs import evaluate_pairs, persons_of_pairs
    from perception.evaluation.verification import assemble

    names = list(dict.fromkeys([*rows["path"], *rows["path_b"]]))
    faces: list[Face | None] = [results[name].faces[0] if results[name].faces else None for name in names]
    found = _usable(faces)
    place = dict(zip([n for n, f in zip(names, found, strict=True) if f], range(int(found.sum())), strict=True))
    same = rows["same"].to_numpy(bool)
    person = persons_of_pairs(list(rows["path"]), list(rows["path_b"]), same)
    usable = np.array([a in place and b in place for a, b in zip(rows["path"], rows["path_b"], strict=True)], dtype=bool)
    pairs = np.array([[place[a], place[b]] for a, b in rows.loc[usable, ["path", "path_b"]].to_numpy()], int).reshape(-1, 2)
    vectors = _vectors(faces).astype(np.float64)
    numbers = np.array([person[name] for name in place], int)
    score = np.einsum("ij,ij->i", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    masked = np.array([bool(face.masked) for face in faces if face is not None and face.embedding is not None])
    comparisons = assemble(score, pairs, numbers, max(person.values()) + 1, masked, np.full(len(numbers), None, object))
    finding.metrics, finding.thresholds, curve = evaluate_pairs(comparisons, fixed, draws, seed)
    finding.metrics |= bootstrap(lambda w: {"failure_to_acquire": weighted_mean(~found, w)}, len(names), {}, draws, seed)
    several = sum(len(results[name].faces) > 1 for name in names)
    finding.counts |= {"images": len(names), "pairs": len(rows), "pairs_compared": len(pairs), **comparisons.count(),
                       "persons": len(set(person.values())), "images_with_several_faces": several}
    finding.curve = curve.rates(np.ones(len(score)))


def _emotion(finding: Finding, rows: pd.DataFrame, results: Mapping[str, ImageResult], draws: int, seed: int) -> None:
    known = rows["emotion"].isin(EMOTIONS).to_numpy(bool)
    if not known.any():
        raise InputError("none of its emotions is one of the seven classes")
    rows = rows[known].reset_index(drop=True)
    faces = _faces(rows, results)
    truth = np.array([EMOTIONS.index(name) for name in rows["emotion"]])
    _classes(finding, rows, faces, truth, np.stack([_emotions(f) for f in faces]), EMOTIONS, None, draws, seed)
    finding.counts["left_out"] = int((~known).sum())


def _emotions(face: Face | None) -> np.ndarray:
    return np.full(len(EMOTIONS), np.nan) if face is None else np.asarray(face.emotions, float)


def _mask(finding: Finding, rows: pd.DataFrame, results: Mapping[str, ImageResult], draws: int, seed: int) -> None:
    faces = _faces(rows, results)
    p = np.array([np.nan if face is None or face.mask_probability is None else face.mask_probability for face in faces])
    truth = rows["mask"].to_numpy(bool).astype(int)
    _classes(finding, rows, faces, truth, np.stack([1 - p, p], 1), ("without_mask", "with_mask"), 1, draws, seed)


def _classes(finding: Finding, rows: pd.DataFrame, faces: list[Face | None], truth: np.ndarray, probabilities: np.ndarray,
             names: tuple[str, ...], positive: int | None, draws: int, seed: int) -> None:
    from perception.evaluation.classes import evaluate_classes

    acquired = np.isfinite(probabilities).all(1)
    if not acquired.any():
        raise InputError("no face was found on any of its images")
    cluster, clusters = _clusters(rows)
    finding.metrics, finding.confusion = evaluate_classes(
        truth, np.nan_to_num(probabilities), names, cluster, clusters, acquired, rows["group"].to_numpy(object), draws, seed, positive)
    finding.counts |= {"faces": int(acquired.sum()), "clusters": clusters}


def _classification(finding: Finding, rows: pd.DataFrame, results: Mapping[str, ImageResult], per_person: int, draws: int,
                    seed: int) -> None:
    from perception.evaluation.persons import evaluate_persons

    faces = _faces(rows, results)
    found = _usable(faces)
    finding.metrics, finding.table = evaluate_persons(
        _vectors(faces), rows["person"].to_numpy(str)[found], rows["path"].to_numpy(str)[found],
        rows["split"].to_numpy(object)[found], per_person, draws, seed)
    finding.counts |= {"faces": int(found.sum()), "persons": len(finding.table)}


def _detection(finding: Finding, rows: pd.DataFrame, results: Mapping[str, ImageResult], annotated: Annotated, draws: int,
               seed: int) -> None:
    from perception.evaluation.detection import evaluate_detection

    names, found, truth, group = [], [], [], []
    for name, part in rows.groupby("path", sort=False):
        own = part[part["x0"].notna()]
        if len(own):
            boxes = own[list(BOX)].to_numpy(float)
            masked = [None if m is None else bool(m) for m in own["mask"]]
        elif name in annotated:
            boxes, masked = np.array(annotated[str(name)][0], float).reshape(-1, 4), annotated[str(name)][1]
        else:
            continue
        faces = results[str(name)].faces
        names.append(name)
        found.append((np.array([f.box for f in faces], float).reshape(-1, 4), np.array([f.score for f in faces])))
        truth.append((boxes, masked))
        group.append(part["group"].iloc[0])
    if not names:
        raise InputError("no image has annotated boxes: give them as columns x0,y0,x1,y1 or by boxes=FILE")
    finding.metrics = evaluate_detection(found, truth, np.array(group, object), draws, seed)
    finding.counts |= {"images_annotated": len(names), "faces_annotated": sum(len(b) for b, _ in truth),
                       "faces_found": sum(len(b) for b, _ in found)}

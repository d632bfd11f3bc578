"""Galleries: folders of customers, perceived once, enrolled, and recognised, as one table.

Of every person some images are *enrolled* (shown to the till beforehand), the others are what the *camera* shows; the two
never overlap.  Every image is then recognised twice against the enrolled persons: as it is, and with its own person left
out of the enrolled set, which is what a customer who never enrolled would meet: unknown, or mistaken for somebody else.

An enrolled image never vouches for itself: its own embedding is left out when it is recognised.

``open_gallery`` is what the simulator's commands call: without a folder it reads the shipped table of rendered personas
(no network is loaded); with one, it perceives the folder once and keeps the finished table, without embeddings, in the
cache, keyed by the content of all files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from perception.emotion_head import DEFAULT_HEAD, check_head
from perception.encryption import DEFAULT_KEEP_DAYS, expiry
from perception.errors import CacheError, ConsentError, ExpiredError, FeaturesError, GalleryError
from perception.features import (
    EMOTION_COLUMNS,
    FER_COLUMNS,
    GALLERY_COLUMNS,
    emotion_confidence,
    normalise,
    read_features,
    write_features,
)
from perception.labels import gallery_labels
from perception.mask import MASK_THRESHOLD
from perception.recognition import DEFAULT_MARGIN, EnrolledGallery, Match, Thresholds, calibrate
from perception.results import to_frame
from perception.stored import note

if TYPE_CHECKING:
    import pandas as pd

    from perception.pipeline import FacePipeline

SHIPPED_FEATURES = Path(__file__).parent / "personas" / "shipped" / "features.parquet"
MAX_ENROLLED = 5
"""Images per person enrolled where roles are not given: at most this many, and at most half of the usable ones."""
MIN_USABLE = 2
"""Usable images that a person needs: one to enrol, one for the camera."""

log = logging.getLogger("perception")


def open_gallery(folder: str | None, consent: bool, weights: str | None = None, cache: str | None = None,
                 fmr: float = 1e-3, progress: bool = True, emotion: str = DEFAULT_HEAD) -> pd.DataFrame:
    """Open a gallery feature table.

    Parameters
    ----------
    folder : str or None
        None: the shipped rendered personas.  Else a folder with one sub-folder per customer, or with ``labels.csv`` at
        its root (:mod:`perception.labels`).
    consent : bool
        A statement that the people on the photographs agreed to be recognised; a real folder is refused without it.
    weights : str, optional
        FaceNet weights (:mod:`perception.weights`).
    cache : str, optional
        Folder of the finished tables; by default the user's cache folder, ``"none"`` for no cache.
    fmr : float
        False match rate at which identity thresholds are calibrated.
    progress : bool
        Draw a progress bar.
    emotion : str
        Emotion head, ``combined`` or ``fer`` (:data:`perception.emotion_head.HEADS`).

    Returns
    -------
    pandas.DataFrame
        Gallery feature table, one row per image; embeddings are null for a real folder.

    Raises
    ------
    ConsentError, GalleryError
        Exit code 2: no consent, no such folder, no faces, fewer than two usable persons, wrong labels.
    WeightsError, CacheError
        Exit code 1.
    """
    check_head(emotion)
    if folder is None:
        frame = read_features(SHIPPED_FEATURES)
        if missing := [name for name in GALLERY_COLUMNS if name not in frame.columns]:
            raise FeaturesError(f"{SHIPPED_FEATURES} is no gallery table: it lacks {', '.join(missing)}")
        return read_by_fer(frame) if emotion == "fer" else frame
    if not consent:
        raise ConsentError(f"{folder} may show real people, and their faces are biometric data: state their consent with "
                           "consent=true, or leave the folder away to use the rendered personas")
    if not 0.0 < fmr < 1.0:
        raise GalleryError(f"fmr must lie between 0 and 1, got {fmr}")
    labels = gallery_labels(folder)

    from perception.cache import make_private_folder, settings_digest
    from perception.weights import NO_WEIGHTS, cache_folder, file_digest, find_weights

    if weights == NO_WEIGHTS:
        raise GalleryError("a gallery needs FaceNet to recognise its customers; weights=none serves perception.extract only")
    file = find_weights(weights)
    note(folder, "gallery")
    table: Path | None = None
    if cache != "none":
        digest = settings_digest(gallery=content_digest(Path(folder), labels), facenet=file_digest(file), fmr=fmr,
                                 emotion=emotion)
        try:
            table = make_private_folder(Path(cache) if cache else cache_folder()) / "galleries" / f"{digest}.parquet"
            if table.is_file():
                return read_features(table)
        except ExpiredError as error:
            log.warning("%s", error)
        except FeaturesError:
            log.warning("the cached gallery table is damaged and is computed again")
        except CacheError:
            if cache:
                raise
            log.warning("the cache folder cannot be written; the gallery is computed without a cache")

    from perception.pipeline import FacePipeline

    frame = perceive_gallery(folder, labels, FacePipeline(file, emotion=emotion), fmr=fmr, progress=progress)
    if table is not None:
        make_private_folder(table.parent)
        write_features(frame, table, expires=expiry(DEFAULT_KEEP_DAYS))
        table.chmod(0o600)
        if cache:
            note(cache, "cache")
    return frame


def read_by_fer(frame: pd.DataFrame) -> pd.DataFrame:
    """A table with the emotions, and the confidence in them, that the fer network alone gives."""
    frame = frame.copy()
    p = frame[list(FER_COLUMNS)].to_numpy(np.float32)
    frame[list(EMOTION_COLUMNS)] = p
    faces = (frame["status"] == "face").to_numpy()
    confidence = np.full(len(frame), np.nan, np.float32)
    confidence[faces] = emotion_confidence(p[faces], frame["mask_probability"].to_numpy(float)[faces])
    frame["emotion_confidence"] = confidence
    return frame


def perceive_gallery(folder: str | Path, labels: pd.DataFrame, pipeline: FacePipeline, *, fmr: float = 1e-3,
                     margin: float = DEFAULT_MARGIN, seed: int = 0, keep_embeddings: bool = False,
                     leave_out_persons: bool = True, progress: bool = False) -> pd.DataFrame:
    """Perceive every labelled image of a folder, enrol, and recognise.

    Parameters
    ----------
    folder : path
        That the image paths of ``labels`` are relative to.
    labels : pandas.DataFrame
        ``image, person`` and optionally ``emotion, mask, role`` (:func:`perception.labels.gallery_labels`).
    pipeline : FacePipeline
        With FaceNet.
    fmr, margin : float
        Operating point (:func:`perception.recognition.calibrate`).
    seed : int
        Of the choice of enrolled images where ``labels`` has no roles.
    keep_embeddings : bool
        Only for people who do not exist, or who consented to have their embeddings kept.
    leave_out_persons : bool
        Drop persons with fewer than two usable images (counted in a warning).
    progress : bool

    Returns
    -------
    pandas.DataFrame
        Gallery feature table in the order of ``labels``, with the columns ``threshold`` (the score that this row's face
        had to reach), ``faces_in_image`` and ``emotion_confidence`` besides.

    Raises
    ------
    GalleryError
        If no face is found at all, or fewer than two persons can be enrolled.
    """
    if pipeline.embedder is None:
        raise GalleryError("a gallery needs a pipeline with FaceNet weights")
    paths = [Path(folder, *str(image).split("/")) for image in labels["image"]]
    results = pipeline.stream(paths, [str(image) for image in labels["image"]], progress)
    frame = to_frame(results, keep_embeddings=True, largest_only=True)
    if leave_out_persons:
        usable = labels["person"].to_numpy()[(frame["status"] == "face").to_numpy()]
        persons, counts = np.unique(usable.astype(str), return_counts=True)
        enough = labels["person"].isin(persons[counts >= MIN_USABLE]).to_numpy()
        remaining = labels["person"][enough].nunique()
        if len(usable) and remaining < 2:
            raise GalleryError(f"{remaining} of {labels['person'].nunique()} persons have at least {MIN_USABLE} pictures with a usable "
                               "face; a gallery needs two such persons or more")
        lost = labels["person"].nunique() - remaining
        if len(usable) and lost:
            log.warning("%d of %d persons have fewer than %d images with a usable face and are left out", lost,
                        labels["person"].nunique(), MIN_USABLE)
            frame, labels = frame[enough].reset_index(drop=True), labels[enough].reset_index(drop=True)
    return recognise(frame, labels, fmr=fmr, margin=margin, seed=seed, keep_embeddings=keep_embeddings)


@dataclass(frozen=True)
class Enrolment:
    """The persons of a labelled table, enrolled, with every face scored and the operating point that follows.

    Attributes
    ----------
    gallery : EnrolledGallery
    thresholds : Thresholds
    rows : ndarray, shape (faces,), int
        Rows of the table that have a face.
    scores : ndarray, shape (faces, persons)
        Each enrolled face left out of its own score.
    own : ndarray, shape (faces, persons), bool
        The labelled person.
    masked : ndarray, shape (faces,), bool
    person, role : ndarray of object, shape (table rows,)
    labels : pandas.DataFrame
        Labels by table row.
    """

    gallery: EnrolledGallery
    thresholds: Thresholds
    rows: np.ndarray
    scores: np.ndarray
    own: np.ndarray
    masked: np.ndarray
    person: np.ndarray
    role: np.ndarray
    labels: pd.DataFrame

    def strangers(self) -> list[Match]:
        """Decisions with each face's own person left out: what somebody who never enrolled would meet."""
        return self.gallery.decide(np.where(self.own, -np.inf, self.scores), self.thresholds, self.masked)


def enrol(frame: pd.DataFrame, labels: pd.DataFrame, *, fmr: float = 1e-3, margin: float | None = DEFAULT_MARGIN, seed: int = 0,
          strategy: str = "top_mean") -> Enrolment:
    """Enrol the labelled persons of a FaceFeatures table with embeddings, and calibrate.

    Parameters
    ----------
    frame, labels, fmr, seed
        See :func:`recognise`.
    margin : float or None
        None: calibrated (:func:`perception.recognition.calibrated_margin`).
    strategy : str
        One of :data:`perception.enrolment.STRATEGIES`.

    Raises
    ------
    GalleryError
    """
    known = labels.set_index("image").reindex(columns=["person", "emotion", "mask", "role"])
    rows = known.reindex(frame["image"]).reset_index(drop=True).astype(object)
    rows = rows.where(rows.notna(), None)
    person = rows["person"].to_numpy(object, copy=True)
    person[(frame["face"] > 0).to_numpy()] = None
    seen = np.array([vector is not None for vector in frame["embedding"]], dtype=bool)
    if not seen.any():
        raise GalleryError("no face was found in any image of the gallery; give photographs that show the customers' faces")
    images = frame["image"].to_numpy(object)
    role = choose_roles(images, person, rows["role"].to_numpy(object), seen, seed)
    chosen = np.flatnonzero((role == "enrol") & seen)
    persons = sorted({str(person[i]) for i in chosen})
    if len(persons) < 2:
        raise GalleryError(f"a gallery needs at least two persons with {MIN_USABLE} usable images each (one to enrol, one for "
                           f"the camera); this one has {len(persons)}")
    order = [i for name in persons for i in chosen if person[i] == name]
    vectors = np.zeros((len(frame), 512), np.float32)
    vectors[seen] = np.stack(list(frame["embedding"][seen]))
    gallery = EnrolledGallery({name: vectors[[i for i in order if person[i] == name]] for name in persons}, strategy=strategy)

    place = {int(i): k for k, i in enumerate(order)}
    faces = np.flatnonzero(seen)
    scores = gallery.scores(vectors[faces], leave_out=[place.get(int(i)) for i in faces])
    own = np.array([[name == person[i] for name in persons] for i in faces], dtype=bool)
    masked = (frame["mask_probability"].to_numpy(float) >= MASK_THRESHOLD)[faces]
    labelled = np.array([person[i] is not None for i in faces], dtype=bool)
    bare = np.array([int(i) in place for i in faces], dtype=bool) & ~masked
    genuine = np.where(own[bare], scores[bare], -np.inf).max(1)
    others = np.where(own[bare], -np.inf, scores[bare]).max(1)
    alone = ~np.isfinite(genuine)  # the only enrolled image of a person has nothing to be compared with
    thresholds = calibrate(scores[bare][~own[bare]], scores[labelled & masked][~own[labelled & masked]], fmr, margin,
                           genuine[~alone], genuine[~alone] - others[~alone], strategy)
    return Enrolment(gallery, thresholds, faces, scores, own, masked, person, role, rows)


def recognise(frame: pd.DataFrame, labels: pd.DataFrame, *, fmr: float = 1e-3, margin: float | None = DEFAULT_MARGIN,
              seed: int = 0, keep_embeddings: bool = False, strategy: str = "top_mean") -> pd.DataFrame:
    """Enrol the labelled persons of a FaceFeatures table with embeddings, and recognise every face in it.

    The labelled person is the largest face of the image (``face`` 0); smaller faces are recognised as strangers' and
    carry no labels.

    Parameters
    ----------
    frame : pandas.DataFrame
        FaceFeatures with embeddings.
    labels : pandas.DataFrame
        See :func:`perceive_gallery`; images that it does not list are recognised as well.
    fmr, margin, seed, keep_embeddings, strategy
        See :func:`perceive_gallery` and :func:`enrol`.

    Returns
    -------
    pandas.DataFrame
        A copy of ``frame`` with the identity columns and those of a gallery feature table filled; the operating point
        (:class:`perception.recognition.Thresholds`) is in ``attrs`` and is kept in the parquet file.

    Raises
    ------
    GalleryError
    """
    frame = frame.reset_index(drop=True)
    enrolment = enrol(frame, labels, fmr=fmr, margin=margin, seed=seed, strategy=strategy)
    faces, thresholds, person = enrolment.rows, enrolment.thresholds, enrolment.person
    met = enrolment.gallery.decide(enrolment.scores, thresholds, enrolment.masked)

    for column in ("identity", "identity_unenrolled"):
        frame[column] = np.full(len(frame), None, dtype=object)
    for column in ("similarity", "similarity_unenrolled", "threshold"):
        frame[column] = np.full(len(frame), np.nan, dtype=np.float32)
    for column, decisions in (("", met), ("_unenrolled", enrolment.strangers())):
        frame.loc[faces, f"identity{column}"] = np.array([match.person for match in decisions], dtype=object)
        frame.loc[faces, f"similarity{column}"] = np.array([match.similarity for match in decisions], dtype=np.float32)
    frame.loc[faces, "threshold"] = np.where(enrolment.masked, thresholds.masked, thresholds.plain).astype(np.float32)
    frame["person"], frame["role"] = person, enrolment.role
    frame["true_emotion"] = np.where(person == None, None, enrolment.labels["emotion"].to_numpy(object))  # noqa: E711 (elementwise)
    frame["true_mask"] = np.where(person == None, None, enrolment.labels["mask"].to_numpy(object))  # noqa: E711
    if not keep_embeddings:
        frame["embedding"] = np.full(len(frame), None, dtype=object)
    frame = normalise(frame)
    frame.attrs["operating_point"] = dataclasses.asdict(thresholds)
    return frame


def choose_roles(images: np.ndarray, person: np.ndarray, role: np.ndarray, usable: np.ndarray, seed: int) -> np.ndarray:
    """Role of every row: as labelled; for persons without any labelled role, a seeded choice of usable images is enrolled.

    The choice depends on the seed and the names of this person's images only, not on who else is in the gallery.

    Parameters
    ----------
    images, person, role : ndarray of object, shape (n,)
        ``person`` None: no role.
    usable : ndarray of bool, shape (n,)
    seed : int

    Returns
    -------
    ndarray of object, shape (n,)
        ``enrol``, ``camera`` or None.
    """
    chosen = np.array([None if who is None else (given or "camera") for who, given in zip(person, role, strict=True)], object)
    for name in {str(who) for who in person if who is not None}:
        mine = np.flatnonzero(person == name)
        if any(role[i] is not None for i in mine):
            continue
        able = mine[usable[mine]]
        keys = [hashlib.sha256(f"{seed}\0{images[i]}".encode()).digest() for i in able]
        ranked = [able[k] for k in sorted(range(len(able)), key=keys.__getitem__)]
        chosen[ranked[: min(MAX_ENROLLED, len(able) // 2)]] = "enrol"
    return chosen


def content_digest(folder: Path, labels: pd.DataFrame) -> str:
    """SHA-256 over the labels and the content of every labelled file (what cannot be read counts by its reason)."""
    from perception.image_io import Unusable, read_image_bytes

    digest = hashlib.sha256()
    for row in labels.itertuples(index=False):
        content = read_image_bytes(Path(folder, *str(row.image).split("/")))
        text = content.reason if isinstance(content, Unusable) else hashlib.sha256(content).hexdigest()
        digest.update(repr((*row, text)).encode())
    return digest.hexdigest()

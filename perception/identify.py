"""Identify: who of a gallery is on this photograph (1:N), or nobody known?

The gallery is a folder with one sub-folder per customer, or with ``labels.csv`` (:mod:`perception.labels`).  Images that
fail the quality gate (:mod:`perception.quality`) are not enrolled.  Threshold and margin are calibrated on the gallery
itself at ``fmr=`` (:func:`perception.recognition.calibrate`), stricter for masked faces, and stored beside its digest in
the cache.  Every face of the photograph is decided for itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perception.command import Setting, run
from perception.encryption import DEFAULT_KEEP_DAYS, find_key
from perception.errors import ConsentError, InputError
from perception.stored import note

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from perception.gallery import Enrolment
    from perception.pipeline import FacePipeline
    from perception.results import Face, ImageResult

PURPOSE = "Search the faces of a photograph in a gallery: who it is or unknown, the score, and how often that errs."
EXAMPLE = "python -m perception.identify image=till.jpg gallery=customers consent=true"
SETTINGS = (
    Setting("image", str, "photograph to search", required=True),
    Setting("gallery", str, "folder with one sub-folder per customer, or with labels.csv", required=True),
    Setting("consent", bool, "everybody in the gallery agreed to be recognised, and that embeddings are kept in the cache", False),
    Setting("encrypt", bool, "encrypt the embeddings in the cache; false leaves them readable to whoever reads the disk", True),
    Setting("keep_days", int, "days until the embeddings in the cache expire; 0: until removed", DEFAULT_KEEP_DAYS, minimum=0),
    Setting("fmr", float, "false match rate at which the thresholds are calibrated", 1e-3, minimum=1e-9),
    Setting("margin", float, "lead over the runner-up (default: calibrated on the gallery)", minimum=0.0),
    Setting("strategy", str, "enrolment: top_mean, centroid or logistic", "top_mean"),
    Setting("quality", bool, "enrol and decide no face that fails the quality gate", True),
    Setting("seed", int, "of the choice of enrolled images where labels.csv gives no roles", 0, minimum=0),
    Setting("out", str, "file to write the decisions to (JSON, without embeddings)"),
    Setting("weights", str, "FaceNet weights (see perception.weights for where they are looked for)"),
    Setting("cache", str, "cache folder, or none (default: the user's cache folder)"),
    Setting("progress", bool, "draw a progress bar", True),
)


def identify(image: str, gallery: str, consent: bool, fmr: float, margin: float | None, strategy: str, quality: bool, seed: int,
             out: str | None, weights: str | None, cache: str | None, progress: bool, encrypt: bool = True,
             keep_days: int = DEFAULT_KEEP_DAYS) -> int:
    """Body of the command; see the module's docstring.

    Raises
    ------
    ConsentError, GalleryError, InputError, WeightsError, CacheError, KeyUnavailableError
    """
    from perception.enrolment import STRATEGIES
    from perception.image_io import Unusable, decode_image
    from perception.labels import gallery_labels
    from perception.operating_point import NO_AUTHENTICATION
    from perception.weights import find_weights

    if fmr >= 1.0:
        raise InputError(f"fmr= must be below 1, not {fmr:g}")
    if strategy not in STRATEGIES:
        raise InputError(f"strategy= must be one of {', '.join(STRATEGIES)}, not {strategy!r}")
    if not consent:
        raise ConsentError(f"{gallery} may show real people, and their faces are biometric data: state their consent with consent=true")
    labels = gallery_labels(gallery)
    decoded = decode_image(image)
    if isinstance(decoded, Unusable):
        raise InputError(f"image={image} cannot be used: {decoded.reason}")
    file = find_weights(weights)
    if encrypt and cache != "none":
        find_key(make=True)
    note(gallery, "gallery")

    from perception.gallery import enrol
    from perception.pipeline import FacePipeline

    pipeline = FacePipeline(file)
    frame = _perceive(gallery, labels, pipeline, file, cache, quality, progress, encrypt, keep_days)
    enrolment = enrol(frame, labels, fmr=fmr, margin=margin, seed=seed, strategy=strategy)
    result = pipeline.perceive([decoded.pixels], [image])[0]
    decisions = _decide(enrolment, result, decoded.pixels, quality)
    point = _operating_point(enrolment)
    for line in _lines(decisions, point):
        print(line)
    print(NO_AUTHENTICATION)
    _store(point, gallery, labels, file, cache)
    if out is not None:
        from perception.publish import publish_json

        publish_json(Path(out), {"image": image, "faces": decisions, "operating_point": point, "note": NO_AUTHENTICATION})
        note(out, "decisions")
    return 0


def _perceive(gallery: str, labels: pd.DataFrame, pipeline: FacePipeline, weights: Path, cache: str | None, quality: bool,
              progress: bool, encrypt: bool, keep_days: int) -> pd.DataFrame:
    """Table of the gallery's largest faces with embeddings; those that fail the gate count as no face, with a note."""
    from perception.cache import settings_digest
    from perception.perceiving import open_cache, perceive_files
    from perception.results import to_frame
    from perception.weights import file_digest

    names = [str(name) for name in labels["image"]]
    store = open_cache(cache, settings_digest(facenet=file_digest(weights)), True, encrypt, keep_days)
    results = perceive_files([Path(gallery, *name.split("/")) for name in names], names, lambda: pipeline, store, store, progress)
    if quality:
        refused = {result.image: reasons for result in results if (reasons := _against(gallery, result))}
        for name, reasons in list(refused.items())[:5]:
            print(f"not enrolled: {name}: {'; '.join(reasons)}", file=sys.stderr)
        if len(refused) > 5:
            print(f"not enrolled: {len(refused) - 5} more", file=sys.stderr)
        results = [_faceless(result) if result.image in refused else result for result in results]
    return to_frame(results, keep_embeddings=True, largest_only=True)


def _against(gallery: str, result: ImageResult) -> tuple[str, ...]:
    """What speaks against enrolling an image's largest face."""
    from perception.image_io import DecodedImage, decode_image
    from perception.quality import assess

    if not result.faces:
        return ()
    decoded = decode_image(Path(gallery, *result.image.split("/")))
    return assess(decoded.pixels, result.faces[0]).reasons if isinstance(decoded, DecodedImage) else ()


def _faceless(result: ImageResult) -> ImageResult:
    import dataclasses

    return dataclasses.replace(result, status="no_face", faces=())


def _embedding(face: Face) -> np.ndarray:
    assert face.embedding is not None  # FaceNet is always loaded here
    return face.embedding


def _decide(enrolment: Enrolment, result: ImageResult, pixels: np.ndarray, quality: bool) -> list[dict[str, Any]]:
    """One record per face: decision, score, what it needed, and what speaks against it."""
    import numpy as np

    from perception.quality import assess

    if not result.faces:
        raise InputError(f"no face was found in {result.image}")
    scores = enrolment.gallery.scores(np.stack([_embedding(face) for face in result.faces]))
    masked = np.array([face.masked for face in result.faces])
    matches = enrolment.gallery.decide(scores, enrolment.thresholds, masked)
    records = []
    for k, (face, match) in enumerate(zip(result.faces, matches, strict=True)):
        ranked = np.sort(scores[k])[::-1]
        lead = float(ranked[0] - ranked[1])
        needed = enrolment.thresholds.masked if masked[k] else enrolment.thresholds.plain
        reasons = list(assess(pixels, face).reasons)
        person = None if reasons and quality else match.person
        if person is None and not (reasons and quality):
            reasons.append(f"the best score {match.similarity:.3f} is below {needed:.3f}" if match.similarity < needed
                           else f"the lead over the runner-up, {lead:.3f}, is below {enrolment.thresholds.margin:.3f}")
        records.append({"box": [round(v, 1) for v in face.box], "person": person, "score": match.similarity, "lead": lead,
                        "threshold": needed, "masked": bool(masked[k]), "reasons": reasons})
    return records


def _operating_point(enrolment: Enrolment) -> dict[str, Any]:
    """Thresholds, margin, and the error rates measured on the gallery."""
    import dataclasses

    strangers = [match.person is not None for match in enrolment.strangers()]
    return dataclasses.asdict(enrolment.thresholds) | {
        "persons": len(enrolment.gallery.persons), "strangers_accepted": sum(strangers), "stranger_searches": len(strangers)}


def _lines(decisions: Sequence[dict[str, Any]], point: dict[str, Any]) -> list[str]:
    """The report."""
    lines = []
    for k, d in enumerate(decisions):
        where = " x ".join(str(round(d["box"][i + 2] - d["box"][i])) for i in (0, 1))
        answer = f"{d['person']}" if d["person"] is not None else "unknown"
        lines.append(f"face {k} ({where} px{', masked' if d['masked'] else ''}): {answer}, score {d['score']:.3f}, lead {d['lead']:.3f}"
                     + (f" ({'; '.join(d['reasons'])})" if d["reasons"] else ""))
    fmr = "unmeasured" if point["measured_fmr"] is None else f"{point['measured_fmr']:.2g}"
    fnmr = "unmeasured" if point["fnmr"] is None else f"{point['fnmr']:.2g}"
    lines.append(f"threshold {point['plain']:.3f} ({point['masked']:.3f} with a mask), lead {point['margin']:.3f}: false match rate "
                 f"{fmr} on {point['comparisons']:,} comparisons ({point['fmr']:g} asked), false non-match rate {fnmr} on "
                 f"{point['genuine']:,}")
    if point["comparisons"] * point["fmr"] < 1:
        lines.append(f"{point['comparisons']:,} comparisons cannot show a rate of {point['fmr']:g}: the threshold is the shipped one, "
                     "or lies above the best impostor")
    lines.append(f"{point['strangers_accepted']} of {point['stranger_searches']} searches with the right person left out of the "
                 f"{point['persons']} ended in a wrong name")
    return lines


def _store(point: dict[str, Any], gallery: str, labels: pd.DataFrame, weights: Path, cache: str | None) -> None:
    """Keep the operating point beside the gallery's digest in the cache (numbers only)."""
    from perception.cache import make_private_folder, settings_digest
    from perception.errors import CacheError
    from perception.gallery import content_digest
    from perception.publish import publish_json
    from perception.weights import cache_folder, file_digest

    if cache == "none":
        return
    digest = settings_digest(gallery=content_digest(Path(gallery), labels), facenet=file_digest(weights), fmr=point["fmr"],
                             strategy=point["strategy"])
    try:
        folder = make_private_folder((Path(cache) if cache else cache_folder()) / "galleries")
        publish_json(folder / f"{digest}.operating_point.json", point)
    except CacheError:
        if cache:
            raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run("perception.identify", PURPOSE, SETTINGS, EXAMPLE, identify, arguments)


if __name__ == "__main__":
    sys.exit(main())

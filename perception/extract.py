"""Extract: any folder of photographs becomes the FaceFeatures table.

One row per face, or one per image without a usable face with its reason (:mod:`perception.features`).  Results are cached
by the content of each image, so a second run computes only what is new and needs no network at all when nothing is, and a
run that was killed goes on where it was.  Images that cannot be used are listed beside the table, in ``<out>.failures.csv``.
``executor=process`` and ``ray`` share the images among processes and machines, with equal results.

Embeddings are biometric data: they are written (to the table and the cache) only with ``consent=true``, encrypted
(:mod:`perception.encryption`) unless ``encrypt=false`` asks for plain numbers, and for ``keep_days=`` days.

A folder with ``labels.csv`` (or a sub-folder of one), or ``gallery=true`` for one sub-folder per customer, is treated as
a gallery: some images are enrolled and every face is recognised (:mod:`perception.gallery`), with consent only.  The
rendered personas need none.

``draw=DIR`` also writes every picture with its boxes, emotions, masks and the count of faces (:mod:`perception.draw`), and
names from the gallery where consent was stated.  ``video=FILE`` reads every n-th frame of a video instead of a folder, and
follows its faces (:mod:`perception.extract_video`).
"""

from __future__ import annotations

import contextlib
import csv
import functools
import importlib
import io
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perception.command import Setting, run
from perception.emotion_head import check_head
from perception.encryption import DEFAULT_KEEP_DAYS, expiry, find_key
from perception.errors import CacheError, ConsentError, InputError
from perception.labels import LABELS_FILE
from perception.stored import note
from perception.weights import NO_WEIGHTS

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = Path(__file__).resolve().parent / "personas" / "shipped"
EXECUTORS = "sim.executors"  # joined by name, as sim.run joins its rooms: perception imports none of our packages
SHARED_FROM = 200  # images from which starting processes (some ten seconds) pays
PURPOSE = "Find every face in a folder of photographs: box, emotion, mask, identity, as one parquet table."
Row = tuple[str, int, str, str | None]
"""Image, number of the face (-1: none), status, and why the image is unusable."""
EXAMPLE = "python -m perception.extract images=photos out=features.parquet"
SETTINGS = (
    Setting("images", str, "folder of photographs (any depth), or files, separated by commas"),
    Setting("video", str, "video file to read instead of images"),
    Setting("every", int, "of a video, read every n-th frame", 10, minimum=1),
    Setting("out", str, "feature table to write (parquet)", required=True),
    Setting("weights", str, "FaceNet weights, or none for detection and emotion only"),
    Setting("consent", bool, "the people shown agreed to be recognised, and that their embeddings are kept", False),
    Setting("encrypt", bool, "encrypt the embeddings kept; false leaves them readable to whoever reads the disk", True),
    Setting("keep_days", int, "days until table and cached embeddings expire; 0: until removed", DEFAULT_KEEP_DAYS, minimum=0),
    Setting("draw", str, "folder to write the pictures to, with boxes, emotions, masks, counts (and names, with consent)"),
    Setting("gallery", bool, "one sub-folder per customer: enrol and recognise (implied by labels.csv)", False),
    Setting("fmr", float, "false match rate at which identity thresholds are calibrated", 1e-3, minimum=1e-9),
    Setting("emotion", str, "emotion head: combined (fer where FaceNet does not run), or fer", "combined"),
    Setting("cache", str, "cache folder, or none (default: the user's cache folder)"),
    Setting("batch", int, "images that go through the networks at once", 32, minimum=1),
    Setting("executor", str, f"auto (process for {SHARED_FROM} images or more), serial, process, or ray", "auto"),
    Setting("executor.workers", int, "processes, each with its own networks (1 GB); default: one per processor", minimum=1),
    Setting("executor.address", str, "of a Ray cluster, HOST:PORT or auto, whose machines see the images under the same paths"),
    Setting("progress", bool, "draw a progress bar", True),
)


def extract(images: str | None, out: str, weights: str | None = None, consent: bool = False, gallery: bool = False,
            fmr: float = 1e-3, emotion: str = "combined", cache: str | None = None, batch: int = 32,
            progress: bool = True, video: str | None = None, every: int = 10, draw: str | None = None,
            encrypt: bool = True, keep_days: int = DEFAULT_KEEP_DAYS, executor: str = "auto",
            executor_workers: int | None = None, executor_address: str | None = None) -> int:
    """Body of the command; see the module's docstring.

    Raises
    ------
    InputError, ConsentError
        Nothing to read, wrong labels, or a gallery without consent.
    WeightsError, CacheError, KeyUnavailableError
    """
    if fmr >= 1.0:
        raise InputError(f"fmr= must be below 1, not {fmr:g}")
    check_head(emotion)
    if (images is None) == (video is None):
        raise InputError("give either images= (folder of photographs, or files) or video= (a file)")
    if Path(out).is_dir():
        raise InputError(f"out={out} is a folder; name a file, such as {out.rstrip('/')}/features.parquet")
    if draw is not None and Path(draw).exists() and not Path(draw).is_dir():
        raise InputError(f"draw={draw} is a file; name a folder")
    expires = expiry(keep_days) if consent else None
    if video is not None:
        if gallery:
            raise InputError("gallery=true needs images=; a video names nobody")
        return _video(video, out, weights, consent, every, draw, batch, progress, emotion, encrypt, expires)
    assert images is not None
    root, files, names = _files(images)
    if (executor, executor_workers, executor_address) != ("auto", None, None):  # a wrong wish is refused before anything else
        executor = _chosen_executor(executor, len(files), executor_workers, executor_address)
    if draw is not None and Path(draw).resolve().is_relative_to(root.resolve()) and Path(images).is_dir():
        raise InputError(f"draw={draw} lies inside images={images}: the drawings would be read as photographs next time")
    if not files:
        raise InputError(f"there are no images in {images} (looked for jpg, png, webp, bmp and pnm files, at any depth)")
    labels = _labels(root, gallery)
    rendered = root.resolve().is_relative_to(SHIPPED)
    if labels is not None and weights != NO_WEIGHTS and not consent and not rendered:
        if gallery:
            raise ConsentError(f"gallery=true recognises the people in {images}, and their faces are biometric data: state their "
                               "consent with consent=true")
        print(f"nobody is recognised, although {LABELS_FILE} names people: that needs their consent (consent=true)", file=sys.stderr)
        labels = None

    from perception.cache import settings_digest
    from perception.finished_tables import open_tables, state_of
    from perception.perceiving import cache_root, open_cache, perceive_files, start_pipeline
    from perception.weights import check_file, file_digest, find_weights

    file = None if weights == NO_WEIGHTS else find_weights(weights, check=False)
    if file is not None and consent and encrypt:
        find_key(make=True)  # before hours of work
    if file is None:
        if labels is not None:
            if gallery:
                raise InputError("gallery=true recognises people and needs FaceNet; leave weights=none away")
            labels = None
        print("weights=none: identity, mask and embedding columns stay null", file=sys.stderr)
    elif not consent:
        print("consent is not stated: embeddings are not kept (consent=true keeps them)", file=sys.stderr)

    nothing_personal = labels is None and draw is None and not consent
    tables = open_tables(cache_root(cache), root, settings_digest(emotion=emotion)) if nothing_personal else None
    if tables is not None:
        state = state_of([*names, *([] if file is None else ["weights"])], [*files, *([] if file is None else [file.resolve()])])
        finished = tables.get(state)
        if finished is not None:
            return _again(finished, Path(out))

    if file is not None:
        check_file(file)
    digest = settings_digest(facenet=None if file is None else file_digest(file), emotion=emotion)
    store = open_cache(cache, digest, consent and file is not None, encrypt, keep_days)
    # without consent no embedding is cached, and recognition needs embeddings: a gallery is then computed anew
    reuse = store if labels is None or consent else None

    executors = importlib.import_module(EXECUTORS)
    executor = _chosen_executor(executor, len(files), executor_workers, executor_address)
    start = functools.partial(start_pipeline, file or NO_WEIGHTS, batch, emotion)
    try:
        with executors.make_executor(executor, executor_workers, executor_address) as workers:
            results = perceive_files([file.absolute() for file in files], names, start, store, reuse, progress, executor=workers,
                                     batch=batch, embeddings=consent or labels is not None)
    except executors.ExecutorError as error:
        raise InputError(str(error)) from None

    from perception.features import write_features
    from perception.results import to_frame

    frame = to_frame(results, keep_embeddings=consent or labels is not None)
    if labels is not None:
        if consent:
            note(root, "gallery")
        from perception.gallery import recognise

        frame = recognise(frame, labels, fmr=fmr, keep_embeddings=consent)
    write_features(frame, out, encrypt=encrypt, expires=expires)
    if consent:
        note(out, "features", expires)
    if tables is not None:
        with contextlib.suppress(CacheError):  # the table that was asked for is written
            tables.keep(state, Path(out).read_bytes())
    rows = [(result.image, k, result.status, result.reason) for result in results for k in (range(len(result.faces)) or (-1,))]
    print(_summary(rows))
    if labels is not None:
        print(_operating_point(frame.attrs["operating_point"]))
    print(f"written: {out}" + _report_failures(Path(out), rows))
    if draw is not None:
        from perception.draw import write_drawings

        if consent and labels is not None:
            note(draw, "drawings", expires)
        named = frame[frame["identity"].notna()] if labels is not None and consent else frame[:0]
        called = {(image, face): name for image, face, name in zip(named["image"], named["face"], named["identity"], strict=True)}
        print(f"drawn: {write_drawings(Path(draw), files, results, called, progress)} pictures in {draw}"
              + ("" if consent or labels is None else " (without names: consent is not stated)"))
    return 0


def _chosen_executor(name: str, files: int, workers: int | None, address: str | None) -> str:
    """Who perceives so many files; refuses an executor that is unknown or not installed."""
    executors = importlib.import_module(EXECUTORS)
    if name == "auto":
        name = "process" if files >= SHARED_FROM and executors.processors() > 1 else "serial"
    try:
        executors.check_settings(name, workers, address)
    except executors.ExecutorError as error:
        raise InputError(str(error)) from None
    return name


def _again(table: bytes, out: Path) -> int:
    """Write a finished table once more, and say of it what was said when it was made."""
    import pyarrow.parquet

    from perception.publish import publish

    columns = ["image", "face", "status", "reason"]
    # no read_table: it imports pandas, which takes longer than all the rest
    told = pyarrow.parquet.ParquetFile(io.BytesIO(table)).read(columns=columns).to_pydict()
    rows = list(zip(*(told[name] for name in columns), strict=True))
    publish(out, table)
    print("no image has changed since their table was made, and none is opened (cache=none reads them again)", file=sys.stderr)
    print(_summary(rows))
    print(f"written: {out}" + _report_failures(out, rows))
    return 0


def _report_failures(out: Path, rows: Sequence[Row]) -> str:
    """List the images that cannot be used beside the table, or remove an older list; what to say of it."""
    from perception.publish import publish

    report = out.with_suffix(".failures.csv")
    lines = [(image, reason) for image, _, status, reason in rows if status == "unusable"]
    if not lines:
        report.unlink(missing_ok=True)
        return ""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("image", "reason"), *lines])
    publish(report, text.getvalue().encode())
    return f"; the {len(lines)} images that cannot be used are listed in {report}"


def _video(video: str, out: str, weights: str | None, consent: bool, every: int, draw: str | None, batch: int, progress: bool,
           emotion: str, encrypt: bool, expires: str | None) -> int:
    """The command on a video."""
    from perception.extract_video import extract_video
    from perception.weights import find_weights

    if not Path(video).is_file():
        raise InputError(f"there is no video file at {video}")
    file = NO_WEIGHTS if weights == NO_WEIGHTS else find_weights(weights)
    from perception.pipeline import FacePipeline

    if file != NO_WEIGHTS and consent and encrypt:
        find_key(make=True)
    print(extract_video(video, out, FacePipeline(file, batch_size=batch, emotion=emotion), every, consent, draw, batch, progress,
                        encrypt=encrypt, expires=expires))
    if consent:
        note(out, "features", expires)
    print(f"written: {out}" + (f"; drawn: {draw}" if draw else ""))
    return 0


def _operating_point(point: dict) -> str:
    """The gallery's thresholds in a line."""
    def rate(value: float | None) -> str:
        return "unmeasured" if value is None else f"{value:.2g}"

    return (f"identity: threshold {point['plain']:.3f} ({point['masked']:.3f} with a mask), lead {point['margin']:.3f}; false match rate "
            f"{rate(point['measured_fmr'])} on {point['comparisons']:,} comparisons, false non-match rate {rate(point['fnmr'])} on "
            f"{point['genuine']:,}")


def _files(images: str) -> tuple[Path, list[Path], list[str]]:
    """Root, files and names of ``images=``: a folder, a file, or files separated by commas."""
    from perception.image_io import find_images, relative_names

    if Path(images).exists() or "," not in images:
        root, files = find_images(images)
    else:
        files = [Path(part.strip()) for part in images.split(",") if part.strip()]
        for file in files:
            if not file.is_file():
                raise InputError(f"there is no image file at {file}")
        files = sorted({file.absolute() for file in files})
        parents = {file.parent for file in files}
        root = next(iter(parents)) if len(parents) == 1 else Path(*_common([parent.parts for parent in parents]))
    return root, files, relative_names(root, files)


def _common(parts: list[tuple[str, ...]]) -> list[str]:
    """Longest common beginning of several paths."""
    shared: list[str] = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return shared


def _labels(root: Path, gallery: bool) -> pd.DataFrame | None:
    """Labels of the folder read: its own ``labels.csv``, its parent's where that lists this folder, or the sub-folders."""
    from perception.labels import gallery_labels, read_labels

    if gallery or (root / LABELS_FILE).is_file():
        return gallery_labels(root)
    above = root.resolve().parent / LABELS_FILE
    if above.is_file():
        prefix = f"{root.resolve().name}/"
        labels = read_labels(above)
        labels = labels[labels["image"].str.startswith(prefix)].reset_index(drop=True)
        if len(labels):
            labels["image"] = labels["image"].str.removeprefix(prefix).astype(object)
            return labels
    return None


def _summary(rows: Sequence[Row]) -> str:
    status = Counter(status for _, face, status, _ in rows if face <= 0)  # one row an image
    faces = sum(face >= 0 for _, face, _, _ in rows)
    line = f"{status.total()} images: {faces} faces in {status['face']}, {status['no_face']} no_face, {status['unusable']} unusable"
    reasons = Counter((reason or "").split(" (")[0] for _, _, status, reason in rows if status == "unusable")
    if reasons:
        line += " (" + "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(8)) + ")"
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run("perception.extract", PURPOSE, SETTINGS, EXAMPLE, extract, arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Evaluate: how good is perception on a labelled manifest (:mod:`perception.evaluation.manifest` says what it may hold).

Every set of the manifest is evaluated for what its labels say, or for ``task=``: detection, identity, pairs, emotion,
mask, classification.  The labelled face of an image is the one that overlaps the row's box most, or the largest.
Results: tables in the terminal, ``evaluation.json`` and plots in ``out=``, and a run in MLflow where
``MLFLOW_TRACKING_URI`` is set or ``mlflow=true`` asks for it.  Embeddings stay in memory, and in the cache only with
``consent=true``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perception.command import Setting, run
from perception.emotion_head import check_head
from perception.errors import InputError
from perception.stored import note

if TYPE_CHECKING:
    import pandas as pd

    from perception.evaluation.report import Finding
    from perception.perceiving import Perceiver
    from perception.results import ImageResult

PURPOSE = "Measure detection, identity, emotion and mask on a labelled manifest, with intervals."
EXAMPLE = "python -m perception.evaluate manifest=photos/manifest.csv set=kiosk"
MODELS = ("ours", "stock")
SETTINGS = (
    Setting("manifest", str, "CSV file: path,label,set and optional columns (or a pair list)", required=True),
    Setting("set", str, "sets to evaluate, separated by commas (default: all)"),
    Setting("task", str, "detection, identity, pairs, emotion, mask or classification (default: what the labels say)"),
    Setting("split", str, "rows whose column split says this"),
    Setting("boxes", str, "annotation file of the images' faces, names as in the manifest (see perception.annotations), for detection"),
    Setting("images", str, "folder that paths are relative to (default: that of the manifest)"),
    Setting("persons", str, "regular expression on a file's name whose first group is the person, for intervals by person"),
    Setting("limit", int, "images per set and label at most, drawn with the seed", minimum=1),
    Setting("models", str, "ours, or stock: facenet-pytorch and fer as they come", "ours"),
    Setting("emotion", str, "emotion head of ours: combined (fer where FaceNet does not run), or fer", "combined"),
    Setting("threshold", float, "score at which pairs are also decided (default: the shipped threshold)"),
    Setting("per_person", int, "images per person for task=classification", 20, minimum=2),
    Setting("draws", int, "bootstrap draws", 500, minimum=50),
    Setting("seed", int, "of bootstrap, folds and choices", 0, minimum=0),
    Setting("out", str, "folder to write (default: outputs/evaluate/<date>/<time>)"),
    Setting("rates", str, "file to write FMR and FNMR over thresholds to, of the one identity set, as perception.verify reads it"),
    Setting("mlflow", bool, "log to MLflow (default: where MLFLOW_TRACKING_URI is set)"),
    Setting("weights", str, "FaceNet weights, or none for detection and emotion only"),
    Setting("consent", bool, "the people shown agreed that their embeddings are kept in the cache (encrypted, a year)", False),
    Setting("cache", str, "cache folder, or none (default: the user's cache folder)"),
    Setting("batch", int, "images that go through the networks at once", 32, minimum=1),
    Setting("progress", bool, "draw a progress bar", True),
)


def evaluate(manifest: str, set: str | None, task: str | None, split: str | None, boxes: str | None, images: str | None,
             persons: str | None, limit: int | None, models: str, emotion: str, threshold: float | None, per_person: int, draws: int,
             seed: int, out: str | None, rates: str | None, mlflow: bool | None, weights: str | None, consent: bool, cache: str | None,
             batch: int, progress: bool) -> int:
    """Body of the command; see the module's docstring.

    Raises
    ------
    InputError
        Nothing to evaluate, or wrong labels.
    WeightsError, CacheError
    """
    from perception.evaluation.manifest import TASKS, prepared, read_manifest, tasks_of
    from perception.evaluation.report import Finding, as_json, print_findings
    from perception.publish import publish_json
    from perception.weights import NO_WEIGHTS

    if task is not None and task not in TASKS:
        raise InputError(f"task= must be one of {', '.join(TASKS)}, not {task!r}")
    if models not in MODELS:
        raise InputError(f"models= must be ours or stock, not {models!r}")
    check_head(emotion)
    frame = read_manifest(manifest)
    frame = _selected(frame, set, split)
    root = Path(images) if images else Path(manifest).parent
    annotated = _annotated(boxes, root) if boxes else {}
    if annotated and task is None:
        task = "detection"
    jobs: list[tuple[Finding, pd.DataFrame | None]] = []
    for name, part in frame.groupby("set", sort=False):
        try:
            tasks = (task,) if task else tasks_of(part)
            ready = [(t, prepared(part, t, persons)) for t in tasks]
        except InputError as error:
            if set is not None or frame["set"].nunique() == 1:
                raise InputError(f"set {name}: {error}") from None
            jobs.append((Finding(str(name), task or "none", note=str(error)), None))
            continue
        for t, rows in ready:
            if weights == NO_WEIGHTS and t not in ("detection", "emotion"):
                raise InputError(f"task {t} of set {name} needs FaceNet; leave weights=none away")
            if models == "stock" and t == "mask":
                jobs.append((Finding(str(name), t, note="the stock libraries have no mask head"), None))
                continue
            jobs.append((Finding(str(name), t), _limited(rows, t, limit, seed)))
    if all(rows is None for _, rows in jobs):
        raise InputError(f"{manifest}: no set can be evaluated ({jobs[0][0].set}: {jobs[0][0].note})")

    from perception.evaluation.run import evaluate_task
    from perception.recognition import DEFAULT_THRESHOLD

    results = _perceived(jobs, root, models, emotion, weights, consent, cache, batch, progress)
    for finding, rows in jobs:
        if rows is None:
            continue
        try:
            evaluate_task(finding, rows, results[models == "stock" and finding.task == "emotion"], annotated,
                          DEFAULT_THRESHOLD if threshold is None else threshold, per_person, draws, seed)
        except InputError as error:
            if len(jobs) == 1:
                raise InputError(f"set {finding.set}: {error}") from None
            finding.note = str(error)
    findings = [finding for finding, _ in jobs]
    print_findings(findings)
    folder = Path(out) if out else _stamped()
    settings = {"manifest": Path(manifest).name, "set": set, "task": task, "split": split, "models": models, "draws": draws, "seed": seed,
                "limit": limit, "images_listed": len(frame)}
    publish_json(folder / "evaluation.json", as_json(findings, settings))
    note(folder / "evaluation.json", "decisions")
    if rates is not None:
        _write_rates(findings, rates)
    plots = _plots(findings, folder)
    _track(mlflow, findings, settings, plots)
    print(f"written: {folder}/evaluation.json" + (f" and {len(plots)} plots" if plots else ""))
    return 0


def _selected(frame: pd.DataFrame, sets: str | None, split: str | None) -> pd.DataFrame:
    """Rows of the sets and the split asked for."""
    if sets is not None:
        wanted = [name.strip() for name in sets.split(",") if name.strip()]
        known = list(frame["set"].unique())
        for name in wanted:
            if name not in known:
                raise InputError(f"the manifest has no set {name!r}; it has {', '.join(map(str, known[:20]))}")
        frame = frame[frame["set"].isin(wanted)]
    if split is not None:
        splits = sorted({str(v) for v in frame["split"].dropna()})
        frame = frame[frame["split"] == split]
        if not len(frame):
            raise InputError(f"no row has the split {split!r}; the manifest has {', '.join(splits) or 'no column split'}")
    return frame.reset_index(drop=True)


def _annotated(boxes: str, root: Path) -> dict[str, tuple[list[tuple[float, float, float, float]], list[bool | None]]]:
    """Boxes and masks by image name, of an annotation file."""
    from perception.annotations import read_annotations
    from perception.evaluation.manifest import MASK_NAMES

    entries = read_annotations(boxes, images=root)
    return {e.image: ([(b.x0, b.y0, b.x1, b.y1) for b in e.boxes], [MASK_NAMES.get(b.label.lower()) for b in e.boxes]) for e in entries}


def _limited(rows: pd.DataFrame, task: str, limit: int | None, seed: int) -> pd.DataFrame:
    """At most ``limit`` rows per label of the task."""
    if limit is None:
        return rows
    column = {"identity": "person", "classification": "person", "pairs": "same", "detection": "set"}.get(task, task)
    shuffled = rows.sample(frac=1.0, random_state=seed)
    return shuffled[shuffled.groupby(column).cumcount() < limit].sort_index().reset_index(drop=True)


def _perceived(jobs: list, root: Path, models: str, emotion: str, weights: str | None, consent: bool, cache: str | None,
               batch: int, progress: bool) -> list[dict[str, ImageResult]]:
    """Results by image name: of the tasks in general, and (stock) those of fer for emotions."""
    from perception.cache import settings_digest
    from perception.perceiving import open_cache, perceive_files
    from perception.weights import NO_WEIGHTS, file_digest, find_weights

    file = None if weights == NO_WEIGHTS else find_weights(weights)
    wanted: list[dict[str, None]] = [{}, {}]
    vectors = False
    for finding, rows in jobs:
        if rows is not None:
            fer = models == "stock" and finding.task == "emotion"
            wanted[fer] |= dict.fromkeys([*rows["path"], *(rows["path_b"] if finding.task == "pairs" else [])])
            vectors |= finding.task in ("identity", "pairs", "classification")
    found: list[dict[str, ImageResult]] = [{}, {}]
    for k, names in enumerate(wanted):
        if not names:
            continue
        tag = {} if models == "ours" else {"models": ("stock", "stock fer")[k]}
        digest = settings_digest(facenet=None if file is None else file_digest(file), emotion=emotion, **tag)
        keep = consent and file is not None
        store = open_cache(cache, digest, keep)
        reuse = open_cache(cache, digest, vectors and k == 0)

        def start(fer: bool = bool(k)) -> Perceiver:
            if models == "stock":
                from perception.evaluation.stock import StockPipeline

                return StockPipeline(None if fer else file, fer)
            from perception.pipeline import FacePipeline

            return FacePipeline(file or NO_WEIGHTS, batch_size=batch, emotion=emotion)

        results = perceive_files([root / name for name in names], list(names), start, store, reuse, progress)
        found[k] = dict(zip(names, results, strict=True))
    return found


def _write_rates(findings: Sequence[Finding], file: str) -> None:
    """FMR and FNMR over thresholds, for :mod:`perception.operating_point`."""
    from perception.publish import publish_json

    found = [f for f in findings if f.rates]
    if len(found) != 1:
        raise InputError(f"rates= needs exactly one identity set, this run evaluated {len(found)}; choose one with set=")
    publish_json(Path(file), {"set": found[0].set, **found[0].rated, "rates": found[0].rates})


def _stamped() -> Path:
    from datetime import datetime

    return Path("outputs", "evaluate", *datetime.now().strftime("%Y-%m-%d %H-%M-%S").split())


def _plots(findings: Sequence[Finding], folder: Path) -> list[Path]:
    from perception.evaluation.plots import plot_confusion, plot_rates

    files = []
    for f in findings:
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in f"{f.set}-{f.task}")
        if f.curve is not None:
            files.append(folder / f"{name}-rates.png")
            plot_rates(*f.curve, f"{f.set}: {f.task}", files[-1])
        if f.confusion is not None:
            files.append(folder / f"{name}-confusion.png")
            plot_confusion(f.confusion, f"{f.set}: {f.task}", files[-1])
    return files


def _track(wanted: bool | None, findings: Sequence[Finding], settings: dict, plots: list[Path]) -> None:
    """Log where that is asked for; an evaluation survives a store that does not answer."""
    import os

    if wanted is False or (wanted is None and not os.environ.get("MLFLOW_TRACKING_URI", "").strip()):
        return
    from perception.evaluation.track import log_findings, tracking_uri

    try:
        print(f"MLflow run: {log_findings(findings, settings, plots)}")
    except Exception as error:  # whatever the store says: the numbers are printed and written already
        print(f"MLflow at {tracking_uri().split('@')[-1]} did not take the run ({str(error).splitlines()[0][:120]}); the results are in "
              "evaluation.json", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run("perception.evaluate", PURPOSE, SETTINGS, EXAMPLE, evaluate, arguments)


if __name__ == "__main__":
    sys.exit(main())

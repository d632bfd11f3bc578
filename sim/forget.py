"""Forget a person everywhere, and prove it by search; or remove whatever has expired.

python -m sim.forget person=NAME

Perception takes the person out of galleries, caches, feature tables, drawings and decisions; here session logs, pages and
MLflow's copies follow.  A journal makes an interrupted call end well when it is made again; made once more, it finds nothing.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim.shop.parameters import ShopError
from sim.targets import joint

USAGE = """\
Remove a person from galleries, caches, feature tables, session logs and MLflow, and search for what is left.

  python -m sim.forget person=anna dry_run=true       what would go
  python -m sim.forget person=anna                    the photographs stay, but nobody is enrolled by them any more
  python -m sim.forget person=anna photographs=true   the photographs go as well
  python -m sim.forget person=anna paths=[table.parquet,answers]    also in files that were moved since they were written
  python -m sim.forget expired=true                   everything whose time is over, of anybody

Exit code: 0 nothing is left, 1 something is (it is named), 2 wrong input.

Settings (KEY=VALUE): person, expired, gallery, photographs, paths, cache, outputs, mlflow, dry_run
"""
TABLES = ("sessions.parquet", "customers.parquet")


@dataclasses.dataclass
class ForgetConfig:
    """What the command understands."""

    person: str | None = None
    expired: bool = False
    gallery: str | None = None
    photographs: bool = False
    paths: list[str] = dataclasses.field(default_factory=list)
    cache: str | None = None
    outputs: list[str] = dataclasses.field(default_factory=list)
    mlflow: bool = True
    dry_run: bool = False
    joined: dict[str, Any] = dataclasses.field(default_factory=dict)


class ForgetError(ShopError):
    """The command was called in a way that means nothing."""


class UnreachableError(RuntimeError):
    """MLflow does not answer, and a person half forgotten would be no service."""

    exit_code = 1


@dataclasses.dataclass(frozen=True)
class RealRun:
    """A run on a real gallery, on this disk."""

    folder: Path
    digest: str | None

    def tables(self) -> list[Path]:
        """Files of its session log and table of customers."""
        from sim.evaluation.erasure import log_files

        return [file for name in TABLES if (self.folder / name).exists() for file in log_files(self.folder / name)]


def real_runs(outputs: list[Path]) -> Iterator[RealRun]:
    """Runs on real galleries below some folders."""
    from omegaconf import OmegaConf

    for root in outputs:
        for config in sorted(root.rglob(".hydra/config.yaml")):
            if "latest" in config.relative_to(root).parts:
                continue
            folder = config.parent.parent
            try:
                if OmegaConf.select(OmegaConf.load(config), "population.gallery") is None:
                    continue
                digest = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["digests"]["gallery"]
            except Exception:  # not finished, or a file that a kill tore; YAML and OmegaConf share no error
                digest = None
            yield RealRun(folder, digest)


def erase_run(run: RealRun, face: int, dry_run: bool) -> Iterator[str]:
    """Rewrite a run's tables and delete its pages; yields what was found."""
    from sim.evaluation.erasure import erase, traces

    for file in run.tables():
        lines = traces(file, face)
        if lines:
            yield f"{file}: {lines} lines"
            if not dry_run:
                erase(file, face)
    for page in sorted(run.folder.glob("*.html")):
        yield f"{page}: a page that can be made again"
        if not dry_run:
            page.unlink(missing_ok=True)


def _erase_everywhere(forgetting: Any, runs: list[RealRun], store: Any, dry_run: bool) -> Iterator[str]:
    """Session logs, then MLflow, then what perception keeps: whose opaque name is whose is known by the last."""
    from sim.evaluation.erasure import erase, traces
    from sim.tracking.erasure import erase_artifacts, real_gallery_runs

    faces = forgetting.notes["faces"]
    for run in runs:
        face = faces.get(run.digest)
        if face is not None:
            yield from erase_run(run, face, dry_run)
    for run_id, digest in real_gallery_runs(store) if store is not None else ():
        face = faces.get(digest)
        if face is not None:

            def in_place(file: Path, face: int = face) -> bool:
                found = traces(file, face) > 0
                if found:
                    erase(file, face)
                return found

            yield from erase_artifacts(store, run_id, in_place, dry_run)
    yield from forgetting.remove()


def left_behind(forgetting: Any, runs: list[RealRun], store: Any, outputs: list[Path]) -> tuple[list[str], list[str]]:
    """(what is left, what was searched), as sentences."""
    from sim.evaluation.erasure import traces
    from sim.tracking.erasure import real_gallery_runs, texts_of
    from sim.tracking.uri import sqlite_path

    faces, lines, left = forgetting.notes["faces"], 0, []
    for run in runs:
        if run.digest not in faces:
            left.append(
                f"{run.folder}: a run on a real gallery whose opaque names cannot be resolved any more (its perceived gallery is not "
                "in the cache); perceive the unchanged gallery again by any run on it and call again, or delete the run's folder"
            )
        elif faces[run.digest] is not None:
            found = sum(traces(file, faces[run.digest]) for file in run.tables())
            left += [f"{run.folder}: {found} lines"] if found else []
        lines += len(run.tables())
    roots, stored = list(outputs), 0
    if store is not None:
        database = sqlite_path(store.uri)
        if database is not None:
            roots += [p for p in (database, database.parent / "mlartifacts") if p.exists()]
        for run_id, _ in real_gallery_runs(store):
            stored += 1
            if forgetting.search_text(texts_of(store, run_id)):
                left.append(f"MLflow run {run_id}: the name, in a parameter or tag; delete the run")
    proof = forgetting.search(roots)
    left += [f"{path}: {what}" for path, what in proof.found]
    left += [f"{path}: could not be searched in full ({why})" for path, why in proof.unread]
    searched = [
        f"{proof.files:,} files ({proof.bytes / 1e6:,.0f} MB) for the name, {len(forgetting.subject.embeddings)} embeddings and "
        f"{len(forgetting.subject.digests)} photographs' digests",
        f"{lines} tables of {len(runs)} runs on real galleries for the opaque name, and {stored} such runs in MLflow",
    ]
    return left, searched


def forget(cfg: Any, new_forgetting: Any, tracking_uri: Any) -> int:
    """Forget `cfg.person`; prints the report and returns the exit code."""
    from sim.evaluation.erasure import roster

    forgetting = new_forgetting(
        cfg.person, gallery=cfg.gallery, paths=list(cfg.paths), cache=cfg.cache, photographs=cfg.photographs, dry_run=cfg.dry_run
    )
    if forgetting.resumed:
        print("an earlier call was interrupted; it is finished now", file=sys.stderr)
    outputs = [Path(p) for p in cfg.outputs if Path(p).is_dir()]
    runs = list(real_runs(outputs))
    for table in forgetting.gallery_tables():
        if (found := roster(table)) is not None:
            forgetting.rosters.setdefault(*found)
    faces = forgetting.notes.setdefault("faces", {})  # of an interrupted call, whose rosters no longer name the person
    for digest, names in forgetting.rosters.items():
        if faces.get(digest) is None:
            faces[digest] = names.index(cfg.person) if cfg.person in names else None
    store = _store(tracking_uri()) if cfg.mlflow else None
    forgetting.begin()
    word = "would be removed" if cfg.dry_run else "removed"
    things = 0
    for thing in _erase_everywhere(forgetting, runs, store, cfg.dry_run):
        things += 1
        print(f"{word}: {thing}", flush=True)
    if not things:
        print(f"nothing of {cfg.person} was found to remove")
    if cfg.dry_run:
        return 0
    left, searched = left_behind(forgetting, runs, store, outputs)
    print("searched: " + "\n          ".join(searched))
    for table in forgetting.unread:
        print(f"note: {table}: no key opens its embeddings, so its rows were found by name and path only")
    kept = forgetting.kept_photographs()
    if kept:
        print(f"kept: {len(kept)} photographs, {kept[0]} ..., which enrol nobody any more; photographs=true deletes them")
    forgetting.finish()
    print("\n".join(f"left: {thing}" for thing in left) if left else f"nothing of {cfg.person} is left")
    return 1 if left else 0


def _store(uri: str) -> Any:
    """The MLflow store, None where none was ever made."""
    from sim.tracking.store import MlflowStore
    from sim.tracking.uri import shown_uri, sqlite_path

    database = sqlite_path(uri)
    if database is not None and not database.exists():
        return None
    try:
        return MlflowStore(uri)
    except Exception as error:  # whatever a server says
        raise UnreachableError(
            f"MLflow at {shown_uri(uri)} does not answer ({str(error).splitlines()[0][:120]}), so nothing was removed; call again when it "
            "does, or leave it out by mlflow=false"
        ) from error


def run(cfg: Any) -> int:
    """Join the rooms."""
    if cfg.expired == (cfg.person is not None):
        raise ForgetError("give either person=NAME (somebody to forget) or expired=true (whatever has had its time)")
    if cfg.expired:
        gone = joint(cfg, "remove_expired")(cfg.dry_run, [Path(p) for p in cfg.paths], Path(cfg.cache) if cfg.cache else None)
        word = "would be removed" if cfg.dry_run else "removed"
        print("\n".join(f"{word}: {path}" for path in gone) or "nothing has expired")
        return 0
    return forget(cfg, joint(cfg, "forgetting"), lambda: str(joint(cfg, "tracking_uri")))


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    from sim.replay.overrides import composed_command

    return composed_command("forget", ForgetConfig, USAGE, ("person", "gallery", "cache"), run, arguments)


if __name__ == "__main__":
    sys.exit(main())

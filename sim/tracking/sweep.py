"""A sweep is one run in MLflow, its jobs are the children, and no store has to answer for that.

The parent's spool lies in the sweep's folder, where every job, in whatever process, finds its first record and names it as
its parent (`spool.run_record`).  When the sweep ends the parent gets `sweep.csv`, one line per run, and the means over seeds.
"""

from __future__ import annotations

import atexit
import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from sim.tracking.names import flatten

CSV = "sweep.csv"


class SweepRun:
    """The parent run: begun before the first job and finished after the last, or cut short."""

    def __init__(self) -> None:
        self._run: Any = None
        self._folder = Path()

    def begin(self, config: Any) -> None:
        """`config` is the sweep's own, as Hydra gives it to a callback."""
        tracking = config.get("tracking")
        if tracking is None or not tracking.enabled:
            return
        from sim.tracking.provenance import git_state
        from sim.tracking.tracker import Tracker
        from sim.tracking.uri import project_root

        self._folder = Path(config.hydra.sweep.dir)
        overrides = list(config.hydra.overrides.task)
        tags = {
            "kind": "sweep", "mlflow.source.name": "python -m sim.run -m", "mlflow.source.type": "LOCAL",
            **{f"git_{k}": v for k, v in git_state(project_root()).items()},
        }  # fmt: skip
        params = {name.lstrip("+~"): value for name, _, value in (o.partition("=") for o in overrides)}
        tracker = Tracker(tracking.uri, tracking.experiment, True)
        name = f"sweep {' '.join(swept(overrides))}"[:200]
        run = tracker.run(name, folder=self._folder, tags=tags, params=params)
        self._run = run.__enter__()
        _ = run.run_id  # children that look for their parent shall find it, where the store answers
        atexit.register(self.cut_short)

    def finish(self, *artifacts: Path) -> None:
        """FINISHED where every job wrote its summary, else FAILED."""
        if self._run is None:
            return
        run, self._run = self._run, None
        rows = read_rows(self._folder)
        jobs = sum(1 for _ in self._folder.glob("*/.hydra"))
        run.metrics(means(rows) | {"sweep/runs_finished": len(rows), "sweep/runs_failed": jobs - len(rows)})
        if rows:
            path = self._folder / CSV
            path.write_text(as_csv(rows), encoding="utf-8", newline="")
            run.artifact(path)
        for path in artifacts:
            run.artifact(path)
        error = None if len(rows) == jobs else RuntimeError(f"{jobs - len(rows)} of {jobs} runs did not finish")
        run.__exit__(type(error) if error else None, error, None)

    def cut_short(self, error: BaseException | None = None) -> None:
        """The sweep ended by `error`, or by Ctrl-C or a signal; once, and only where nobody has closed its run."""
        if self._run is not None:
            run, self._run = self._run, None
            error = error or KeyboardInterrupt()
            run.__exit__(type(error), error, error.__traceback__)


def swept(overrides: list[str]) -> list[str]:
    """The overrides that take several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(overrides)
    return [text for text, override in zip(overrides, parsed, strict=True) if override.is_sweep_override()]


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """One row per finished run of a sweep: what it was, and the metrics of its agent with their intervals."""
    rows: list[dict[str, Any]] = []
    given: list[list[str]] = []
    for path in sorted(folder.glob("*/summary.json"), key=lambda p: (len(p.parent.name), p.parent.name)):
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        camera = {f"camera_{k}": summary["camera"][k] for k in ("emotion", "identity", "mask")}
        row = {
            "run": path.parent.name,
            "arm": "",
            **{key: summary[key] for key in ("agent", "env", "seed", "training_steps")},
            **camera,
        }
        for name, interval in summary["policies"][summary["agent"]].items():
            row |= {name: interval["mean"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
        rows.append(row)
        given.append(_overrides(path.parent / ".hydra" / "overrides.yaml"))
    for row, arm in zip(rows, arms(given), strict=True):
        row["arm"] = arm or row["agent"]
    return rows


def _overrides(path: Path) -> list[str]:
    from omegaconf import OmegaConf

    return [str(o) for o in OmegaConf.load(path)] if path.is_file() else []


def arms(overrides: list[list[str]]) -> list[str]:
    """What each job has that not all have, its seed aside: jobs of one arm differ in their seed alone."""
    shared = set.intersection(*map(set, overrides)) if overrides else set()
    differing = [[o for o in each if o not in shared and not o.startswith("seed=")] for each in overrides]
    return [" ".join(o.partition("=")[2] or o for o in each) for each in differing]


def as_csv(rows: list[dict[str, Any]]) -> str:
    """The rows as CSV, all columns that any of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flatten(row) for row in rows)
    return text.getvalue()


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """`sweep/<arm>/<metric>`: mean over the rows of each arm."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["arm"], []).append(row)
    found: dict[str, float] = {}
    for name, group in groups.items():
        metrics = {key.removesuffix("_low") for row in group for key in row if key.endswith("_low")}
        for metric in sorted(metrics):
            values = [row[metric] for row in group if row.get(metric) is not None]
            if values and all(math.isfinite(value) for value in values):
                found[f"sweep/{name.replace('/', '-')}/{metric}"] = sum(values) / len(values)
    return found

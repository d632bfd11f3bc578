"""Many runs in one command: `python -m sim.run -m agent=ppo,linucb 'seed=range(5)'`.

    executor=process executor.workers=2      side by side, each in a process of its own
    executor=ray executor.address=HOST:6379  on the machines of a Ray cluster
    executor=slurm                           each a job of SLURM

Hydra makes the jobs; this adds a parent run in MLflow that every job is a child of (`sim.tracking.sweep`), keeps a job that
fails from ending the others, and tells at the end what became of each: a table, and `sweep.json` in the folder of the sweep.
"""

from __future__ import annotations

import json
import os
import shlex
import traceback
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

FAILED = "failed.json"

# of the sweep that this process leads; not in the callback itself, which is sent to the processes of the jobs
_open: dict[str, Any] = {}
_exit_codes: list[int] = []


def in_sweep() -> bool:
    """Whether the running Hydra job is one of several."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.get().mode == RunMode.MULTIRUN


def note_failure(error: Exception) -> None:
    """Write down in the job's folder why it failed; a fault of the program with its trace."""
    from hydra.core.hydra_config import HydraConfig

    from sim.report import dump_json

    expected = hasattr(error, "exit_code")
    reason = " ".join(str(error).split()) or type(error).__name__
    dump_json(
        Path(HydraConfig.get().runtime.output_dir) / FAILED,
        {
            "error": reason if expected else f"{type(error).__name__}: {reason}",
            "exit_code": int(getattr(error, "exit_code", 1)),
            "trace": None if expected else traceback.format_exc(),
        },
    )


def note_death(folder: Path, overrides: list[str], reason: str, trace: str | None) -> None:
    """Write down for a job whose process died, so that it could not do so itself."""
    from omegaconf import OmegaConf

    from sim.report import dump_json

    told = folder / ".hydra" / "overrides.yaml"
    if not told.is_file():  # it died before it began
        told.parent.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(overrides), told)
    dump_json(folder / FAILED, {"error": reason, "exit_code": 1, "trace": trace})


class SweepCallback(Callback):
    """Opens the parent run before the first job and tells the outcome after the last."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        from sim.tracking.sweep import SweepRun

        _exit_codes.clear()
        _open["tracked"] = tracked = SweepRun()
        tracked.begin(config)

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        from sim.report import dump_json

        folder = Path(config.hydra.sweep.dir)
        jobs = outcome(folder)
        _exit_codes.extend(job["exit_code"] for job in jobs)
        dump_json(folder / "sweep.json", {"jobs": jobs})
        tell(jobs, folder)
        _open.pop("tracked").finish(folder / "sweep.json")


def close(error: BaseException | None = None) -> list[int]:
    """End the parent run, FAILED or KILLED by `error`; returns the exit codes of the jobs.  Safe to call at any time."""
    tracked = _open.pop("tracked", None)
    if tracked is not None:
        tracked.cut_short(error or KeyboardInterrupt())
    return list(_exit_codes)


def outcome(folder: Path) -> list[dict[str, Any]]:
    """What became of each job of a sweep, in the order of their numbers: value per customer, or why there is none."""
    from omegaconf import OmegaConf

    jobs = []
    for path in sorted(folder.glob("*/.hydra/overrides.yaml"), key=_number):
        job = path.parents[1]
        entry: dict[str, Any] = {
            "job": job.name, "overrides": list(OmegaConf.load(path)), "value": None, "interval": None, "error": None,
            "exit_code": 0,
        }  # fmt: skip
        if (job / "summary.json").is_file():
            summary = json.loads((job / "summary.json").read_text(encoding="utf-8"))
            value = summary["policies"][summary["agent"]]["value_per_customer"]
            entry |= {"value": value["mean"], "interval": [value["low"], value["high"]]}
        elif (job / FAILED).is_file():
            failed = json.loads((job / FAILED).read_text(encoding="utf-8"))
            entry |= {"error": failed["error"], "exit_code": failed["exit_code"]}
        else:
            entry |= {"error": "it ended without a word (killed?)", "exit_code": 1}
        jobs.append(entry)
    return jobs


def _number(path: Path) -> tuple[int, str]:
    name = path.parents[1].name
    first = name.split("-")[0]
    return (int(first) if first.isdigit() else 10**9, name)


def tell(jobs: list[dict[str, Any]], folder: Path) -> None:
    """One line a job on standard output, failed ones with their reason."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    failed = sum(job["value"] is None for job in jobs)
    table = Table(title=f"sweep: {len(jobs)} jobs, {failed} failed", box=SIMPLE_HEAD, title_justify="left")
    for name, side in (("job", "left"), ("settings", "left"), ("value per customer", "right"), ("", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    common = set.intersection(*(set(job["overrides"]) for job in jobs)) if len(jobs) > 1 else set()
    for job in jobs:
        value = "-" if job["value"] is None else f"{job['value']:.2f} [{job['interval'][0]:.2f}, {job['interval'][1]:.2f}]"
        own = " ".join(o for o in job["overrides"] if o not in common)
        table.add_row(job["job"], own, value, job["error"] or "", style="red" if job["error"] else None)
    Console(width=None if os.isatty(1) else 140, highlight=False, markup=False).print(table)
    from sim.run_folder import RUN

    for job in (job for job in jobs if job["error"]):
        place = folder / job["job"]
        again = [f"resume={os.path.relpath(place)}", *(o for o in job["overrides"] if o.startswith("trusted_targets="))]
        if not (place / RUN).exists() and not (place / ".hydra" / "overrides.yaml").exists():  # it never began
            again = [*job["overrides"], f"hydra.run.dir={os.path.relpath(place)}"]
        print(f"{job['job']} alone, from where it stopped:  python -m sim.run {shlex.join(again)}")
    print(f"sweep.json and all runs lie in {os.path.relpath(folder)}; beside each other:")
    print(f"  python -m sim.compare 'runs=[{os.path.relpath(folder)}]'")

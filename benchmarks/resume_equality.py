"""Kill a run with -9 at random times, resume it, and look whether it ends as if nothing had happened.

    python -m benchmarks.resume_equality                       10 kills of agent=ppo, ten minutes on one quiet core
    python -m benchmarks.resume_equality 3 agent=linucb        3 kills, other settings

One run goes through; the others are killed when they have used a share of its processor time that is drawn uniformly (a share
of its duration would be another place on a busy machine), some of them a second time while they are resumed.  Compared are the
SHA-256 of every policy's weights and of the session log, every number of `summary.json` that is no wall clock, and every metric
in MLflow: name, step and value, each there exactly once.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SETTINGS = (
    "agent=ppo", "agent.num_envs=64", "agent.batch_size=1024", "steps=200000", "evaluate.customers=100", "tune.customers=50",
    "baselines=[popularity]", "evaluate.regret=false", "evaluate.oracles=[]", "replay.enabled=false", "checkpoint.seconds=0",
)  # fmt: skip
WALL_CLOCK = re.compile(r"rollout/fps|timing/.*")
TIMED = ("timing", "git", "versions")  # of summary.json
AGAIN = 0.3  # of the kills are followed by another one


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A run as a user starts it; its output goes to a file beside its folder."""
    log = open(folder.with_suffix(".log"), "ab")
    return subprocess.Popen([sys.executable, "-m", "sim.run", *arguments], stdout=log, stderr=log)


def fresh(folder: Path, settings: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments of a run in `folder`, with a MLflow store beside it."""
    return (*settings, f"hydra.run.dir={folder}", f"tracking.uri=sqlite:///{folder.parent / 'mlflow.db'}")


def outcome(folder: Path) -> dict[str, Any]:
    """What is compared, as text and digests."""
    weights = {p.parent.name: p.stem.split("-")[1] for p in sorted(folder.glob("policies/*/*.safetensors"))}
    summary = json.loads((folder / "summary.json").read_text())
    spools = sorted(folder.glob("spool*.jsonl"))
    records = [json.loads(line) for line in spools[0].read_text().splitlines() if line.strip().endswith("}")]
    (run_id,) = {r["run_id"] for r in records if r["kind"] == "delivered"}
    with sqlite3.connect(folder.parent / "mlflow.db") as store:
        rows = store.execute("select key, step, value from metrics where run_uuid = ?", (run_id,)).fetchall()
        (status,) = store.execute("select status from runs where run_uuid = ?", (run_id,)).fetchone()
    counted = [row for row in rows if not WALL_CLOCK.fullmatch(row[0])]
    keys = [row[:2] for row in rows]
    return {
        "weights": weights,
        "sessions": hashlib.sha256((folder / "sessions.parquet").read_bytes()).hexdigest(),
        "summary": {key: value for key, value in summary.items() if key not in TIMED},
        "metrics": sorted(counted),
        "twice": len(keys) - len(set(keys)),
        "names": sorted(set(keys)),
        "runs": len(spools),
        "status": status,
    }


def ended_before(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until a process has ended (True) or has used so many seconds of processor time (Linux)."""
    ticks = os.sysconf("SC_CLK_TCK")
    while process.poll() is None:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / ticks >= seconds:
            return False
        time.sleep(0.01)
    return True


def reached(folder: Path) -> str:
    """Where a killed run stands."""
    if not (folder / "run.json").exists():
        return "before it began"
    if (folder / "summary.json").exists():
        return "writing its results"
    states = sorted(folder.glob("checkpoints/0*/state.json"))
    if not states:
        return "learning, no checkpoint yet"
    state = json.loads(states[-1].read_text())
    training = state["training"]
    if training:
        return f"{training['policy']} at step {training['progress']['step']:,}"
    return f"after {', '.join(state['finished'])}"


def verdict(a: dict[str, Any], b: dict[str, Any], *keys: str) -> str:
    return "equal" if all(a[key] == b[key] for key in keys) else "DIFFERENT"


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    settings = (*SETTINGS, *sys.argv[2:])
    dice = random.Random(20260501)
    with tempfile.TemporaryDirectory(prefix="resume-") as scratch:
        whole = Path(scratch) / "whole"
        code = start(whole, *fresh(whole, settings)).wait()
        used = os.times()
        duration = used.children_user + used.children_system
        if code:
            print(whole.with_suffix(".log").read_text(), file=sys.stderr)
            return code
        expected = outcome(whole)
        sha = ", ".join(f"{name} {digest}" for name, digest in expected["weights"].items())
        print(f"uninterrupted: {duration:.0f} s of processor time, weights {sha}, {len(expected['metrics'])} metric values\n")
        print("| killed after | it stood at | kills | weights | metrics in MLflow | twice | summary and log | MLflow |")
        print("|---|---|---|---|---|---|---|---|")
        different = 0
        for number in range(kills):
            folder = Path(scratch) / f"killed-{number}"
            after, times, where = dice.uniform(0.05, 1.0) * duration, 0, ""
            first, process = after, start(folder, *fresh(folder, settings))
            while not ended_before(process, after):
                process.send_signal(signal.SIGKILL)
                process.wait()
                times += 1
                where = where or reached(folder)
                again = dice.random() < AGAIN
                arguments = (f"resume={folder}",) if (folder / ".hydra" / "overrides.yaml").exists() else fresh(folder, settings)
                process = start(folder, *arguments)
                after = dice.uniform(0.1, 0.9) * duration if again else 10_000.0
            if process.returncode:
                print(folder.with_suffix(".log").read_text(), file=sys.stderr)
                return process.returncode
            got = outcome(folder)
            row = [
                f"{first:.1f} s", where or "it was faster", str(times), verdict(expected, got, "weights"),
                verdict(expected, got, "metrics", "names"), str(got["twice"]), verdict(expected, got, "sessions", "summary"),
                f"{got['runs']} run, {got['status']}",
            ]  # fmt: skip
            different += "DIFFERENT" in row or got["twice"] > 0
            print(f"| {' | '.join(row)} |", flush=True)
        print(f"\n{kills - different} of {kills} as if nothing had happened")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Runs as a user starts them, small enough to be killed by the dozen."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sim.config import ROOT

SMALL = (
    "agent=ppo", "agent.num_envs=64", "agent.batch_size=512", "agent.n_steps=16", "agent.n_epochs=2", "agent.net_arch=[16]",
    "steps=60000", "evaluate.customers=60", "tune.customers=20", "baselines=[random]", "evaluate.oracles=[]",
    "evaluate.regret=false", "replay.enabled=false", "checkpoint.seconds=0",
)  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def command(*arguments: str, cwd: Path, timeout: float = 280, **more: str) -> subprocess.CompletedProcess[str]:
    """`python -m sim.run` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "sim.run", *arguments], cwd=cwd, env=environment(**more), capture_output=True, text=True,
        timeout=timeout,
    )  # fmt: skip


def begun(*arguments: str, cwd: Path, **more: str) -> subprocess.Popen[str]:
    """`python -m sim.run` while it works."""
    return subprocess.Popen(
        [sys.executable, "-m", "sim.run", *arguments], cwd=cwd, env=environment(**more), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoints/0*"))


def wait_for_checkpoint(process: subprocess.Popen[str], folder: Path, number: int = 1, seconds: float = 240) -> None:
    """Until the run has written its `number`-th checkpoint."""
    deadline = time.monotonic() + seconds
    while not any(int(path.name) >= number for path in checkpoints(folder)):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, "no checkpoint in time"
        time.sleep(0.02)


def weights(folder: Path) -> dict[str, str]:
    """Digest of every policy's arrays, by name."""
    return {path.parent.name: path.stem for path in sorted(folder.glob("policies/*/*.safetensors"))}


def in_mlflow(database: Path) -> tuple[list[tuple[str, str]], list[tuple[str, int, float]]]:
    """(id, status) of all runs, and (name, step, value) of all metrics that no clock measured."""
    with sqlite3.connect(database) as store:
        runs = store.execute("select run_uuid, status from runs").fetchall()
        rows = store.execute("select key, step, value from metrics order by key, step, value").fetchall()
    return runs, [row for row in rows if not row[0].startswith(("timing/", "rollout/fps"))]


def last_line(text: str) -> Any:
    return text.strip().splitlines()[-1]

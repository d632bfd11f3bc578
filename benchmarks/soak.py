"""Does a process that trains, evaluates and tracks for a long time grow, keep files open, or slow down?

    python -m benchmarks.soak [minutes=10] [steps=8192] [customers=100] [out=outputs/soak.png] [csv=outputs/soak.csv]

One process repeats: train a fresh PPO agent for `steps` interactions, evaluate it on `customers` unseen customers, track both as a
run of its own in a real MLflow store (SQLite in a temporary folder).  After every repetition: resident memory, open file handles and
threads (of /proc), and interactions a second of processor time (a busy machine does not look like decay).

One repetition before the clock starts imports and compiles; the first fifth after it fills pools and caches and is not judged.
Memory: Theil-Sen slope with its 95 % interval (Sen 1968, JASA 63:1379).  Exit code 1 if memory grows for certain by more than 60 MB
an hour, if handles or threads of the last third exceed those of the first by more than 2, or if the last third is slower than
0.8 of the first.
"""

from __future__ import annotations

import contextlib
import csv
import gc
import logging
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GROWTH, MORE, SLOWER = 60.0, 2, 0.8  # MB an hour; handles or threads; share of the speed
WARM_UP = 0.2
COLUMNS = ("seconds", "memory_mb", "handles", "threads", "steps_per_cpu_second")
DEFAULTS = {"minutes": 10.0, "steps": 8192, "customers": 100, "out": "outputs/soak.png", "csv": "outputs/soak.csv"}

Sample = tuple[float, float, int, int, float]


def of_process() -> tuple[float, int, int]:
    """(resident memory in MB, open file handles, threads) of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    handles = len(os.listdir("/proc/self/fd")) - 1  # without the one that lists them
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, handles, len(os.listdir("/proc/self/task"))


def repetition(shop: Any, number: int, steps: int, customers: int, uri: str, folder: Path) -> float:
    """One training, evaluation and tracked run; interactions of the training a second of processor time."""
    from sim import training
    from sim.evaluation.evaluate import evaluate
    from sim.tracking import Tracker

    policy = training.build_agent(training.agent_config("ppo"), shop, number, [])
    with Tracker(uri, "soak", True).run(f"soak-{number}", folder=folder, params={"seed": number, "steps": steps}) as run:
        clock = time.process_time()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # thousands of progress bars
            training.train(policy, shop, steps=steps, tune=(20, 1), report=lambda step, metrics: run.metrics(metrics, step))
        clock = time.process_time() - clock
        met = evaluate(policy, shop, customers=customers, seed=number, discount_per_day=1.0, regret=False)
        run.metrics({"evaluation/value_per_customer": float(met.totals["discounted"].mean())}, steps)
    return steps / clock


def soak(minutes: float, steps: int, customers: int) -> list[Sample]:
    """Samples after every repetition until the time is over."""
    from sim.executors.threads import one_thread
    from sim.shop.scenarios import load_shop
    from sim.tracking.uri import sqlite_uri

    shop, samples = load_shop([]), []
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary, one_thread():
        uri = sqlite_uri(Path(temporary) / "mlflow.db")
        repetition(shop, 0, steps, customers, uri, Path(temporary))  # imports and compiles
        started = time.monotonic()
        while time.monotonic() - started < 60 * minutes:
            folder = Path(temporary) / f"run-{len(samples)}"
            folder.mkdir()
            speed = repetition(shop, len(samples), steps, customers, uri, folder)
            gc.collect()
            samples.append((time.monotonic() - started, *of_process(), speed))
            if len(samples) % 25 == 0:
                print(f"{samples[-1][0] / 60:6.1f} minutes, {len(samples)} repetitions, {samples[-1][1]:.0f} MB", file=sys.stderr)
        with sqlite3.connect(Path(temporary) / "mlflow.db") as store:
            (tracked,) = store.execute("select count(*) from runs where status = 'FINISHED'").fetchone()
    if tracked != len(samples) + 1:
        raise ValueError(f"MLflow holds {tracked} finished runs of {len(samples) + 1}; a soak without tracking shows nothing")
    return samples


def judged(samples: list[Sample]) -> tuple[dict[str, Any], list[str]]:
    """Facts about the samples, and what is wrong with them.

    Raises
    ------
    ValueError
        Fewer than 6 repetitions after the warm-up say nothing.
    """
    from scipy.stats import theilslopes

    kept = samples[int(len(samples) * WARM_UP) :]
    if len(kept) < 6:
        raise ValueError(f"{len(samples)} repetitions are too few to judge; give more minutes= or fewer steps=")
    third = len(kept) // 3
    first, last = kept[:third], kept[-third:]
    seconds, memory = [s[0] for s in kept], [s[1] for s in kept]
    by_time, by_number = theilslopes(memory, seconds), theilslopes(memory, range(len(kept)))
    facts: dict[str, Any] = {
        "repetitions": len(samples), "judged": len(kept), "memory_mb": (memory[0], memory[-1]),
        "mb_per_hour": tuple(3600 * value for value in (by_time[0], by_time[2], by_time[3])),
        "mb_per_1000": tuple(1000 * value for value in (by_number[0], by_number[2], by_number[3])),
    }
    for place, name in ((2, "handles"), (3, "threads"), (4, "speed")):
        facts[name] = tuple(statistics.median(s[place] for s in part) for part in (first, last))
    facts["handles_range"] = (min(s[2] for s in kept), max(s[2] for s in kept))
    wrong = []
    if facts["mb_per_hour"][1] > GROWTH:
        wrong.append(f"memory grows by {facts['mb_per_hour'][0]:.0f} MB an hour, for certain more than {GROWTH:.0f}")
    for name in ("handles", "threads"):
        if facts[name][1] > facts[name][0] + MORE:
            wrong.append(f"{name} grew from {facts[name][0]:g} to {facts[name][1]:g}")
    if facts["speed"][1] < SLOWER * facts["speed"][0]:
        wrong.append(f"the last third has {facts['speed'][1] / facts['speed'][0]:.2f} of the first third's speed")
    return facts, wrong


def told(samples: list[Sample], facts: dict[str, Any], wrong: list[str]) -> str:
    """The table and the verdict."""
    lines = ["   minute  memory MB  handles  threads  steps per CPU second"]
    for s in samples[:: max(1, len(samples) // 12)]:
        lines.append(f"  {s[0] / 60:7.2f} {s[1]:10.1f} {s[2]:8d} {s[3]:8d} {s[4]:21,.0f}")
    hour, thousand, memory, speed = (facts[name] for name in ("mb_per_hour", "mb_per_1000", "memory_mb", "speed"))
    lines += [
        f"{facts['repetitions']} repetitions, the last {facts['judged']} judged",
        f"memory   {memory[0]:.1f} -> {memory[1]:.1f} MB; slope {hour[0]:+.1f} [{hour[1]:+.1f}, {hour[2]:+.1f}] MB an hour, "
        f"{thousand[0]:+.1f} [{thousand[1]:+.1f}, {thousand[2]:+.1f}] MB per 1,000 repetitions (95 %)",
        f"handles  {facts['handles'][0]:g} -> {facts['handles'][1]:g} (first and last third; {facts['handles_range'][0]} to "
        f"{facts['handles_range'][1]}), threads {facts['threads'][0]:g} -> {facts['threads'][1]:g}",
        f"speed    {speed[0]:,.0f} -> {speed[1]:,.0f} steps per CPU second, {speed[1] / speed[0]:.2f} of the first third",
        *(f"LEAKS: {text}" for text in wrong or ()),
        *([] if wrong else ["nothing grows beyond its limit"]),
    ]
    return "\n".join(lines)


def draw(samples: list[Sample], path: Path) -> None:
    """Memory, handles and speed over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(8, 7), sharex=True, layout="constrained")
    minutes = [s[0] / 60 for s in samples]
    for axis, place, label in ((axes[0], 1, "resident memory, MB"), (axes[1], 2, "open file handles"), (axes[2], 4, "steps / CPU second")):
        axis.plot(minutes, [s[place] for s in samples], marker=".", linewidth=1)
        axis.axvspan(0, minutes[int(len(samples) * WARM_UP)], alpha=0.1, color="gray")
        axis.set_ylabel(label)
    axes[1].set_ylim(bottom=0)
    axes[2].set_ylim(bottom=0)
    axes[2].set_xlabel("minutes (grey: warming up, not judged)")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, draw; returns the exit code: 1 if it leaks, 2 for a wrong setting."""
    given = dict(a.partition("=")[::2] for a in (sys.argv[1:] if arguments is None else arguments))
    try:
        if unknown := sorted(set(given) - set(DEFAULTS)):
            raise ValueError(f"there is no setting {unknown[0]!r}; known are {', '.join(DEFAULTS)}")
        s = {name: type(default)(given.get(name, default)) for name, default in DEFAULTS.items()}
        if not Path("/proc/self/statm").exists():
            raise ValueError("memory and handles are read from /proc, which this system does not have; run it on Linux")
        for name in ("out", "csv"):  # before the minutes, not after
            Path(s[name]).resolve().parent.mkdir(parents=True, exist_ok=True)
        logging.getLogger("sim.tracking").setLevel(logging.ERROR)
        samples = soak(s["minutes"], s["steps"], s["customers"])
        with open(s["csv"], "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *samples])
        facts, wrong = judged(samples)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    draw(samples, Path(s["out"]))
    print(told(samples, facts, wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

"""Share of a PPO training that is spent in tracking calls, with a store that is off, dead, or accepts and never answers.

    python -m benchmarks.tracking_overhead [steps=300000] [rounds=3]

A ratio within one run: seconds inside the tracker's calls over seconds of training, medians over rounds in changing order.  The
background thread shares the interpreter with training; what that costs shows in the last column, training time against no
tracking at all, which is noisy.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def stores() -> Iterator[dict[str, str | None]]:
    """Addresses by name; None for no tracking."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield {"off": None, "dead": "http://127.0.0.1:9", "silent": f"http://127.0.0.1:{silent.getsockname()[1]}"}


def once(shop: Any, uri: str | None, steps: int) -> tuple[float, float]:
    """(seconds of training, seconds of them in tracking calls)."""
    from sim import training
    from sim.tracking import Tracker

    inside = 0.0
    policy = training.build_agent(training.agent_config("ppo"), shop, 0, [])
    tracker = Tracker(uri, "benchmark", uri is not None, patience=0.2)
    with tempfile.TemporaryDirectory() as folder, tracker.run("ppo", folder=folder) as run:

        def report(step: int, metrics: dict[str, float]) -> None:
            nonlocal inside
            before = time.perf_counter()
            run.metrics(metrics, step)
            inside += time.perf_counter() - before

        seconds = training.train(policy, shop, steps=steps, tune=(10, 1), report=report).seconds
    return seconds, inside


def main(arguments: list[str] | None = None) -> None:
    """Measure and print one line per kind of store."""
    given = dict(a.split("=", 1) for a in (sys.argv[1:] if arguments is None else arguments))
    steps, rounds = int(given.get("steps", 300_000)), int(given.get("rounds", 3))
    from sim.shop.scenarios import load_shop

    logging.getLogger("sim.tracking").setLevel(logging.ERROR)
    shop = load_shop([])
    found: dict[str, list[tuple[float, float]]] = {}
    with stores() as addresses:
        once(shop, None, 16_384)  # compile
        names = list(addresses)
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                found.setdefault(name, []).append(once(shop, addresses[name], steps))
    base = statistics.median(seconds for seconds, _ in found["off"])
    print(f"{steps:,} interactions of PPO, medians of {rounds} rounds")
    for name, rows in found.items():
        share = statistics.median(inside / seconds for seconds, inside in rows)
        seconds = statistics.median(seconds for seconds, _ in rows)
        print(f"  store {name:7} in tracking calls {100 * share:.4f} % of training; training {seconds:.1f} s, {seconds / base:.2f} x off")


if __name__ == "__main__":
    main()

"""Speed of the shop with random actions, as a ratio to Gymnasium's own CartPole in the same run.

    python -m benchmarks.simulator_speed [customers=4096] [rounds=7] [block=100] [single=5000]

Shipped defaults, full observation handed out, same-step autoreset, ready-made actions for both; one environment, and
`customers` side by side on one thread and on every processor, against `make_vec(vector_entry_point)`.  Rounds alternate, so
that a machine that slows down slows all; the medians of the rounds and of their ratios are printed, of wall and of processor
time (the latter says what other work on the machine hides).  The last column is the share of the machine's own copy
bandwidth, measured in the same round, that handing out observations takes (each byte written once; a copy reads it too).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import gymnasium
import numpy as np

from sim.envs.single import ProductPushEnv
from sim.envs.vector import ProductPushVectorEnv

Timing = tuple[float, float]  # seconds of wall and of processor time per environment step


def timed(work: Callable[[], Any], steps: int) -> Timing:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps


def vector_steps(env: gymnasium.vector.VectorEnv, actions: np.ndarray) -> Timing:
    """Over a block of ready actions (T, N)."""

    def work() -> None:
        for row in actions:
            env.step(row)

    return timed(work, actions.size)


def single_steps(env: gymnasium.Env, actions: list[int]) -> Timing:
    """Over ready actions, with a reset wherever an episode ends."""

    def work() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return timed(work, len(actions))


def copy_bandwidth(megabytes: int = 16) -> float:
    """Bytes written per second by a plain copy, in GB/s: what handing out observations costs at least."""
    source = np.ones(megabytes << 20, np.uint8)
    target = np.empty_like(source)
    np.copyto(target, source)
    started = time.perf_counter()
    for _ in range(10):
        np.copyto(target, source)
    return 10 * source.nbytes / (time.perf_counter() - started) / 1e9


def main(customers: int = 4096, rounds: int = 7, block: int = 100, single: int = 5000) -> dict[str, float]:
    """Print the table; return the median ratio to CartPole by wall time of every row."""
    rng, processors = np.random.default_rng(0), len(os.sched_getaffinity(0))
    many = {"vector, 1 thread": ProductPushVectorEnv(customers, threads=1)}
    if processors > 1:
        many[f"vector, {processors} threads"] = ProductPushVectorEnv(customers, threads=processors)
    poles = gymnasium.make_vec("CartPole-v1", num_envs=customers, vectorization_mode="vector_entry_point")
    one, pole = ProductPushEnv(), gymnasium.make("CartPole-v1").unwrapped
    labels, floats = int(one.action_space.n), one.observation_space.shape[0]
    pushes, moves = rng.integers(0, labels, (block, customers)), rng.integers(0, 2, (block, customers))
    few_pushes, few_moves = rng.integers(0, labels, single).tolist(), rng.integers(0, 2, single).tolist()
    for env in (*many.values(), poles, one, pole):
        env.reset(seed=0)
    for env in many.values():
        vector_steps(env, pushes)  # warm: compiled, and lives of every age
    vector_steps(poles, moves)

    timings: dict[str, list[tuple[Timing, Timing, float]]] = {name: [] for name in ("single", *many)}
    for _ in range(rounds):
        bandwidth = copy_bandwidth()
        timings["single"].append((single_steps(one, few_pushes), single_steps(pole, few_moves), bandwidth))
        against = vector_steps(poles, moves)
        for name, env in many.items():
            timings[name].append((vector_steps(env, pushes), against, bandwidth))

    print(
        f"customers {customers}, observation {floats} floats, medians of {rounds} rounds; M = million steps per second"
    )
    print(f"{'':20}{'shop M':>9}{'CartPole M':>12}{'ratio':>8}{'ratio, processor time':>24}{'of copy bandwidth':>20}")
    ratios = {}
    for name, rows in timings.items():
        shop, peer = (1e-6 / median(row[side][0] for row in rows) for side in (0, 1))
        wall, processor = (median(row[1][kind] / row[0][kind] for row in rows) for kind in (0, 1))
        share = median(4e-9 * floats / row[0][0] / row[2] for row in rows)
        print(f"{name:20}{shop:9.3f}{peer:12.3f}{wall:8.3f}{processor:24.3f}{share:20.3f}")
        ratios[name] = wall
    print(f"copy {median(row[2] for row in timings['single']):.1f} GB/s written (as much read)")
    return ratios


if __name__ == "__main__":
    main(**{key: int(number) for key, number in (argument.split("=") for argument in sys.argv[1:])})

"""Speed of the shop with random actions, as a ratio to Gymnasium's own vectorised CartPole in the same run.

    python -m benchmarks.simulator_speed [customers=4096] [rounds=7]

Shipped defaults, full observation handed out, same-step autoreset, ready-made actions for both.  Rounds alternate, so that a
machine that slows down slows both; the medians of the rounds and of their ratios are printed.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import gymnasium
import numpy as np

from sim.envs.vector import ProductPushVectorEnv


def steps_per_second(env: gymnasium.vector.VectorEnv, actions: np.ndarray) -> float:
    """Environment steps per second over a block of ready actions (T, N)."""
    started = time.perf_counter()
    for row in actions:
        env.step(row)
    return actions.size / (time.perf_counter() - started)


def copy_bandwidth(megabytes: int = 16) -> float:
    """Bytes read plus written per second by a plain copy, in GB/s: what handing out observations costs at least."""
    source = np.ones(megabytes << 20, np.uint8)
    target = np.empty_like(source)
    np.copyto(target, source)
    started = time.perf_counter()
    for _ in range(10):
        np.copyto(target, source)
    return 2 * 10 * source.nbytes / (time.perf_counter() - started) / 1e9


def main(customers: int = 4096, rounds: int = 7, block: int = 100) -> float:
    """Print the table; return the median ratio shop / CartPole."""
    shop = ProductPushVectorEnv(customers)
    pole = gymnasium.make_vec("CartPole-v1", num_envs=customers, vectorization_mode="vector_entry_point")
    rng = np.random.default_rng(0)
    for env in (shop, pole):
        env.reset(seed=0)
    pushes = rng.integers(0, shop.single_action_space.n, (block, customers))
    moves = rng.integers(0, 2, (block, customers))
    steps_per_second(shop, pushes), steps_per_second(pole, moves)  # warm: compiled, and lives of every age
    pairs = [(steps_per_second(shop, pushes), steps_per_second(pole, moves)) for _ in range(rounds)]
    ratio = median(a / b for a, b in pairs)
    floats = shop.single_observation_space.shape[0]
    print(f"customers {customers}, observation {floats} floats, {rounds} rounds of {block} steps")
    print(f"  shop      {median(a for a, _ in pairs) / 1e6:7.2f} M steps/s")
    print(f"  CartPole  {median(b for _, b in pairs) / 1e6:7.2f} M steps/s")
    print(f"  ratio     {ratio:7.3f}   (rounds {', '.join(f'{a / b:.3f}' for a, b in pairs)})")
    print(f"  copy      {copy_bandwidth():7.1f} GB/s")
    return ratio


if __name__ == "__main__":
    main(**{key: int(number) for key, number in (argument.split("=") for argument in sys.argv[1:])})

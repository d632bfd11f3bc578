"""Speed of training PPO, end to end, as a ratio to Stable-Baselines3's PPO in the same run.

    python -m benchmarks.training_speed [rounds=3] [updates=4] [threads=2]

Both learn in the default shop: rollouts of 16,384 transitions, 6 epochs, minibatches of 4,096, two tanh networks of 64-64
units, one core each, ours with `threads` besides.  SB3 has 8 single environments in a DummyVecEnv, the usual way; and,
to tell the batched shop from the leaner update, one batched environment of 512 lives through our own adapter.  Rounds
alternate, so that a machine that slows down slows all; the medians of the rounds and of their ratios are printed, of wall
and of processor time (the latter says what other work on the machine hides).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from agents.masked_policy import MaskedActorCriticPolicy
from agents.ppo import PPOAgent
from agents.sb3 import PPO
from agents.sb3_vec_env import SB3VecEnv
from sim.envs.single import ProductPushEnv
from sim.envs.vector import ProductPushVectorEnv
from sim.shop.scenarios import load_shop

ROLLOUT, EPOCHS, BATCH, LANES, NET = 16_384, 6, 4096, 512, [64, 64]


def rate(learn: Callable[[], Any], steps: int) -> tuple[float, float]:
    """Environment steps per second of wall and of processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    learn()
    return steps / (time.perf_counter() - wall), steps / (time.process_time() - processor)


def learners(updates: int, threads: int) -> dict[str, tuple[Callable[[], Any], int]]:
    """Each way to train, as a function that takes some updates, and the steps it takes."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    shop = load_shop([])
    common = {"n_epochs": EPOCHS, "batch_size": BATCH, "seed": 0, "device": "cpu", "policy_kwargs": {"net_arch": NET}}
    eight = PPO("MlpPolicy", DummyVecEnv([lambda: ProductPushEnv(shop)] * 8), n_steps=ROLLOUT // 8, **common)
    lanes = SB3VecEnv(ProductPushVectorEnv(LANES, shop))
    batched = PPO(MaskedActorCriticPolicy, lanes, n_steps=ROLLOUT // LANES, **common)
    found: dict[str, tuple[Callable[[], Any], int]] = {
        "SB3, DummyVecEnv(8)": (lambda: eight.learn(ROLLOUT, reset_num_timesteps=False), ROLLOUT),
        f"SB3, batched shop x{LANES}": (lambda: batched.learn(ROLLOUT, reset_num_timesteps=False), ROLLOUT),
    }
    for number in sorted({1, threads}):
        env = ProductPushVectorEnv(LANES, shop)
        agent = PPOAgent(
            observation_space=env.single_observation_space,
            action_space=env.single_action_space,
            layout=env.observation_layout,
            seed=0,
            n_steps=ROLLOUT // LANES,
            batch_size=BATCH,
            n_epochs=EPOCHS,
            net_arch=NET,
            torch_threads=number,
            num_envs=LANES,
        )
        steps = updates * ROLLOUT
        found[f"ours, {number} thread{'s' * (number > 1)}"] = (
            lambda agent=agent, env=env, steps=steps: agent.learn(env, steps=steps),
            steps,
        )
    return found


def main(rounds: int = 3, updates: int = 4, threads: int = 2) -> float:
    """Print the table; return the median ratio of the last row to the first, in wall time."""
    torch.set_num_threads(1)
    ways = learners(updates, threads)
    for learn, _ in ways.values():
        learn()  # warm: compiled, and lives of every age
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (learn, steps) in ways.items():
            rates[name].append(rate(learn, steps))
    first = next(iter(rates))
    print(f"{rounds} rounds; steps/s, and ratio to {first} (medians)")
    print(f"  {'':28s}{'wall':>10s}{'ratio':>8s}{'processor':>12s}{'ratio':>8s}")
    for name, found in rates.items():
        ratios = [median(a[i] / b[i] for a, b in zip(found, rates[first], strict=True)) for i in (0, 1)]
        wall, processor = (median(pair[i] for pair in found) for i in (0, 1))
        print(f"  {name:28s}{wall:10,.0f}{ratios[0]:8.2f}{processor:12,.0f}{ratios[1]:8.2f}")
    return ratios[0]


if __name__ == "__main__":
    main(**{key: int(number) for key, number in (argument.split("=") for argument in sys.argv[1:])})

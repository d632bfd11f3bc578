"""On `env=bandit`, where the greedy policy is optimal, regret of LinUCB and LinTS grows more slowly than time.

The expected reward of every action is known from the true state at every moment. The comparator is the best that a linear
bandit could become: per action, the regression of those expected rewards (not of drawn ones) on the observations that the
learner met, acting greedily. (Against the myopic oracle, who knows the hidden taste, regret is linear for every bandit: what
cannot be seen cannot be learned.)  Regret after t decisions is what the learner's expected rewards fall short of the
comparator's on the same moments, and its growth the slope of log regret on log t over the last two decades of time.
"""

from __future__ import annotations

import numpy as np
import pytest

from agents.baselines import Random
from agents.linear_bandits import LinUCB
from agents.thompson import LinTS
from sim.envs import spaces
from sim.envs.vector import ProductPushVectorEnv
from sim.evaluation.oracle.response import response_of
from tests.sim.conftest import make_shop

LANES, BATCHES, SEEDS = 64, 2400, (0, 1, 2)
STUDENT_2 = 4.303  # 97.5 % point with two degrees of freedom


class Watched(ProductPushVectorEnv):
    """Keeps what was seen, done and to be expected at every decision."""

    def reset(self, **options):
        self.seen, self.done, self.expected = [], [], []
        return super().reset(**options)

    def step(self, actions):
        self.seen.append(self._lives.observation.copy())
        self.done.append(np.array(actions))
        self.expected.append(response_of(self._lives, np.arange(self.num_envs)).reward)
        return super().step(actions)


def regrets(agent_class, shop, seed, **settings):
    """Cumulative regret (T,) of one learner from its first decision on."""
    agent = agent_class(
        observation_space=spaces.observation_space(shop), action_space=spaces.action_space(shop), layout=shop.layout, seed=seed,
        **settings,
    )  # fmt: skip
    env = Watched(LANES, shop)
    if agent_class is Random:
        rng = np.random.default_rng(seed)
        env.reset(seed=seed)
        for _ in range(BATCHES):
            env.step(rng.integers(0, shop.labels + 1, LANES))
    else:
        agent.learn(env, steps=LANES * BATCHES)
    x, action, expected = (np.concatenate(part) for part in (env.seen, env.done, env.expected))
    x = np.c_[np.ones(len(x)), x]
    weights = np.linalg.solve(x.T @ x + 5 * np.eye(x.shape[1]), x.T @ expected)
    rows, best = np.arange(len(x)), (x @ weights).argmax(1)
    return np.cumsum(expected[rows, best] - expected[rows, action])


def slope(regret):
    """Of log regret on log t from T / 100 to T, at 40 equal ratios."""
    t = np.unique(np.geomspace(len(regret) / 100, len(regret), 40).astype(int))
    return float(np.polyfit(np.log(t), np.log(np.maximum(regret[t - 1], 1e-9)), 1)[0])


def interval(values):
    """Mean and half of its 95 % interval over three seeds (Student)."""
    return np.mean(values), STUDENT_2 * np.std(values, ddof=1) / len(values) ** 0.5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_verification_regret_of_linucb_and_lints_is_sublinear_and_that_of_uniform_choice_linear():
    """Slope below 1 by its 95 % interval over three seeds for both, 1 within .02 for uniform choice."""
    shop = make_shop(["env=bandit"])
    found, last = {}, {}
    for agent_class, settings in (
        (Random, {}),
        (LinUCB, {"alpha": 0.5, "num_envs": LANES, "refresh_every": 4}),
        (LinTS, {"alpha": 0.12, "num_envs": LANES, "refresh_every": 4}),
    ):
        runs = [regrets(agent_class, shop, seed, **settings) for seed in SEEDS]
        found[agent_class.name] = interval([slope(run) for run in runs])
        last[agent_class.name] = np.mean([run[-1] for run in runs])
        mean, half = found[agent_class.name]
        print(f"{agent_class.name:8} slope {mean:.3f} +- {half:.3f}   regret after {len(runs[0])}: {last[agent_class.name]:.0f}")
    assert found["random"][0] == pytest.approx(1, abs=0.02)
    for name in ("linucb", "lints"):
        mean, half = found[name]
        assert mean + half < 1
        assert last[name] < 0.5 * last["random"]

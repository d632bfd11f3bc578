"""What exploring bandits earn on env=bandit while they learn: ours against the explorers of Vowpal Wabbit, on one stream.

    python -m benchmarks.bandit_rewards [seeds=10] [batches=400] [lanes=64] [out=outputs/bandit_rewards]

Every learner meets the same customers with the same luck, decides for a batch of `lanes` of them, then learns from the batch.
What it is credited with is the *expected* reward of its decisions, from the true state, so no luck of purchases is in the table;
the best possible bandit's (greedy on the true expected rewards) stands beside it, though what it knows is partly hidden.

Vowpal Wabbit: `--cb_explore_adf` with the observation as shared features, the label as action feature, and `-q sa`, which gives
every action a linear model of its own, as ours have; costs are minus the rewards, scaled as ours. Its explorers run with their
defaults, but for the settings named in their rows: epsilon-greedy, bagging, online cover (Agarwal et al. 2014), SquareCB (Foster &
Rakhlin 2020) and RegCB (Foster et al. 2018). The best of them is picked by what it earned on this very stream, which favours it.

A finished run is kept in `out`; a killed benchmark goes on from there. Needs `pip install vowpalwabbit`; without it ours run alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SCALE = 0.2  # reward units per money, as the bandits' configs
VW = {
    "vw epsilon .05": "--epsilon 0.05",
    "vw bag 5": "--bag 5",
    "vw cover 5": "--cover 5",
    "vw squarecb": "--squarecb",
    "vw regcb": "--regcb",
    "vw regcb optimistic": "--regcbopt",
}
OURS = ("lints", "linucb")


class Explorer:
    """One of Vowpal Wabbit's explorers behind the two calls of a batch."""

    def __init__(self, options: str, actions: int, seed: int):
        import vowpalwabbit

        self.workspace = vowpalwabbit.Workspace(f"--cb_explore_adf {options} -q sa --random_seed {seed + 1} --quiet")
        self.lines = [f"|a l{k}" for k in range(actions)]
        self.rng = np.random.default_rng(seed)

    def decide(self, observation: np.ndarray) -> np.ndarray:
        """Action (N,) for observations (N, D), every action being allowed."""
        self.shared = ["shared |s " + " ".join(f"{i}:{x:.6g}" for i, x in enumerate(row) if x) for row in observation]
        self.action = np.empty(len(observation), np.int64)
        self.propensity = np.empty(len(observation))
        for n, shared in enumerate(self.shared):
            p = np.asarray(self.workspace.predict([shared, *self.lines]))
            k = min(int(np.searchsorted(np.cumsum(p), self.rng.random() * p.sum(), side="right")), len(p) - 1)
            self.action[n], self.propensity[n] = k, p[k] / p.sum()
        return self.action

    def learn(self, reward: np.ndarray) -> None:
        """Rewards (N,), scaled, of the last decisions."""
        for shared, k, p, r in zip(self.shared, self.action, self.propensity, reward, strict=True):
            lines = list(self.lines)
            lines[k] = f"0:{-r:.6g}:{p:.6g} {lines[k]}"
            self.workspace.learn([shared, *lines])


def earned(name: str, seed: int, lanes: int, batches: int) -> dict[str, Any]:
    """Expected money per decision of each batch (T,), of a learner and of the greedy oracle on the same moments."""
    from sim import training
    from sim.envs.vector import ProductPushVectorEnv
    from sim.evaluation.oracle.response import response_of
    from sim.shop.scenarios import load_shop

    shop = load_shop(("env=bandit",))
    got, best = [], []

    class Watched(ProductPushVectorEnv):
        def step(self, actions: np.ndarray) -> Any:
            expected = response_of(self._lives, np.arange(self.num_envs)).reward
            got.append(float(expected[np.arange(self.num_envs), actions].mean()))
            best.append(float(expected.max(1).mean()))
            return super().step(actions)

    env, started = Watched(lanes, shop), time.process_time()
    if name in VW:
        explorer = Explorer(VW[name], shop.labels + 1, seed)
        observation, _ = env.reset(seed=seed)
        for _ in range(batches):
            observation, reward, *_ = env.step(explorer.decide(observation.copy()))
            explorer.learn(SCALE * reward)
    else:
        config = training.agent_config(name)
        config.num_envs, config.refresh_every = lanes, 1
        training.build_agent(config, shop, seed, []).learn(env, steps=lanes * batches)
    return {"money": got, "best": best, "seconds": time.process_time() - started}


def kept(out: Path, name: str, seed: int, lanes: int, batches: int) -> dict[str, Any]:
    """`earned`, from its file where it was finished before."""
    from omegaconf import OmegaConf

    from sim.report import dump_json
    from sim.training import agent_config

    settings = VW[name] if name in VW else OmegaConf.to_yaml(agent_config(name))
    key = hashlib.sha256(settings.encode()).hexdigest()[:8]
    path = out / f"{name.replace(' ', '-')}-{lanes}x{batches}-s{seed}-{key}.json"
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        found = earned(name, seed, lanes, batches)
        out.mkdir(parents=True, exist_ok=True)
        dump_json(path, found)
        return found


def main(arguments: list[str]) -> int:
    """Print the table; 2 for a wrong setting."""
    settings: dict[str, Any] = {"seeds": 10, "batches": 400, "lanes": 64, "out": "outputs/bandit_rewards"}
    for argument in arguments:
        name, _, text = argument.partition("=")
        if name not in settings or not text or (name != "out" and not (text.isdecimal() and int(text) > 0)):
            print(f"{argument!r} is no setting; known are {', '.join(settings)}, e.g. seeds=3", file=sys.stderr)
            return 2
        settings[name] = text if name == "out" else int(text)
    names = list(OURS)
    try:
        import vowpalwabbit  # noqa: F401

        names += VW
    except ImportError:
        print("vowpalwabbit is not installed: only ours run", file=sys.stderr)

    from sim.evaluation.statistics import mean_interval

    runs = {
        name: [kept(Path(settings["out"]), name, seed, settings["lanes"], settings["batches"]) for seed in range(settings["seeds"])]
        for name in names
    }
    money = {name: np.array([np.mean(run["money"]) for run in each]) for name, each in runs.items()}
    late = {name: np.mean([np.mean(run["money"][len(run["money"]) // 2 :]) for run in each]) for name, each in runs.items()}
    oracle = np.mean([np.mean(run["best"]) for run in runs[OURS[0]]])
    print(f"expected money per decision while learning, {settings['lanes']} lanes x {settings['batches']} batches, "
          f"{settings['seeds']} seeds; greedy on the true state {oracle:.4f}")  # fmt: skip
    print(f"{'':22}{'all':>8}{'last half':>11}{'lints - it, 95 % over seeds':>34}{'us a decision':>15}")
    decisions = settings["lanes"] * settings["batches"]
    for name in sorted(names, key=lambda each: -money[each].mean()):
        i = mean_interval(money["lints"] - money[name])
        gap = "-" if name == "lints" else f"{i['mean']:+.4f} ({i['low']:+.4f} to {i['high']:+.4f})"
        cost = 1e6 * np.median([run["seconds"] for run in runs[name]]) / decisions
        print(f"{name:22}{money[name].mean():8.4f}{late[name]:11.4f}{gap:>34}{cost:15.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

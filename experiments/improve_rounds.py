"""The rounds of an improvement loop: deploy, log, learn, try, promote; state on disk after each of them.

`state.json` holds the settings' digest and what every round found; policies lie beside it.  Logs are not kept: luck is
counter-based, so the same champion meeting the same customers again writes the same log.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from experiments.cells import digest
from sim.config import ConfigError
from sim.evaluation.interactions import Interactions, collect, joined
from sim.evaluation.statistics import mean_interval
from sim.report import dump_json

if TYPE_CHECKING:
    from sim.tracking.registry import Registry

STATE = "state.json"
KEPT = ("rounds", "out", "publish", "tracking", "model", "load_agent")  # settings that do not change what a round finds


@dataclasses.dataclass(frozen=True)
class Exploring:
    """A policy that takes a share `epsilon` of its decisions at random among the allowed actions; propensities stay exact."""

    policy: Any
    epsilon: float
    propensity_kind: str = "exact"

    @property
    def name(self) -> str:
        return f"{self.policy.name}+{self.epsilon:g}"

    def act(self, observation: np.ndarray, action_mask: np.ndarray, uniform: np.ndarray) -> Any:
        own = np.asarray(self.policy.act(observation, action_mask, uniform).probabilities)
        probabilities = (1 - self.epsilon) * own + self.epsilon * action_mask / action_mask.sum(1, keepdims=True)
        cumulative = probabilities.cumsum(1)
        action = (cumulative <= (uniform * cumulative[:, -1])[:, None]).sum(1)
        return SimpleNamespace(
            action=action, propensity=probabilities[np.arange(len(action)), action], probabilities=probabilities
        )


def verdict(difference: np.ndarray, level: float, rounds: int) -> dict[str, Any]:
    """Promote or not, from paired differences (n,) challenger - champion: one-sided, Bonferroni over the rounds."""
    n, mean = len(difference), float(difference.mean())
    error = float(difference.std(ddof=1)) / math.sqrt(n)
    bound = mean - float(stdtrit(n - 1, 1 - (1 - level) / rounds)) * error
    return {"mean": mean, "bound": bound, "n": n, "promoted": bool(bound > 0), **_two_sided(difference)}


def _two_sided(difference: np.ndarray) -> dict[str, float]:
    interval = mean_interval(difference)
    return {"low": interval["low"], "high": interval["high"]}


class Study:
    """An improvement loop in a folder; made anew or taken up where it stopped.

    Raises
    ------
    ConfigError
        The folder holds a study with other settings.
    """

    def __init__(self, settings: dict[str, Any], folder: Path):
        from omegaconf import OmegaConf

        from sim import training

        self.settings, self.folder = settings, folder
        self.registry: Registry | None = None  # connected to when there is something to register
        self.shop = self._shop()
        key = digest([{k: v for k, v in settings.items() if k not in KEPT}, self.shop.digest])
        self._agent: Any = OmegaConf.create(settings["agent"])
        self.start = training.agent_config(settings["start"])
        try:
            self.state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.state = {
                "key": key,
                "settings": settings,
                "planned": settings["rounds"],
                "rounds": [],
                "champions": [],
            }
        except ValueError as error:
            raise ConfigError(f"{folder / STATE} cannot be read ({error}); remove it, or give another out=") from None
        if self.state.get("key") != key:
            raise ConfigError(
                f"out={folder} holds a study with other settings; give another out=, or remove that folder"
            )
        if self.state["planned"] != settings["rounds"]:
            raise ConfigError(
                f"rounds={settings['rounds']}: this study was planned with {self.state['planned']}, and its level is corrected for them; "
                "give another out="
            )
        if not self.state["champions"]:
            self._begin()

    def _shop(self) -> Any:
        from sim.shop.scenarios import build_shop
        from sim.targets import built

        population = self.settings["population"]
        table = built("population.loader", population["loader"], list(self.settings["trusted_targets"]))(
            population["gallery"], population["consent"], weights=population["weights"], cache=population["cache"]
        )
        return build_shop(self.settings["env"], self.settings["catalog"], population, self.settings["camera"], table)

    # ------------------------------------------------------------------ state
    @property
    def rounds(self) -> list[dict[str, Any]]:
        """What every finished round found."""
        found: list[dict[str, Any]] = self.state["rounds"]
        return found

    @property
    def champion(self) -> dict[str, Any]:
        """The policy that is deployed now."""
        last: dict[str, Any] = self.state["champions"][-1]
        return last

    def _save(self) -> None:
        dump_json(self.folder / STATE, self.state)

    def policy(self, entry: dict[str, Any]) -> Any:
        """A saved policy, loaded."""
        config = self.start if entry["agent"] == "start" else self._agent
        return self._build(config, entry["seed"]).load(self.folder / "policies" / entry["name"])

    def _build(self, config: Any, seed: int) -> Any:
        from sim import training

        return training.build_agent(config, self.shop, seed, list(self.settings["trusted_targets"]))

    def _begin(self) -> None:
        """The first champion, and what it is worth."""
        from sim import training

        policy = self._build(self.start, self.settings["seed"])
        training.train(policy, self.shop, steps=None, tune=(2000, 20_000))
        name = f"round-0-{policy.name}"
        self.folder.mkdir(parents=True, exist_ok=True)
        policy.save(self.folder / "policies" / name)
        entry = {
            "name": name,
            "agent": "start",
            "seed": self.settings["seed"],
            "round": 0,
            "truth": self._truth(policy),
        }
        self.state["champions"].append(entry)
        self._save()

    # ------------------------------------------------------------------ a round
    def deployed(self, number: int) -> Interactions:
        """The log of a round: its champion with exploration, on customers of its own."""
        entry = next(c for c in reversed(self.state["champions"]) if c["round"] <= number)
        exploring = Exploring(self.policy(entry), self.settings["exploration"])
        n = self.settings["customers"]
        return collect(exploring, self.shop, customers=n, seed=self.settings["seed"], split="train", first=number * n)

    def play(self, number: int) -> None:
        """One round, kept when it is finished."""
        started = time.monotonic()
        if number == 0 or not hasattr(self, "_logs"):
            self._logs = [self.deployed(r) for r in range(number)]
        self._logs.append(self.deployed(number))
        log = joined(self._logs)
        seed = self.settings["seed"] + 1 + number
        challenger, champion = self._build(self._agent, seed), self.policy(self.champion)
        challenger.learn_from_log(log, evaluate=self._tuning_value)
        name = f"round-{number + 1}-{challenger.name}"
        challenger.save(self.folder / "policies" / name)
        difference = self._trial(challenger, number) - self._trial(champion, number)
        found = verdict(difference, self.settings["level"], self.settings["rounds"])
        entry = {"name": name, "agent": "agent", "seed": seed, "round": number + 1, "truth": self._truth(challenger)}
        earned = mean_interval(np.add.reduceat(self._logs[-1].reward, self._logs[-1].start[:-1]))
        self.rounds.append(
            {
                "round": number + 1,
                "champion": self.champion["name"],
                "challenger": entry,
                "trial": found,
                "logged_value": earned,
                "logged_rows": len(log),
                "seconds": round(time.monotonic() - started, 1),
            }  # fmt: skip
        )
        if found["promoted"]:
            self.state["champions"].append(entry)
        self._save()

    def _values(self, policy: Any, customers: int, seed: int, split: str, first: int = 0) -> np.ndarray:
        """Money (n,) of every customer."""
        from sim.evaluation.metrics import per_customer
        from sim.evaluation.rollout import stream

        parts = [
            per_customer(log, 1.0)["value"]
            for log in stream(
                policy,
                self.shop,
                customers=customers,
                seed=seed,
                split=split,
                first=first,
                decisions=False,
                regret=False,
            )
        ]
        return np.concatenate(parts)

    def _trial(self, policy: Any, number: int) -> np.ndarray:
        """Of the trial's customers of a round, whom nothing was learned from."""
        n = self.settings["trial_customers"]
        return self._values(policy, n, self.settings["seed"], "tune", first=number * n)

    def _truth(self, policy: Any) -> dict[str, Any]:
        e = self.settings["evaluate"]
        return dict(mean_interval(self._values(policy, e["customers"], e["seed"], "evaluate")))

    def _tuning_value(self, policy: Any) -> float:
        """For challengers that tune a number (a cap, a charge): 1,000 customers of a small field trial of their own."""
        return float(self._values(policy, 1000, (self.settings["seed"] + 1) % 2**32, "tune").mean())

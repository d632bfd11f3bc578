"""What a search may try: `conf/search/<agent>.yaml`.

    steps: 500_000                                      interactions of a trial
    space:
      learning_rate: {low: .001, high: .01, log: true}  a number between two, whole where both ends are
      n_steps: {choices: [16, 32]}                      one of a list
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.config import CONF, ConfigError

SEARCH = CONF / "search"


@dataclasses.dataclass(frozen=True)
class Range:
    """One setting of an agent: a list of choices, or a number from `low` to `high`, on a logarithmic scale where `log`."""

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: Any) -> Any:
        """A value drawn by an Optuna trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, list(self.choices))
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.name, self.low, self.high, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether a value could be drawn."""
        return value in self.choices if self.choices else self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Space:
    """`steps` interactions a trial, over `ranges`."""

    agent: str
    steps: int
    ranges: tuple[Range, ...]

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {each.name: each.suggest(trial) for each in self.ranges}

    def shipped(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """The agent's own values, to be tried first; None where one of them lies outside the space."""
        own = {each.name: config[each.name] for each in self.ranges}
        return own if all(each.holds(own[each.name]) for each in self.ranges) else None


def searchable(folder: Path = SEARCH) -> list[str]:
    """Agents that have a search space."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_space(agent: str, config: Mapping[str, Any], folder: Path = SEARCH) -> Space:
    """The search space of an agent, checked against the settings in `config`, its own configuration.

    Raises
    ------
    sim.config.ConfigError
        There is no such space, or it names what the agent does not have.
    """
    from omegaconf import OmegaConf

    path = folder / f"{agent}.yaml"
    if not path.is_file():
        raise ConfigError(f"agent={agent} has no search space; choose from {', '.join(searchable(folder))}, or write {path}")
    found: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    if not isinstance(found, dict) or set(found) != {"steps", "space"} or not found["space"]:
        raise ConfigError(f"{path} must hold `steps` and `space`, and nothing else")
    return Space(agent, int(found["steps"]), tuple(_range(path, name, each, config) for name, each in found["space"].items()))


def _range(path: Path, name: str, given: Any, config: Mapping[str, Any]) -> Range:
    if name not in config:
        raise ConfigError(f"{path}: the agent has no setting {name!r}")
    if not isinstance(given, dict) or not set(given) <= {"low", "high", "log", "choices"}:
        raise ConfigError(f"{path}: {name} takes low, high and log, or choices")
    if "choices" in given:
        if len(given) > 1 or not given["choices"]:
            raise ConfigError(f"{path}: {name} takes a list of choices, or low and high")
        return Range(name, choices=tuple(given["choices"]))
    low, high, log = given.get("low"), given.get("high"), bool(given.get("log", False))
    if low is None or high is None or not low < high or log and low <= 0:
        raise ConfigError(f"{path}: {name} needs low < high, both above 0 on a logarithmic scale")
    return Range(name, low, high, log)

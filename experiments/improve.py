"""Does a shop that learns from its own log get better, and never worse?

Each round, as in production:

    deploy     the champion meets new customers; a share of its decisions is random, every propensity is logged
    learn      a challenger learns from all logs so far, and from nothing else
    try        champion and challenger meet the same other customers with the same luck (d_i, money of customer i)
    promote    only if   d_bar - t_{1 - a / rounds} s / sqrt(n) > 0,   a = 1 - level

By Bonferroni over the rounds the chance that any promotion of the study is a step back is at most a. The curve shows what
each champion is truly worth, on customers and faces that no decision looks at.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sim.cli import run_command
from sim.config import ConfigError


def check(cfg: Any) -> None:
    """Refuse settings out of range.

    Raises
    ------
    ConfigError, sim.shop.parameters.ShopError
        One sentence that names the setting and what it may be.
    """
    from omegaconf import OmegaConf

    from sim.config import agents_known
    from sim.shop.parameters import read_all
    from sim.targets import check_targets

    whole = ("rounds", "customers", "trial_customers", "evaluate.customers", "evaluate.seed", "seed")
    for name in whole:
        if isinstance(value := OmegaConf.select(cfg, name), bool) or not isinstance(value, int):
            raise ConfigError(f"{name}={value} is no whole number")
    for name, low, high in (
        ("rounds", 1, 1000), ("customers", 2, 10**6), ("trial_customers", 2, 10**7), ("evaluate.customers", 2, 10**7),
        ("evaluate.seed", 0, 2**32 - 1), ("seed", 0, 2**32 - 1), ("exploration", 0.001, 1.0), ("level", 0.5, 0.9999),
    ):  # fmt: skip
        value = OmegaConf.select(cfg, name)
        if not isinstance(value, int | float) or not low <= value <= high:
            raise ConfigError(f"{name}={value} is out of range; allowed is {low} to {high}")
    if cfg.start not in agents_known():
        raise ConfigError(f"start={cfg.start} is no agent; choose from {', '.join(agents_known())}")
    check_targets("agent", cfg.agent, cfg.trusted_targets)
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    read_all(plain["env"], plain["population"], plain["camera"])


def improve(cfg: Any) -> None:
    """The job, as a table of contents."""
    from omegaconf import OmegaConf

    from experiments import improve_answer
    from experiments.improve_rounds import Study

    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    study = Study(plain, Path(cfg.out).resolve())
    for number in range(len(study.rounds), cfg.rounds):
        print(f"round {number + 1} of {cfg.rounds}: {study.champion['name']} is deployed", file=sys.stderr)
        study.play(number)
        improve_answer.register(study)
    improve_answer.register(study)
    improve_answer.tell(study)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; exit code 2 for a wrong setting."""
    return run_command(improve, "improve", arguments, check=check)


if __name__ == "__main__":
    sys.exit(main())

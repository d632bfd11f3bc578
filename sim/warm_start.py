"""Learning that begins with the log of an earlier run, and never with the customers that it will be judged by.

The log's customers are known by `evaluate.seed` of the run that wrote it, so a run that evaluates on the same seed (or tunes on it) is
refused.  Their faces may be the same: a gallery has few, and the shop shows evaluation faces in its logs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sim.config import ConfigError
from sim.shop.world import Shop


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """What an agent begins with.

    Attributes
    ----------
    log : str
        Folder of the run that wrote it.
    behaviour : str
        The policy that decided.
    rows, customers : int
        Opportunities and customers.
    same_shop : bool
        Whether the log was made in the very shop that the agent goes on to learn in.
    """

    log: str
    behaviour: str
    rows: int
    customers: int
    same_shop: bool

    def told(self) -> str:
        """A line for the user."""
        where = "" if self.same_shop else "; it was made in a shop with other settings"
        return (
            f"learning begins with {self.rows:,} opportunities of {self.customers:,} customers that {self.behaviour} met in "
            f"{self.log}{where}; they are other customers than those of the evaluation, with the same faces"
        )


def begin_with_log(agent: Any, shop: Shop, settings: Any, *, kept_apart: dict[str, int], trusted: list[str]) -> WarmStart | None:
    """Let the agent's learning begin with the log that `warm_start` names; None where it names none.

    Parameters
    ----------
    settings : `warm_start` of the run's configuration (`log`, `behaviour`, `customers`).
    kept_apart : name of a setting -> seed of customers that nothing may be learned from.

    Raises
    ------
    ConfigError
        The log holds customers of one of those seeds, or there is no such log.
    OffPolicyError, ReplayError, AgentConfigError
        The log is of another catalog or cannot be read, or the agent cannot learn from one.
    """
    if settings.log is None:
        return None
    from sim.off_policy import own_log
    from sim.replay.errors import ReplayError
    from sim.tracking import default_uri

    try:
        run = own_log.find_run(settings.log, default_uri)
    except ReplayError as error:
        raise ConfigError(f"warm_start.log={settings.log} names no run with a log to learn from ({error})") from None
    for name, seed in kept_apart.items():
        if run.seed == seed:
            raise ConfigError(
                f"warm_start.log={settings.log}: its customers are those of {name}={seed}, which nothing may be learned from; "
                f"give another, e.g. {name}={seed + 1}"
            )
    own = own_log.read_own(run, settings.behaviour, settings.customers, trusted)
    own_log.check_fits(agent, own.shop)
    agent.warm_start(own.interactions)
    return WarmStart(str(run.folder), settings.behaviour, own.rows, own.customers, own.shop.digest == shop.digest)

"""How far can an off-policy estimate be trusted? Estimates from many logs against the value that the policy truly has.

    exact     env=bandit without recognition: contexts do not depend on actions, propensities are exact, one-step estimators
              are right.  500 logs of n customers: bias, root mean squared error, how often 95 % intervals hold the truth; the
              same at n / 16, n / 4 and 4 n for the rate at which errors fall
    tiny      the same with a handful of customers a log
    published data of the kind of Open Bandit Pipeline's examples: on well logged synthetic data the model alone is the worst and
              DR the best, where clicks are rare and rounds few the model alone is the best
    shop      whole lives in the default shop, where actions change what comes: one-step estimators answer another question,
              products of ratios explode, models miss the hidden state.  Reported as it is

A log is a sample of whole customers from a large pool of logged lives, without replacement within a log; the truth is the
target's own mean over a far larger deployment.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

QUESTION = "off_policy_scorecard"
_RANGES = {"logs": (10, 10**5), "customers": (16, 10**5), "shop_logs": (0, 10**4), "seed": (0, 2**32 - 1)}


@dataclasses.dataclass(frozen=True)
class Settings:
    """`key=value` settings of the command."""

    logs: int = 500  # of each size
    customers: int = 200  # of a log
    shop_logs: int = 20  # of the default shop; 0 leaves it out
    seed: int = 0
    out: str = "outputs/experiments"
    publish: bool = False


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from the command line.

    Raises
    ------
    sim.config.ConfigError
        A setting is unknown, not of its type or out of range.
    """
    from sim.config import ConfigError

    given: dict[str, object] = {}
    for argument in arguments:
        name, _, text = argument.partition("=")
        if name in _RANGES:
            low, high = _RANGES[name]
            if not text.isdigit() or not low <= int(text) <= high:
                raise ConfigError(f"{name}={text} must be a whole number from {low} to {high}")
            given[name] = int(text)
        elif name == "publish" and text in ("true", "false"):
            given[name] = text == "true"
        elif name == "out" and text:
            given[name] = text
        else:
            known = [field.name for field in dataclasses.fields(Settings)]
            close = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"{argument!r} is no setting; "
                + (f"did you mean {close[0]}=?" if close else f"known are {', '.join(known)}")
            )
    return Settings(**given)  # type: ignore[arg-type]


def answer(settings: Settings) -> None:
    """Make the logs, score the estimators, tell."""
    from experiments import off_policy_scorecard_answer as told
    from experiments import off_policy_scores as scores

    folder = Path(settings.out).resolve() / QUESTION
    folder.mkdir(parents=True, exist_ok=True)
    found = scores.bandit_scores(settings.logs, settings.customers, settings.seed)
    found |= {"published": scores.published_scores(max(settings.logs // 10, 10), settings.seed)}
    if settings.shop_logs:
        found |= {"shop": scores.shop_scores(settings.shop_logs, 1000, settings.seed)}
    told.tell(found, folder, settings.publish)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; exit code 2 for a wrong setting."""
    from sim.cli import fail

    arguments = sys.argv[1:] if arguments is None else arguments
    if any(argument in ("-h", "--help") for argument in arguments):
        print(f"{__doc__}\n  python -m experiments.off_policy_scorecard [key=value ...]\n")
        print("\n".join(f"  {field.name}={field.default}" for field in dataclasses.fields(Settings)))
        return 0
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    try:
        answer(parse(arguments))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not hasattr(error, "exit_code") and not isinstance(error, OSError):
            raise
        return fail(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What is planning worth, in money per customer?

The rivals, from no thought to the most that a policy without a future can do, on the perceived camera; all of them meet the
same customers with the same luck, whose faces training never showed, so each gap is paired.

    random, hold_back    no thought at all
    popularity           the label that earned most per push in a random log
    capped_popularity    the same under the best frequency cap, tuned on training customers
    linucb               the best next reward, blind to what a push does later (Li et al. 2010)
    lints                the same by Thompson sampling instead of confidence bounds (Agrawal & Goyal 2013)
    charged_linucb       the same with a charge per push, tuned on training customers: pacing without planning
    ppo                  plans for the customer's whole life (Schulman et al. 2017)
    priced_oracle        knows the true state, as no policy can: an upper reference (`sim.evaluation.oracle.priced`)

A shop in which the myopic policy is optimal makes a benchmark worthless, and so does a straw rival that never rests.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from experiments.command import Settings, main

if TYPE_CHECKING:
    from experiments.gaps import Gap
    from experiments.study import Arm, Results

QUESTION = "myopic_gap"
POLICIES = ("random", "hold_back", "popularity", "capped_popularity", "linucb", "lints", "charged_linucb", "ppo")
CAMERA = tuple(f"camera.{channel}=perceived" for channel in ("emotion", "identity", "mask"))
# (better, worse, what lies between them): claim 2
PAIRS = (
    ("priced_oracle", "ppo", "knowing the true state"),
    ("ppo", "charged_linucb", "planning beyond pacing"),
    ("ppo", "linucb", "planning beyond the next reward"),
    ("ppo", "lints", "the same, against Thompson sampling"),
    ("ppo", "capped_popularity", "beyond a frequency cap"),
    ("ppo", "hold_back", "beyond silence"),
    ("charged_linucb", "linucb", "pacing"),
    ("linucb", "popularity", "context"),
    ("capped_popularity", "popularity", "a frequency cap"),
    ("popularity", "random", "one good label"),
)


def arms() -> list[Arm]:
    """One arm a policy, and the oracle; PPO's is the `perceived` arm of value_of_perception and shares its training."""
    from experiments.study import Arm

    return [*(Arm(name, agent=name, shop=CAMERA) for name in POLICIES), Arm("priced_oracle", oracle="priced", shop=CAMERA)]


def gaps(results: Results) -> list[Gap]:
    """The chain of claim 2."""
    from experiments.gaps import Gap

    return [Gap(f"{a} - {b}", what, results.gap(a, b)) for a, b, what in PAIRS]


def answer(settings: Settings) -> None:
    """Run what is missing, then print, draw and keep the answer."""
    from experiments import report
    from experiments.study import run

    results = run(QUESTION, arms(), settings)
    title = f"value of planning: {len(POLICIES)} policies and an oracle, {results.customers:,} customers, seeds: {settings.seeds}"
    report.tell(QUESTION, title, results, gaps(results), settings)


if __name__ == "__main__":
    sys.exit(main("experiments.myopic_gap", __doc__ or "", answer))

"""What is perception worth, in money per customer?

PPO learns and is deployed under cameras that differ in one thing: what they show of a customer.  All of them meet the
same customers with the same luck, whose faces training never showed, so each gap is paired.

    all channels       oracle (the truth), perceived (what the networks make of the picture), noisy (perceived, but
                       nothing at 30 % of visits), blind (nothing)
    emotion alone      oracle / blind, identity and mask at perceived
    identity alone     oracle / blind, emotion and mask at perceived
    a mask             the same policy meets the same customers without and with a mask at every visit; under the oracle
                       camera, which sees through it, the cost must vanish (a control)

More information is never worth less to whoever uses it best (Blackwell 1953, Ann. Math. Stat. 24:265); how much it is
worth to a policy that has to learn its use is this study's answer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from experiments.command import Settings, main

if TYPE_CHECKING:
    from experiments.gaps import Gap
    from experiments.study import Arm, Results

QUESTION = "value_of_perception"
CHANNELS = ("emotion", "identity", "mask")
UNMASKED = ("population.traits.mask_share=0", "population.traits.mask_probability_other=0")
MASKED = ("population.traits.mask_share=1", "population.traits.mask_probability_habit=1")
# (better, worse, what lies between them); the first three are claim 1
PAIRS = (
    ("oracle", "perceived", "a perfect camera"),
    ("perceived", "blind", "the camera there is"),
    ("oracle", "blind", "all there is to see"),
    ("perceived", "noisy", "the 30 % of visits that noisy misses"),
    ("emotion_oracle", "perceived", "true emotion"),
    ("perceived", "emotion_blind", "perceived emotion"),
    ("emotion_oracle", "emotion_blind", "all of emotion"),
    ("identity_oracle", "perceived", "true identity"),
    ("perceived", "identity_blind", "perceived identity"),
    ("identity_oracle", "identity_blind", "all of identity"),
)


def arms() -> list[Arm]:
    """The eight cameras."""
    from experiments.study import Arm, Evaluation

    cameras = {state: dict.fromkeys(CHANNELS, state) for state in ("oracle", "perceived", "noisy", "blind")}
    for channel in ("emotion", "identity"):
        for state in ("oracle", "blind"):
            cameras[f"{channel}_{state}"] = dict.fromkeys(CHANNELS, "perceived") | {channel: state}
    both = (Evaluation("sampled"), Evaluation("argmax", deterministic=True))
    masks = (Evaluation("unmasked", UNMASKED), Evaluation("masked", MASKED))
    return [
        Arm(
            name,
            shop=tuple(f"camera.{channel}={state}" for channel, state in camera.items()),
            evaluations=both + masks if name in ("perceived", "oracle") else both,
        )
        for name, camera in cameras.items()
    ]


def gaps(results: Results) -> list[Gap]:
    """Gaps between cameras, and what a mask costs under the perceived and (as a control) the oracle camera."""
    from experiments.gaps import Gap

    found = [Gap(f"{a} - {b}", what, results.gap(a, b)) for a, b, what in PAIRS]
    for camera, what in (("perceived", "a mask at every visit"), ("oracle", "control: sees through masks")):
        found.append(Gap(f"{camera}: bare - masked", what, results.gap((camera, "unmasked"), (camera, "masked"))))
    return found


def answer(settings: Settings) -> None:
    """Run what is missing, then print, draw and keep the answer."""
    from experiments import report
    from experiments.study import run

    results = run(QUESTION, arms(), settings)
    title = f"value of perception: PPO under eight cameras, {results.customers:,} customers, seeds: {settings.seeds}"
    found = gaps(results)
    report.tell(QUESTION, title, results, found, settings)
    total, caught = found[2].estimate.mean, found[1].estimate.mean
    if found[2].estimate.clear:
        print(f"The camera there is earns {caught / total:.0%} of what a perfect one would: {caught:.2f} of {total:.2f}.")


if __name__ == "__main__":
    sys.exit(main("experiments.value_of_perception", __doc__ or "", answer))

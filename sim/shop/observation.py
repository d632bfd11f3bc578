"""What an agent sees: the camera's features of this visit's picture, and the till's record of the perceived identity.

Float32, shape (O,), O = 11 + 6 K + 6, in named slices.  Latent state (affect, mood, fatigue, satiation, taste, budget)
stops here: none of it is in the observation, nor are the step number or the agent's own past actions, which would rebuild
the record by the back door when the camera is blind.
"""

from __future__ import annotations

import numpy as np

from sim.shop import camera, till
from sim.shop.compiled import copy, woven
from sim.shop.parameters import ShopError
from sim.shop.types import OTHER, SELF

_START = camera.FEATURES

BOUND = 20.0  # features are logarithms, rates and clipped logits, all of order one; none can reach this


def observation_size(labels: int) -> int:
    return camera.FEATURES + till.record_size(labels)


def observation_layout(labels: int) -> dict[str, tuple[int, int]]:
    """Named slices (start, stop) of the observation, in order."""
    sizes = [("emotion", 7), ("mask", 1), ("face", 1), ("known", 1), ("similarity", 1)]
    sizes += [(name, labels) for name in till.PER_LABEL] + [(name, 1) for name in till.OVERALL]
    layout, start = {}, 0
    for name, size in sizes:
        layout[name] = (start, start + size)
        start += size
    return layout


def feature_names(label_names: tuple[str, ...], emotions: tuple[str, ...]) -> list[str]:
    """One readable name per entry of the observation."""
    names = []
    for name, (start, stop) in observation_layout(len(label_names)).items():
        if name == "emotion":
            names += [f"emotion/{e}" for e in emotions]
        elif stop - start == 1:
            names.append(name)
        else:
            names += [f"{name}/{label}" for label in label_names]
    return names


def check_observation(observation: np.ndarray, layout: dict[str, tuple[int, int]]) -> None:
    """Every number of observation (N, O) finite and within [-BOUND, BOUND].

    Raises
    ------
    ShopError
        Names the row, the part of the observation, the number and the allowed range.
    """
    low, high = (float(f(observation, initial=0.0)) for f in (np.min, np.max))  # a NaN makes both NaN
    if -BOUND <= low and high <= BOUND:
        return
    row, column = (int(i) for i in np.argwhere(~(np.abs(observation) <= BOUND))[0])
    part = next(name for name, (start, stop) in layout.items() if start <= column < stop)
    raise ShopError(
        f"the observation of customer row {row}, part {part!r} (number {column}) is {observation[row, column]}; it must be "
        f"finite and from {-BOUND:g} to {BOUND:g}. The catalog, the gallery or a parameter holds an absurd number"
    )


@woven
def observe_picture(lives, i):
    """Write the camera's features of this visit's picture, in place."""
    copy(lives.observation[i], 0, lives.picture[i])


@woven
def observe_record(world, lives, i):
    """Write the record of whom the camera took the customer for, behind the camera's own features, in place."""
    customer = lives.customers[i]
    stranger = customer.typical if customer.recognised == OTHER else len(world.typical) - 1  # the last one is empty
    copy(lives.observation[i], _START, lives.record[i] if customer.recognised == SELF else world.typical[stranger])


@woven
def observe_own_record(lives, i):
    """Write the record that a variant keeps by itself behind the camera's features, whoever the camera recognised, in place."""
    copy(lives.observation[i], _START, lives.record[i])

"""Designs over the shop's assumed parameters: one at a time, and all of them at once.

A factor is a setting of the shop with a low and a high value around its own: half and double for a weight, a time constant or
a cost (`scale`), minus and plus one half for an intercept on the logit scale (`shift`, a factor of about 1.6 in the odds).

    one at a time   every factor low, then high, the others at their own values: what one wrong guess would do
    Sobol           2^m points of a scrambled Sobol sequence over all factors between low and high (Sobol 1967; Owen 1998):
                    what many wrong guesses would do together
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

SCALE, SHIFT = 2.0, 0.5
SOBOL_SEED = 0


@dataclasses.dataclass(frozen=True)
class Factor:
    """A setting of the shop whose size is assumed; `kind` is "scale" or "shift"."""

    setting: str
    kind: str = "scale"

    @property
    def name(self) -> str:
        """The last part of the setting."""
        return self.setting.rsplit(".", 1)[-1]

    def value(self, own: float, level: float) -> float:
        """The setting's value at `level`: -1 low, 0 its own value, +1 high."""
        return own * SCALE**level if self.kind == "scale" else own + SHIFT * level


@dataclasses.dataclass(frozen=True)
class Point:
    """One shop of the design: its name, each factor's level in [-1, 1], and the overrides that make it."""

    name: str
    levels: tuple[float, ...]
    shop: tuple[str, ...]


# every size that conf/ calls assumed and that a published number does not pin; tone and valence are here although the
# latter's total is measured, since the split of it between click and purchase is not
FACTORS = (
    Factor("env.choice.click_intercept", "shift"),
    Factor("env.choice.taste_weight"),
    Factor("env.choice.satiation_weight"),
    Factor("env.choice.valence_weight"),
    Factor("env.choice.tone_weight"),
    Factor("env.choice.mood_weight"),
    Factor("env.choice.fatigue_weight"),
    Factor("env.affect.mood_rate"),
    Factor("env.affect.affect_rate"),
    Factor("env.fatigue.fatigue_days"),
    Factor("env.fatigue.opt_out_intercept", "shift"),
    Factor("env.fatigue.opt_out_fatigue_weight"),
    Factor("env.returning.return_intercept", "shift"),
    Factor("env.returning.return_mood_weight"),
    Factor("env.reward.push_price"),
    Factor("population.traits.price_sensitivity_median"),
)


def own_values(factors: Sequence[Factor], config: Mapping[str, Any]) -> list[float]:
    """Each factor's own value in a composed shop configuration."""
    values = []
    for factor in factors:
        node: Any = config
        for part in factor.setting.split("."):
            node = node[part]
        values.append(float(node))
    return values


def point(name: str, factors: Sequence[Factor], own: Sequence[float], levels: Iterable[float]) -> Point:
    """The shop at these levels; factors at level 0 are left out of its overrides."""
    levels = tuple(map(float, levels))
    shop = tuple(
        f"{factor.setting}={factor.value(value, level):.6g}"
        for factor, value, level in zip(factors, own, levels, strict=True)
        if level != 0.0
    )
    return Point(name, levels, shop)


def one_at_a_time(factors: Sequence[Factor], own: Sequence[float]) -> list[Point]:
    """The shop as it is, then each factor low and high: 1 + 2 F points."""
    points = [point("base", factors, own, np.zeros(len(factors)))]
    for i, factor in enumerate(factors):
        for suffix, level in (("low", -1.0), ("high", 1.0)):
            levels = np.zeros(len(factors))
            levels[i] = level
            points.append(point(f"{factor.name}_{suffix}", factors, own, levels))
    return points


def sobol(factors: Sequence[Factor], own: Sequence[float], exponent: int = 4) -> list[Point]:
    """2^exponent points of a scrambled Sobol sequence over [-1, 1]^F."""
    from scipy.stats import qmc

    levels = (
        2.0 * qmc.Sobol(len(factors), scramble=True, rng=np.random.default_rng(SOBOL_SEED)).random_base2(exponent) - 1.0
    )
    return [point(f"sobol_{i:02d}", factors, own, row) for i, row in enumerate(levels)]


def main_effects(levels: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Change of y (P,) from low to high of each factor (F,), all else equal, by ridge regression on the levels (P, F).

    With fewer points than factors the penalty (one unit of level) decides what cannot be told apart, so these rank factors
    and are no unbiased estimates.
    """
    x = levels - levels.mean(axis=0)
    coefficients = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (y - y.mean()))
    return np.asarray(2.0 * coefficients)

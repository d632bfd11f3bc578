"""Which parameters are fitted to a log, in which coordinates, with which weak prior, and which are held and why.

A time constant and a price sensitivity are fitted through their logarithm, everything else as it stands.  Each has a normal
prior around its starting value, `conf/calibrate.yaml`, wide enough to leave the word to any log that has something to say:
it keeps the fit finite where a log is silent, and how much of its variance is left afterwards measures the silence.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from sim.calibration.likelihood import SCORED
from sim.calibration.push_log import PushLog
from sim.shop.parameters import MECHANISMS, PopulationParams

LOGARITHMIC = ("price_sensitivity_median", "fatigue_days", "satiation_days")
PLAIN = (
    "click_intercept", "taste_weight", "satiation_weight", "satiation_days", "exposure_gain", "exposure_wear",
    "fatigue_weight", "fatigue_days", "buy_intercept", "buy_taste_weight", "buy_price_weight",
    "opt_out_intercept", "opt_out_fatigue_weight", "return_intercept", "return_fatigue_weight",
)  # fmt: skip
EMOTIONAL = (
    "valence_weight", "mood_weight", "buy_valence_weight", "opt_out_mood_weight", "opt_out_valence_weight",
    "return_mood_weight", "return_valence_weight",
)  # fmt: skip
PRICE_SPREAD = 0.02  # relative; labels whose price moves less than this tell nothing about price

_FIELDS = {
    field.name: (f"env.{group}", field.metadata)
    for group, kind in MECHANISMS.items()
    for field in dataclasses.fields(kind)
} | {field.name: ("population.traits", field.metadata) for field in dataclasses.fields(PopulationParams)}


def setting(name: str) -> str:
    """Where a parameter stands in the configuration, e.g. `env.choice.taste_weight`."""
    return f"{_FIELDS[name][0]}.{name}"


def unit(name: str) -> str:
    return "logit" if name.startswith("appeal[") else str(_FIELDS[name][1]["unit"])


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """The fitted coefficients: P of them, the last K the labels' appeals.

    Attributes
    ----------
    names : (P,); centre, deviation : (P,) normal prior in fitted coordinates; low, high : (P,) bounds there.
    params : (1,) record of the shop that holds everything else; appeal : (K,) where fitting starts.
    """

    names: tuple[str, ...]
    centre: np.ndarray
    deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray
    params: np.ndarray
    appeal: np.ndarray

    @property
    def scalars(self) -> int:
        """How many are no appeals."""
        return len(self.names) - len(self.appeal)

    def apply(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(params (1,), appeal (K,)) at fitted coordinates theta (P,)."""
        params = self.params.copy()
        for name, x in zip(self.names[: self.scalars], theta, strict=False):
            params[name] = math.exp(x) if name in LOGARITHMIC else x
        return params, theta[self.scalars :].copy()

    @property
    def columns(self) -> np.ndarray:
        """(P,) column of each coefficient in a score of `LifeLikelihood`."""
        own = [SCORED.index(name) for name in self.names[: self.scalars]]
        return np.array([*own, *range(len(SCORED), len(SCORED) + len(self.appeal))])


def coordinate(name: str, value: float) -> float:
    """A parameter's value in fitted coordinates."""
    return math.log(max(value, 1e-12)) if name in LOGARITHMIC else value


def natural(name: str, x: float) -> float:
    """Back from fitted coordinates."""
    return math.exp(x) if name in LOGARITHMIC else x


def choose(log: PushLog, table: np.ndarray) -> tuple[list[str], dict[str, str]]:
    """Parameters that a log can speak about, and for the others why they are held at their starting value.

    `table` (K,) CATALOG: a tone or a pressure of labels can have an effect only where labels have one.
    """
    names, held = list(PLAIN), {}
    if np.nanmax(log.price_spread, initial=0.0) > PRICE_SPREAD:
        names.append("price_sensitivity_median")
    else:
        held["price_sensitivity_median"] = (
            "no label's price changes in the log, so its effect is part of the label's appeal"
        )
    if (table["pressure"] != 0).any():
        names.append("opt_out_pressure_weight")
    else:
        held["opt_out_pressure_weight"] = "no label has a pressure; give one in catalog.path"
    if log.has_emotion:
        names += EMOTIONAL
        if (table["tone_valence"] != 0).any() or (table["tone_arousal"] != 0).any():
            names.append("tone_weight")
        else:
            held["tone_weight"] = "no label has a tone; give tone_valence and tone_arousal in catalog.path"
    else:
        held |= {name: "needs the columns perceived_emotion_*" for name in (*EMOTIONAL, "tone_weight")}
    held["price_sensitivity_deviation"] = "hardly visible in clicks: differences in taste look the same"
    held["budget_median"] = "enters as price / budget; buy_price_weight takes up its size"
    held["irrelevance_fatigue, pressure_fatigue"] = "the unit of fatigue is one push; these are its shape"
    held["the dynamics of mood and affect (env.affect)"] = "a push log shows them only through choices"
    return names, held


def prepare(
    names: list[str], prior: Mapping[str, float], params: np.ndarray, appeal: np.ndarray, labels: tuple[str, ...]
) -> Coefficients:
    """Coordinates, priors and bounds of `names` and of every label's appeal; `prior` by name, and `appeal` for labels."""
    lows, highs = [], []
    for name in names:
        low, high = float(_FIELDS[name][1]["low"]), float(_FIELDS[name][1]["high"])
        lows.append(coordinate(name, low))
        highs.append(coordinate(name, min(high, 1e6)))
    k = len(labels)
    return Coefficients(
        names=(*names, *(f"appeal[{label}]" for label in labels)),
        centre=np.array([*(coordinate(name, float(params[name][0])) for name in names), *appeal]),
        deviation=np.array([*(float(prior[name]) for name in names), *[float(prior["appeal"])] * k]),
        low=np.array([*lows, *[-20.0] * k]),
        high=np.array([*highs, *[20.0] * k]),
        params=params,
        appeal=np.asarray(appeal, float),
    )

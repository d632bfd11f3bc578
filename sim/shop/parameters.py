"""Parameters of the customer model: declared and checked here, valued in `conf/`.

Each mechanism has a dataclass of parameters with range and unit; the values live in one place, the YAML of the scenario,
with unit and reason.  For the compiled equations all of them are packed into one flat structured record, so that
`p.fatigue_weight` reads the same in Python and in machine code.  This module imports nothing heavy: a bad value is
answered at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

CONF = Path(__file__).resolve().parents[2] / "conf"
MISSING: Any = "???"  # OmegaConf's mark for "must be given"


class ShopError(ValueError):
    """Wrong input to the shop: the message says what, where and what to do."""

    exit_code = 2


def value(low: float, high: float = math.inf, unit: str = "1", key: str | None = None) -> Any:
    """A required number within [low, high]; `key` is its name in the configuration, where that differs."""
    return dataclasses.field(default=MISSING, metadata={"low": low, "high": high, "unit": unit, "key": key})


@dataclasses.dataclass
class ChoiceParams:
    """Click and purchase; see `sim.shop.choice`."""

    click_intercept: float = value(-20, 20, "logit")
    taste_weight: float = value(0, 20, "logit per cosine")
    price_reference: float = value(1e-6, 1e9, "money; scaled by the catalog's median price")
    satiation_weight: float = value(0, 20, "logit per unit of satiation")
    exposure_gain: float = value(0, 20, "logit per 10 exposures")
    exposure_wear: float = value(0, 20, "logit per (10 exposures)^2")
    valence_weight: float = value(-20, 20, "logit per unit of valence")
    tone_weight: float = value(-20, 20, "logit per unit of affective match")
    mood_weight: float = value(-20, 20, "logit per unit of mood")
    fatigue_weight: float = value(0, 20, "logit per unit of fatigue")
    emotion_scale: float = value(0, 10, "factor on affect in click, purchase and opt-out; 0 switches emotion off")
    buy_intercept: float = value(-20, 20, "logit")
    buy_taste_weight: float = value(-20, 20, "logit per cosine")
    buy_valence_weight: float = value(-20, 20, "logit per unit of valence")
    buy_price_weight: float = value(0, 20, "logit per price / budget")


@dataclasses.dataclass
class AffectParams:
    """See `sim.shop.affect`."""

    outcome_buy: float = value(-5, 5, "valence of a purchase")
    outcome_click: float = value(-5, 5, "valence of a click without purchase")
    annoyance: float = value(0, 5, "valence lost by a wholly irrelevant, ignored push")
    mood_bias: float = value(1, 5, "b >= 1; 1 switches the bias of perceived outcome off")
    expectation_rate: float = value(0, 1, "per push")
    mood_rate: float = value(0, 1, "per push; 0 switches mood off")
    mood_days: float = value(1e-6, 1e6, "days, time constant")
    affect_deviation: float = value(0, 1, "stationary standard deviation of valence and arousal")
    affect_rate: float = value(0, 100, "per day; low = emotional inertia")
    mood_pull: float = value(-2, 2, "home valence per unit of mood")
    valence_jump: float = value(-2, 2, "valence per unit of surprise")
    arousal_jump: float = value(-2, 2, "arousal per unit of absolute surprise")


@dataclasses.dataclass
class FatigueParams:
    """See `sim.shop.fatigue`."""

    fatigue_days: float = value(1e-6, 1e6, "days, time constant")
    irrelevance_fatigue: float = value(0, 20, "extra fatigue of a wholly irrelevant push")
    pressure_fatigue: float = value(0, 20, "extra fatigue per unit of pressure")
    opt_out_intercept: float = value(-50, 20, "logit, fresh and calm customer")
    opt_out_fatigue_weight: float = value(0, 20, "logit per unit of fatigue")
    opt_out_mood_weight: float = value(0, 20, "logit per unit of mood, lowers")
    opt_out_valence_weight: float = value(0, 20, "logit per unit of valence, lowers")
    opt_out_pressure_weight: float = value(0, 20, "logit per unit of pressure")


@dataclasses.dataclass
class SatiationParams:
    """See `sim.shop.satiation`."""

    satiation_days: float = value(1e-6, 1e6, "days, time constant")


@dataclasses.dataclass
class ReturningParams:
    """See `sim.shop.returning`."""

    same_visit_probability: float = value(0, 0.999, "probability of one more opportunity within the visit")
    opportunities_per_visit: float = value(1, 1000, "at most, per visit")
    return_intercept: float = value(-20, 20, "logit of returning on a given day")
    return_mood_weight: float = value(-20, 20, "logit per unit of mood")
    return_valence_weight: float = value(-20, 20, "logit per unit of valence")
    return_fatigue_weight: float = value(-20, 20, "logit per unit of fatigue, lowers")
    lapse_days: float = value(1, 100000, "days of absence after which the customer is gone")
    horizon_days: float = value(1, 100000, "days of a life")
    horizon_opportunities: float = value(1, 1000000, "opportunities of a life, at most")


@dataclasses.dataclass
class RewardParams:
    """See `sim.shop.reward`."""

    push_price: float = value(0, 1e6, "money per push")
    opt_out_price: float = value(0, 1e6, "money per opt-out")
    click_price: float = value(-1e6, 1e6, "money per click, usually 0")
    affect_price: float = value(0, 1e6, "money per unit of valence and opportunity, in training only; 0 = off")
    affect_floor: float = value(-2, 2, "valence relative to home that the affect price is charged against")


@dataclasses.dataclass
class TasteParams:
    """See `sim.shop.taste`."""

    taste_click_rate: float = value(0, 0.9, "rho, per opportunity; pull of a label that was clicked")
    taste_ignore_rate: float = value(0, 0.9, "rho', per opportunity; push of a label that was ignored")
    taste_noise: float = value(0, 10, "length of the random step per opportunity")


@dataclasses.dataclass
class BudgetParams:
    """See `sim.shop.budget`."""

    budget_enforced: float = value(0, 1, "0: what is spent is not missed later, the month's budget is always whole")


@dataclasses.dataclass
class DelayParams:
    """See `sim.shop.delay`."""

    delay_days: float = value(0, 10000, "days, mean at neutral valence; 0 switches delayed purchases off")
    delay_valence_weight: float = value(-5, 5, "log rate per unit of valence")


@dataclasses.dataclass
class RefundParams:
    """See `sim.shop.refunds`."""

    refunds: float = value(0, 1, "1 switches returned purchases on")
    refund_intercept: float = value(-50, 20, "logit of a return, given a purchase")
    refund_relevance_weight: float = value(-20, 20, "logit per cosine, lowers")
    refund_valence_weight: float = value(-20, 20, "logit per unit of valence, lowers")
    refund_days: float = value(0, 10000, "days from payment to return, mean")
    refund_price: float = value(0, 1e6, "money per return, on top of the margin")


@dataclasses.dataclass
class AvailabilityParams:
    """See `sim.shop.availability`."""

    out_of_stock_probability: float = value(0, 1, "per label and day")
    cap_pushes_per_visit: float = value(0, 1000000, "pushes")
    cap_pushes_per_window: float = value(0, 1000000, "pushes")
    cap_window_days: float = value(1, 100000, "days")
    quiet_from_hour: float = value(0, 24, "hour of the day; equal to quiet_to_hour = never quiet")
    quiet_to_hour: float = value(0, 24, "hour of the day")


@dataclasses.dataclass
class TillParams:
    """See `sim.shop.till`."""

    typical_records: float = value(1, 1e6, "rows in the frozen table of strangers' records")


@dataclasses.dataclass
class PopulationParams:
    """See `sim.shop.population`."""

    price_sensitivity_median: float = value(0, 1000, "logit per reference price")
    price_sensitivity_deviation: float = value(0, 10, "standard deviation of its logarithm")
    segment_noise: float = value(0, 100, "standard deviation of the till's reading of log price sensitivity")
    budget_median: float = value(1e-6, 1e9, "money per 30 days; scaled by the catalog's median price")
    budget_deviation: float = value(0, 10, "standard deviation of its logarithm")
    home_valence_mean: float = value(-1, 1, "valence")
    home_valence_deviation: float = value(0, 2, "valence")
    mood_deviation: float = value(0, 2, "of the first mood")
    mask_share: float = value(0, 1, "share of customers with a mask habit")
    mask_probability_habit: float = value(0, 1, "per visit, with the habit")
    mask_probability_other: float = value(0, 1, "per visit, without")
    enrolled_share: float = value(0, 1, "share of customers known to the identity gallery")


@dataclasses.dataclass
class CameraParams:
    """See `sim.shop.camera`."""

    expression_width: float = value(1e-3, 10, "h, in units of core affect")
    emotion_channel: float = value(0, 3, "0 perceived, 1 oracle, 2 blind, 3 noisy")
    identity_channel: float = value(0, 3, "0 perceived, 1 oracle, 2 blind, 3 noisy")
    mask_channel: float = value(0, 3, "0 perceived, 1 oracle, 2 blind, 3 noisy")
    camera_noise: float = value(0, 1, "probability that a noisy channel shows nothing", key="noise")


@dataclasses.dataclass
class TwinParams:
    """See `sim.shop.twin`."""

    twin: float = value(0, 1, "1 swaps the transition of fatigue and mood for the tabular twin's")
    twin_rise: float = value(0, 1, "probability")
    twin_sway: float = value(0, 1, "probability")
    twin_rest: float = value(0, 1, "probability")
    twin_home: float = value(0, 1, "probability")


@dataclasses.dataclass
class LongTermParams:
    """See `sim.shop.long_term`."""

    long_term: float = value(0, 1, "1 swaps the transition and what is shown for RecSim's choc/kale model")
    sensitivity: float = value(0, 100, "tau, logit of satisfaction per unit of net positive exposure")
    memory_discount: float = value(0, 0.999, "beta, per step")
    innovation_deviation: float = value(0, 100, "eta, of net positive exposure per step")
    choc_mean: float = value(0, 20, "log engagement of pure clickbait at full satisfaction")
    choc_deviation: float = value(0, 5, "of log engagement")
    kale_mean: float = value(0, 20, "log engagement of no clickbait at full satisfaction")
    kale_deviation: float = value(0, 5, "of log engagement")


@dataclasses.dataclass
class OrganicParams:
    """See `sim.shop.organic`."""

    organic: float = value(0, 1, "1 swaps response, chain and what is shown for RecoGym's model")
    interest_deviation: float = value(0, 100, "sigma_0, of each entry of the first omega")
    interest_drift: float = value(0, 100, "sigma_omega, of each entry of omega per organic view")
    organic_to_push: float = value(1e-6, 1, "probability per organic view")
    leave_organic: float = value(0, 1, "probability per organic view")
    push_to_organic: float = value(0, 1, "probability per opportunity")
    leave_push: float = value(0, 1, "probability per opportunity")


CHANNELS = {"perceived": 0, "oracle": 1, "blind": 2, "noisy": 3}  # codes of a camera channel

MECHANISMS = {
    "choice": ChoiceParams,
    "affect": AffectParams,
    "fatigue": FatigueParams,
    "satiation": SatiationParams,
    "returning": ReturningParams,
    "taste": TasteParams,
    "budget": BudgetParams,
    "reward": RewardParams,
    "delay": DelayParams,
    "refunds": RefundParams,
    "availability": AvailabilityParams,
    "till": TillParams,
    "twin": TwinParams,
    "long_term": LongTermParams,
    "organic": OrganicParams,
}


def read(kind: type, given: Mapping[str, Any], where: str) -> Any:
    """Build parameter dataclass `kind` from a mapping.

    Raises
    ------
    ShopError
        A parameter is missing, unknown, not a finite number, or out of its range.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in given:
        if name not in fields:
            raise ShopError(f"{where}.{name} is not a parameter; known are {', '.join(sorted(fields))}")
    out = {}
    for name, f in fields.items():
        shown = f.metadata["key"] or name
        raw = given.get(name, MISSING)
        if raw == MISSING:
            raise ShopError(f"{where}.{shown} is missing; give a number ({f.metadata['unit']})")
        low, high, unit = (f.metadata[key] for key in ("low", "high", "unit"))
        if isinstance(raw, bool) and f.type not in ("bool", bool) or not isinstance(raw, (int, float)):
            raise ShopError(f"{where}.{shown} must be a number ({unit}), not {raw!r}")
        if not (math.isfinite(raw) and low <= raw <= high):
            raise ShopError(f"{where}.{shown} = {raw} is out of range; allowed is {low:g} to {high:g} ({unit})")
        out[name] = raw
    return kind(**out)


GROUPS = (*MECHANISMS.values(), PopulationParams, CameraParams)  # in the order in which they are packed

VARIANTS = ("twin", "long_term", "organic")  # switches of the swapped customer models


def check_together(switches: Mapping[str, float], groups: list[Any]) -> None:
    """Rules that span parameters.

    Raises
    ------
    ShopError
        A switch is neither 0 nor 1, two swapped customer models are on at once, or probabilities of one draw exceed 1.
    """
    for name, switch in switches.items():
        if switch not in (0, 1):
            raise ShopError(f"env.{name}.{name} = {switch:g} must be 0 (off) or 1 (on)")
    on = [name for name in VARIANTS if switches[name] > 0]
    if len(on) > 1:
        raise ShopError(
            f"env.{on[0]}.{on[0]} and env.{on[1]}.{on[1]} are both 1; only one customer model can be swapped in"
        )
    organic = next(group for group in groups if isinstance(group, OrganicParams))
    for move, leave in (("organic_to_push", "leave_organic"), ("push_to_organic", "leave_push")):
        total = getattr(organic, move) + getattr(organic, leave)
        if total > 1:
            raise ShopError(
                f"env.organic.{move} + env.organic.{leave} = {total:g} is out of range; together they may be 0 to 1"
            )


def slate_size(env: Mapping[str, Any], labels: int) -> int:
    """How many labels a push of this scenario may show at once, checked against the K labels of the catalog.

    Raises
    ------
    ShopError
        The size is no integer or out of range, or the scenario swaps the customer model for one that knows single pushes only.
    """
    size = env.get("slate_size", 1)  # a run older than slates has none
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= labels:
        raise ShopError(
            f"env.slate_size = {size} is out of range; allowed is 1 (one label per push) to {labels}, the labels of the catalog"
        )
    for name in VARIANTS:
        if size > 1 and env[name][name] > 0:
            raise ShopError(f"env.slate_size = {size} needs the shop's own customer, but env.{name}.{name} is on; set it to 1")
    return size


def packed_type() -> np.dtype:
    """Of the record of all parameters; names must be unique."""
    import numpy as np

    names = [f.name for group in GROUPS for f in dataclasses.fields(group)]
    assert len(set(names)) == len(names), "parameter names must be unique across mechanisms"
    return np.dtype([(name, np.float64) for name in names])


def pack(groups: list[Any]) -> np.ndarray:
    """One structured record, shape (1,), of all fields of these dataclasses, as `read_all` gives them."""
    import numpy as np

    record = np.zeros(1, packed_type())
    for group in groups:
        for f in dataclasses.fields(group):
            record[f.name] = float(getattr(group, f.name))
    return record


def catalog_path(path: str) -> Path:
    """The CSV of a catalog; `shipped:NAME` is `conf/catalog/NAME.csv`."""
    return CONF / "catalog" / f"{path.removeprefix('shipped:')}.csv" if path.startswith("shipped:") else Path(path)


def camera_params(camera: Mapping[str, Any]) -> CameraParams:
    """Parameters of the camera from its configuration group, whose channels are names."""
    channels = {}
    for part in ("emotion", "identity", "mask"):
        if camera[part] not in CHANNELS:
            raise ShopError(f"camera.{part}={camera[part]} is unknown; choose {', '.join(CHANNELS)}")
        channels[f"{part}_channel"] = CHANNELS[camera[part]]
    numbers = {"expression_width": camera["expression_width"], "camera_noise": camera["noise"]}
    return read(CameraParams, {**channels, **numbers}, "camera")


def read_all(env: Mapping[str, Any], population: Mapping[str, Any], camera: Mapping[str, Any]) -> list[Any]:
    """Every parameter group of a scenario, checked.

    Raises
    ------
    ShopError
        A parameter is missing, unknown or out of range.
    """
    groups = [read(kind, env[name], f"env.{name}") for name, kind in MECHANISMS.items()]
    check_together(
        {name: getattr(group, name) for group in groups for name in VARIANTS if hasattr(group, name)}, groups
    )
    return [*groups, read(PopulationParams, population["traits"], "population.traits"), camera_params(camera)]

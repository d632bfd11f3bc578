"""Moments of a log against the fitted shop, and the held-out log-likelihood.

Two comparisons.  *One step ahead*: what the shop expects of every logged push, given that customer's logged past; no
assumption about who chose the pushes.  *Simulated*: new customers of the fitted shop, met by pushes drawn with the log's
frequencies at each opportunity of a life, each watched for as long as some logged customer was; this assumes that the log's
policy did not react to the customer beyond that.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from sim.calibration.likelihood import BUY, CLICK, OPT_OUT, RETURN
from sim.calibration.push_log import AWAY, LEFT, NO_READING, RETURNED, ROW, PushLog
from sim.evaluation.rollout import rollout
from sim.evaluation.statistics import Interval, paired_interval, ratio_interval
from sim.shop.lives import LiveCustomers
from sim.shop.world import Shop

INDEX = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, 20), (21, 10**9))  # pushes of a life
GAPS = ((1, 1), (2, 3), (4, 7), (8, 14), (15, 10**9))  # days


class Moment(NamedTuple):
    """Data with a 95 % interval over customers, one step ahead (None where it has no meaning), simulated with interval."""

    name: str
    data: Interval
    ahead: float | None
    simulated: Interval | None

    @property
    def off(self) -> float:
        """Distance of simulation and data in standard errors of the difference."""
        if self.simulated is None:
            return 0.0
        first, second = ((i["high"] - i["low"]) / 2 / 1.96 for i in (self.data, self.simulated))
        error = float(np.hypot(first, second))
        return abs(self.data["mean"] - self.simulated["mean"]) / error if error > 0 else 0.0


class _Quantity(NamedTuple):
    """A ratio of two sums over rows: y (T,) over x (T,), and what the model expects of y, where it does."""

    name: str
    y: np.ndarray
    x: np.ndarray
    expected: np.ndarray | None


def _span(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low}+" if high >= 10**9 else f"{low}-{high}"


def _quantities(log: PushLog, chances: np.ndarray | None) -> list[_Quantity]:
    rows = log.rows
    pushed, clicked = (rows["label"] > 0).astype(float), rows["clicked"].astype(float)
    nth = np.cumsum(pushed) - np.repeat((np.cumsum(pushed) - pushed)[log.start[:-1]], np.diff(log.start))
    bought, left = rows["bought"].astype(float), rows["opted_out"].astype(float)
    back = (rows["end"] == RETURNED) & (rows["gap"] > 0)
    one = np.zeros(len(rows))
    one[log.start[:-1]] = 1.0
    e = None if chances is None else chances
    out = [
        _Quantity("clicks per push", clicked, pushed, None if e is None else e[:, CLICK] * pushed),
        _Quantity("purchases per click", bought, clicked, None if e is None else e[:, BUY] * clicked),
        _Quantity("purchases per push", bought, pushed, None if e is None else e[:, BUY] * clicked),
        _Quantity("opt-outs per push", left, pushed, None if e is None else e[:, OPT_OUT] * pushed),
        _Quantity("returns per day away", back.astype(float), _days_away(rows), _expected_returns(rows, e)),
        _Quantity("opportunities per customer", np.ones(len(rows)), one, None),
        _Quantity("pushes per customer", pushed, one, None),
        _Quantity("share that opted out", left, one, None),
    ]
    for low, high in INDEX:
        here = pushed * ((nth >= low) & (nth <= high))
        span = _span(low, high)
        out.append(_Quantity(f"clicks at push {span}", clicked * here, here, None if e is None else e[:, CLICK] * here))
        out.append(
            _Quantity(f"opt-outs at push {span}", left * here, here, None if e is None else e[:, OPT_OUT] * here)
        )
    for low, high in GAPS:
        within = back & (rows["gap"] >= low) & (rows["gap"] <= high)
        out.append(_Quantity(f"gaps of {_span(low, high)} days", within.astype(float), back.astype(float), None))
    for k, name in enumerate(log.labels):
        here = (rows["label"] == k + 1).astype(float)
        out.append(_Quantity(f"clicks on {name}", clicked * here, here, None if e is None else e[:, CLICK] * here))
    return out


def _days_away(rows: np.ndarray) -> np.ndarray:
    return np.where((rows["end"] != LEFT) & (rows["gap"] > 0), rows["gap"], 0).astype(float)


def _expected_returns(rows: np.ndarray, chances: np.ndarray | None) -> np.ndarray | None:
    return None if chances is None else chances[:, RETURN] * _days_away(rows)


def _ratio(log: PushLog, q: _Quantity) -> Interval:
    first = log.start[:-1]
    return ratio_interval(np.add.reduceat(q.y, first), np.add.reduceat(q.x, first))


def compare(log: PushLog, chances: np.ndarray | None, simulated: PushLog | None) -> list[Moment]:
    """Moments of a log (T rows) beside the model's expectations `chances` (T, 4) and a simulated log; those with data only."""
    out = []
    theirs = None if simulated is None else {q.name: q for q in _quantities(simulated, None)}
    for q in _quantities(log, chances):
        if q.x.sum() == 0:
            continue
        ahead = None if q.expected is None else float(q.expected.sum() / q.x.sum())
        drawn = None
        if simulated is not None and theirs is not None and theirs[q.name].x.sum() > 0:
            drawn = _ratio(simulated, theirs[q.name])
        out.append(Moment(q.name, _ratio(log, q), ahead, drawn))
    return out


@dataclasses.dataclass
class LoggedPushes:
    """A policy that pushes with the log's frequencies at each opportunity of a life; looks at nothing else."""

    frequencies: np.ndarray  # (M, K + 1) by opportunity, the last row for all later ones
    name: str = "logged"
    propensity_kind: str = "exact"
    needs_state: bool = True

    class Decision(NamedTuple):
        action: np.ndarray
        propensity: np.ndarray
        probabilities: np.ndarray

    def act(self, lives: LiveCustomers, rows: np.ndarray, uniform: np.ndarray) -> Decision:
        moment = np.minimum(lives.state.customers["opportunity"][rows], len(self.frequencies) - 1)
        share = self.frequencies[moment]
        action = np.minimum((share.cumsum(1) <= uniform[:, None]).sum(1), share.shape[1] - 1)
        return self.Decision(action, share[np.arange(len(action)), action], share)


def logged_pushes(log: PushLog, fewest: int = 200) -> LoggedPushes:
    """Frequencies of holding back and of each label, by opportunity for as long as at least `fewest` customers are there."""
    position, actions = log.position, len(log.labels) + 1
    longest = int((np.bincount(position) >= fewest).sum()) or 1
    moment = np.minimum(position, longest - 1)
    counts = np.bincount(moment * actions + log.rows["label"], minlength=longest * actions).reshape(longest, actions)
    return LoggedPushes(counts / counts.sum(1, keepdims=True))


def simulate(shop: Shop, log: PushLog, *, customers: int, seed: int) -> PushLog:
    """`customers` lives of a shop under the log's pushes, each watched as long as a logged customer drawn at random."""
    events = rollout(logged_pushes(log), shop, customers=customers, seed=seed, split="tune").events
    windows = log.last_day - log.rows["day"][log.start[:-1]]
    watched = np.random.default_rng([seed, 103]).choice(windows, customers)
    keep = events["day"] <= watched[events["customer"]]
    events = events[keep]
    rows = np.zeros(len(events), ROW)
    for name in ("day", "clicked", "bought", "opted_out"):
        rows[name] = events[name]
    rows["label"], rows["reading"] = events["action"], NO_READING
    rows["price"] = np.concatenate([[0.0], shop.catalog.table["price"]])[events["action"]]
    rows["gap"] = np.minimum(events["gap"], 10**6)
    start = np.concatenate([[0], np.flatnonzero(np.diff(events["customer"])) + 1, [len(events)]]).astype(np.int64)
    last = start[1:] - 1
    rows["end"][last] = AWAY
    rows["gap"][last] = np.minimum(
        watched[events["customer"][last]] - rows["day"][last], int(shop.params["lapse_days"][0])
    )
    gone = rows["opted_out"] == 1
    rows["end"][gone], rows["gap"][gone] = LEFT, 0
    return dataclasses.replace(log, rows=rows, start=start)


def per_customer(log: PushLog, density: np.ndarray) -> np.ndarray:
    """(N,) log-likelihood of what each customer did: clicks, purchases, opt-out and gaps, not what the camera read."""
    return np.add.reduceat(density[:, [CLICK, BUY, OPT_OUT, RETURN]].sum(1), log.start[:-1])


def held_out(log: PushLog, densities: dict[str, np.ndarray]) -> dict[str, dict[str, Interval]]:
    """Log-likelihood per opportunity of each model (by name, (T, 5)), and how much better the first is than the others."""
    length = np.diff(log.start).astype(float)
    parts = {name: per_customer(log, density) for name, density in densities.items()}
    first = next(iter(parts))

    def influence(y: np.ndarray) -> tuple[float, np.ndarray]:
        ratio = float(y.sum() / length.sum())
        return ratio, (y - ratio * length) / length.mean()

    return {
        "per_opportunity": {name: ratio_interval(y, length) for name, y in parts.items()},
        "gain": {
            name: paired_interval(influence(parts[first]), influence(y)) for name, y in parts.items() if name != first
        },
    }

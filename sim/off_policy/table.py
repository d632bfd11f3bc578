"""A user's own log, CSV or Parquet: one row per decision.

    reward        money (or whatever is to be counted)                                                        needed
    propensity    probability of the logged action at decision time, after masks and exploration              needed
    action        0 holds back, 1..K push a label;  or  label, empty or null for holding back                 one of them
    target_probability_<a>   of every action a (0..K, or hold_back and the labels' names)                     or `policy`
    action_probability_<a>   the same of the logging policy: finds actions that it never takes                optional
    customer      rows of one customer belong together; without it every row is a customer of its own         optional
    step, time or day        order within a customer (day also discounts); else the order of the rows         optional
    feature_<name>           numbers for the reward model                                                     optional
    observation_<i>, allowed_<a>   what a saved policy is to be asked with, in its own order                  with `policy`

Rows are numbered from 1, the heading not counted.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.errors import OffPolicyError
from sim.off_policy.partition import ROW

HOLD_BACK = "hold_back"
_SHOWN = 6


@dataclasses.dataclass(frozen=True)
class OwnTable:
    """A checked log with the names of its labels."""

    log: LoggedLives
    labels: tuple[str, ...]


def is_table(text: str) -> bool:
    """Whether `logs` names a file (or a folder of parts) that is no run."""
    path = Path(text).expanduser()
    return (
        path.suffix.lower() in (".csv", ".parquet", ".pq")
        and path.exists()
        and not (path.parent / "summary.json").exists()
    )


def read_frame(path: Path) -> pd.DataFrame:
    """The table.

    Raises
    ------
    OffPolicyError
        It cannot be read, or is empty.
    """
    try:
        frame = pd.read_csv(path, encoding="utf-8-sig") if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except Exception as error:  # pandas and pyarrow share no base class
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OffPolicyError(
            f"logs={path}: is no table that can be read ({reason}); give CSV in UTF-8 or Parquet"
        ) from None
    if len(frame) == 0:
        raise OffPolicyError(f"logs={path}: holds no row")
    return frame.rename(columns=str)


class _Reader:
    """Columns of one table as arrays; every refusal names row and column."""

    def __init__(self, frame: pd.DataFrame, path: Path):
        self.rows = frame.pop(ROW).to_numpy() if ROW in frame else np.arange(1, len(frame) + 1)
        self.frame, self.path = frame, path

    def numbers(self, name: str) -> np.ndarray:
        values = pd.to_numeric(self.frame[name], errors="coerce").to_numpy(float)
        self.refuse(~np.isfinite(values), name, "is no finite number")
        return values

    def refuse(self, wrong: np.ndarray, name: str, what: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            value = self.frame[name].iloc[row]
            shown = repr(value.item() if isinstance(value, np.generic) else value)
            raise OffPolicyError(f"logs={self.path}: row {self.rows[row]}, column {name}: {shown} {what}")

    def family(self, prefix: str) -> list[str]:
        return [name for name in self.frame.columns if name.startswith(prefix)]

    def by_action(self, prefix: str, labels: tuple[str, ...]) -> np.ndarray | None:
        """(T, K + 1) of the columns of one prefix; None where there is none of them."""
        given = {name.removeprefix(prefix): name for name in self.family(prefix)}
        if not given:
            return None
        columns = []
        for a, label in enumerate((HOLD_BACK, *labels)):
            name = given.pop(label, None) or given.pop(str(a), None)
            if name is None:
                raise OffPolicyError(
                    f"logs={self.path}: lacks the column {prefix}{label} (or {prefix}{a}); every action needs one"
                )
            columns.append(self.numbers(name))
        if given:
            raise OffPolicyError(
                f"logs={self.path}: column {next(iter(given.values()))} is of no known label; known are {_named(labels)}"
            )
        return np.column_stack(columns)


def _named(labels: tuple[str, ...]) -> str:
    more = f", ... ({len(labels)})" if len(labels) > _SHOWN else ""
    return ", ".join((HOLD_BACK, *labels[:_SHOWN])) + more


def _labels(reader: _Reader, given: tuple[str, ...], actions: int | None) -> tuple[str, ...]:
    """Names of actions 1, 2, ...: as told, else from the columns, else as many as the policy has."""
    if given:
        return given
    for prefix in ("target_probability_", "action_probability_"):
        found = [name.removeprefix(prefix) for name in reader.family(prefix)]
        if found and all(re.fullmatch(r"\d+", name) for name in found):
            return tuple(str(a) for a in range(1, 1 + max(map(int, found))))
        if found:
            return tuple(name for name in found if name not in (HOLD_BACK, "0"))
    if actions is None:
        raise OffPolicyError(
            f"logs={reader.path}: what would the other policy do? Add target_probability_hold_back and target_probability_<label> for "
            "every label, or name a saved policy with policy=FOLDER"
        )
    return tuple(str(a) for a in range(1, actions))


def _actions(reader: _Reader, labels: tuple[str, ...]) -> np.ndarray:
    if "action" in reader.frame:
        action = reader.numbers("action")
        wrong = (action != np.round(action)) | (action < 0) | (action > len(labels))
        reader.refuse(wrong, "action", f"is no action; they are 0 to {len(labels)}")
        return action.astype(np.int64)
    if "label" not in reader.frame:
        raise OffPolicyError(
            f"logs={reader.path}: lacks the column action (0 holds back, 1..K) or label (empty holds back)"
        )
    codes = {"": 0, HOLD_BACK: 0} | {name: a for a, name in enumerate(labels, 1)}
    names = reader.frame["label"].astype(object).where(reader.frame["label"].notna(), "").astype(str).str.strip()
    found = names.map(codes)
    reader.refuse(found.isna().to_numpy(), "label", f"is no known label; known are {_named(labels)}")
    return found.to_numpy(np.int64)


def _order(reader: _Reader) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Order of the rows (T,) by customer and time, start (n + 1,), day (T,) in that order."""
    frame, rows = reader.frame, np.arange(len(reader.frame))
    day = reader.numbers("day") if "day" in frame else None
    if "customer" not in frame:
        return rows, np.arange(len(rows) + 1), None
    reader.refuse(frame["customer"].isna().to_numpy(), "customer", "is empty")
    customer, _ = pd.factorize(frame["customer"])
    moment: Any = rows
    for name in ("step", "time", "day"):
        if name in frame:
            if name == "time":
                moment = pd.to_datetime(frame[name], errors="coerce", utc=True)
                reader.refuse(moment.isna().to_numpy(), name, "is no time")
                if day is None:
                    day = (moment - moment.min()).dt.total_seconds().to_numpy() / 86_400
                moment = moment.astype("int64").to_numpy()
            else:
                moment = reader.numbers(name)
            break
    order = np.lexsort((rows, moment, customer))
    start = np.concatenate([[0], np.cumsum(np.bincount(customer))])
    if day is None:
        return order, start, None
    day = day[order]
    return order, start, day - np.repeat(day[start[:-1]], np.diff(start))


def read_table(path: Path, labels: tuple[str, ...] = (), policy: Any | None = None) -> OwnTable:
    """Read and check a log as a whole; parameters and errors as of `checked`."""
    return checked(read_frame(path), path, labels, policy)


def checked(frame: pd.DataFrame, path: Path, labels: tuple[str, ...] = (), policy: Any | None = None) -> OwnTable:
    """A table, or a block of whole customers of it (`partition`), as a log.

    Parameters
    ----------
    path : where it comes from, for messages.
    labels : names of actions 1, 2, ...; () takes them from the columns.
    policy : a loaded agent, for a log with observation_* columns instead of target_probability_*.

    Raises
    ------
    OffPolicyError
        Anything that does not fit, by row and column.
    """
    reader = _Reader(frame, path)
    for name, why in (
        (
            "propensity",
            "the probability of the logged action when it was taken; without it nothing unbiased can be said",
        ),
        ("reward", "what each decision earned"),
    ):
        if name not in reader.frame:
            raise OffPolicyError(f"logs={path}: lacks the column {name}, {why}")
    labels = _labels(reader, labels, None if policy is None else policy.num_actions)
    action, reward = _actions(reader, labels), reader.numbers("reward")
    propensity = reader.numbers("propensity")
    what = "is no probability of an action that was taken; it must lie above 0 and at most at 1"
    reader.refuse((propensity <= 0) | (propensity > 1), "propensity", what)
    observation = _observation(reader, policy)
    target = (
        _asked(reader, policy, observation, labels)
        if policy is not None
        else reader.by_action("target_probability_", labels)
    )
    if target is None:
        raise OffPolicyError(
            f"logs={path}: lacks target_probability_* columns; add one per action, or name a saved policy with policy=FOLDER"
        )
    names = reader.family("feature_")
    features = np.column_stack([reader.numbers(name) for name in names]) if names else observation
    behaviour = reader.by_action("action_probability_", labels)
    order, start, day = _order(reader)
    if behaviour is not None:
        own = behaviour[np.arange(len(action)), action]
        reader.refuse(
            np.abs(own - propensity) > 1e-3,
            "propensity",
            "differs from the row's own action_probability_* of the action taken",
        )
    return OwnTable(
        LoggedLives(
            start=start,
            action=action[order],
            reward=reward[order],
            propensity=propensity[order],
            target=target[order],
            features=None if features is None else features[order],
            behaviour=None if behaviour is None else behaviour[order],
            day=day,
            lines=reader.rows[order],
        ),  # fmt: skip
        labels,
    )


def _observation(reader: _Reader, policy: Any | None) -> np.ndarray | None:
    names = sorted(reader.family("observation_"), key=lambda name: int(re.sub(r"\D", "", name) or 0))
    if not names:
        if policy is not None:
            raise OffPolicyError(
                f"logs={reader.path}: lacks observation_0 to observation_{policy.observation_size - 1}, with which policy "
                f"{policy.name} is asked"
            )
        return None
    observation = np.column_stack([reader.numbers(name) for name in names])
    if policy is not None and observation.shape[1] != policy.observation_size:
        raise OffPolicyError(
            f"logs={reader.path}: has {observation.shape[1]} observation_* columns, policy {policy.name} takes {policy.observation_size}"
        )
    return observation


def _asked(reader: _Reader, policy: Any, observation: np.ndarray | None, labels: tuple[str, ...]) -> np.ndarray:
    """The policy's probabilities (T, K + 1)."""
    if policy.num_actions != len(labels) + 1:
        raise OffPolicyError(
            f"policy {policy.name} knows {policy.num_actions - 1} labels, the log {len(labels)}: {_named(labels)}"
        )
    allowed = reader.by_action("allowed_", labels)
    mask = np.ones((len(reader.frame), len(labels) + 1), bool) if allowed is None else allowed > 0
    assert observation is not None
    return np.asarray(policy.action_probabilities(observation.astype(np.float32), mask))

"""Deploy a policy on customers, one life each, on common random numbers.

Every draw, the policy's own included, is a pure function of (seed, split, customer, opportunity): two policies meet the same
customers with the same luck, and neither the batch size nor the order of customers changes a bit.  So lives are lived a batch
at a time: `stream` hands out the log of each batch as it is finished, in memory that does not grow with the customers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from sim.evaluation.oracle.response import best_allowed, response_of
from sim.evaluation.slates import draw_slates, executed_probabilities
from sim.shop.camera import FEATURES, NEGATIVE
from sim.shop.lives import LiveCustomers
from sim.shop.observation import check_observation
from sim.shop.parameters import ShopError
from sim.shop.random_streams import policy_uniforms
from sim.shop.world import Shop


class Policy(Protocol):
    """What evaluation needs of an agent."""

    @property
    def name(self) -> str: ...

    @property
    def propensity_kind(self) -> str: ...

    def act(self, observation: np.ndarray, action_mask: np.ndarray, uniform: np.ndarray) -> Any:
        """Decision with `action` (N,), `propensity` (N,), `probabilities` (N, K + 1)."""


class RememberingPolicy(Policy, Protocol):
    """A policy with `memory_size` M numbers of memory per customer, kept for it between opportunities."""

    memory_size: int

    def act_with_memory(
        self, observation: np.ndarray, action_mask: np.ndarray, uniform: np.ndarray, memory: np.ndarray, visits: np.ndarray
    ) -> tuple[Any, np.ndarray]:
        """Decision as of `Policy`, and the memory (N, M) afterwards; `visits` (N, 2) as of `LiveCustomers.visits`."""


class StatePolicy(Protocol):
    """An oracle: `needs_state` is True, and it decides from the true state of the customers in some rows."""

    name: str
    propensity_kind: str
    needs_state: bool

    def act(self, lives: LiveCustomers, rows: np.ndarray, uniform: np.ndarray) -> Any:
        """Decision as of `Policy`, for the customers in `rows` (N,)."""


def decide(policy: Policy | StatePolicy, lives: LiveCustomers, rows: np.ndarray) -> Any:
    """Decision of a policy for the live customers in `rows` (N,); only an oracle is shown more than the observation.

    Where the shop shows slates, a policy of single labels fills them (`sim.evaluation.slates`).
    """
    moments = lives.ids[rows], lives.state.customers["opportunity"][rows]
    uniform = policy_uniforms(lives.seed, lives.split, *moments)
    chooser: Any = policy
    observation = lives.observation[rows]
    check_observation(observation, lives.shop.layout)
    size, mask = lives.shop.slate_size, lives.action_masks()[rows]
    if getattr(policy, "needs_state", False):
        if size > 1:
            raise ShopError(f"{policy.name} knows single pushes only, and this shop shows slates; set env.slate_size=1")
        return chooser.act(lives, rows, uniform)
    remembers = bool(getattr(policy, "memory_size", 0))
    if size > 1:
        if remembers:
            raise ShopError(f"{policy.name} remembers single pushes only, and this shop shows slates; set env.slate_size=1")
        slots = [policy_uniforms(lives.seed, lives.split, *moments, slot) for slot in range(size)]
        return draw_slates(lambda some, open_, u: chooser.act(observation[some], open_, u), mask, slots)
    if remembers:
        return _with_memory(chooser, lives, rows, observation, uniform)
    return chooser.act(observation, mask, uniform)


def _with_memory(policy: Any, lives: LiveCustomers, rows: np.ndarray, observation: np.ndarray, uniform: np.ndarray) -> Any:
    """Decision of a policy that remembers; its memory lies with the lives, so every opportunity is to be decided once."""
    if lives.memory is None:
        lives.memory = np.zeros((lives.number, policy.memory_size))
    decision, lives.memory[rows] = policy.act_with_memory(
        observation, lives.action_masks()[rows], uniform, lives.memory[rows], lives.visits()[rows]
    )
    return decision


@dataclasses.dataclass(frozen=True)
class SessionLog:
    """T opportunities of `customers` lives: what was seen, done and true.

    events (T,) `sim.shop.types.EVENT`, sorted by (customer, step); camera (T, 11) float32, the camera's part of the
    observation; propensity (T,) of the executed action; probabilities (T, K + 1) float32.  A log without decisions has none
    of these three.  slate (T, S) int64: the labels shown, zeros behind them, in a shop with slates, else (T, 0); there an
    event's `action` is the label clicked, else the first one shown, and `requested` differs from it where a masked label was
    asked for.  `truth`: further hidden columns (T,) by name, `true_*` (see `stream`).
    """

    policy: str
    propensity_kind: str
    customers: int
    events: np.ndarray
    camera: np.ndarray
    propensity: np.ndarray
    probabilities: np.ndarray
    slate: np.ndarray
    truth: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


BATCH = 4096  # lives side by side: some 40 MB with their logs

_Columns = dict[str, np.ndarray]  # of one step or one batch


def _live(
    policy: Policy | StatePolicy, lives: LiveCustomers, alive: np.ndarray, decisions: bool, regret: bool
) -> _Columns:
    """One opportunity of the customers in `alive` (n,), as columns (n, ...)."""
    columns: _Columns = {}
    camera, mask = lives.observation[alive, :FEATURES], lives.action_masks()[alive]
    expected = response_of(lives, alive).reward if regret else None
    decision = decide(policy, lives, alive)
    actions = lives.held_back()
    actions[alive] = decision.action
    lives.step(actions)
    columns["events"] = events = lives.state.events[alive]
    columns["slate"] = lives.state.slate[alive]
    each = np.arange(len(alive))
    if decisions:
        probabilities = executed_probabilities(np.asarray(decision.probabilities), mask)
        columns["propensity"] = decision.propensity if actions.ndim > 1 else probabilities[each, events["action"]]
        columns["probabilities"], columns["camera"] = probabilities.astype(np.float32), camera
    if expected is not None:
        best = best_allowed(expected, mask)
        columns["true_best_action"] = best.astype(np.int32)
        columns["true_best_expected_reward"] = expected[each, best]
        columns["true_expected_reward"] = expected[each, events["action"]]
        columns["true_immediate_regret"] = expected[each, best] - expected[each, events["action"]]
    return columns


def stream(
    policy: Policy | StatePolicy,
    shop: Shop,
    *,
    customers: int,
    seed: int,
    split: str = "evaluate",
    first: int = 0,
    batch: int = BATCH,
    decisions: bool = True,
    regret: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Iterator[SessionLog]:
    """Live the lives of `customers` customers, ids first, first + 1, ..., under `policy`; yields a log per `batch` of them.

    Parameters
    ----------
    decisions : keep what the policy saw and its probabilities; without, a log takes half the memory.
    regret : look up what every action was worth (`oracle.response`), and log `true_best_action` (the best for this
        opportunity alone), `true_best_expected_reward`, `true_expected_reward` (of the executed action; money) and their
        difference `true_immediate_regret`.  Of single pushes only: a shop with slates has none.
    progress : called with the number of lives just finished.

    Raises
    ------
    ShopError
        The policy asks for an action out of range, or an observation is not finite.
    """
    regret = regret and shop.slate_size == 1
    for start in range(first, first + customers, batch):
        number = min(batch, first + customers - start)
        lives = shop.customers(number, seed, split, first=start)
        steps: list[_Columns] = []
        alive = np.arange(number)
        while len(alive):
            steps.append(_live(policy, lives, alive, decisions, regret))
            still = ~lives.done[alive]
            if progress is not None and not still.all():
                progress(int((~still).sum()))
            alive = alive[still]
        yield _gathered(policy, shop, number, steps)


def _gathered(policy: Policy | StatePolicy, shop: Shop, customers: int, steps: list[_Columns]) -> SessionLog:
    """The columns of all steps as one log, sorted by (customer, step)."""
    events = np.concatenate([step.pop("events") for step in steps])
    order = np.lexsort((events["step"], events["customer"]))
    columns = {name: np.concatenate([step[name] for step in steps])[order] for name in steps[0]}
    none, slate = np.zeros(0, np.float32), columns.pop("slate")
    given = {name: columns.pop(name, none) for name in ("camera", "propensity", "probabilities")}
    events = events[order]
    columns["true_negative_affect"] = negative_affect(shop, events)
    return SessionLog(policy.name, policy.propensity_kind, customers, events, **given, slate=slate, truth=columns)


def negative_affect(shop: Shop, events: np.ndarray) -> np.ndarray:
    """Whether each customer (T,) truly felt bad: angry, disgusted, afraid or sad; by valence where the emotion is unknown."""
    emotion = shop.gallery.true_emotion[events["image"]]
    return np.where(emotion >= 0, np.isin(emotion, NEGATIVE), events["valence"] < 0)


def joined(logs: Iterable[SessionLog]) -> SessionLog:
    """Logs of one policy, in the order of their customers, as one."""
    logs = list(logs)
    if len(logs) == 1:
        return logs[0]
    columns = {
        name: np.concatenate([getattr(log, name) for log in logs])
        for name in ("events", "camera", "propensity", "probabilities", "slate")
    }
    truth = {name: np.concatenate([log.truth[name] for log in logs]) for name in logs[0].truth}
    customers = sum(log.customers for log in logs)
    return SessionLog(logs[0].policy, logs[0].propensity_kind, customers, **columns, truth=truth)


def rollout(policy: Policy | StatePolicy, shop: Shop, *, customers: int, seed: int, **options: Any) -> SessionLog:
    """The log of `customers` whole lives, all at once; options as of `stream`.  For many customers use `stream`."""
    return joined(stream(policy, shop, customers=customers, seed=seed, **options))


def value_per_customer(
    policy: Policy | StatePolicy,
    shop: Shop,
    *,
    customers: int,
    seed: int,
    split: str = "tune",
    discount_per_day: float = 1.0,
) -> float:
    """Mean money per customer, undiscounted unless told, without keeping a log: what tuning maximises."""
    total = 0.0
    for first in range(0, customers, BATCH):
        number = min(BATCH, customers - first)
        lives = shop.customers(number, seed, split, first=first)
        alive = np.arange(number)
        while len(alive):
            actions = lives.held_back()
            actions[alive] = decide(policy, lives, alive).action
            weight = discount_per_day ** lives.state.customers["day"][alive]
            lives.step(actions)
            total += float((weight * lives.state.events["reward"][alive]).sum())
            alive = alive[~lives.done[alive]]
    return total / customers

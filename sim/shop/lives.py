"""Live customers of a shop, side by side: the one object that every adapter steps."""

from __future__ import annotations

import functools
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from sim.shop import compiled, dynamics
from sim.shop.camera import FEATURES
from sim.shop.handle import Handle
from sim.shop.observation import observation_size
from sim.shop.parameters import ShopError
from sim.shop.random_streams import MAX_SEED, SPLITS
from sim.shop.till import record_size
from sim.shop.types import CAPACITY, CUSTOMER, EVENT, LABEL, LINE, PENDING, SELF, Lives

if TYPE_CHECKING:
    from sim.shop.world import Shop


ROWS_A_THREAD = 1024  # fewer rows do not pay for waking a thread


def _zeros(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """As `np.zeros`, beginning with a cache line."""
    size = int(np.prod(shape)) * dtype.itemsize
    room = np.zeros(size + LINE, np.uint8)
    start = -room.__array_interface__["data"][0] % LINE
    return room[start : start + size].view(dtype).reshape(shape)


def allocate(number: int, labels: int, dimensions: int, slate_size: int = 1) -> Lives:
    """Zeroed state of `number` customers."""
    size = observation_size(labels)
    return Lives(
        customers=_zeros(number, CUSTOMER),
        labels=_zeros((number, labels), LABEL),
        taste=np.zeros((number, dimensions)),
        record=np.zeros((number, record_size(labels)), np.float32),
        picture=np.zeros((number, FEATURES), np.float32),
        observation=np.zeros((number, size), np.float32),
        action_mask=np.zeros((number, labels + 1), bool),
        final_observation=np.zeros((number, size), np.float32),
        reward=np.zeros(number),
        terminated=np.zeros(number, bool),
        truncated=np.zeros(number, bool),
        events=np.zeros(number, EVENT),
        pending=np.zeros((number, CAPACITY), PENDING),
        slate=np.zeros((number, slate_size if slate_size > 1 else 0), np.int64),
        impression=np.zeros((number, 3 if slate_size > 1 else 0)),
    )


def _worthwhile_threads(number: int) -> int:
    return max(
        1,
        min(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            number // ROWS_A_THREAD,
        ),
    )


def _shares(state: Lives, threads: int) -> list[tuple[slice, Lives]]:
    """The rows of `state` in `threads` contiguous shares (views)."""
    edges = np.linspace(0, len(state.customers), threads + 1).astype(int)
    rows = [slice(a, b) for a, b in itertools.pairwise(edges)]
    return [(part, Lives(*(array[part] for array in state))) for part in rows]


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="shop")


class LiveCustomers:
    """N customers of one shop, each a pure function of (seed, split, its id, the actions it met).

    Parameters
    ----------
    number : N.
    seed : one integer in [0, 2**32).
    split : "train", "tune", "typical" or "evaluate": other customers, and for "evaluate" other faces.
    first : id of the first customer; row i starts with first + i.
    autoreset : when an episode ends, the row starts customer id + N in the same step. Otherwise it is marked done.
    keep_events : write what happened to every row into `state.events` (for logs); False spares the memory traffic.
    threads : that share the rows; None takes the processors there are, where N is large enough to be worth it.
    """

    def __init__(
        self,
        shop: Shop,
        number: int,
        seed: int,
        split: str = "train",
        *,
        first: int = 0,
        autoreset: bool = False,
        keep_events: bool = True,
        threads: int | None = None,
    ):
        if number < 1:
            raise ShopError(f"the number of customers is {number}; it must be at least 1")
        if not 0 <= seed <= MAX_SEED:
            raise ShopError(f"seed is {seed}; it must be an integer from 0 to {MAX_SEED}")
        self.shop, self.number, self.seed, self.split = shop, number, int(seed), SPLITS[split]
        self.stride = number if autoreset else 0
        self.world = shop.world(split)
        self._shape = (number, shop.slate_size) if shop.slate_size > 1 else (number,)  # of actions
        self.state = allocate(number, shop.labels, shop.catalog.features.shape[1], shop.slate_size)
        self._parts = []
        for rows, part in _shares(self.state, threads or _worthwhile_threads(number)):
            self._parts.append((rows, Handle(self.world, part if keep_events else part._replace(events=np.zeros(1, EVENT)))))
        self.memory: np.ndarray | None = None  # what a policy with a memory keeps of each row (N, M); the shop never reads it
        compiled.announce()
        self.reset(first)

    def reset(self, first: int = 0) -> np.ndarray:
        """Start customers first, first + 1, ... afresh; returns the observation (N, O)."""
        identifiers = np.arange(first, first + self.number, dtype=np.int64)
        for rows, handle in self._parts:
            dynamics.begin_at(handle.address, self.seed, self.split, identifiers[rows])
        self.memory = None
        return self.state.observation

    def step(
        self, actions: np.ndarray, observation: np.ndarray | None = None, final_observation: np.ndarray | None = None
    ) -> np.ndarray:
        """One opportunity of every live customer; actions (N,) int, 0 holds back. Returns the reward (N,).

        With slates the actions are (N, S), 0 an empty slot; a label named twice is shown once.

        `observation` and `final_observation` (N, O) float32 are written to from now on in place of the buffers so far
        (with autoreset only: the row of a customer who is done is not written again).

        Raises
        ------
        ShopError
            An action is no integer or out of range, or masked while the shop is strict; the shape is wrong.
        """
        actions = np.asarray(actions)
        if actions.shape != self._shape:
            raise ShopError(f"actions have shape {actions.shape}; {self.number} customers need {self._shape}")
        if actions.dtype.kind not in "iu":
            raise ShopError(f"actions are of type {actions.dtype}; they must be integers from 0 to {self.shop.labels}")
        actions = np.ascontiguousarray(actions, np.int64)
        low, high = (actions.flat[0], actions.flat[0]) if actions.size == 1 else (actions.min(), actions.max())
        if low < 0 or high > self.shop.labels:
            wrong = int(actions[(actions < 0) | (actions > self.shop.labels)][0])
            raise ShopError(f"action {wrong} is out of range; 0 holds back, 1 to {self.shop.labels} push a label")
        if self.shop.strict_mask:
            slates = actions.reshape(self.number, -1)
            refused = ~np.take_along_axis(self.state.action_mask, slates, 1) & ~self.done[:, None]
            if refused.any():
                i, slot = (int(j) for j in np.argwhere(refused)[0])
                name = self.shop.catalog.names[slates[i, slot] - 1]
                raise ShopError(
                    f"label {name!r} is masked for customer {self.ids[i]} and env.strict_mask is set; use action_masks()"
                )
        if self.shop.slate_size > 1:
            self.state.slate[:] = actions
            actions = np.ascontiguousarray(actions[:, 0])
        if observation is not None and final_observation is not None:
            new = {"observation": observation, "final_observation": final_observation}
            self.state = self.state._replace(**new)
            for rows, handle in self._parts:
                handle.replace(**{name: array[rows] for name, array in new.items()})
        if len(self._parts) == 1:
            dynamics.advance_at(self._parts[0][1].address, self.seed, self.split, actions, self.stride)
        else:  # rows do not know each other, so the bits do not depend on how many threads share them

            def advance(part: tuple[slice, Handle]) -> None:
                rows, handle = part
                dynamics.advance_at(handle.address, self.seed, self.split, actions[rows], self.stride)

            others = [_threads().submit(advance, part) for part in self._parts[1:]]
            advance(self._parts[0])
            for other in others:
                other.result()
        return self.state.reward

    def held_back(self) -> np.ndarray:
        """Actions that hold back everywhere: zeros (N,), or (N, S) with slates."""
        return np.zeros(self._shape, np.int64)

    def action_masks(self) -> np.ndarray:
        """(N, K + 1) bool: what may be pushed now; column 0 (hold back) is always True."""
        return self.state.action_mask

    def visits(self) -> np.ndarray:
        """(N, 2) bool: whether the coming opportunity begins a visit, and whether the till took the customer for the right one.

        For whoever keeps an agent's memory, as the till keeps its record; never for the agent to look at.
        """
        customers = self.state.customers
        return np.stack([customers["visit_opportunity"] == 0, customers["recognised"] == SELF], axis=1)

    @property
    def observation(self) -> np.ndarray:
        """(N, O) float32; the buffer itself, overwritten by the next step."""
        return self.state.observation

    @property
    def done(self) -> np.ndarray:
        """(N,) bool; always False with autoreset."""
        return self.state.customers["done"].astype(bool)

    @property
    def ids(self) -> np.ndarray:
        return self.state.customers["id"]

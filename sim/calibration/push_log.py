"""A push log in compact form: one row per opportunity, customers one below the other, each in the order of time.

A row is what the shop's likelihood needs of an opportunity: the day, what was pushed at which price, what the customer did,
what the camera read, and how long the next opportunity took.  About 32 bytes a row, whatever the file looked like.
"""

from __future__ import annotations

import dataclasses

import numpy as np

NO_READING = -1  # no face was read at this visit
RETURNED, AWAY, LEFT = 0, 1, 2  # the next opportunity came after `gap` days; had not come `gap` days later; opted out

ROW = np.dtype(
    [
        ("price", np.float64),  # asked for the pushed label; 0 where held back
        ("day", np.int32),
        ("gap", np.int32),  # days to the next opportunity, 0 = same visit; of an AWAY row: days watched in vain
        ("label", np.int32),  # 0 held back, k = label k of the names
        ("end", np.uint8),  # RETURNED, AWAY or LEFT
        ("clicked", np.uint8),
        ("bought", np.uint8),
        ("opted_out", np.uint8),
        ("reading", np.int8),  # most probable perceived emotion of the visit, NO_READING where there is none
        ("masked", np.uint8),
    ],
    align=True,
)


@dataclasses.dataclass(frozen=True)
class PushLog:
    """N customers, T opportunities, K labels.

    Attributes
    ----------
    rows : (T,) ROW
    start : (N + 1,) int64; customer i owns rows start[i] to start[i + 1].
    labels : K names.
    price, margin : (K,) median price asked and median margin (money); NaN where unknown.
    price_spread : (K,) relative deviation of a label's price over its pushes: 0 where it never changed.
    has_emotion : whether any perceived emotion was logged.
    source : for reports, the file as given.
    """

    rows: np.ndarray
    start: np.ndarray
    labels: tuple[str, ...]
    price: np.ndarray
    margin: np.ndarray
    price_spread: np.ndarray
    has_emotion: bool
    source: str = "log"

    @property
    def customers(self) -> int:
        return len(self.start) - 1

    @property
    def last_day(self) -> int:
        return int(self.rows["day"].max())

    def select(self, chosen: np.ndarray, opportunities: int | None = None) -> PushLog:
        """The customers in `chosen` (indices), each life cut after `opportunities`.

        A life cut short is a shorter observation of the same customer, not another customer: the last row kept keeps
        its gap, and nothing is said of what follows.
        """
        first = self.start[chosen]
        length = self.start[chosen + 1] - first
        if opportunities is not None:
            length = np.minimum(length, opportunities)
        start = np.concatenate([[0], np.cumsum(length)])
        index = np.arange(start[-1]) - np.repeat(start[:-1], length) + np.repeat(first, length)
        return dataclasses.replace(self, rows=self.rows[index], start=start)

    @property
    def position(self) -> np.ndarray:
        """(T,) index of each row within its customer's life."""
        return np.arange(len(self.rows)) - np.repeat(self.start[:-1], np.diff(self.start))


def link(
    customer: np.ndarray, rows: np.ndarray, last_day: int, lapse_days: float, capped: int | None = None
) -> np.ndarray:
    """Fill `gap` and `end` of sorted rows in place; returns `start` (N + 1,).

    A customer without a next row was away until the log ends, or for good once `lapse_days` have passed (the shop takes who
    stays away longer for lost).  Rows at the opportunity `capped` (a simulator's limit) end for a reason of their own: nothing
    is learned from their gap.
    """
    total = len(rows)
    change = np.flatnonzero(np.diff(customer)) + 1
    start = np.concatenate([[0], change, [total]]).astype(np.int64)
    last = start[1:] - 1
    rows["gap"][:-1] = np.diff(rows["day"])
    rows["end"] = RETURNED
    rows["end"][last] = AWAY
    rows["gap"][last] = np.minimum(last_day - rows["day"][last], int(lapse_days))
    if capped is not None:
        rows["gap"][last] = np.where(np.diff(start) >= capped, 0, rows["gap"][last])
    rows["end"][rows["opted_out"] == 1] = LEFT
    rows["gap"][rows["opted_out"] == 1] = 0
    return start

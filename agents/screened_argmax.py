"""The highest confidence bound, screened in single precision and decided in double.

Nearly all time of LinUCB goes into the widths |L_a^-1 x| of all actions, though only the highest bound is wanted. Single
precision takes half the time, and its error is bounded: with u = 2^-24 and d numbers in a row,

    |computed width - width| <= (d + 4) u (|L_a^-1|_F |x| + width)            (Higham 2002, section 3.1, Cauchy-Schwarz)

so an action whose bound, give or take that much, lies below another's cannot be the highest. Where one action is left it is
the choice; the others are looked at again in double precision in the same way, and what is left then (exact ties) is for
the caller. So the choice is the caller's own, to the bit, wherever its scores are as accurate as that.

L^-1 is lower triangular: its rows are taken in panels, each multiplied with the columns up to its own end.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.compiled import compiled, reassociated

PANELS, ROWS = 3, 256       # rows of customers at once: what a panel makes of them stays in the second-level cache
UNIT, DOUBLE_UNIT = 2.0**-24, 2.0**-53     # times 4 below, for the caller's own rounding


class Screen(NamedTuple):
    """Whiteners in single precision.

    Attributes
    ----------
    panels : list of ndarray (columns, K + 1, rows) float32
        Transposed row panels of L^-1 of all actions, cut to the columns that are not zero.
    whitener : ndarray (K + 1, d, d)
        L^-1 in double precision.
    norm : ndarray (K + 1,)
        |L^-1|_F of every action.
    """

    panels: list[NDArray[np.float32]]
    whitener: NDArray[np.float64]
    norm: NDArray[np.float64]


def screen_of(whitener: NDArray[np.float64]) -> Screen:
    """From inverse lower Cholesky factors (K + 1, d, d)."""
    edges = np.linspace(0, whitener.shape[1], PANELS + 1).astype(int)
    panels = [np.ascontiguousarray(whitener[:, a:b, :b].transpose(2, 0, 1), np.float32) for a, b in pairwise(edges) if b > a]
    return Screen(panels, whitener, np.sqrt(np.einsum("aij,aij->a", whitener, whitener)))


def sure_choices(x: NDArray[np.float64], mean: NDArray[np.float64], allowed: NDArray[np.bool_], alpha: float,
                 screen: Screen) -> NDArray[np.int64]:
    """The allowed action of the highest mean + alpha |L^-1 x| of each row (N,), or -1 on a tie to rounding.

    Parameters
    ----------
    x : array (N, d)
    mean, allowed : array (N, K + 1)
    """
    n, actions = mean.shape
    single, choice, squares = x.astype(np.float32), np.empty(n, np.int64), np.empty((ROWS, actions), np.float32)
    length = np.sqrt(np.einsum("nd,nd->n", x, x))
    for first in range(0, n, ROWS):
        rows = slice(first, min(first + ROWS, n))
        number = rows.stop - first
        for k, panel in enumerate(screen.panels):
            white = single[rows, : len(panel)] @ panel.reshape(len(panel), -1)
            _add_squares(white.reshape(number, actions, -1), squares, k == 0)
        _choose(mean[rows], squares, allowed[rows], alpha, (x.shape[1] + 4) * UNIT, screen.norm, length[rows], choice[rows])
    unsure = np.flatnonzero(choice < 0)
    if len(unsure):
        x, again, width = x[unsure], np.empty(len(unsure), np.int64), x.shape[1]
        white = (x @ screen.whitener.reshape(actions * width, width).T).reshape(len(x), actions, width)
        _choose(mean[unsure], np.einsum("nad,nad->na", white, white), allowed[unsure], alpha, 4 * (width + 4) * DOUBLE_UNIT,
                screen.norm, length[unsure], again)
        choice[unsure] = again
    return choice


@reassociated
def _add_squares(white, squares, fresh):
    rows, actions, width = white.shape
    for i in range(rows):
        for a in range(actions):
            part = np.float32(0.0)
            for k in range(width):
                part += white[i, a, k] * white[i, a, k]
            squares[i, a] = part if fresh else squares[i, a] + part


@compiled
def _choose(mean, squares, allowed, alpha, unit, norm, length, choice):
    for i in range(len(mean)):
        best, top, least, second = -1, -np.inf, -np.inf, -np.inf    # the highest upper end, its lower end, the next upper end
        for a in range(len(norm)):
            if allowed[i, a]:
                width = np.sqrt(np.float64(squares[i, a]))
                slack = alpha * 1.01 * unit * (norm[a] * length[i] + width)
                bound = mean[i, a] + alpha * width
                if bound + slack > top:
                    second = max(second, top)
                    best, top, least = a, bound + slack, bound - slack
                else:
                    second = max(second, bound + slack)
        choice[i] = best if second < least else -1

"""What a log shows without any model of choice: visits and constant rates.

Same visit: of the opportunities after which one more could follow within the visit, the share after which one did.  The
gaps, clicks, purchases and opt-outs at constant rates are the baseline that a fitted shop has to beat.
"""

from __future__ import annotations

import math

import numpy as np

from sim.calibration.likelihood import BUY, CLICK, OPT_OUT, RETURN
from sim.calibration.push_log import AWAY, LEFT, RETURNED, PushLog


def same_visit(log: PushLog) -> tuple[float, float, int]:
    """(probability, standard error, most opportunities in one visit) of a log."""
    rows = log.rows
    begins = np.ones(len(rows), bool)
    begins[1:] = (rows["end"][:-1] != RETURNED) | (rows["gap"][:-1] > 0)
    index = np.arange(len(rows)) - np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))
    most = int(index.max()) + 1
    on = (rows["end"] == RETURNED) & (rows["gap"] == 0)
    off = (rows["end"] != LEFT) & (rows["gap"] > 0)
    able = (index < most - 1) & (on | off)
    n = int(able.sum())
    share = min(float(on[able].mean()), 0.999) if n else 0.0
    return share, math.sqrt(share * (1 - share) / n) if n else 0.0, most


def constant_rates(log: PushLog) -> np.ndarray:
    """(4,) click per push, purchase per click, opt-out per push, daily return; each kept off 0 and 1 by half a case."""
    rows = log.rows
    pushed, clicked = rows["label"] > 0, rows["clicked"] == 1
    back = (rows["end"] == RETURNED) & (rows["gap"] > 0)
    waited = rows["gap"][back].sum() + rows["gap"][rows["end"] == AWAY].sum()
    cases = np.array([clicked.sum(), rows["bought"].sum(), rows["opted_out"].sum(), back.sum()], float)
    chances = np.array([pushed.sum(), clicked.sum(), pushed.sum(), waited], float)
    return np.clip((cases + 0.5) / (chances + 1.0), 1e-9, 1 - 1e-9)


def constant_density(log: PushLog, rates: np.ndarray) -> np.ndarray:
    """(T, 5) log-probability of every logged event at constant rates, laid out as `likelihood.predictions`."""
    rows, out = log.rows, np.zeros((len(log.rows), 5))
    pushed, clicked = rows["label"] > 0, rows["clicked"] == 1
    for kind, happened, able in (
        (CLICK, clicked, pushed),
        (BUY, rows["bought"] == 1, clicked),
        (OPT_OUT, rows["opted_out"] == 1, pushed),
    ):
        out[:, kind] = np.where(able, np.log(np.where(happened, rates[kind], 1 - rates[kind])), 0.0)
    back, away = (rows["end"] == RETURNED) & (rows["gap"] > 0), rows["end"] == AWAY
    days = np.where(back, rows["gap"] - 1, np.where(away, rows["gap"], 0))
    out[:, RETURN] = days * math.log1p(-rates[RETURN]) + back * math.log(rates[RETURN])
    return out

"""The likelihood of one log as an object: data, draws and threads around the compiled equations of `likelihood`."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from sim.calibration import likelihood
from sim.calibration.likelihood import SCORED, STATIC
from sim.calibration.push_log import PushLog
from sim.shop import compiled
from sim.shop.catalog import CATALOG
from sim.shop.types import CUSTOMER, LABEL

_BLOCK = 64  # customers that a thread takes at a time


class LifeLikelihood:
    """log L of every customer of a log, under any parameters, on the same draws.

    Parameters
    ----------
    log : N customers.
    table, features : (K,) CATALOG and (K, D) unit vectors of the log's labels.
    confusion : (2, 7, 7) P(perceived | true emotion) without and with a mask.
    draws : R, of the hidden traits of each customer.
    seed : of the draws.
    threads : None takes the processors there are.
    """

    def __init__(
        self,
        log: PushLog,
        table: np.ndarray,
        features: np.ndarray,
        confusion: np.ndarray,
        *,
        draws: int,
        seed: int,
        threads: int | None = None,
    ):
        self.log, self.draws, self.confusion = log, draws, np.ascontiguousarray(confusion, np.float64)
        self.table, self.features = table.astype(CATALOG), np.ascontiguousarray(features, np.float64)
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.threads = threads or available
        self.nodes = likelihood.affect_nodes(*(likelihood.NODES if log.has_emotion else likelihood.UNREAD_NODES))
        compiled.announce()
        self.draw(seed)

    def draw(self, seed: int, mean: np.ndarray | None = None, deviation: np.ndarray | None = None) -> None:
        """Draw anew: randomised quasi-Monte Carlo points (Sobol', shifted at random for each customer), standard normal or, by
        importance sampling, from N(mean, deviation^2), each (N, S), with `offset` (N, R) the log ratio of the densities.
        """
        customers, size = self.log.customers, self.features.shape[1] + STATIC
        rng = np.random.default_rng([seed, 101])
        points = qmc.Sobol(size, scramble=True, rng=rng).random_base2(math.ceil(math.log2(self.draws)))[: self.draws]
        self.static = np.empty((customers, self.draws, size), np.float32)
        self.offset = np.zeros((customers, self.draws))
        for first in range(0, customers, _BLOCK):
            rows = slice(first, min(first + _BLOCK, customers))
            shift = rng.random((rows.stop - first, 1, size))
            z = ndtri(np.clip((points + shift) % 1.0, 1e-9, 1 - 1e-9))
            if mean is not None and deviation is not None:
                m, s = mean[rows, None, :], deviation[rows, None, :]
                ratio = 0.5 * z**2 + np.log(s)
                z = m + s * z
                self.offset[rows] = (ratio - 0.5 * z**2).sum(2)
            self.static[rows] = z

    def focus(self, params: np.ndarray, appeal: np.ndarray, seed: int) -> None:
        """Draw anew where each customer's traits are likely under these parameters, given what the customer did.

        Adaptive importance sampling: the proposal has the mean and 1.05 times the deviation of the weighted draws there are.
        """
        weights = self.evaluate(params, appeal)[2]
        mean = np.einsum("nr,nrs->ns", weights, self.static)
        square = np.einsum("nr,nrs->ns", weights, self.static.astype(np.float64) ** 2)
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        few = 1.0 / (weights**2).sum(1, keepdims=True)  # effective draws: with few, the prior is trusted more
        trust = few / (few + 10.0)
        self.draw(seed, trust * mean, np.clip(trust * 1.05 * deviation + (1 - trust), 0.4, 1.1))

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the columns of a score: `SCORED`, then one appeal per label."""
        return (*SCORED, *(f"appeal[{name}]" for name in self.log.labels))

    def _each_block(self, work) -> None:
        edges = [*range(0, self.log.customers, _BLOCK), self.log.customers]
        blocks = list(zip(edges[:-1], edges[1:], strict=True))
        if self.threads == 1 or len(blocks) == 1:
            for block in blocks:
                work(*block)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(lambda block: work(*block), blocks))

    def _given(self, params: np.ndarray, appeal: np.ndarray, draws: int) -> tuple:
        """Arguments of the compiled functions; a thread needs a state and a catalog (prices vary by row) of its own."""
        table = self.table.copy()
        table["appeal"] = appeal
        return (
            params, table, self.features, self.log.rows, self.log.start, self.static, self.offset, *self.nodes,
            self.confusion, draws, np.zeros(1, CUSTOMER), np.zeros(len(table), LABEL),
            np.zeros(self.features.shape[1]),
        )  # fmt: skip

    def evaluate(
        self, params: np.ndarray, appeal: np.ndarray, *, draws: int | None = None, with_score: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """log L (N,), its score (N, 26 + K) where asked, and the weights of the draws (N, R), sum 1.

        Parameters
        ----------
        params : (1,) packed record of the shop; appeal : (K,); draws : use the first so many draws only.
        """
        customers = self.log.customers
        value, weights = np.empty(customers), np.zeros((customers, draws or self.draws))
        score = np.empty((customers if with_score else 0, len(self.scores)))

        def work(first: int, last: int) -> None:
            likelihood.log_likelihoods(
                *self._given(params, appeal, draws or self.draws), first, last, with_score, value, weights, score
            )

        self._each_block(work)
        return value, score, weights

    def predict(self, params: np.ndarray, appeal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One-step-ahead log-densities (T, 5) and chances (T, 4) of every row; see `likelihood.predictions`."""
        density, chances = np.zeros((len(self.log.rows), 5)), np.zeros((len(self.log.rows), 4))

        def work(first: int, last: int) -> None:
            likelihood.predictions(*self._given(params, appeal, self.draws), first, last, density, chances)

        self._each_block(work)
        return density, chances

"""Values and visit ratios of whole lives from one linear system.

With features psi(x, a) (x with a leading 1, in the block of action a) and psi'(x') = sum_a pi(a|x') psi(x', a) one
opportunity later (0 at the end of a life, gamma^days in between),

    A = sum psi (psi - gamma psi')',    A theta = sum psi r,    A' beta = sum over first opportunities of psi'(x_0)

theta are the weights of q, the value of the target policy (LSTDQ: Lagoudakis & Parr 2003, JMLR 4:1107; the fixed point of
linear fitted Q evaluation), and psi' beta = w(x, a) is the ratio of how often target and logging policy come to (x, a)
(minimax weight learning with linear classes: Uehara, Huang & Jiang 2020, ICML, arXiv:1910.12809):

    MIS   sum_t gamma_t w_t r_t                                          Xie, Ma & Wang 2019, NeurIPS
    MDR   v(x_0) + sum_t gamma_t w_t (r_t + gamma v(x') - q(x, a))       Kallus & Uehara 2020, JMLR 21:167

Products of ratios over a life (`sequential`) explode with its length; w does not. In return both need the features to hold
what matters: a hidden state that they lack is a bias that no interval shows.  theta and beta are cross-fitted by customer.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.errors import OffPolicyError
from sim.evaluation.estimators.estimator import Estimator, mean_of
from sim.evaluation.estimators.models import folds_of, standardised

# Prior weights in rows, of each action's constant and of its (standardised) features.  A constant that is shrunk shrinks at
# every step again: at 30, lives of 20 opportunities lose 12 % of their value.  Features at 1 overfit in the default shop: with
# 4,000 customers of the random policy, popularity's 10.5 comes out as 3 to 20, at 100 as 9 to 12.
INTERCEPT, SLOPE = 1.0, 100.0
_BLOCK = 8192  # rows whose features are held at once


@dataclasses.dataclass(frozen=True)
class Course:
    """q (T, A) money from here to the end of the life; visits (T,) ratio of target and logging policy at (x, a)."""

    q: np.ndarray
    visits: np.ndarray

    def value(self, log: LoggedLives) -> np.ndarray:
        """v (T,)."""
        return np.asarray((log.target * self.q).sum(1))


def _spread(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """weight (T, A), x (T, d) -> (T, A d): x in the block of every action, weighted."""
    return (weight[:, :, None] * x[:, None, :]).reshape(len(x), -1)


def lstdq(log: LoggedLives, discount: float = 1.0, folds: int = 2, seed: int = 0, slope: float = SLOPE) -> Course:
    """The course of the target policy, cross-fitted; `slope` is the prior weight of features, in rows.

    Raises
    ------
    OffPolicyError
        The log has no features, or fewer customers than folds.
    """
    if log.features is None:
        raise OffPolicyError(
            "this log has no features, so the value of a life cannot be modelled; add columns feature_*"
        )
    if log.customers < folds:
        raise OffPolicyError(f"{log.customers} customers cannot be split into {folds} folds; log more customers")
    actions, x = log.target.shape[1], standardised(log.features, log.features)
    x = np.column_stack([np.ones(len(x)), x])
    size = actions * x.shape[1]
    prior = np.tile(np.concatenate([[INTERCEPT], np.full(x.shape[1] - 1, slope)]), actions)
    fold = folds_of(log.customers, folds, seed)
    of_row = fold[log.customer]
    gamma = np.ones(len(log)) if log.day is None else discount ** (log.following(log.day) - log.day)
    following, step = log.following(log.target), gamma[:, None]
    next_x = log.following(x)
    matrices, moments, begins = np.zeros((folds, size, size)), np.zeros((folds, size)), np.zeros((folds, size))
    for k in range(folds):
        for a in range(actions):
            rows, block = np.flatnonzero((of_row == k) & (log.action == a)), slice(a * x.shape[1], (a + 1) * x.shape[1])
            for first in range(0, len(rows), _BLOCK):
                part = rows[first : first + _BLOCK]
                here, there, weight = x[part], next_x[part], step[part] * following[part]
                matrices[k, block, block] += here.T @ here
                moments[k, block] += here.T @ log.reward[part]
                for b in range(actions):  # psi psi' by pairs of actions; a greedy target has one b a row
                    taken = np.flatnonzero(weight[:, b])
                    own = slice(b * x.shape[1], (b + 1) * x.shape[1])
                    if len(taken) == len(part):
                        matrices[k, block, own] -= (here * weight[:, b : b + 1]).T @ there
                    elif len(taken):
                        matrices[k, block, own] -= (here[taken] * weight[taken, b, None]).T @ there[taken]
        firsts = log.start[:-1][fold == k]
        begins[k] = _spread(x[firsts], log.target[firsts]).sum(0)
    q, visits = np.empty((len(log), actions)), np.empty(len(log))
    for k in range(folds):
        others = [j for j in range(folds) if j != k]
        matrix = matrices[others].sum(0) + np.diag(prior)
        inverse = np.linalg.inv(matrix)
        theta, beta = inverse @ moments[others].sum(0), inverse.T @ begins[others].sum(0)
        here = of_row == k
        q[here] = x[here] @ theta.reshape(actions, -1).T
        visits[here] = (x[here] * beta.reshape(actions, -1)[log.action[here]]).sum(1)
    return Course(q, visits)


def mis(log: LoggedLives, course: Course, discount: float = 1.0) -> Estimator:
    """Marginalised importance sampling."""
    return mean_of("mis", log.total(log.discount(discount) * course.visits * log.reward), "linear visit ratios")


def mdr(log: LoggedLives, course: Course, discount: float = 1.0) -> Estimator:
    """Marginalised doubly robust."""
    g, v = log.discount(discount), course.value(log)
    later = log.following(g * v)
    residual = g * (log.reward - course.q[np.arange(len(log)), log.action]) + later
    return mean_of("mdr", v[log.start[:-1]] + log.total(course.visits * residual), "linear visit ratios")

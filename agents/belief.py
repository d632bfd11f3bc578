"""What the till's record of a customer says about the customer's taste: a Gaussian posterior over the labels.

Taste moves the click logit of label k by f_k = theta . phi_k, theta ~ N(0, s^2 I), so a priori f ~ N(0, s^2 S) with the
similarity of labels S = Phi Phi'.  From n_k pushes with c_k clicks and b_k purchases in the record, around the base rates
p_k and q_k of a whole crowd, one Newton step on the logistic likelihood (the Laplace approximation at the prior mean;
MacKay 1992, Neural Comput. 4:720) gives, with w_k = n_k p_k (1 - p_k) + r^2 c_k q_k (1 - q_k) and
y_k = (c_k - n_k p_k) + r (b_k - c_k q_k),

    Lambda = I + s^2 Phi' W Phi,    mean f = s^2 Phi Lambda^-1 Phi' y,    var f_k = s^2 phi_k' Lambda^-1 phi_k

where r is how much more, or less, taste moves a purchase than a click.  A column of ones beside Phi lets some customers
click more than others whatever the label.

The belief is a function of the observation alone, of the record that the camera's identity led to: it adds no memory, so it
knows nothing when the customer is not recognised, and is misled when somebody else's record is shown.  Phi, p and q are
estimated from records met under random pushes: the till's column `affinity` is S times known numbers, which is solved for S.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents import row_blocks

# How the till writes a record (its own documentation): prior click rate with the weight of so many pushes, scale of
# `click_lift`, cap on the evidence of one label and weight of it in `affinity`.
PRIOR_CLICK_RATE, PRIOR_PUSHES, LIFT_SCALE, EVIDENCE_CAP, AFFINITY_SCALE = 0.22, 2.0, 4.0, 5.0, 0.5
PARTS = ("log_pushes", "click_lift", "log_purchases", "affinity")
SMALLEST_EIGENVALUE = 0.02  # of S, relative to the largest; below lies the rounding of float32 records


class Record(NamedTuple):
    """Counts of the till's record, each (N, K): pushes, clicks, purchases."""

    pushes: NDArray[np.float64]
    clicks: NDArray[np.float64]
    purchases: NDArray[np.float64]


def read_record(observation: NDArray, layout: Mapping[str, tuple[int, int]]) -> Record:
    """The counts behind `log_pushes`, `click_lift` and `log_purchases` of observations (N, D)."""
    logs, lift, purchases = (observation[:, slice(*layout[part])].astype(np.float64) for part in PARTS[:3])
    pushes = np.expm1(np.maximum(logs, 0.0))
    clicks = (lift / LIFT_SCALE + PRIOR_CLICK_RATE) * (pushes + PRIOR_PUSHES) - PRIOR_PUSHES * PRIOR_CLICK_RATE
    return Record(pushes, np.maximum(clicks, 0.0), np.expm1(np.maximum(purchases, 0.0)))


class TasteBelief(NamedTuple):
    """Everything that turns a record into a belief.

    Attributes
    ----------
    factors : ndarray (K, R)
        Phi, and what else moves the clicks of several labels together; prior variance s^2 included.
    click_rate, purchase_rate : ndarray (K,)
        p of a push, q of a click.
    purchase_weight : float
        r.
    """

    factors: NDArray[np.float64]
    click_rate: NDArray[np.float64]
    purchase_rate: NDArray[np.float64]
    purchase_weight: float

    def features(self, record: Record) -> NDArray[np.float64]:
        """Posterior mean and standard deviation of every label's click logit, (N, 2 K); each row by itself."""
        p, q, r = self.click_rate, self.purchase_rate, self.purchase_weight
        weight = record.pushes * p * (1 - p) + r * r * record.clicks * q * (1 - q)
        evidence = (record.clicks - record.pushes * p) + r * (record.purchases - record.clicks * q)
        labels, rank = self.factors.shape
        outer = (self.factors[:, :, None] * self.factors[:, None, :]).reshape(labels, rank * rank)
        precision = np.eye(rank) + row_blocks.multiply(weight, outer).reshape(-1, rank, rank)
        covariance = np.linalg.inv(precision)
        pull = row_blocks.multiply(evidence, self.factors)
        taste = np.zeros_like(pull)
        for i in range(rank):  # a sequential sum: same for any N
            taste += covariance[:, :, i] * pull[:, i : i + 1]
        mean = row_blocks.multiply(taste, np.ascontiguousarray(self.factors.T))
        variance = row_blocks.multiply(covariance.reshape(-1, rank * rank), np.ascontiguousarray(outer.T))
        return np.concatenate([mean, np.sqrt(np.maximum(variance, 0.0))], axis=1)


def similarity_of(observation: NDArray, layout: Mapping[str, tuple[int, int]]) -> NDArray[np.float64]:
    """S (K, K) behind the column `affinity` of records (N, D): symmetric, from a least-squares fit."""
    record = read_record(observation, layout)
    lift = observation[:, slice(*layout["click_lift"])] / LIFT_SCALE
    evidence = lift * np.minimum(record.pushes, EVIDENCE_CAP)
    affinity = observation[:, slice(*layout["affinity"])].astype(np.float64)
    slope = np.linalg.lstsq(AFFINITY_SCALE * evidence, affinity, rcond=1e-4)[0]
    return 0.5 * (slope + slope.T)


def fit_belief(
    observation: NDArray,
    layout: Mapping[str, tuple[int, int]],
    *,
    taste_variance: float,
    propensity_variance: float,
    purchase_weight: float,
) -> TasteBelief:
    """The belief of a crowd whose records are seen in observations (N, D) of many customers after random pushes.

    Parameters
    ----------
    taste_variance : float
        s^2 of a label whose similarity to itself is 1, in squared logits.
    propensity_variance : float
        Prior variance of what all labels share.
    purchase_weight : float
        r.
    """
    record = read_record(observation, layout)
    labels = record.pushes.shape[1]
    seen = observation[record.pushes.sum(1) > 0]
    similarity = similarity_of(seen, layout) if len(seen) >= 4 * labels else np.eye(labels)
    values, vectors = np.linalg.eigh(similarity)
    kept = values > SMALLEST_EIGENVALUE * max(values[-1], 1e-9)
    factors = np.sqrt(taste_variance) * vectors[:, kept] * np.sqrt(values[kept])
    common = np.full((labels, 1), np.sqrt(propensity_variance))
    pushes, clicks, purchases = (column.sum(0) for column in record)
    return TasteBelief(
        np.concatenate([factors, common], axis=1),
        (clicks + PRIOR_CLICK_RATE) / (pushes + 1.0),
        (purchases + PRIOR_CLICK_RATE) / (clicks + 1.0),
        purchase_weight,
    )

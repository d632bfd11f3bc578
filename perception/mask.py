"""Mask head: does the face wear a mask?  Logistic regression on what FaceNet saw half-way.

The 896 ``mixed_6a`` activations of the FaceNet pass, averaged over the crop, are standardised and go through one linear
layer: ``p = 1 / (1 + exp(-(w . (x - mean) / scale + b)))``.  The final embedding is trained to ignore masks; the middle
of the same network still sees them, at no extra pass.  The head's numbers ship with the project as JSON, together with
what they were trained on and how well they did on pictures held out (:mod:`perception.train_mask`).

The fit is L2-penalised maximum likelihood by Newton's method (iteratively reweighted least squares [1]_), exact and
deterministic: the penalty makes the problem strictly convex.

References
----------
.. [1] C. M. Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.3.
.. [2] E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import WeightsError
from perception.publish import publish

SHIPPED_HEAD = Path(__file__).parent / "heads" / "mask_head.json"
MASK_THRESHOLD = 0.5
"""Probability from which a face counts as masked."""
UNCERTAIN = (0.1, 0.9)
"""Between these probabilities the mask status is ``uncertain``.  Of 3,976 photographs (half bare, half with drawn masks, all
in worse conditions) 299 lie between, and a verdict at .5 is wrong on 21 % of them; outside it is wrong on .5 %."""
_FORMAT = "mask-head-1"


@dataclass(frozen=True)
class MaskHead:
    """A trained head.

    Attributes
    ----------
    mean, scale, coefficients : ndarray, shape (896,), float64
    intercept : float
    provenance : dict
        Training set, counts, settings and held-out metrics.
    """

    mean: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    intercept: float
    provenance: dict[str, Any] = field(default_factory=dict)

    def probability(self, pooled: np.ndarray) -> np.ndarray:
        """Probability of a mask.

        Parameters
        ----------
        pooled : ndarray, shape (n, 896)
            From :meth:`perception.identity.FaceEmbedder.embed`.

        Returns
        -------
        ndarray, shape (n,), float32
        """
        x = (np.asarray(pooled, np.float64).reshape(-1, len(self.mean)) - self.mean) / self.scale
        return _sigmoid(x @ self.coefficients + self.intercept).astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Publish as JSON, atomically (numbers with seven digits, so the file stays small).

        Raises
        ------
        CacheError
            If the file cannot be written.
        """
        path = Path(path)
        numbers = {name: [float(f"{v:.7g}") for v in getattr(self, name)] for name in ("mean", "scale", "coefficients")}
        content = {"format": _FORMAT, "provenance": self.provenance, "intercept": float(f"{self.intercept:.7g}"), **numbers}
        publish(path, json.dumps(content, indent=0).encode())

    @classmethod
    def load(cls, path: str | Path | None = None) -> MaskHead:
        """Read a head (the shipped one by default).

        Raises
        ------
        WeightsError
            If the file is missing, no JSON, of another format or shape, or holds values that are not finite.
        """
        path = SHIPPED_HEAD if path is None else Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']!r}, not {_FORMAT!r}")
            arrays = [np.asarray(content[name], dtype=np.float64) for name in ("mean", "scale", "coefficients")]
            intercept = float(content["intercept"])
            if any(a.shape != (896,) for a in arrays):
                raise ValueError(f"{[a.shape for a in arrays]} where three times (896,) is needed")
            if not all(np.isfinite(a).all() for a in arrays) or not np.isfinite(intercept) or (arrays[1] <= 0).any():
                raise ValueError("values that are not finite, or a scale that is not positive")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"the mask head {path} cannot be used ({str(error)[:120]}); make one with "
                               "python -m perception.train_mask images=DIR out=FILE") from error
        return cls(arrays[0], arrays[1], arrays[2], intercept, dict(content.get("provenance", {})))


def mask_status(probability: float | None) -> str | None:
    """``bare``, ``uncertain`` (also where a mask is worn wrongly) or ``masked``; None where the head did not run."""
    if probability is None:
        return None
    return "bare" if probability <= UNCERTAIN[0] else "masked" if probability >= UNCERTAIN[1] else "uncertain"


def fit_head(pooled: np.ndarray, masked: np.ndarray, penalty: float = 100.0, iterations: int = 50) -> MaskHead:
    """Fit standardisation and L2 logistic regression; classes weigh the same whatever their counts.

    Minimises ``sum_i c_i log(1 + exp(-s_i (w . z_i + b))) + penalty / 2 |w|^2`` with z the standardised features,
    s = +-1 and class weights c.

    Parameters
    ----------
    pooled : ndarray, shape (n, d)
    masked : ndarray, shape (n,), bool
    penalty : float
        L2 penalty on the standardised coefficients; the intercept is free.
    iterations : int
        Newton steps at most; the fit ends when the largest change falls below 1e-8.

    Raises
    ------
    ValueError
        If one of the two classes is empty.
    """
    x = np.asarray(pooled, np.float64)
    y = np.asarray(masked, dtype=np.float64)
    if not 0 < y.sum() < len(y):
        raise ValueError("the head needs faces with and without mask to learn from")
    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    weight = np.where(y > 0, len(y) / (2 * y.sum()), len(y) / (2 * (len(y) - y.sum())))
    ridge = np.full(z.shape[1], penalty)
    ridge[-1] = 0.0
    beta = np.zeros(z.shape[1])
    for _ in range(iterations):
        p = _sigmoid(z @ beta)
        gradient = z.T @ (weight * (p - y)) + ridge * beta
        hessian = (z * (weight * np.clip(p * (1 - p), 1e-9, None))[:, None]).T @ z + np.diag(ridge + 1e-9)
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if np.abs(step).max() < 1e-8:
            break
    return MaskHead(mean, scale, beta[:-1], float(beta[-1]))


def balanced_accuracy(probability: np.ndarray, masked: np.ndarray) -> dict[str, float]:
    """Balanced accuracy at 0.5 with a 95 % interval.

    Both recalls get Wilson score intervals [2]_; that of their mean adds the half-widths in quadrature, on each side
    (the two samples are independent).

    Returns
    -------
    dict
        ``mean, low, high, recall_masked, recall_plain, n``.
    """
    masked = np.asarray(masked, dtype=bool)
    right = (np.asarray(probability) >= MASK_THRESHOLD) == masked
    recalls = [float(right[group].mean()) for group in (masked, ~masked)]
    bounds = [wilson(int(right[group].sum()), int(group.sum())) for group in (masked, ~masked)]
    mean = sum(recalls) / 2
    below, above = (math.hypot(*[r - bound[side] for r, bound in zip(recalls, bounds, strict=True)]) / 2 for side in (0, 1))
    return {"mean": mean, "low": mean - below, "high": min(1.0, mean + above),
            "recall_masked": recalls[0], "recall_plain": recalls[1], "n": len(masked)}


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval for a binomial share."""
    if trials == 0:
        return 0.0, 1.0
    share, extra = successes / trials, z * z / trials
    centre = (share + extra / 2) / (1 + extra)
    half = z * np.sqrt(share * (1 - share) / trials + extra / (4 * trials)) / (1 + extra)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """Numerically safe logistic function."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))

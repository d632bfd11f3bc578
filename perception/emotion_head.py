"""Combined emotion head: what FER knows and what FaceNet saw half-way, read by one linear layer.

The input of a face is ``x = (128 penultimate activations of FER, spatial mean | 7 log-probabilities of FER | 896
mixed_6a activations of FaceNet, spatial mean)``: by-products of passes that the pipeline makes anyway.  Standardised, with
each block scaled to the same total variance, it goes through linear discriminant analysis with equal priors [1]_,

    log p(c | x) = ((z' S^-1 m_c - m_c' S^-1 m_c / 2) / T_1 + b log p_FER(c)) / T_2 + constant,
    S = W + D + r (tr W / d) I,

where W is the covariance within classes, D the scatter between the *domains* that the training faces come from
(directions in which photographs and drawings, sharp and small pictures differ say nothing about feelings and are
discounted), and r a strong shrinkage towards the sphere [2]_.  Class means are effects beside additive domain effects,
so a class that is frequent in one domain does not take on that domain's look.  Rare classes keep their say because the
covariance is shared, which is why discriminant analysis is used and not logistic regression (measured: 3 points better).
T_1 and T_2 are temperatures that make held-out log-loss least, classes weighing the same [3]_; the share b of FER's own
verdict costs some accuracy at home and buys it back on faces of another origin.

A second layer of the same form, fitted on masked faces, answers where a mask is worn; the two are mixed by the mask
head's probability m: ``p = (1 - m) p_bare + m p_masked``.

References
----------
.. [1] T. Hastie, R. Tibshirani, J. Friedman, "The Elements of Statistical Learning", 2nd ed. 2009, section 4.3.
.. [2] J. H. Friedman, "Regularized Discriminant Analysis", JASA 84, 1989.
.. [3] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError, WeightsError
from perception.features import EMOTIONS
from perception.publish import publish

SHIPPED_HEAD = Path(__file__).parent / "heads" / "emotion_head.safetensors"
BLOCKS = (128, 7, 896)
"""Sizes of the input's blocks: FER's penultimate activations, FER's log-probabilities, FaceNet's mixed_6a."""
INPUT_SIZE = sum(BLOCKS)
HEADS = ("combined", "fer")
"""What ``emotion=`` may be: this head, or the network of the fer package alone."""
DEFAULT_HEAD = "combined"
_FORMAT = "emotion-head-1"


def check_head(name: str) -> str:
    """The name, if it is one of :data:`HEADS`.

    Raises
    ------
    InputError
        Otherwise.
    """
    if name not in HEADS:
        raise InputError(f"emotion= must be {' or '.join(HEADS)}, not {name!r}")
    return name


@dataclass(frozen=True)
class LinearClassifier:
    """``softmax(x A + b)``, standardisation and temperature folded in.

    Attributes
    ----------
    coefficients : ndarray, shape (1031, 7), float32
    intercept : ndarray, shape (7,), float32
    """

    coefficients: np.ndarray
    intercept: np.ndarray

    def probability(self, x: np.ndarray) -> np.ndarray:
        """(n, 1031) inputs -> (n, 7) probabilities, float64."""
        return softmax(self.logits(x))

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(n, 1031) inputs -> (n, 7) discriminants."""
        return np.asarray(x, np.float64) @ self.coefficients.astype(np.float64) + self.intercept

    def cooled(self, temperature: float) -> LinearClassifier:
        """The classifier with its discriminants divided by a temperature."""
        return replace(self, coefficients=self.coefficients / temperature, intercept=self.intercept / temperature)

    def with_fer(self, share: float) -> LinearClassifier:
        """The classifier with a share of FER's log-probabilities (the input's second block) added to its discriminants."""
        coefficients = self.coefficients.copy()
        start = BLOCKS[0]
        coefficients[start:start + BLOCKS[1]] += share * np.eye(BLOCKS[1], dtype=coefficients.dtype)
        return replace(self, coefficients=coefficients)


@dataclass(frozen=True)
class EmotionHead:
    """The trained head: one classifier for bare faces, one for masked ones, and where they come from."""

    bare: LinearClassifier
    masked: LinearClassifier
    provenance: dict[str, Any] = field(default_factory=dict)

    def probability(self, x: np.ndarray, mask_probability: np.ndarray | None = None) -> np.ndarray:
        """Seven calibrated probabilities.

        Parameters
        ----------
        x : ndarray, shape (n, 1031)
            From :func:`head_input`.
        mask_probability : ndarray, shape (n,), optional
            None: nobody wears a mask.

        Returns
        -------
        ndarray, shape (n, 7), float32
            In the order of :data:`perception.features.EMOTIONS`; equal base rates.
        """
        bare = self.bare.probability(x)
        if mask_probability is None:
            return bare.astype(np.float32)
        share = np.clip(np.asarray(mask_probability, np.float64), 0.0, 1.0)[:, None]
        return ((1.0 - share) * bare + share * self.masked.probability(x)).astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Publish as safetensors, atomically.

        Raises
        ------
        CacheError
            If the file cannot be written.
        """
        from safetensors.numpy import save

        arrays = {f"{part}.{name}": np.ascontiguousarray(getattr(getattr(self, part), name), np.float32)
                  for part in ("bare", "masked") for name in ("coefficients", "intercept")}
        publish(Path(path), save(arrays, {"about": json.dumps({"format": _FORMAT, "provenance": self.provenance}, sort_keys=True)}))

    @classmethod
    def load(cls, path: str | Path | None = None) -> EmotionHead:
        """Read a head (the shipped one by default).

        Raises
        ------
        WeightsError
            If the file is missing, damaged, of another format or shape, or holds values that are not finite.
        """
        from safetensors import SafetensorError, safe_open

        path = SHIPPED_HEAD if path is None else Path(path)
        try:
            with safe_open(path, framework="numpy") as file:
                about = json.loads((file.metadata() or {}).get("about", "{}"))
                if about.get("format") != _FORMAT:
                    raise ValueError(f"format {about.get('format')!r}, not {_FORMAT!r}")
                arrays = {name: file.get_tensor(name) for name in file.keys()}
            provenance = dict(about.get("provenance", {}))
            parts = []
            for part in ("bare", "masked"):
                a, b = arrays[f"{part}.coefficients"], arrays[f"{part}.intercept"]
                if a.shape != (INPUT_SIZE, len(EMOTIONS)) or b.shape != (len(EMOTIONS),):
                    raise ValueError(f"shapes {a.shape}, {b.shape} where {(INPUT_SIZE, len(EMOTIONS))}, {(len(EMOTIONS),)} are needed")
                if not (np.isfinite(a).all() and np.isfinite(b).all()):
                    raise ValueError("values that are not finite")
                parts.append(LinearClassifier(a, b))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise WeightsError(f"the emotion head {path} cannot be used ({str(error)[:120]}); make one with "
                               "python -m perception.train_emotion, or use emotion=fer") from error
        return cls(parts[0], parts[1], provenance)


def head_input(fer_features: np.ndarray, fer_logits: np.ndarray, pooled: np.ndarray) -> np.ndarray:
    """Join the three blocks: (n, 128), (n, 7), (n, 896) -> (n, 1031); the logits become log-probabilities."""
    logits = np.asarray(fer_logits, np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return np.hstack([np.asarray(fer_features, np.float64), log_p, np.asarray(pooled, np.float64)])


def fit_discriminant(x: np.ndarray, emotion: np.ndarray, domain: np.ndarray, weight: np.ndarray | None = None, *,
                     shrinkage: float = 10.0, nuisance: float = 1.0, blocks: Sequence[int] = BLOCKS,
                     home: int = 0) -> LinearClassifier:
    """Fit the discriminant of the module's docstring (temperature 1).

    Parameters
    ----------
    x : ndarray, shape (n, d)
    emotion : ndarray, shape (n,), int
        Class of each face; -1 where unknown: the face then speaks for its domain only.
    domain : ndarray, shape (n,), int
        0 .. k-1; standardisation is that of the labelled faces of the domain ``home``, and so is the origin.
    weight : ndarray, shape (n,), optional
        Of each face in the estimation of class means and covariance.
    shrinkage : float
        r.
    nuisance : float
        Share of the scatter between domains that is added to the covariance.
    blocks : sequence of int
        Sizes of the blocks that are scaled to the same total variance.
    home : int

    Raises
    ------
    ValueError
        If a class has no face.
    """
    x, emotion, domain = np.asarray(x, np.float64), np.asarray(emotion), np.asarray(domain)
    classes, domains = len(EMOTIONS), int(domain.max()) + 1
    known = emotion >= 0
    if missing := [name for c, name in enumerate(EMOTIONS) if not (emotion == c).any()]:
        raise ValueError(f"the head needs faces of every emotion; there are none of {', '.join(missing)}")
    w = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    at_home = known & (domain == home)
    mean, deviation = x[at_home].mean(0), x[at_home].std(0)
    scale = np.where(deviation > 1e-6, deviation, 1.0) * np.concatenate([np.full(size, np.sqrt(size)) for size in blocks])
    z = (x - mean) / scale

    # additive model: z = class mean + domain effect (zero at home) + noise, weighted least squares over the labelled
    others = [d for d in range(domains) if d != home and (known & (domain == d)).any()]
    design = np.zeros((int(known.sum()), classes + len(others)))
    design[np.arange(len(design)), emotion[known]] = 1.0
    for k, d in enumerate(others):
        design[:, classes + k] = domain[known] == d
    root = np.sqrt(w[known])[:, None]
    effects = np.linalg.lstsq(design * root, z[known] * root, rcond=None)[0]
    means = effects[:classes]
    residual = (z[known] - design @ effects) * root
    within = residual.T @ residual / w[known].sum()

    shifts = [effects[classes + k] for k in range(len(others))]
    unlabelled = [d for d in range(domains) if d != home and d not in others]
    shifts += [z[domain == d].mean(0) - z[at_home].mean(0) for d in unlabelled]
    between = sum((np.outer(s, s) for s in shifts), np.zeros_like(within)) / max(1, len(shifts))
    total = within + nuisance * between + shrinkage * np.trace(within) / len(within) * np.eye(len(within))
    directions = np.linalg.solve(total, means.T)
    intercept = -0.5 * (means.T * directions).sum(0)
    coefficients = directions / scale[:, None]
    return LinearClassifier(coefficients.astype(np.float32), (intercept - mean @ coefficients).astype(np.float32))


def fit_temperature(logits: np.ndarray, emotion: np.ndarray) -> float:
    """Temperature with the least log-loss on held-out discriminants, every class present weighing the same."""
    from scipy.optimize import minimize_scalar

    counts = np.bincount(emotion, minlength=len(EMOTIONS)).astype(float)
    weight = 1.0 / counts[emotion]
    weight /= weight.sum()

    def loss(log_t: float) -> float:
        p = softmax(logits / np.exp(log_t))
        return float(-(weight * np.log(np.clip(p[np.arange(len(p)), emotion], 1e-12, None))).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis, numerically safe."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)

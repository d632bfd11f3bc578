"""Plots of an evaluation: ROC and DET of identity, confusion of classes; no photograph, no person's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def plot_rates(fmr: np.ndarray, fnmr: np.ndarray, title: str, file: Path) -> None:
    """ROC (left) and DET (right) of one set.

    Parameters
    ----------
    fmr, fnmr : ndarray, shape (thresholds,)
    file : Path
        PNG to write.
    """
    from scipy.stats import norm

    figure, (roc, det) = _figure(2, (9.0, 4.2))
    roc.step(np.clip(fmr, 1e-6, 1), 1 - fnmr, where="post")
    roc.set(xscale="log", xlim=(1e-5, 1), ylim=(0, 1.01), xlabel="false match rate", ylabel="true accept rate", title="ROC")
    ticks = np.array([0.001, 0.01, 0.05, 0.2, 0.5])
    inside = (fmr > 0) & (fmr < 1) & (fnmr > 0) & (fnmr < 1)
    det.plot(norm.ppf(fmr[inside]), norm.ppf(fnmr[inside]))
    if not inside.any():
        det.text(0.5, 0.5, "no threshold errs both ways", ha="center", va="center", transform=det.transAxes)
    det.plot(norm.ppf([1e-4, 0.9]), norm.ppf([1e-4, 0.9]), color="0.7", lw=0.8)
    for axis in (det.xaxis, det.yaxis):
        axis.set_ticks(norm.ppf(ticks), [f"{t:g}" for t in ticks])
    det.set(xlim=norm.ppf([2e-4, 0.7]), ylim=norm.ppf([2e-4, 0.7]), xlabel="false match rate", ylabel="false non-match rate", title="DET")
    _save(figure, title, file)


def plot_confusion(table: Mapping[str, Any], title: str, file: Path) -> None:
    """Confusion matrix: rows are the truth, shares of the row as colour, counts as numbers."""
    labels: Sequence[str] = table["labels"]
    counts = np.asarray(table["counts"])
    figure, (axes,) = _figure(1, (1.6 + 0.75 * len(labels), 1.3 + 0.65 * len(labels)))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (i, k), count in np.ndenumerate(counts):
        axes.text(k, i, str(count), ha="center", va="center", color="white" if shares[i, k] > 0.5 else "black", fontsize=8)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="answer", ylabel="truth")
    _save(figure, title, file)


def _figure(columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(np.atleast_1d(figure.subplots(1, columns)))


def _save(figure: Any, title: str, file: Path) -> None:
    from perception.publish import publish

    figure.suptitle(title)
    publish(file, lambda stream: figure.savefig(stream, format="png", dpi=110))

"""Quality of a gallery feature table: ``python -m perception.personas.quality table=FILE``.

How often the camera's pictures are found, recognised and read right, with 95 % intervals from a bootstrap over persons
(pictures of one person are not independent; Davison & Hinkley 1997, sec. 3.8).
"""
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from perception.command import Setting, run
from perception.features import EMOTION_COLUMNS, EMOTIONS, read_features

if TYPE_CHECKING:
    import pandas as pd

_RESAMPLES = 2000
SETTINGS = (
    Setting("table", str, "gallery feature table with embeddings (default: the shipped one)",
            str(Path(__file__).parent / "shipped" / "features.parquet")),
    Setting("seed", int, "of the bootstrap", 0, minimum=0),
)


@dataclass(frozen=True)
class Figure:
    """A mean with its interval and the number of pictures behind it."""

    name: str
    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.name:<44} {self.value:.3f}  [{self.low:.3f}, {self.high:.3f}]  n = {self.n}"


def rank_one(table: pd.DataFrame) -> np.ndarray:
    """Closed-set identification: is the nearest centroid of enrolled embeddings (cosine) the row's own person?

    Parameters
    ----------
    table : pandas.DataFrame
        Gallery feature table with embeddings.

    Returns
    -------
    ndarray of float, shape (len(table),)
        1 right, 0 wrong, NaN where no face was found.
    """
    seen = table["embedding"].notna().to_numpy()
    vectors = np.zeros((len(table), 512), np.float32)
    vectors[seen] = np.stack(table["embedding"][seen].to_list())
    person, enrolled = table["person"].to_numpy(str), (table["role"] == "enrol").to_numpy() & seen
    names = np.unique(person[enrolled])
    centres = np.stack([vectors[enrolled & (person == name)].mean(0) for name in names])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    right = (names[(vectors @ centres.T).argmax(1)] == person).astype(float)
    return np.where(seen, right, np.nan)


def read_right(table: pd.DataFrame) -> np.ndarray:
    """1 where the most probable emotion is the true one, 0 where not, NaN where no face was found."""
    seen = (table["status"] == "face").to_numpy()
    p = table.loc[:, list(EMOTION_COLUMNS)].fillna(0.0).to_numpy(float)
    right = np.array(EMOTIONS)[p.argmax(1)] == table["true_emotion"].to_numpy(str)
    return np.where(seen, right.astype(float), np.nan)


def balanced_accuracy(right: np.ndarray, emotion: np.ndarray) -> float:
    """Mean over the seven emotions of the share read right."""
    return float(np.nanmean([np.nanmean(right[emotion == name]) for name in EMOTIONS if (emotion == name).any()]))


def figures(table: pd.DataFrame, seed: int = 0) -> list[Figure]:
    """All figures of a table, camera pictures only."""
    camera = (table["role"] == "camera").to_numpy()
    masked = table["true_mask"].to_numpy(bool)
    person, emotion = table["person"].to_numpy(str), table["true_emotion"].to_numpy(str)
    found = (table["status"] == "face").to_numpy(float)
    known, read = rank_one(table), read_right(table)
    named = np.where(found > 0, (table["identity"].fillna("") == table["person"]).to_numpy(float), np.nan)
    wrong = np.where(found > 0, (table["identity"].notna() & (table["identity"] != table["person"])).to_numpy(float), np.nan)
    mask_right = np.where(found > 0, ((table["mask_probability"] >= 0.5).to_numpy() == masked).astype(float), np.nan)
    names = np.unique(person)
    rows_of = [np.flatnonzero(person == name) for name in names]
    draws = np.random.default_rng(seed).integers(len(names), size=(_RESAMPLES, len(names)))

    def figure(name: str, rows: np.ndarray, statistic: Callable[[np.ndarray], float]) -> Figure:
        chosen = [mine[rows[mine]] for mine in rows_of]
        spread = [statistic(np.concatenate([chosen[i] for i in draw])) for draw in draws]
        low, high = np.percentile(spread, [2.5, 97.5])
        here = np.flatnonzero(rows)
        return Figure(name, statistic(here), float(low), float(high), len(here))

    out = []
    for label, rows in (("plain", camera & ~masked), ("masked", camera & masked)):
        out.append(figure(f"{label}: a face is found", rows, lambda i: float(found[i].mean())))
        seen = rows & (found > 0)
        out.append(figure(f"{label}: mask told right", seen, lambda i: float(mask_right[i].mean())))
        out.append(figure(f"{label}: rank-1 identification", seen, lambda i: float(known[i].mean())))
        out.append(figure(f"{label}: named right (open set)", seen, lambda i: float(named[i].mean())))
        out.append(figure(f"{label}: named wrong (open set)", seen, lambda i: float(wrong[i].mean())))
        out.append(figure(f"{label}: emotion, balanced accuracy", seen, lambda i: balanced_accuracy(read[i], emotion[i])))
        for one in EMOTIONS:
            out.append(figure(f"{label}: {one} read right", seen & (emotion == one), lambda i: float(read[i].mean())))
    return out


def report(table: str, seed: int) -> None:
    """Print the figures of a table."""
    for line in figures(read_features(table), seed):
        print(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run("perception.personas.quality", "Measure a gallery feature table.", SETTINGS,
               "python -m perception.personas.quality", report, arguments)


if __name__ == "__main__":
    sys.exit(main())

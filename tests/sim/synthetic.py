"""A gallery whose perception errors are known numbers, so that shop tests depend on no picture."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perception.features import EMOTIONS


def synthetic_table(persons: int = 40, shots: int = 3, recall: float = 0.65, own: float = 0.88, missed: float = 0.02, seed: int = 0):
    """A gallery feature table: `shots` pictures per (person, emotion, mask); recall, recognition and misses as given."""
    rng = np.random.default_rng(seed)
    rows = []
    for p in range(persons):
        for masked in (False, True):
            for e, emotion in enumerate(EMOTIONS):
                for shot in range(shots):
                    face = rng.random() > missed * (4 if masked else 1)
                    right = rng.random() < (recall if not masked else 0.45)
                    seen = e if right else int(rng.choice([j for j in range(7) if j != e]))
                    probability = np.full(7, 0.3 / 6)
                    probability[seen] = 0.7
                    draw, bad = rng.random(), (1 - own) * (3 if masked else 1)
                    other = f"p{(p + 1 + int(rng.integers(persons - 1))) % persons:02d}"
                    identity = None if draw < bad * 0.6 else other if draw < bad else f"p{p:02d}"
                    stranger = other if rng.random() < 0.15 else None
                    row = {
                        "image": f"p{p:02d}/{emotion}-{int(masked)}-{shot}.webp", "person": f"p{p:02d}", "role": "camera",
                        "face": 0 if face else -1, "status": "face" if face else "no_face",
                        "true_emotion": emotion, "true_mask": masked, "mask_probability": 0.97 if masked else 0.03,
                        "identity": identity if face else None, "similarity": 0.7 if face and identity else np.nan,
                        "identity_unenrolled": stranger if face else None,
                        "similarity_unenrolled": 0.6 if face and stranger else np.nan,
                    }
                    rows.append(row | {f"emotion_{n}": probability[j] if face else np.nan for j, n in enumerate(EMOTIONS)})
    return pd.DataFrame(rows)


def open_gallery(folder=None, consent=False, weights=None, cache=None):
    """Stands in for `perception.gallery.open_gallery`."""
    return synthetic_table()

"""How a camera's readings of emotion relate to the truth: P(most probable perceived emotion | true emotion, mask)."""

from __future__ import annotations

import numpy as np

from sim.shop.gallery import Gallery

_EVEN = 1.0  # added to every cell: no reading is impossible
_ASSUMED = 0.65  # recall where a gallery knows no truth (balanced accuracy of the shipped network on rendered faces)


def confusion(gallery: Gallery) -> np.ndarray:
    """(2, 7, 7) without and with a mask, rows sum to 1; measured on the gallery's pictures where their truth is known."""
    out = np.full((2, 7, 7), (1 - _ASSUMED) / 6)
    out[:, np.arange(7), np.arange(7)] = _ASSUMED
    if not gallery.labelled:
        return out
    seen = gallery.emotion.argmax(1)
    for masked in (0, 1):
        use = (gallery.has_face == 1) & (gallery.true_mask == masked)
        if use.any():
            counts = np.full((7, 7), _EVEN)
            np.add.at(counts, (gallery.true_emotion[use], seen[use]), 1.0)
            out[masked] = counts / counts.sum(1, keepdims=True)
    return out

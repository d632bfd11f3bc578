"""The backdrop: a shop out of focus."""
from __future__ import annotations

import numpy as np
from PIL import Image

_PALETTE = np.array([[214, 204, 190], [176, 186, 190], [150, 130, 112], [196, 170, 140], [120, 140, 150], [222, 216, 206],
                     [168, 120, 104], [128, 148, 120]], np.float32)


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """Blurred patches of shelf colours, brighter above, (size, size, 3) float32 0..255."""
    patches = _PALETTE[rng.integers(len(_PALETTE), size=(4, 7))] * rng.uniform(0.75, 1.1, (4, 7, 1))
    patches = 0.55 * patches + 0.45 * patches.mean((0, 1))
    falloff = np.linspace(1.1, 0.8, 4)[:, None, None] * rng.uniform(0.85, 1.1)
    small = np.clip(patches * falloff, 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)).astype(np.float32)

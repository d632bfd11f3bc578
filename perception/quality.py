"""Quality gate: is this face good enough to enrol or to recognise, and if not, why not.

Four measurements, each with a limit and a reason in words (:func:`assess`):

- *size*: shorter side of the box, pixels;
- *sharpness*: standard deviation of the Laplacian of the grey face, resized to 80 px, over the standard deviation of the
  face itself, so that a dim or flat picture does not count as blurred;
- *pose* from the five landmarks: roll = angle of the line through the eyes; yaw by how far the nose lies off the middle of
  the eyes, in eye distances (0 frontal, about .5 in a three-quarter view); a nose outside the eyes and mouth in height
  is a head turned up or down;
- *constant regions*: share of the face whose 8 x 8 px cells hold one grey level (a cut or overwritten file decodes to
  such cells, a black bar across the eyes is one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from perception.results import Face

SIDE = 80
"""Pixels to which a face is resized before sharpness and constancy are read."""
MIN_CONTRAST = 8.0
"""Grey levels of standard deviation that a face is taken to have at least: noise on a flat patch is not sharpness."""


@dataclass(frozen=True)
class QualityLimits:
    """Limits of the gate, set by photographs.

    Sharpness: of 378 faces of 40 to 830 px (studio portraits, portraits from the web, with masks) the lowest was .12, and
    99 % had .16 or more; blurred by a Gaussian of 4 % of the face's width, 95 % fell to .083 or less.  Yaw: 99 % of them
    lie below .49.  Constant cells: at most 7 % of any.  All 253 studio portraits and pairs pass, and 98 % of 125 faces
    with masks.
    """

    min_side: float = 40.0
    min_sharpness: float = 0.10
    max_yaw: float = 0.55
    max_roll: float = 45.0
    max_constant: float = 0.15


@dataclass(frozen=True)
class Quality:
    """What was measured; ``reasons`` is empty where the face is good enough."""

    side: float
    sharpness: float
    yaw: float
    roll: float
    constant: float
    reasons: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether nothing speaks against the face."""
        return not self.reasons


def assess(image: np.ndarray, face: Face, limits: QualityLimits | None = None) -> Quality:
    """Measure one face.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8
        Upright RGB image that the face was found in.
    face : Face
    limits : QualityLimits, optional
    """
    limits = limits or QualityLimits()
    x0, y0, x1, y1 = face.box
    side = float(min(x1 - x0, y1 - y0))
    grey = _grey_face(image, face)
    sharpness, constant = _sharpness(grey), _constant(grey)
    yaw, roll, upright = _pose(np.asarray(face.landmarks, float))
    reasons = []
    if side < limits.min_side:
        reasons.append(f"the face is only {side:.0f} px wide or high ({limits.min_side:.0f} are needed)")
    if constant > limits.max_constant:
        reasons.append(f"{constant:.0%} of the face is one flat colour (covered, cut or overwritten)")
    elif sharpness < limits.min_sharpness:
        reasons.append(f"the face is blurred (sharpness {sharpness:.2f}, {limits.min_sharpness:.2f} is needed)")
    if abs(yaw) > limits.max_yaw or not upright:
        reasons.append(f"the face is turned away (nose {abs(yaw):.2f} eye distances off the middle)" if upright
                       else "the face is turned up or down, or its landmarks are not those of a face")
    if abs(roll) > limits.max_roll:
        reasons.append(f"the head is tilted by {abs(roll):.0f} degrees")
    return Quality(side, sharpness, yaw, roll, constant, tuple(reasons))


def _grey_face(image: np.ndarray, face: Face) -> np.ndarray:
    """The face, grey; shrunk to :data:`SIDE` where it is larger, never enlarged (an enlarged face is smooth by itself)."""
    from PIL import Image

    height, width = image.shape[:2]
    x0, y0 = int(max(face.box[0], 0)), int(max(face.box[1], 0))
    x1, y1 = int(min(face.box[2], width)), int(min(face.box[3], height))
    crop = Image.fromarray(image[y0:max(y1, y0 + 1), x0:max(x1, x0 + 1)]).convert("L")
    scale = SIDE / min(crop.size)
    if scale < 1:
        crop = crop.resize((max(round(crop.width * scale), 8), max(round(crop.height * scale), 8)), Image.Resampling.BOX)
    return np.asarray(crop, np.float64)


def _sharpness(grey: np.ndarray) -> float:
    if min(grey.shape) < 3 or grey.std() < 1e-6:
        return 0.0
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    return float(laplacian.std() / max(grey.std(), MIN_CONTRAST))


def _constant(grey: np.ndarray, cell: int = 8) -> float:
    rows, columns = grey.shape[0] // cell, grey.shape[1] // cell
    if not rows or not columns:
        return float(np.ptp(grey) < 1)
    cells = grey[:rows * cell, :columns * cell].reshape(rows, cell, columns, cell)
    return float((np.ptp(cells, axis=(1, 3)) < 1).mean())


def _pose(points: np.ndarray) -> tuple[float, float, bool]:
    """Yaw (eye distances), roll (degrees), and whether the nose lies between eyes and mouth; all along the tilted face."""
    left, right, nose = points[0], points[1], points[2]
    across = right - left
    distance = float(np.hypot(*across))
    if distance < 1e-6:
        return 0.0, 0.0, False
    across = across / distance
    down = np.array([-across[1], across[0]])
    middle, mouth = (left + right) / 2, (points[3] + points[4]) / 2
    heights = [float((p - middle) @ down) for p in (nose, mouth)]
    return float((nose - middle) @ across / distance), float(np.degrees(np.arctan2(across[1], across[0]))), 0 < heights[0] < heights[1]

"""Draw a face mask on a photograph, from the detector's five landmarks: for training and measuring, not for show.

Photographs of the same person with and without mask are rare, and labels of emotion on masked faces rarer.  So a polygon
from the bridge of the nose over the cheeks to the chin is filled with a shaded fabric (as MaskTheFace does with templates
[1]_), in the frame of the face: the origin between the eyes, one axis along the eyes in units of their distance, the other
down in units of the distance from eyes to mouth.

References
----------
.. [1] A. Anwar, A. Raychowdhury, "Masked Face Recognition for Secure Authentication", arXiv:2008.11104, 2020.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perception.training_faces import TrainingFace

FABRICS = ((150, 195, 225), (190, 220, 215), (236, 236, 232), (60, 60, 66), (30, 30, 34), (120, 120, 125), (200, 170, 140),
           (45, 60, 110), (150, 40, 50), (225, 180, 195))
"""Colours of masks seen in shops: surgical blue and green, white, black, grey, beige, navy, red, pink (RGB)."""
OUTLINE = ((-1.05, 0.42), (-0.5, 0.46), (0.0, 0.36), (0.5, 0.46), (1.05, 0.42), (0.98, 1.05), (0.62, 1.62), (0.0, 1.85),
           (-0.62, 1.62), (-0.98, 1.05))
"""Rim of a mask that covers nose, mouth and chin, in the frame of the face."""
BELOW_NOSE = 0.42
"""How far down, in eye-to-mouth distances, the upper rim lies when the mask is worn below the nose."""


def wear_mask(face: TrainingFace, generator: np.random.Generator, below_nose: bool = False) -> TrainingFace:
    """The same face with a mask of random fabric and cut.

    Parameters
    ----------
    face : TrainingFace
    generator : numpy.random.Generator
    below_nose : bool
        Worn wrongly: the nose stays bare.
    """
    from PIL import Image, ImageDraw, ImageFilter

    height, width = face.image.shape[:2]
    eyes, mouth = face.landmarks[:2].mean(0), face.landmarks[3:].mean(0)
    across = face.landmarks[1] - face.landmarks[0]
    distance = max(float(np.hypot(*across)), 0.35 * float(face.box[2] - face.box[0]))  # eyes of a turned head look close
    right = across / max(float(np.hypot(*across)), 1e-6)
    down = mouth - eyes

    rim = np.array(OUTLINE) * generator.uniform(0.93, 1.07, 2) + generator.normal(0.0, 0.03, (len(OUTLINE), 2))
    if below_nose:
        rim[:5, 1] += BELOW_NOSE
    points = eyes + rim[:, :1] * right * distance + rim[:, 1:] * down
    centre = points.mean(0)

    cover = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(cover)
    pen.polygon([(float(2 * x), float(2 * y)) for x, y in points], fill=255)
    if generator.random() < 0.7:  # straps to the ears
        for corner, side in ((0, -1.0), (4, 1.0)):
            ear = eyes + side * 1.5 * right * distance + 0.1 * down
            pen.line([tuple(2.0 * points[corner]), tuple(2.0 * ear)], fill=200, width=max(2, round(0.05 * distance)))
    alpha = cover.resize((width, height), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.7))

    colour = np.array(FABRICS[int(generator.integers(len(FABRICS)))], float) * generator.uniform(0.8, 1.1)
    y, x = np.mgrid[:height, :width]
    along = ((x - centre[0]) * right[0] + (y - centre[1]) * right[1]) / distance
    below = ((x - centre[0]) * -right[1] + (y - centre[1]) * right[0]) / max(float(np.hypot(*down)), 1e-6)
    shade = 1.0 - 0.25 * np.abs(along - generator.uniform(-0.3, 0.3)) - 0.12 * np.abs(below)
    if generator.random() < 0.5:  # pleats
        shade += 0.05 * np.sin(2.0 * np.pi * below * generator.uniform(3.0, 5.0))
    elif generator.random() < 0.4:  # a printed cloth
        shade += 0.2 * np.sin(along * generator.uniform(10.0, 25.0)) * np.sin(below * generator.uniform(10.0, 25.0))
    grey = face.image.mean(-1)
    light = float(np.clip(np.median(grey[np.asarray(alpha) > 128]) / 130.0, 0.5, 1.3)) if (np.asarray(alpha) > 128).any() else 1.0
    fabric = colour * (np.clip(shade, 0.2, 1.3) * light)[..., None] + generator.normal(0.0, 3.0, (height, width, 1))
    if not np.ptp(face.image.astype(int), axis=-1).any():  # a grey photograph stays grey
        fabric = np.repeat(fabric @ np.array([[0.299], [0.587], [0.114]]), 3, axis=-1)
    share = np.asarray(alpha, float)[..., None] / 255.0
    painted = face.image * (1.0 - share) + np.clip(fabric, 0.0, 255.0) * share
    return replace(face, image=np.clip(np.rint(painted), 0, 255).astype(np.uint8))

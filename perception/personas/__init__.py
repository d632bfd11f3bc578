"""Rendered customers: procedural portraits in plain NumPy, no photograph of any person (see docs/personas.md).

>>> from perception.personas import persona, render
>>> picture = render(persona(3), "happy", shot=12)      # (200, 200, 3) uint8
"""
from .expressions import EXPRESSIONS, Units
from .painter import render
from .shot import Shot, take_shot
from .traits import Traits, persona

__all__ = ["EXPRESSIONS", "Shot", "Traits", "Units", "persona", "render", "take_shot"]

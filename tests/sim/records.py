"""Records for trying out single equations: named numbers that Python and compiled code read and write alike."""

import numpy as np


def record(**numbers: float) -> np.record:
    """One record with these float64 fields."""
    table = np.zeros(1, [(name, np.float64) for name in numbers]).view(np.recarray)
    for name, number in numbers.items():
        table[name] = number
    return table[0]

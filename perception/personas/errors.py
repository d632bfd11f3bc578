"""What can be wrong in an order for a persona; bad settings end a command with exit code 2."""
from __future__ import annotations

from perception.errors import InputError


class PersonaError(InputError, ValueError):
    """A seed, emotion, mask, size or count that the painter cannot serve."""

"""Errors that a user of the perception room can meet, each with the exit code its command ends with.

``exit_code`` 2 means that the input or a setting is wrong (change the command), 1 that the surroundings are (a missing
weights file, a folder that cannot be written).  Bad *images* are never errors: they become rows with a reason.
"""

from __future__ import annotations


class PerceptionError(Exception):
    """Base of every error that perception raises on purpose; the message is one sentence for the user."""

    exit_code: int = 1


class InputError(PerceptionError):
    """A setting, a path or a command-line argument that cannot be used."""

    exit_code = 2


class FeaturesError(InputError):
    """A feature table that breaks its contract (see :mod:`perception.features`)."""


class GalleryError(InputError):
    """A gallery folder or its ``labels.csv`` that cannot be used."""


class ConsentError(GalleryError):
    """Photographs of real people were offered without a statement of consent."""


class WeightsError(PerceptionError):
    """Model weights are missing, damaged, or of another network."""

    exit_code = 1


class CacheError(PerceptionError):
    """A cache or output folder that cannot be written."""

    exit_code = 1


class KeyUnavailableError(PerceptionError):
    """The key of encrypted embeddings is missing, is none, or is another one (:mod:`perception.encryption`)."""

    exit_code = 1


class ExpiredError(PerceptionError):
    """Stored faces whose time is over; they were removed."""

    exit_code = 1

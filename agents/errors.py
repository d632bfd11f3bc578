"""What can go wrong in an agent, each with the exit code a command should end with.

`exit_code` 2: the user asked for something that cannot be (a setting, a shape); 1: the surroundings failed
(a damaged file, numbers that ran away).
"""

from __future__ import annotations


class AgentError(Exception):
    """Base class of every error this package raises on purpose; its text is one sentence for the user."""

    exit_code: int = 1


class AgentConfigError(AgentError, ValueError):
    """A setting of an agent is impossible, or does not fit the environment it was given."""

    exit_code = 2


class ShapeMismatchError(AgentError, ValueError):
    """An array, an environment or a saved agent has other sizes than this agent; the text names both."""

    exit_code = 2


class NotTrainedError(AgentError):
    """The agent was asked to act before `learn` or `load`."""

    exit_code = 2


class DivergedError(AgentError):
    """A loss, a weight or a reward is no longer a finite number, so training was stopped."""

    exit_code = 1


class AgentFileError(AgentError):
    """A saved agent is missing, damaged, of another format, or cannot be written."""

    exit_code = 1

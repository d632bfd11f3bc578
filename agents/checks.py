"""Refusals that every agent shares, each a sentence with both sizes in it."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import ArrayLike, NDArray

from agents.errors import AgentConfigError, DivergedError, ShapeMismatchError


def check_spaces(name: str, observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """Box (D,) and Discrete(K + 1) from 0, else AgentConfigError."""
    if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 1:
        raise AgentConfigError(f"agent {name}: the observation space must be a Box of shape (D,), "
                               f"got {observation_space}.")
    if not isinstance(action_space, spaces.Discrete) or action_space.start != 0 or action_space.n < 2:
        raise AgentConfigError(f"agent {name}: the action space must be Discrete(K + 1) from 0 with K >= 1, "
                               f"got {action_space}.")


def check_env(name: str, env: VectorEnv, observation_space: spaces.Box, action_space: spaces.Discrete) -> None:
    """Same-step autoreset (AgentConfigError) and the agent's own sizes (ShapeMismatchError)."""
    if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
        raise AgentConfigError(f"agent {name} needs a vector environment with same-step autoreset, this one "
                               f"has {env.metadata.get('autoreset_mode')}.")
    if env.single_observation_space.shape != observation_space.shape:
        raise ShapeMismatchError(f"agent {name} takes observations of shape {observation_space.shape}, "
                                 f"the environment gives {env.single_observation_space.shape}.")
    if env.single_action_space != action_space:
        raise ShapeMismatchError(f"agent {name} chooses from {action_space}, the environment takes "
                                 f"{env.single_action_space}.")


def check_reward(reward: NDArray) -> None:
    """All finite, else DivergedError: one such number would ruin every weight within an update."""
    if not np.isfinite(reward).all():
        raise DivergedError(f"the environment paid a reward that is not finite in lane "
                            f"{int(np.flatnonzero(~np.isfinite(reward))[0])}; training was stopped.")


def checked_batch(name: str, size: int, actions: int, observation: ArrayLike,
                  action_mask: ArrayLike) -> tuple[NDArray, NDArray[np.bool_]]:
    """(N, size) finite and (N, actions) bool with an open first column, as arrays."""
    observation, action_mask = np.asarray(observation), np.asarray(action_mask)
    if observation.ndim != 2 or observation.shape[1] != size:
        raise ShapeMismatchError(f"agent {name} takes observations of shape (N, {size}), got {observation.shape}.")
    if action_mask.shape != (len(observation), actions) or action_mask.dtype != np.bool_:
        raise ShapeMismatchError(f"agent {name} takes action masks of shape ({len(observation)}, {actions}) bool, "
                                 f"got {action_mask.shape} {action_mask.dtype}.")
    if not action_mask[:, 0].all():
        raise ShapeMismatchError(f"agent {name}: holding back (action 0) is masked in row "
                                 f"{int(np.flatnonzero(~action_mask[:, 0])[0])}; it must always be allowed.")
    if not np.isfinite(observation).all():
        raise DivergedError(f"agent {name}: observation row "
                            f"{int(np.flatnonzero(~np.isfinite(observation).all(axis=1))[0])} is not finite.")
    return observation, action_mask


def checked_uniform(name: str, rows: int, uniform: ArrayLike) -> NDArray[np.float64]:
    """(rows,) in [0, 1), as an array."""
    uniform = np.asarray(uniform, dtype=np.float64)
    if uniform.shape != (rows,):
        raise ShapeMismatchError(f"agent {name}: {rows} observations need {rows} uniforms, got shape {uniform.shape}.")
    if not ((uniform >= 0) & (uniform < 1)).all():
        raise ShapeMismatchError(f"agent {name}: uniforms must lie in [0, 1), got "
                                 f"{uniform.min():g} to {uniform.max():g}.")
    return uniform

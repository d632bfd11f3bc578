"""A Gymnasium vector environment as Stable-Baselines3 expects one.

SB3's `VecEnv` is not Gymnasium's `VectorEnv`: it returns four values, merges terminated and truncated into done, and
wants per-lane info dictionaries (SB3 documentation, "Vectorized Environments"; SB3 issues #1568 and #1745). The mapping:

    done_i = terminated_i or truncated_i
    infos[i]["terminal_observation"] = final_obs[i]                     where done_i
    infos[i]["TimeLimit.truncated"]  = truncated_i and not terminated_i where done_i

Lanes that go on share one empty dictionary, so that a step of 256 lives costs no 256 dictionaries. With
`append_mask` the action mask is written behind the observation, as 0 and 1, because SB3's rollout buffer keeps nothing
else that the policy could read it from later; `MaskedActorCriticPolicy` takes it off again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from agents.checks import check_reward
from agents.errors import AgentConfigError
from agents.sb3 import VecEnv
from agents.snapshot import Snapshot


class SB3VecEnv(VecEnv):
    """N lanes of a same-step-autoreset `VectorEnv` for SB3.

    Parameters
    ----------
    env : gymnasium.vector.VectorEnv
        With `action_masks() -> (N, K + 1) bool`.
    reward_scale : float
        Reward units per money; SB3 sees scaled rewards, `statistics` counts money.
    append_mask : bool
        Write the action mask behind the observation: (N, D) becomes (N, D + K + 1).

    Raises
    ------
    AgentConfigError
        If the environment resets in another mode or has other kinds of spaces.
    """

    def __init__(self, env: VectorEnv, reward_scale: float = 1.0, append_mask: bool = True) -> None:
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise AgentConfigError(f"SB3 needs a vector environment with same-step autoreset, this one has "
                                   f"{env.metadata.get('autoreset_mode')}.")
        self.env, self.reward_scale, self.append_mask = env, reward_scale, append_mask
        box, actions = env.single_observation_space, env.single_action_space
        if not isinstance(box, spaces.Box) or not isinstance(actions, spaces.Discrete):
            raise AgentConfigError(f"this adapter takes a Box and a Discrete space, got {box} and {actions}.")
        self._size, self._actions = int(box.shape[0]), int(actions.n)
        if append_mask:
            box = spaces.Box(np.concatenate([box.low, np.zeros(self._actions)]).astype(np.float32),
                             np.concatenate([box.high, np.ones(self._actions)]).astype(np.float32), dtype=np.float32)
        super().__init__(env.num_envs, box, actions)
        self._nothing: dict[str, Any] = {}
        self._return = np.zeros(env.num_envs)                   # money so far in each lane's life
        self._clear()

    def reset(self) -> np.ndarray:
        """First observations (N, D [+ K + 1]); the seed given to `seed` is used once."""
        observation, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._return[:] = 0.0
        self._clear()
        return self._joined(observation)

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions (N,) for `step_wait`."""
        self._pending = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observation (N, D [+ K + 1]) float32, scaled reward (N,) float32, done (N,) bool, infos.

        Raises
        ------
        DivergedError
            If a reward is not finite.
        """
        observation, reward, terminated, truncated, info = self.env.step(self._pending)
        check_reward(reward)
        done = terminated | truncated
        infos = [self._nothing] * self.num_envs
        self._return += reward
        self._money += float(reward.sum())
        self._steps += self.num_envs
        ended = np.flatnonzero(done)
        if len(ended):
            final = info["final_obs"]
            for i in ended.tolist():
                infos[i] = {"terminal_observation": self._with_open_mask(final[i]),
                            "TimeLimit.truncated": bool(truncated[i] and not terminated[i])}
            self._lives += len(ended)
            self._life_money += float(self._return[ended].sum())
            self._return[ended] = 0.0
        return self._joined(observation), (self.reward_scale * reward).astype(np.float32), done, infos

    def statistics(self) -> dict[str, float]:
        """Money per step, and per finished life where one finished, since the last call."""
        result = {}
        if self._steps:
            result["rollout/value_per_step"] = self._money / self._steps
        if self._lives:
            result["rollout/value_per_customer"] = self._life_money / self._lives
        self._clear()
        return result

    def counted(self) -> Snapshot:
        """What `statistics` will count from."""
        return Snapshot({"return": self._return}, {"counted": [self._money, self._steps, self._lives, self._life_money]})

    def set_counted(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Inverse of `counted`."""
        self._return = arrays["return"]
        self._money, self._steps, self._lives, self._life_money = values["counted"]

    def _clear(self) -> None:
        self._money, self._steps, self._lives, self._life_money = 0.0, 0, 0, 0.0

    def _joined(self, observation: np.ndarray) -> np.ndarray:
        if not self.append_mask:
            return observation
        joined = np.empty((self.num_envs, self._size + self._actions), dtype=np.float32)    # fresh: SB3 keeps the last
        joined[:, :self._size] = observation
        joined[:, self._size:] = self.env.action_masks()        # type: ignore[attr-defined]
        return joined

    def _with_open_mask(self, observation: np.ndarray) -> np.ndarray:
        """A last observation is only valued, never acted on, so its mask is all ones."""
        if not self.append_mask:
            return np.array(observation, dtype=np.float32)
        return np.concatenate([observation, np.ones(self._actions)], dtype=np.float32)

    # ------------------------------------------------------------------ the rest of SB3's interface
    def close(self) -> None:
        """Close the wrapped environment."""
        self.env.close()

    def _lanes(self, indices: int | Iterable[int] | None) -> int:
        return len(list(self._get_indices(indices)))

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """The attribute of the one vector environment, once per lane asked for."""
        return [getattr(self.env, attr_name)] * self._lanes(indices)

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Set an attribute of the vector environment: of all lanes at once."""
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None,
                   **method_kwargs: Any) -> list[Any]:
        """Call a method of the vector environment; `action_masks` gives each lane its own row (sb3-contrib)."""
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        if method_name == "action_masks":
            return list(result[list(self._get_indices(indices))])
        return [result] * self._lanes(indices)

    def env_is_wrapped(self, wrapper_class: type, indices: int | Iterable[int] | None = None) -> list[bool]:
        """No lane is wrapped."""
        return [False] * self._lanes(indices)

"""A model of Stable-Baselines3 or sb3-contrib in the middle of learning, as arrays and JSON values: what `model.save` leaves out.

SB3's own archive holds weights and optimiser, but neither the generators nor what the next step starts from (last observation,
state of the LSTM, replay buffer), and it pickles. Here all of that is kept and nothing is pickled. Cut where SB3 starts a
rollout: the rollout buffer is empty then, and a replay buffer is part of the state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.generators import global_generators, set_global_generators
from agents.snapshot import (
    Snapshot,
    generator_from,
    generator_state,
    optimiser_arrays,
    set_optimiser,
)

_COUNTERS = ("num_timesteps", "_n_updates", "_current_progress_remaining", "_n_calls", "exploration_rate")   # where it has them
_REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def model_snapshot(model: Any) -> Snapshot:
    """Everything that `model.learn` goes on from, the global generators included."""
    arrays = {f"policy/{name}": tensor.numpy().copy() for name, tensor in model.policy.state_dict().items()}
    arrays |= optimiser_arrays(model.policy.optimizer)
    arrays |= {"last_observation": model._last_obs, "last_episode_starts": np.asarray(model._last_episode_starts)}
    values = {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)}
    states = getattr(model, "_last_lstm_states", None)
    if states is not None:
        arrays |= {f"memory/{net}/{part}": state.numpy().copy()
                   for net, pair in zip(("pi", "vf"), states) for part, state in zip("hc", pair)}
    replay = getattr(model, "replay_buffer", None)
    if replay is not None:
        filled = replay.size()
        arrays |= {f"replay/{name}": getattr(replay, name)[:filled] for name in _REPLAY}
        values |= {"replay_position": replay.pos, "replay_full": replay.full}
    if hasattr(model, "explorer"):
        values["explorer"] = generator_state(model.explorer)
    drawn, generators = global_generators()
    return Snapshot(arrays | drawn, values | generators)


def resume_model(model: Any, arrays: dict[str, NDArray], values: dict[str, Any]) -> None:
    """Put a freshly made model, and the global generators, where `model_snapshot` found them."""
    import torch

    own = {name.removeprefix("policy/"): torch.from_numpy(array) for name, array in arrays.items() if name.startswith("policy/")}
    model.policy.load_state_dict(own)
    set_optimiser(model.policy.optimizer, arrays)
    for name in _COUNTERS:
        if name in values:
            setattr(model, name, values[name])
    model._last_obs, model._last_episode_starts = arrays["last_observation"], arrays["last_episode_starts"]
    if "memory/pi/h" in arrays:
        pairs = [tuple(torch.from_numpy(arrays[f"memory/{net}/{part}"]) for part in "hc") for net in ("pi", "vf")]
        model._last_lstm_states = type(model._last_lstm_states)(*pairs)
    if "replay_position" in values:
        for name in _REPLAY:
            getattr(model.replay_buffer, name)[:len(arrays[f"replay/{name}"])] = arrays[f"replay/{name}"]
        model.replay_buffer.pos, model.replay_buffer.full = values["replay_position"], values["replay_full"]
    if "explorer" in values:
        model.explorer = generator_from(values["explorer"])
    set_global_generators(arrays, values)

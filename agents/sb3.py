"""The parts of Stable-Baselines3 and sb3-contrib used here, imported without TensorFlow.

SB3's logger tries `torch.utils.tensorboard`, and where TensorBoard and TensorFlow are installed (the `fer` wheel
brings both) that loads TensorFlow: ten seconds, and an abort of the process when torch's and TensorFlow's copies of
LLVM meet ("Option 'bitcode-mdindex-threshold' registered more than once", seen with torch 2.15 and TensorFlow
2.21). SB3 runs without it, so the import is hidden while SB3 loads. Import SB3 in this process through here, or after it.
"""

from __future__ import annotations

import sys

_TENSORBOARD = "torch.utils.tensorboard"
_hidden = _TENSORBOARD not in sys.modules
if _hidden:
    sys.modules[_TENSORBOARD] = None        # type: ignore[assignment]  # "import" of it raises ImportError
try:
    from sb3_contrib import MaskablePPO, RecurrentPPO
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
    from stable_baselines3 import A2C, DQN, PPO
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.distributions import Distribution
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
finally:
    if _hidden:
        del sys.modules[_TENSORBOARD]

__all__ = ["A2C", "DQN", "PPO", "ActorCriticPolicy", "BaseAlgorithm", "BaseCallback", "BaseFeaturesExtractor", "DQNPolicy",
           "Distribution", "MaskablePPO", "QNetwork", "RecurrentActorCriticPolicy", "RecurrentPPO", "VecEnv"]

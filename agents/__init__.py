"""Agents: who decides which label to push, or to hold back.

    from agents import PPOAgent, load_agent

Names are imported when first used, so `import agents` costs nothing and only training PPO pays for torch. This
package knows Gymnasium, Stable-Baselines3, torch and NumPy, and nothing of the shop or of perception.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.a2c import A2CAgent
    from agents.base import Agent, Decision
    from agents.baselines import CappedPopularity, HoldBack, Popularity, Random
    from agents.dqn import DQNAgent
    from agents.epsilon_greedy import EpsilonGreedy
    from agents.errors import AgentError
    from agents.fitted_q import FittedQ
    from agents.linear_bandits import ChargedLinUCB, LinUCB
    from agents.logistic import LogisticTS
    from agents.maskable_ppo import MaskablePPOAgent
    from agents.memory import RememberingAgent
    from agents.neural_bandits import NeuralLinear
    from agents.organic import Factorisation, OrganicCount, OrganicPopularity
    from agents.ppo import PPOAgent
    from agents.ppo_belief import PPOBelief
    from agents.ranked import Ranked
    from agents.recurrent_ppo import RecurrentPPOAgent
    from agents.thompson import LinTS
    from agents.ucb import UCB1

_HOME = {
    "Agent": "base", "Decision": "base", "AgentError": "errors",
    "Random": "baselines", "HoldBack": "baselines", "Popularity": "baselines", "CappedPopularity": "baselines",
    "EpsilonGreedy": "epsilon_greedy", "UCB1": "ucb", "LinUCB": "linear_bandits", "ChargedLinUCB": "linear_bandits",
    "LinTS": "thompson", "LogisticTS": "logistic", "NeuralLinear": "neural_bandits", "PPOAgent": "ppo",
    "PPOBelief": "ppo_belief", "A2CAgent": "a2c", "DQNAgent": "dqn", "MaskablePPOAgent": "maskable_ppo",
    "RecurrentPPOAgent": "recurrent_ppo", "RememberingAgent": "memory", "FittedQ": "fitted_q",
    "OrganicPopularity": "organic", "OrganicCount": "organic", "Factorisation": "organic", "Ranked": "ranked",
}
__all__ = ["A2CAgent", "Agent", "AgentError", "CappedPopularity", "ChargedLinUCB", "DQNAgent", "Decision", "EpsilonGreedy",
           "Factorisation", "FittedQ", "HoldBack", "LinTS", "LinUCB", "LogisticTS", "MaskablePPOAgent", "NeuralLinear",
           "OrganicCount", "OrganicPopularity", "PPOAgent", "PPOBelief", "Popularity", "Random", "Ranked", "RecurrentPPOAgent",
           "RememberingAgent", "UCB1", "load_agent"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'agents' has no attribute {name!r}")
    return getattr(importlib.import_module(f"agents.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def load_agent(folder: str | Path, agent_class: type[Agent] | None = None) -> Agent:
    """Rebuild a saved agent, with the settings and sizes it was saved with.

    Parameters
    ----------
    folder : path
        Where `Agent.save` put it.
    agent_class : type, optional
        Class of an agent that is not part of this package; ours are found by the name in the file.

    Raises
    ------
    AgentFileError
        If the folder holds no agent, a damaged one, or one of an unknown class.
    """
    import numpy as np
    from gymnasium import spaces

    from agents import storage
    from agents.base import Agent
    from agents.errors import AgentFileError

    spec, _ = storage.read_agent(Path(folder))
    if agent_class is None:
        found = __getattr__(spec["agent"]) if spec["agent"] in _HOME else None
        if not (isinstance(found, type) and issubclass(found, Agent) and found is not Agent):
            raise AgentFileError(f"{folder} holds an agent of class {spec['agent']!r}, which this package does not "
                                 f"have; pass its class as agent_class.")
        agent_class = found
    try:
        agent = agent_class(
            observation_space=spaces.Box(-np.inf, np.inf, (spec["observation_size"],), np.float32),
            action_space=spaces.Discrete(spec["num_actions"]), layout=spec["layout"], seed=spec["seed"],
            **spec["settings"])
    except TypeError as error:
        raise AgentFileError(f"the settings of the agent in {folder} do not fit {agent_class.__name__}: "
                             f"{error}.") from error
    return agent.load(folder)

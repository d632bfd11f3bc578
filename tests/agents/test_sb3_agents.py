"""The library's algorithms as agents: the network that acts is the one that was trained, masks hold, propensities are exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_env import HintEnv, build, hint_value, views

from agents.a2c import A2CAgent
from agents.dqn import DQNAgent
from agents.errors import AgentConfigError, DivergedError
from agents.maskable_ppo import MaskablePPOAgent
from agents.masked_q_network import MaskedDQN, MaskedDQNPolicy
from agents.sb3_vec_env import SB3VecEnv

SMALL = {"net_arch": (8, 6), "gamma": 0.5, "reward_scale": 1.0}
PPO = {"n_steps": 32, "batch_size": 256} | SMALL
DQN = {"learning_starts": 64, "batch_size": 64, "buffer_size": 4096, "target_update_interval": 256} | SMALL


def kept(agent, env, steps):
    """The library's model after `agent` learned, caught on the way."""
    models, make = [], agent._model
    agent._model = lambda lanes: models.append(make(lanes)) or models[-1]
    agent.learn(env, steps=steps)
    return models[0]


@pytest.mark.parametrize("agent_class, settings, steps", [(A2CAgent, SMALL | {"n_steps": 8}, 1024), (MaskablePPOAgent, PPO, 1024)])
def test_the_numpy_network_gives_the_librarys_masked_probabilities(agent_class, settings, steps):
    """To 1e-6, which is float32."""
    env = HintEnv(num_envs=16, mask_rate=0.4)
    agent = build(agent_class, env, **settings)
    model = kept(agent, env, steps)
    observation, mask, _ = views(env, 300)
    if agent.append_mask:
        distribution = model.policy.get_distribution(torch.as_tensor(np.concatenate([observation, mask], 1, dtype=np.float32)))
    else:
        distribution = model.policy.get_distribution(torch.as_tensor(observation), action_masks=mask)
    expected = distribution.distribution.probs.detach().numpy()
    np.testing.assert_allclose(agent.action_probabilities(observation, mask), expected, atol=1e-6)


def test_the_numpy_network_gives_dqns_action_values():
    env = HintEnv(num_envs=16)
    agent = build(DQNAgent, env, **DQN)
    model = kept(agent, env, 1024)
    observation, mask, _ = views(env, 300)
    values = model.q_net(torch.as_tensor(np.concatenate([observation, mask], 1, dtype=np.float32))).detach().numpy()
    np.testing.assert_allclose(agent.action_values(observation)[mask], values[mask], atol=1e-5)
    assert (values[~mask] == -1e8).all()


@pytest.mark.parametrize("agent_class, settings, steps, least", [
    (A2CAgent, SMALL | {"n_steps": 4, "learning_rate": 1e-2}, 20_000, 0.9),
    (MaskablePPOAgent, PPO | {"learning_rate": 1e-2}, 12_000, 0.95),
    (DQNAgent, DQN | {"learning_rate": 5e-3}, 12_000, 0.9),
])
def test_each_comes_close_to_the_optimum_of_1_under_masks(agent_class, settings, steps, least):
    env = HintEnv(num_envs=16, mask_rate=0.3)
    agent = build(agent_class, env, **settings)
    agent.learn(env, steps=steps)
    assert hint_value(agent, labels_masked=0.3) > least


def test_dqn_is_epsilon_greedy_with_its_exact_propensities():
    """epsilon .2 over 3 allowed actions of 5: the best has .8 + .2 / 3, the others .2 / 3 each."""
    env = HintEnv(num_envs=16)
    agent = build(DQNAgent, env, evaluation_epsilon=0.2, **DQN)
    agent.learn(env, steps=512)
    observation, _, _ = views(env, 50)
    mask = np.zeros((50, 5), bool)
    mask[:, [0, 2, 3]] = True
    probabilities = agent.action_probabilities(observation, mask)
    best = np.where(mask, agent.action_values(observation), -np.inf).argmax(1)
    np.testing.assert_allclose(probabilities[np.arange(50), best], 0.8 + 0.2 / 3)
    np.testing.assert_allclose(np.sort(probabilities, 1)[:, 2:4], 0.2 / 3)
    assert agent.propensity_kind == "exact"
    agent.deterministic = True
    np.testing.assert_array_equal(np.unique(agent.action_probabilities(observation, mask)), [0.0, 1.0])


def dqn_model():
    env = HintEnv(num_envs=8, mask_rate=0.8)
    return MaskedDQN(MaskedDQNPolicy, SB3VecEnv(env), seed=0, device="cpu", buffer_size=64, policy_kwargs={"net_arch": [8]})


def test_a_target_of_dqn_is_the_slow_networks_value_of_the_action_that_the_fast_one_takes_among_the_allowed():
    model = dqn_model()
    with torch.no_grad():
        for part in model.q_net.parameters():
            part.add_(torch.randn_like(part))       # so that the two networks disagree
    observation, mask, _ = views(model.env.env, 200)
    both = torch.as_tensor(np.concatenate([observation, mask], 1, dtype=np.float32))
    fast = model.q_net(both).detach().numpy()
    slow = model.q_net_target.q_net(torch.as_tensor(observation)).detach().numpy()
    chosen = np.where(mask, fast, -np.inf).argmax(1)
    target = model.q_net_target(both).max(dim=1).values.detach().numpy()
    np.testing.assert_allclose(target, slow[np.arange(200), chosen], rtol=1e-6)
    assert (np.where(mask, slow, -np.inf).argmax(1) != chosen).mean() > 0.1


def test_dqn_explores_every_allowed_action_alike_and_no_masked_one():
    """20,000 explorations over 3 allowed actions: a third each, within 4 standard errors (.0133)."""
    model = dqn_model()
    model.exploration_rate = 1.0
    observation = np.zeros((20_000, 17), np.float32)
    observation[:, [12, 14, 16]] = 1.0              # actions 0, 2 and 4
    share = np.bincount(model.predict(observation)[0], minlength=5) / 20_000
    np.testing.assert_allclose(share, [1 / 3, 0, 1 / 3, 0, 1 / 3], atol=0.0133)


def test_training_lends_and_returns_the_generators_of_torch_and_python_too():
    import random

    random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), torch.rand(3)
    random.seed(1)
    torch.manual_seed(1)
    env = HintEnv(num_envs=16)
    build(A2CAgent, env, n_steps=8, **SMALL).learn(env, steps=256)
    assert random.random() == expected[0] and torch.equal(torch.rand(3), expected[1])


def test_a_weight_that_is_not_finite_stops_training_and_names_the_setting():
    env = HintEnv(num_envs=16)
    agent = build(A2CAgent, env, n_steps=8, learning_rate=1e30, **SMALL)
    with pytest.raises((DivergedError, ValueError), match="finite|nan"):
        agent.learn(env, steps=4096)


@pytest.mark.parametrize("agent_class, settings, words", [
    (MaskablePPOAgent, {"batch_size": 48}, r"batch_size 48 must divide num_envs \* n_steps = 16 \* 32 = 512"),
    (DQNAgent, {"evaluation_epsilon": 1.5}, r"evaluation_epsilon must lie in \[0, 1\], got 1.5"),
    (A2CAgent, {"gamma": -1}, r"gamma must lie in \[0, 1\], got -1"),
])
def test_impossible_settings_are_named(agent_class, settings, words):
    env = HintEnv(num_envs=16)
    with pytest.raises(AgentConfigError, match=words):
        build(agent_class, env, **settings).learn(env, steps=64)

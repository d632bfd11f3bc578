"""Plain Stable-Baselines3 PPO with masked logits, as the reference that our rollout and update are held against."""

from __future__ import annotations

import numpy as np
import torch
from toy_env import HintEnv

from agents.actor_critic import ActorCritic
from agents.masked_policy import MaskedActorCriticPolicy
from agents.sb3 import PPO
from agents.sb3_vec_env import SB3VecEnv

LANES, STEPS, SCALE, GAMMA, LAMBDA, SEED, NET = 8, 24, 0.2, 0.9, 0.95, 5, (16, 12)


def hint_env():
    """Many short lives, half of them cut by the horizon, under masks."""
    return HintEnv(num_envs=LANES, horizon=5, leave=0.1, mask_rate=0.3)


def reference(**settings):
    """SB3's PPO after one rollout, before its update."""
    model = PPO(
        MaskedActorCriticPolicy,
        SB3VecEnv(hint_env(), reward_scale=SCALE),
        n_steps=STEPS,
        gamma=GAMMA,
        gae_lambda=LAMBDA,
        seed=SEED,
        device="cpu",
        policy_kwargs={"net_arch": list(NET)},
        **settings,
    )
    _, callback = model._setup_learn(1000)
    return model, lambda: model.collect_rollouts(model.env, callback, model.rollout_buffer, STEPS)


def weights_of(policy) -> torch.Tensor:
    """All weights of SB3's policy in the order of `ActorCritic.flat`."""
    nets = ([*policy.mlp_extractor.policy_net, policy.action_net], [*policy.mlp_extractor.value_net, policy.value_net])
    layers = [layer for net in nets for layer in net if hasattr(layer, "weight")]
    return torch.cat([part.detach().reshape(-1) for layer in layers for part in (layer.weight.T, layer.bias)])


def same_model(policy) -> ActorCritic:
    """Our networks with the weights of SB3's policy."""
    env = hint_env()
    model = ActorCritic(env.single_observation_space.shape[0], env.labels + 1, NET, np.random.default_rng(0))
    model.flat.copy_(weights_of(policy))
    return model

"""Masked logits: probability 0, gradient 0, no share of the entropy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.masked_policy import MASKED_LOGIT, MaskedActorCriticPolicy, _inverse_cdf


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return MaskedActorCriticPolicy(spaces.Box(-np.inf, np.inf, (6 + 4,)), spaces.Discrete(4), lambda left: 1e-3,
                                   net_arch=[8])


def batch(n=64, seed=0):
    rng = np.random.default_rng(seed)
    mask = rng.random((n, 4)) < 0.5
    mask[:, 0] = True
    observation = np.concatenate([rng.standard_normal((n, 6)), mask], axis=1)
    return torch.tensor(observation, dtype=torch.float32), torch.tensor(mask)


def test_masked_actions_have_probability_exactly_0_and_the_rest_sum_to_1(policy):
    observation, mask = batch()
    probabilities = policy.get_distribution(observation).distribution.probs
    assert (probabilities[~mask] == 0).all()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(64))


def test_the_gradient_of_masked_logits_is_0_and_of_allowed_ones_is_not(policy):
    observation, mask = batch()
    observation = observation[:1].repeat(16, 1)
    observation[:, 6:] = torch.tensor([1.0, 0.0, 1.0, 1.0])         # action 1 is masked everywhere
    values, log_probability, entropy = policy.evaluate_actions(observation, torch.tensor([0, 2, 3, 0] * 4))
    (log_probability.sum() + entropy.sum() + values.sum()).backward()
    assert (policy.action_net.weight.grad[1] == 0).all() and policy.action_net.bias.grad[1] == 0
    assert (policy.action_net.weight.grad[[0, 2, 3]].abs().sum(1) > 0).all()


def test_the_networks_do_not_see_the_mask(policy):
    observation, _ = batch()
    other = observation.clone()
    other[:, 6:] = 1.0
    torch.testing.assert_close(policy.predict_values(observation), policy.predict_values(other), rtol=0, atol=0)
    assert policy.mlp_extractor.policy_net[0].in_features == 6


def test_rollout_and_update_agree_on_log_probabilities_and_entropy_is_that_of_the_allowed_actions(policy):
    observation, mask = batch()
    actions, values, log_probability = policy(observation)
    again = policy.evaluate_actions(observation, actions)
    torch.testing.assert_close(again[0], values)
    torch.testing.assert_close(again[1], log_probability)
    reference = policy.get_distribution(observation).distribution
    torch.testing.assert_close(again[1], reference.log_prob(actions))
    torch.testing.assert_close(again[2], reference.entropy())
    only_hold_back = mask.sum(1) == 1
    assert only_hold_back.any() and (again[2][only_hold_back] == 0).all()


def test_sampling_never_takes_a_masked_action_in_64_000_draws_and_follows_the_probabilities(policy):
    observation, mask = batch()
    torch.manual_seed(1)
    actions = policy(observation.repeat(1000, 1))[0]
    assert mask.repeat(1000, 1).gather(1, actions[:, None]).all()
    frequency = torch.nn.functional.one_hot(actions.view(1000, 64), 4).float().mean(0)
    expected = policy.get_distribution(observation).distribution.probs
    assert (frequency - expected).abs().max() < 5 * (0.25 / 1000) ** 0.5        # five standard errors


def test_deterministic_takes_the_most_probable_action(policy):
    observation, _ = batch()
    expected = policy.get_distribution(observation).distribution.probs.argmax(1)
    torch.testing.assert_close(policy(observation, deterministic=True)[0], expected)


def test_the_largest_uniform_below_1_stays_in_the_last_allowed_action(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape: torch.full(shape, 1 - 2.0**-24))
    probabilities = torch.softmax(torch.tensor([[0.1, 0.3, MASKED_LOGIT, MASKED_LOGIT], [0.1, 0.3, 0.2, 9.0]]), 1)
    assert _inverse_cdf(probabilities).tolist() == [1, 3]

"""The belief over taste: closed forms, what it recovers in the real shop, and the network that uses it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_env import HintEnv, build, views

from agents.actor_critic import ActorCritic
from agents.belief import (
    AFFINITY_SCALE,
    EVIDENCE_CAP,
    LIFT_SCALE,
    PRIOR_CLICK_RATE,
    PRIOR_PUSHES,
    Record,
    TasteBelief,
    read_record,
)
from agents.belief_network import BeliefActorCritic, with_belief
from agents.errors import AgentConfigError
from agents.ppo_belief import PPOBelief
from sim.envs.vector import ProductPushVectorEnv
from sim.shop import till
from sim.shop.types import SELF


@pytest.fixture(scope="module")
def shop_env():
    return ProductPushVectorEnv(256)


@pytest.fixture(scope="module")
def agent(shop_env):
    """Trained for an instant in the real shop."""
    agent = build(PPOBelief, shop_env, n_steps=16, batch_size=2048, n_epochs=2, net_arch=(16,))
    agent.learn(shop_env, steps=20_000)
    return agent


def test_verification_one_label_of_three_clicks_in_ten_pushes_pulls_its_mean_by_the_closed_form():
    """p .2, s^2 .5: w = 10 x .16 = 1.6, y = 3 - 2 = 1, mean = .5/(1 + .8) = .2778, sd = sqrt(.5/1.8) = .5270."""
    belief = TasteBelief(np.array([[np.sqrt(0.5)]]), np.array([0.2]), np.array([0.3]), 0.0)
    found = belief.features(Record(np.array([[10.0]]), np.array([[3.0]]), np.array([[0.0]])))
    print("expected .2778 .5270, found", found[0])
    np.testing.assert_allclose(found, [[0.5 / 1.8, np.sqrt(0.5 / 1.8)]], rtol=1e-12)


def test_the_posterior_is_that_of_the_same_gaussian_process_written_over_labels():
    """K (I + W K)^-1 y and its variance, without any factors."""
    rng = np.random.default_rng(0)
    factors, p, q, r = rng.standard_normal((6, 3)), rng.uniform(0.1, 0.4, 6), rng.uniform(0.1, 0.4, 6), 0.5
    n = rng.integers(0, 9, (20, 6)).astype(float)
    c = np.floor(n * rng.random((20, 6)))
    b = np.floor(c * rng.random((20, 6)))
    found = TasteBelief(factors, p, q, r).features(Record(n, c, b))
    kernel = factors @ factors.T
    for i in range(20):
        w, y = np.diag(n[i] * p * (1 - p) + r * r * c[i] * q * (1 - q)), c[i] - n[i] * p + r * (b[i] - c[i] * q)
        inverse = np.linalg.inv(np.eye(6) + kernel @ w)
        np.testing.assert_allclose(found[i, :6], inverse @ kernel @ y, atol=1e-10)
        np.testing.assert_allclose(found[i, 6:] ** 2, np.diag(inverse @ kernel), atol=1e-10)


def test_nothing_known_leaves_the_prior_and_certainty_grows_with_pushes():
    belief = TasteBelief(np.eye(3), np.full(3, 0.2), np.full(3, 0.2), 0.5)
    n = np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    found = belief.features(Record(n, n * 0.2, n * 0.04))
    np.testing.assert_allclose(found[:, :3], 0.0, atol=1e-12)
    assert found[0, 3] == 1.0 > found[1, 3] > found[2, 3] and (found[:, 4:] == 1.0).all()


def test_the_tills_constants_are_those_of_the_till():
    assert (PRIOR_CLICK_RATE, PRIOR_PUSHES, EVIDENCE_CAP) == (till.PRIOR_CLICK_RATE, till.PRIOR_PUSHES, till.EVIDENCE_CAP)
    assert (LIFT_SCALE, AFFINITY_SCALE) == (4.0, 0.5)       # written out in till.book


def test_counts_are_read_back_from_the_record_the_shop_shows(shop_env):
    rng = np.random.default_rng(0)
    observation, _ = shop_env.reset(seed=4)
    for _ in range(25):
        observation = shop_env.step(rng.integers(0, 13, shop_env.num_envs))[0]
    state = shop_env._lives.state
    own = state.customers["recognised"] == SELF
    found = read_record(observation[own], shop_env.observation_layout)
    assert state.labels["pushes"][own].sum() > 500
    for column, name in zip(found, ("pushes", "clicks", "purchases"), strict=True):
        np.testing.assert_allclose(column, state.labels[name][own], atol=1e-4, err_msg=name)


def test_the_likeness_of_labels_is_recovered_from_records_alone(agent, shop_env):
    factors = agent.actor_.belief.factors[:, :-1] / np.sqrt(agent.taste_variance)
    assert factors.shape == (12, 4)                         # the catalog's taste has four dimensions
    np.testing.assert_allclose(factors @ factors.T, shop_env.shop.world("train").label_similarity, atol=1e-3)
    assert (0.1 < agent.actor_.belief.click_rate).all() and (agent.actor_.belief.click_rate < 0.4).all()


def test_it_learns_in_the_shop_counts_its_warm_up_and_acts_the_same_after_a_save(agent, shop_env, tmp_path):
    import agents

    steps = [step for step, _ in agent.learning_curve]
    assert steps[0] == 256 * (32 + 16) and steps[-1] >= 20_000
    observation, _ = shop_env.reset(seed=9)
    mask = shop_env.action_masks()
    agent.save(tmp_path)
    np.testing.assert_array_equal(agents.load_agent(tmp_path).action_probabilities(observation, mask),
                                  agent.action_probabilities(observation, mask))


def test_the_saved_actor_equals_the_network_it_was_trained_as(agent, shop_env):
    actor = agent.actor_
    model = BeliefActorCritic(shop_env.single_observation_space.shape[0], 13, (16,), np.random.default_rng(0),
                              shop_env.observation_layout, actor.belief)
    for (weight, bias), w, b in zip(model._actor, actor.network.weights, actor.network.biases, strict=True):
        weight.copy_(torch.from_numpy(w))
        bias.copy_(torch.from_numpy(b))
    observation, _ = shop_env.reset(seed=2)
    logits = model.logits(torch.from_numpy(model.prepare(observation)), model.space(256))
    found = actor.probabilities(observation, np.ones((256, 13), bool))
    np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), found, atol=1e-6)


def test_the_gradient_through_the_shared_weights_is_that_of_autograd(agent, shop_env):
    rng = np.random.default_rng(0)
    model = BeliefActorCritic(shop_env.single_observation_space.shape[0], 13, (16,), rng,
                              shop_env.observation_layout, agent.actor_.belief)
    model.flat += 0.1 * torch.from_numpy(rng.standard_normal(len(model.flat), dtype=np.float32))
    x = torch.from_numpy(rng.standard_normal((40, model.inputs), dtype=np.float32))
    d_logits, d_values = (torch.from_numpy(rng.standard_normal(s, dtype=np.float32)) for s in ((40, 13), (40,)))
    space, gradient = model.space(64), torch.empty_like(model.flat)
    logits, _ = model.logits(x, space).clone(), model.values(x, space)
    model.backward(x, space, d_logits, d_values, gradient)
    leaf = model.flat[: model.actor_net.parameters].clone().requires_grad_()
    (w1, b1), (w2, b2) = model.actor_net.views(leaf)
    output = torch.tanh(x @ w1 + b1) @ w2 + b2
    shared = sum(output[:, 13 + f, None] * x[:, columns] for f, columns in enumerate(model.columns))
    expected = torch.cat([output[:, :1], output[:, 1:13] + shared], 1)
    (expected * d_logits).sum().backward()
    torch.testing.assert_close(logits, expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient[: model.actor_net.parameters], leaf.grad, rtol=1e-3, atol=1e-4)


def test_without_the_shared_weights_it_is_the_plain_network(agent, shop_env):
    size = shop_env.single_observation_space.shape[0]
    belief = BeliefActorCritic(size, 13, (16,), np.random.default_rng(0), shop_env.observation_layout, agent.actor_.belief)
    plain = ActorCritic(belief.inputs, 13, (16,), np.random.default_rng(1))
    for (w, b), (pw, pb) in zip(belief._actor, plain._actor, strict=True):
        w[:, : pw.shape[1]], b[: pb.shape[0]] = pw, pb
    belief._actor[-1][0][:, 13:] = 0.0
    x = torch.randn(30, belief.inputs, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(belief.logits(x, belief.space(30)), plain.logits(x, plain.space(30)))


def test_the_belief_of_a_row_has_the_same_bits_in_any_batch(agent, shop_env):
    observation, _, _ = views(HintEnv(labels=12, size=shop_env.single_observation_space.shape[0]), 300)
    whole = with_belief(observation, agent.layout, agent.actor_.belief)
    for rows in (slice(0, 1), slice(17, 24), slice(100, 300)):
        np.testing.assert_array_equal(with_belief(observation[rows], agent.layout, agent.actor_.belief), whole[rows])


def test_an_observation_without_a_record_is_refused_by_the_part_it_lacks():
    with pytest.raises(AgentConfigError, match="needs the observation part 'log_pushes'"):
        build(PPOBelief, HintEnv(labels=8, size=12))

"""The update is SB3's: the same rollout, first weights and minibatches give the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sb3_reference import LANES, STEPS, reference, same_model, weights_of

from agents.ppo_update import Coefficients, PPOUpdate, Transitions, loss_gradient, masked_log_softmax

COEFFICIENTS = Coefficients(clip_range=0.2, vf_coef=0.5, ent_coef=0.01, max_grad_norm=0.5)


def transitions_of(buffer, size) -> Transitions:
    """SB3's rollout, lane by lane as its own minibatches are."""

    def flat(x):
        return torch.from_numpy(np.ascontiguousarray(x.swapaxes(0, 1)).reshape(LANES * STEPS, *x.shape[2:]))

    joined = flat(buffer.observations)
    return Transitions(
        joined[:, :size].contiguous(),
        joined[:, size:] > 0.5,
        flat(buffer.actions)[:, 0].long(),
        *(flat(column) for column in (buffer.log_probs, buffer.values, buffer.advantages, buffer.returns)),
    )


@pytest.mark.parametrize("max_grad_norm", [0.5, 0.01])  # not binding, binding
@pytest.mark.parametrize("learning_rate", [2.5e-3, 3e-2])  # the second moves the policy beyond the clip
def test_two_passes_leave_the_weights_of_plain_sb3_to_a_hundred_thousandth(monkeypatch, max_grad_norm, learning_rate):
    model, collect = reference(
        batch_size=64, n_epochs=2, learning_rate=learning_rate, ent_coef=0.01, max_grad_norm=max_grad_norm
    )
    collect()
    ours = same_model(model.policy)
    transitions = transitions_of(model.rollout_buffer, ours.actor_net.sizes[0])
    orders = [np.random.default_rng(i).permutation(LANES * STEPS) for i in range(2)]
    given = iter(orders)
    monkeypatch.setattr(np.random, "permutation", lambda n: next(given))
    first = weights_of(model.policy)
    model.train()
    expected = weights_of(model.policy)
    with PPOUpdate(ours, COEFFICIENTS._replace(max_grad_norm=max_grad_norm), 64, threads=1) as update:
        losses = update.run(transitions, orders, learning_rate)
    assert (expected - first).abs().max() > learning_rate
    torch.testing.assert_close(ours.flat, expected, rtol=0, atol=1e-5)
    for key, theirs in (
        ("policy_gradient_loss", "train/policy_gradient_loss"),
        ("value_loss", "train/value_loss"),
        ("clip_fraction", "train/clip_fraction"),
    ):
        assert losses[key] == pytest.approx(model.logger.name_to_value[theirs], abs=1e-5)
    assert losses["entropy"] == pytest.approx(-model.logger.name_to_value["train/entropy_loss"], abs=1e-5)
    assert (losses["clip_fraction"] > 0.05) == (learning_rate > 0.01)


def random_batch(n=50, actions=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    mask = torch.rand(n, actions, generator=g) < 0.7
    mask[:, 0] = True
    old = masked_log_softmax(torch.randn(n, actions, generator=g), mask)
    action = torch.multinomial(old.exp(), 1, generator=g)
    column = [torch.randn(n, generator=g) for _ in range(3)]
    return Transitions(torch.zeros(n, 1), mask, action[:, 0], old.gather(1, action)[:, 0], *column)


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_of_the_loss_is_that_of_autograd(seed):
    batch = random_batch(seed=seed)
    g = torch.Generator().manual_seed(100 + seed)
    logits = torch.randn(50, 5, generator=g, requires_grad=True)
    value = torch.randn(50, generator=g, requires_grad=True)
    c = Coefficients(0.2, 0.5, 0.03, 0.5)
    log_p = masked_log_softmax(logits, batch.mask)
    ratio = (log_p.gather(1, batch.action[:, None])[:, 0] - batch.log_probability).exp()
    gain = torch.minimum(ratio * batch.advantage, ratio.clamp(0.8, 1.2) * batch.advantage)
    entropy = -(log_p.exp() * log_p).sum(1)
    loss = -gain.mean() + c.vf_coef * (value - batch.returns).square().mean() - c.ent_coef * entropy.mean()
    loss.backward()
    with torch.no_grad():
        d_logits, d_value, sums = loss_gradient(log_p, value, batch, 50, c)
    assert 0.1 < float(sums[4]) / 50 < 1  # many ratios lie beyond the clip
    torch.testing.assert_close(d_logits, logits.grad, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(d_value, value.grad, rtol=1e-5, atol=1e-7)
    assert (d_logits[~batch.mask] == 0).all()
    assert -float(sums[0]) / 50 == pytest.approx(float(gain.detach().mean()), abs=1e-6)


def test_the_bits_of_an_update_do_not_depend_on_the_number_of_threads():
    from agents.actor_critic import ActorCritic

    rng, n = np.random.default_rng(0), 6000
    batch = random_batch(n)._replace(observation=torch.from_numpy(rng.standard_normal((n, 7), dtype=np.float32)))
    orders = [rng.permutation(n) for _ in range(2)]
    found = []
    for threads in (1, 2, 3):
        model = ActorCritic(7, 5, (16,), np.random.default_rng(1))
        with PPOUpdate(model, COEFFICIENTS, 3000, threads) as update:
            update.run(batch, orders, 1e-2)
        found.append(model.flat.clone())
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])

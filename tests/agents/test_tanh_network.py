"""The written-out passes of a tanh network against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.tanh_network import Space, TanhNetwork, slices


@pytest.mark.parametrize("sizes", [(7, 3), (7, 5, 3), (7, 16, 12, 1), (89, 64, 64, 13)])
def test_output_and_gradient_equal_autograds_for_fewer_rows_than_there_is_memory(sizes):
    network, rng = TanhNetwork(sizes), np.random.default_rng(0)
    flat = network.initial(rng, 1.0) + 0.1 * torch.from_numpy(rng.standard_normal(network.parameters, dtype=np.float32))
    x, d = (torch.from_numpy(rng.standard_normal((20, size), dtype=np.float32)) for size in (sizes[0], sizes[-1]))
    space, gradient = Space(32, sizes), torch.empty_like(flat)
    y = network.forward(network.views(flat), x, space).clone()
    space.deltas[-1][:20] = d
    network.backward(network.views(flat), x, space, network.views(gradient))

    leaf = flat.clone().requires_grad_()
    h = x
    for i, (weight, bias) in enumerate(network.views(leaf)):
        h = h @ weight + bias
        h = torch.tanh(h) if i < len(sizes) - 2 else h
    (h * d).sum().backward()
    torch.testing.assert_close(y, h.detach(), rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-4, atol=2e-5)


def test_first_weights_are_orthogonal_with_the_gains_of_sb3_and_biases_zero():
    network = TanhNetwork((89, 64, 13))
    flat = network.initial(np.random.default_rng(0), 0.01)
    for (weight, bias), gain in zip(network.views(flat), (np.sqrt(2), 0.01), strict=True):
        torch.testing.assert_close(weight.T @ weight, gain**2 * torch.eye(weight.shape[1]), rtol=0, atol=1e-5)
        assert (bias == 0).all()


def test_the_actor_for_acting_has_the_weights_and_does_not_follow_later_ones():
    network = TanhNetwork((4, 3, 2))
    flat = network.initial(np.random.default_rng(0), 1.0)
    actor = network.actor(flat)
    before = actor.weights[0].copy()
    flat.zero_()
    np.testing.assert_array_equal(actor.weights[0], before)
    assert [w.shape for w in actor.weights] == [(4, 3), (3, 2)] and actor.weights[0].dtype == np.float64


def test_slices_cover_every_row_once():
    assert list(slices(10, 4)) == [slice(0, 4), slice(4, 8), slice(8, 10)] and list(slices(0, 4)) == []

"""Thompson sampling's propensities against closed forms and against counting."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.logistic import sigmoid
from agents.probability_matching import best_probabilities

OPEN2 = np.ones((1, 2), bool)


def phi(z):
    return 0.5 * (1 + erf(z / sqrt(2)))


@pytest.mark.parametrize("difference, a, b", [(0.0, 1.0, 1.0), (0.5, 1.0, 0.3), (-1.0, 0.05, 1.0), (2.0, 1.0, 1.0),
                                              (0.02, 0.01, 1.0), (0.3, 0.001, 0.2)])
def test_verification_of_two_actions_the_first_is_best_with_phi_of_the_scaled_difference(difference, a, b):
    """P(s_1 > s_2) = Phi((m_1 - m_2) / sqrt(a^2 + b^2)), whatever the widths."""
    expected = phi(difference / sqrt(a * a + b * b))
    found = best_probabilities(np.array([[difference, 0.0]]), np.array([[a, b]]), OPEN2)[0, 0]
    print(f"Phi = {expected:.6f}, found {found:.6f}")
    assert found == pytest.approx(expected, abs=1e-3)


def test_verification_equal_beliefs_about_13_actions_are_taken_alike():
    found = best_probabilities(np.zeros((1, 13)), np.ones((1, 13)), np.ones((1, 13), bool))
    np.testing.assert_allclose(found, 1 / 13, rtol=0, atol=1e-12)


def test_probabilities_equal_the_shares_of_400_000_draws():
    rng = np.random.default_rng(0)
    mean, deviation = rng.standard_normal((6, 13)), rng.uniform(0.02, 1.5, (6, 13))
    allowed = rng.random((6, 13)) < 0.7
    allowed[:, 0] = True
    found = best_probabilities(mean, deviation, allowed)
    for i in range(6):
        drawn = np.where(allowed[i], mean[i] + deviation[i] * rng.standard_normal((400_000, 13)), -np.inf)
        share = np.bincount(drawn.argmax(1), minlength=13) / 400_000
        np.testing.assert_allclose(found[i], share, rtol=0, atol=3e-3)
        assert (found[i][~allowed[i]] == 0).all()


def test_logistic_values_with_a_constant_action_equal_the_shares_of_400_000_draws():
    """Values low + (high - low) sigma(normal) of unequal ranges; the first action is a constant .1."""
    rng = np.random.default_rng(1)
    mean, deviation = rng.standard_normal((4, 6)) - 1, rng.uniform(0.2, 1.0, (4, 6))
    low, high = np.array([0.1, -0.05, 0.0, -0.1, 0.0, 0.0]), np.array([0.1, 1.0, 0.5, 2.0, 0.8, 0.3])
    found = best_probabilities(mean, deviation, np.ones((4, 6), bool), low, high)
    for i in range(4):
        drawn = low + (high - low) * sigmoid(mean[i] + deviation[i] * rng.standard_normal((400_000, 6)))
        np.testing.assert_allclose(found[i], np.bincount(drawn.argmax(1), minlength=6) / 400_000, rtol=0, atol=3e-3)


def test_certain_beliefs_give_certain_choices():
    found = best_probabilities(np.array([[0.3, 0.2, 0.1]]), np.zeros((1, 3)), np.array([[False, True, True]]))
    np.testing.assert_array_equal(found, [[0, 1, 0]])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.floats(0, 6), st.booleans())
def test_rows_sum_to_1_whatever_the_scales(seed, actions, spread, logistic):
    rng = np.random.default_rng(seed)
    mean, deviation = 3 * rng.standard_normal((5, actions)), 10.0 ** (-spread * rng.random((5, actions)))
    deviation[rng.random((5, actions)) < 0.1] = 0
    allowed = rng.random((5, actions)) < 0.7
    allowed[:, 0] = True
    ends = (np.sort(rng.standard_normal((2, actions)), axis=0)) if logistic else (None, None)
    found = best_probabilities(mean, deviation, allowed, *ends)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
    assert (found >= 0).all() and (found[~allowed] == 0).all()

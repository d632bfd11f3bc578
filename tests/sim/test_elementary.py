"""The shop's own exponential, logarithm, sine and cosine, against NumPy's."""

import math

import numpy as np
import pytest

from sim.shop import elementary
from sim.shop.compiled import compiled


@compiled
def over(x, exps, logs, log1ps, sines, cosines):
    for i in range(len(x)):
        exps[i], logs[i], log1ps[i] = elementary.exp(x[i]), elementary.log(abs(x[i])), elementary.log1p(abs(x[i]))
        sines[i], cosines[i] = elementary.sine_cosine(x[i])


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-700, 700, 20000), rng.normal(size=20000), 10.0 ** rng.uniform(-12, 2, 20000)])
    out = [np.empty_like(x) for _ in range(5)]
    over(x, *out)
    return (x, *out)


def units(ours, theirs):
    """Largest distance in units of the last place."""
    return (np.abs(ours - theirs) / np.spacing(np.abs(theirs))).max()


def test_exp_and_log_are_within_two_units_of_the_last_place(values):
    x, exps, logs, log1ps, _, _ = values
    assert units(exps, np.exp(x)) <= 2
    assert units(logs, np.log(np.abs(x))) <= 2
    assert units(log1ps, np.log1p(np.abs(x))) <= 3


def test_sine_and_cosine_of_turns_are_exact_to_fifteen_digits(values):
    x, _, _, _, sines, cosines = values
    turns = np.abs(x) < 10
    np.testing.assert_allclose(sines[turns], np.sin(2 * np.pi * np.mod(x[turns], 1.0)), atol=3e-15)
    np.testing.assert_allclose(cosines[turns], np.cos(2 * np.pi * np.mod(x[turns], 1.0)), atol=3e-15)
    np.testing.assert_allclose(sines**2 + cosines**2, 1, atol=1e-15)


def test_the_ends_of_the_range_are_zero_and_infinity_and_nan_stays(values):
    assert [elementary.exp(x) for x in (0.0, -math.inf, -800.0, 800.0, math.inf)] == [1.0, 0.0, 0.0, math.inf, math.inf]
    assert math.isnan(elementary.exp(math.nan))
    assert elementary.log(1.0) == 0.0 and elementary.log1p(0.0) == 0.0
    assert elementary.sine_cosine(0.25) == (1.0, pytest.approx(0.0, abs=1e-16))

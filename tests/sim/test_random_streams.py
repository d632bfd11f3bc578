"""Counter-based randomness: published vectors, moments, and independence of what surrounds a customer."""

import numpy as np
import pytest
from scipy import stats

from sim.shop import random_streams as streams


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # known answers of Random123 (philox4x32, 10 rounds)
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_words(counter, key, expected):
    assert tuple(int(w) for w in streams.philox(*map(np.uint64, counter), *map(np.uint64, key))) == expected


def test_uniforms_are_uniform_and_open():
    u = np.array([streams.uniforms(3, 0, i, t, 2) for i in range(500) for t in range(20)]).ravel()
    assert 0 < u.min() and u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.02


def test_normals_have_the_normal_distribution():
    z = np.array([streams.normals(*streams.uniforms(3, 0, i, 0, 2)[:2]) for i in range(10000)])
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.04


def test_every_coordinate_changes_the_draw():
    base = streams.uniforms(1, 0, 5, 7, 2)
    for other in [(2, 0, 5, 7, 2), (1, 1, 5, 7, 2), (1, 0, 6, 7, 2), (1, 0, 5, 8, 2), (1, 0, 5, 7, 3), (1, 0, 5 + 2**32, 7, 2)]:
        assert streams.uniforms(*other) != base


def test_policy_uniforms_do_not_depend_on_the_batch():
    ids, moments = np.arange(50), np.arange(50) % 7
    whole = streams.policy_uniforms(4, 1, ids, moments)
    part = streams.policy_uniforms(4, 1, ids[20:30], moments[20:30])
    np.testing.assert_array_equal(whole[20:30], part)

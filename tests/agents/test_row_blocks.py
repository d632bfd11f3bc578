"""Products of rows that do not know their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from agents import row_blocks


@pytest.mark.parametrize("inputs, outputs", [(97, 13), (95, 64), (64, 13), (97, 1261)])
def test_a_row_has_the_same_bits_whatever_the_batch(inputs, outputs):
    rng = np.random.default_rng(inputs)
    x, weights = rng.standard_normal((513, inputs)), rng.standard_normal((inputs, outputs))
    whole = row_blocks.multiply(x, weights)
    for start in (0, 1, 7, 63, 113):
        for size in (1, 2, 127, 128, 129, 400):
            rows = slice(start, start + size)
            np.testing.assert_array_equal(row_blocks.multiply(x[rows], weights), whole[rows])


@pytest.mark.parametrize("rows", [1, 128, 300])
def test_the_product_is_the_product(rows):
    rng = np.random.default_rng(rows)
    x, weights = rng.standard_normal((rows, 20), dtype=np.float32), rng.standard_normal((20, 3))
    product = row_blocks.multiply(x, weights)
    assert product.shape == (rows, 3)
    np.testing.assert_allclose(product, x.astype(np.float64) @ weights, rtol=1e-13, atol=1e-13)


def test_no_rows_give_no_rows():
    assert row_blocks.multiply(np.empty((0, 4)), np.ones((4, 2))).shape == (0, 2)

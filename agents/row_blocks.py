"""Matrix products whose rows do not depend on the batch they are computed in.

BLAS picks another kernel, with another order of summation, for another number of rows, so the scores of one customer
would differ in the last bit between a batch of 1 and a batch of 4,096, and now and then an action would too. Here the
rows are cut into blocks of one fixed size (the last one padded with zeros), and the columns padded to whole vector
registers: every product has the same shape and no ragged edge, and a row has the same bits whatever stands beside it.
BLAS promises none of this; `tests/agents/test_row_blocks.py` checks it on the machine at hand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS = 128      # rows a block: 64 to 512 are equally fast for a batch of 4,096, and small ones waste less on a batch of 1
COLUMNS = 16    # outputs are padded to a multiple of this: at the ragged edge of a block kernels differ by row


def multiply(x: NDArray, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """x (N, D) times weights (D, H) -> (N, H) in float64, row by row independent of N."""
    (n, d), outputs = x.shape, weights.shape[1]
    blocks = -(-n // ROWS)
    rows = np.zeros((blocks * ROWS, d))
    rows[:n] = x
    columns = np.zeros((d, -(-outputs // COLUMNS) * COLUMNS))
    columns[:, :outputs] = weights
    product = np.matmul(rows.reshape(blocks, ROWS, d), columns)         # one BLAS call of fixed shape per block
    return product.reshape(blocks * ROWS, columns.shape[1])[:n, :outputs]

"""Bayesian linear regression one interaction at a time: the inverse itself is updated, in compiled loops.

    (A + x x')^-1 = A^-1 - h h' / (1 + q),   h = A^-1 x,   q = x' h          Sherman & Morrison 1950
    theta <- theta + h (r - theta' x) / (1 + q)

so deciding and learning cost O(K d^2) and O(d^2), and nothing is ever factored. Of each inverse the lower triangle is
kept, packed row by row with its off-diagonal doubled, so that the squared width x' A^-1 x is one dot product with the
products x_i x_j (j <= i): half the memory traffic of the square, which is what the time goes into (at d = 64 and 32
actions, .5 MB a decision). `choose` halves it again by looking in single precision first.

Rounding adds up over updates, slowly while the ridge keeps A well conditioned; the Gram matrices are kept beside the
inverses, and whoever holds both can start afresh from them (`agents.ridge`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from agents.compiled import reassociated


def packed_inverse(whitener: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse lower Cholesky factors (M, d, d) -> packed doubled triangles of the inverses, (M, d (d + 1) / 2)."""
    d = whitener.shape[1]
    inverse = np.matmul(whitener.transpose(0, 2, 1), whitener)
    row, column = np.tril_indices(d)
    packed = inverse[:, row, column] * np.where(row == column, 1.0, 2.0)
    return np.ascontiguousarray(packed)         # fancy indices leave the actions innermost, which would cost a factor of 8


@reassociated
def shadow(packed, single, norm):
    """The triangles (K + 1, p) in single precision, and their Euclidean norms (K + 1,)."""
    for a in range(len(packed)):
        square = 0.0
        for k in range(packed.shape[1]):
            single[a, k] = packed[a, k]
            square += packed[a, k] * packed[a, k]
        norm[a] = math.sqrt(square)


@reassociated
def choose(observation, allowed, alpha, weights, packed, single, norm, x, products, singles, low, high, bound):
    """The allowed action of the highest theta' x + alpha sqrt(x' A^-1 x), x being observation (D,) with a leading 1.

    Screened in single precision, decided in double: the dot product of p numbers is off by at most (p + 4) 2^-24 times the
    product of the norms (Higham 2002, section 3.1), so only actions within that of the highest are computed again. The
    arrays from x (D + 1,) on are scratch, of d (d + 1) / 2 and K + 1 numbers; the lowest action on a tie.
    """
    x[0] = 1.0
    for i in range(len(observation)):
        x[i + 1] = observation[i]
    p = 0
    for i in range(len(x)):
        xi = x[i]
        for j in range(i + 1):
            products[p + j] = xi * x[j]
            singles[p + j] = xi * x[j]
        p += i + 1
    length = 0.0
    for k in range(len(products)):
        length += products[k] * products[k]
    unit = (len(products) + 4) * 2.0**-24 * math.sqrt(length)
    floor = -np.inf
    for a in range(len(packed)):
        if allowed[a]:
            mean = 0.0
            for i in range(len(x)):
                mean += weights[a, i] * x[i]
            total = np.float32(0.0)
            triangle = single[a]
            for k in range(len(singles)):
                total += triangle[k] * singles[k]
            bound[a] = mean
            high[a] = mean + alpha * math.sqrt(max(total + unit * norm[a], 0.0))
            low[a] = mean + alpha * math.sqrt(max(total - unit * norm[a], 0.0))
            floor = max(floor, low[a])
    best, top = 0, -np.inf
    for a in range(len(packed)):
        if allowed[a] and high[a] >= floor:
            square = 0.0
            exact = packed[a]
            for k in range(len(products)):
                square += exact[k] * products[k]
            value = bound[a] + alpha * math.sqrt(max(square, 0.0))
            if value > top:
                best, top = a, value
    return best


@reassociated
def mean_and_width(x, weights, packed, products, mean, width):
    """theta' x and sqrt(x' A^-1 x) of all actions for each row of x (n, d) -> mean, width (n, K + 1)."""
    n, d = x.shape
    for row in range(n):
        p = 0
        for i in range(d):
            xi = x[row, i]
            for j in range(i + 1):
                products[p + j] = xi * x[row, j]
            p += i + 1
        for a in range(len(packed)):
            m = 0.0
            for i in range(d):
                m += weights[a, i] * x[row, i]
            square = 0.0
            triangle = packed[a]
            for k in range(len(products)):
                square += triangle[k] * products[k]
            mean[row, a] = m
            width[row, a] = math.sqrt(max(square, 0.0))


@reassociated
def absorb(x, action, reward, gram, moment, weights, packed, single, norm, count, touched, h):
    """Take n interactions (n, d), (n,), (n,) into A, b, theta, A^-1 and the counts, one after the other; h (d,) is scratch."""
    n, d = x.shape
    for row in range(n):
        a, r = action[row], reward[row]
        z, triangle, theta, square = x[row], packed[a], weights[a], gram[a]
        for i in range(d):
            h[i] = 0.0
        p = 0
        for i in range(d):              # h = A^-1 x: each off-diagonal element serves its row and its column
            zi, own = 0.5 * z[i], 0.0
            for j in range(i):
                own += triangle[p + j] * z[j]
                h[j] += triangle[p + j] * zi
            h[i] += 0.5 * own + triangle[p + i] * z[i]
            p += i + 1
        q, miss = 0.0, r
        for i in range(d):
            q += z[i] * h[i]
            miss -= theta[i] * z[i]
        gain = 1.0 / (1.0 + q)
        p = 0
        for i in range(d):
            hi, zi = 2.0 * gain * h[i], z[i]
            for j in range(i):
                triangle[p + j] -= hi * h[j]
            triangle[p + i] -= 0.5 * hi * h[i]
            for j in range(d):
                square[i, j] += zi * z[j]
            theta[i] += gain * h[i] * miss
            moment[a, i] += r * zi
            p += i + 1
        length, rounded = 0.0, single[a]
        for k in range(len(triangle)):
            rounded[k] = triangle[k]
            length += triangle[k] * triangle[k]
        norm[a] = math.sqrt(length)
        count[a] += 1
        touched[a] = True

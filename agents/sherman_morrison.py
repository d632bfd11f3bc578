"""Bayesian linear regression one interaction at a time: the inverse itself is updated, in compiled loops.

    (A + x x')^-1 = A^-1 - h h' / (1 + q),   h = A^-1 x,   q = x' h          Sherman & Morrison 1950
    theta <- theta + h (r - theta' x) / (1 + q)

so deciding and learning cost O(K d^2) and O(d^2), and nothing is ever factored. Of each inverse the lower triangle is
kept, packed row by row with its off-diagonal doubled, so that the squared width x' A^-1 x is one dot product with the
products x_i x_j (j <= i): half the memory traffic of the square, which is what the time goes into (at d = 64 and 32
actions, .5 MB a decision). `choose` halves it again by looking in single precision first. Loops are short and run over whole
rows, the diagonal included, each writing one array: so the compiler makes vectors of them.

Rounding adds up over updates, slowly while the ridge keeps A well conditioned; the Gram matrices are kept beside the
inverses, and whoever holds both can start afresh from them (`agents.ridge`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from agents.compiled import reassociated

LANES, CACHE_LINE = 32, 64      # numbers that a compiled loop takes at a time at most, and bytes
LARGE = 1e30                    # x'x from which single precision might not hold the products


def packed_inverse(whitener: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse lower Cholesky factors (M, d, d) -> packed doubled triangles of the inverses, (M, d (d + 1) / 2)."""
    d = whitener.shape[1]
    inverse = np.matmul(whitener.transpose(0, 2, 1), whitener)
    row, column = np.tril_indices(d)
    packed = inverse[:, row, column] * np.where(row == column, 1.0, 2.0)
    return np.ascontiguousarray(packed)         # fancy indices leave the actions innermost, which would cost a factor of 8


def shadow_memory(actions: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Room for `shadow`: triangles of `size` numbers, each on a cache line of its own and filled up with zeros, and norms.

    Read so, they take little more than half the time of triangles that lie and end anywhere.
    """
    padded = -(-size // LANES) * LANES
    room = np.zeros(actions * padded + CACHE_LINE // 4, np.float32)
    first = -room.ctypes.data % CACHE_LINE // 4
    return room[first:first + actions * padded].reshape(actions, padded), np.empty(actions)


@reassociated
def _round(triangle, rounded):
    """Write a triangle in single precision; returns its Euclidean norm."""
    total = 0.0
    for k in range(len(triangle)):
        rounded[k] = triangle[k]
        total += triangle[k] * triangle[k]
    return math.sqrt(total)


@reassociated
def shadow(packed, single, norm):
    """The triangles (K + 1, p) in single precision, and their Euclidean norms (K + 1,)."""
    for a in range(len(packed)):
        norm[a] = _round(packed[a], single[a])


@reassociated
def _lead(observation, x):
    """Write observation (D,) with a leading 1 into x (D + 1,); returns x'x, which shows whether all numbers are finite."""
    x[0], length = 1.0, 1.0
    for i in range(len(observation)):
        x[i + 1] = observation[i]
        length += x[i + 1] * x[i + 1]
    return length


@reassociated
def _mean(theta, x):
    total = 0.0
    for i in range(len(x)):
        total += theta[i] * x[i]
    return total


@reassociated
def _square(triangle, x):
    """x' A^-1 x from one packed triangle."""
    total, p = 0.0, 0
    for i in range(len(x)):
        own = 0.0
        for j in range(i + 1):
            own += triangle[p + j] * x[j]
        total += x[i] * own
        p += i + 1
    return total


@reassociated
def choose(observation, allowed, alpha, weights, packed, single, norm, x, products, high):
    """The allowed action of the highest theta' x + alpha sqrt(x' A^-1 x), x being observation (D,) with a leading 1.

    Screened in single precision, decided in double: the dot product of p numbers is off by at most (p + 4) 2^-24 times the
    product of the norms (Higham 2002, section 3.1), |x|^2 for the products x_i x_j, so that only actions within that of the
    highest are computed again, if there are several. x (D + 1,), products (as long as a row of `single`, zeros at the end)
    and high (K + 1,) are scratch; the lowest action on a tie, -1 where the numbers are too large for single precision or
    nothing is allowed.
    """
    length = _lead(observation, x)
    if not length < LARGE:
        return -1
    p = 0
    for i in range(len(x)):
        xi = x[i]
        for j in range(i + 1):
            products[p + j] = xi * x[j]
        p += i + 1
    slack = (p + 4) * 2.0**-24 * length
    floor, favourite = -np.inf, -1
    for a in range(len(single)):
        if allowed[a]:
            square, triangle = np.float32(0.0), single[a]
            for k in range(len(products)):
                square += triangle[k] * products[k]
            mean = _mean(weights[a], x)
            high[a] = mean + alpha * math.sqrt(max(square + slack * norm[a], 0.0))
            low = mean + alpha * math.sqrt(max(square - slack * norm[a], 0.0))
            if low > floor:
                floor, favourite = low, a
    rivals = 0
    for a in range(len(single)):
        if allowed[a] and high[a] >= floor:
            rivals += 1
    if rivals <= 1:
        return favourite
    best, top = -1, -np.inf
    for a in range(len(single)):
        if allowed[a] and high[a] >= floor:
            value = _mean(weights[a], x) + alpha * math.sqrt(max(_square(packed[a], x), 0.0))
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
    for row in range(len(x)):
        a = action[row]
        _learn(x[row], reward[row], gram[a], moment[a], weights[a], packed[a], h)
        norm[a] = _round(packed[a], single[a])
        count[a] += 1
        touched[a] = True


@reassociated
def absorb_one(observation, a, r, gram, moment, weights, packed, single, norm, count, touched, x, h):
    """`absorb` of one observation (D,), which gets its leading 1 in x (d,); False, and nothing done, if it is not finite."""
    if not math.isfinite(_lead(observation, x) + abs(r)):
        return False
    _learn(x, r, gram[a], moment[a], weights[a], packed[a], h)
    norm[a] = _round(packed[a], single[a])
    count[a] += 1
    touched[a] = True
    return True


@reassociated
def _learn(z, r, square, moment, theta, triangle, h):
    """One interaction into one action's A (d, d), b (d,), theta (d,) and packed A^-1; short loops, one array written in each."""
    d = len(z)
    _times(triangle, z, h)
    q, miss = 0.0, r
    for i in range(d):
        q += z[i] * h[i]
        miss -= theta[i] * z[i]
    gain = 1.0 / (1.0 + q)
    for i in range(d):
        theta[i] += gain * miss * h[i]
    for i in range(d):
        moment[i] += r * z[i]
    for i in range(d):
        for j in range(d):
            square[i, j] += z[i] * z[j]
    p = 0
    for i in range(d):
        twice, diagonal = 2.0 * gain * h[i], triangle[p + i]
        for j in range(i + 1):
            triangle[p + j] -= twice * h[j]
        triangle[p + i] = diagonal - 0.5 * twice * h[i]
        p += i + 1


@reassociated
def _times(triangle, z, h):
    """h = A^-1 z: half of each doubled element for its row, half for its column, and so for those on the diagonal."""
    for i in range(len(z)):
        h[i] = 0.0
    p = 0
    for i in range(len(z)):
        half, own = 0.5 * z[i], 0.0
        for j in range(i + 1):
            own += triangle[p + j] * z[j]
            h[j] += triangle[p + j] * half
        h[i] += 0.5 * own
        p += i + 1

"""Counter-based randomness: every draw is a pure function of (seed, split, customer, moment, stream).

Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) maps a 128-bit
counter and a 64-bit key to four 32-bit words.  Here

    key     = (seed, split)
    counter = (customer, low 32 bits; customer, high 32 bits; moment; stream)

where `moment` is an opportunity or a visit of that customer's life.  So results do not depend on batch size, worker count
or order; two policies meet the same customers with the same luck (common random numbers); and a life can be branched at
any step and replayed under another policy.
"""

from __future__ import annotations

import math

import numpy as np

from sim.shop.compiled import aside, compiled, inlined
from sim.shop.elementary import log, sine_cosine

# Customers of different splits never share a draw.
TRAIN, EVALUATE, TUNE, TYPICAL = 0, 1, 2, 3
SPLITS = {"train": TRAIN, "evaluate": EVALUATE, "tune": TUNE, "typical": TYPICAL}

# Streams: fixed numbers, so that adding one leaves the others unchanged.
TRAITS, RESPONSE, RETURN, CAMERA, CHANNEL, STOCK, POLICY, PURCHASE, TASTE = 1, 2, 3, 4, 5, 6, 7, 8, 9
ENGAGEMENT, CANDIDATES, VIEWS, INTEREST, CHAIN = 10, 11, 12, 13, 14
SLOT_STREAMS = 256  # the stream of a policy's slot s of a slate is POLICY + 256 s, so the first slot's is the single push's

MAX_SEED = 2**32 - 1

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
_SCALE = 2.0**-32


@inlined
def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10: four 32-bit words (held in uint64) from a counter and a key (uint64 below 2**32 each)."""
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@inlined
def woven_uniforms(seed, split, customer, moment, stream):
    """As `uniforms`, for a loop over customers or moments, which then draws for several at once."""
    who = np.uint64(customer)
    a, b, c, d = philox(
        who & _LOW, who >> _SHIFT, np.uint64(moment) & _LOW, np.uint64(stream), np.uint64(seed) & _LOW, np.uint64(split)
    )
    return (a + 0.5) * _SCALE, (b + 0.5) * _SCALE, (c + 0.5) * _SCALE, (d + 0.5) * _SCALE


@aside
def uniforms(seed, split, customer, moment, stream):
    """Four uniforms in the open interval (0, 1), 32 bits each."""
    return woven_uniforms(seed, split, customer, moment, stream)


@inlined
def normals(u, v):
    """Two independent standard normals from two uniforms (Box & Muller 1958)."""
    sine, cosine = sine_cosine(v)
    radius = math.sqrt(-2.0 * log(u))
    return radius * cosine, radius * sine


@compiled
def fill_uniforms(seed, split, customers, moments, stream, out):
    """First uniform of (customer, moment) for each row: customers (N,), moments (N,) -> out (N,)."""
    for i in range(len(customers)):
        out[i] = uniforms(seed, split, customers[i], moments[i], stream)[0]


def policy_uniforms(seed: int, split: int, customers: np.ndarray, moments: np.ndarray, slot: int = 0) -> np.ndarray:
    """Uniforms (N,) that decide a stochastic policy's actions at opportunity `moments` of `customers`; `slot` of a slate."""
    out = np.empty(len(customers))
    fill_uniforms(seed, split, customers, moments, POLICY + SLOT_STREAMS * slot, out)
    return out

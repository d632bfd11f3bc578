"""Exponential, logarithm, sine and cosine, from additions, multiplications, divisions and fused multiply-adds alone.

The C library chooses its own code for them by processor, and its bits with it.  These give the same bits on every machine
(a fused multiply-add, a b + c rounded once, is exact by IEEE 754 wherever it is computed), are written into the equations that
use them instead of being called, and are worked on for several customers at once where a loop allows it.

    exp x = 2^n (1 + 2 y / (Q(y^2) - y)),   y = r P(r^2),   r = x - n ln 2           Moshier, Cephes, `exp.c`
    log x = e ln 2 + f - (f^2/2 - s (f^2/2 + R(s^2))),   x = 2^e (1 + f),   s = f/(2 + f)         fdlibm, `e_log.c`
    sin, cos on [-pi/4, pi/4]: minimax polynomials                        fdlibm, `k_sin.c`, `k_cos.c`

Errors are below 2 units in the last place (tests/sim/test_elementary.py).  exp is 0
below -708 and infinite above 709; log wants an ordinary x > 0.  A NaN stays one.
"""

from __future__ import annotations

import math
from typing import Any

import numba
from llvmlite import ir
from numba import extending

from sim.shop.compiled import inlined

_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 6.93145751953125e-1, 1.42860682030941723212e-6
_ROUND = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits of a double
_BIAS, _MANTISSA = 1023, 52
_HALF_PATTERN = 0x3FE6A09E667F3BCD  # sqrt(1/2)
_LN2_HIGH_LOG, _LN2_LOW_LOG = 6.93147180369123816490e-01, 1.90821492927058770002e-10

intrinsic: Any = extending.intrinsic  # its own type knows no calls from compiled code, where the context is left out


@intrinsic
def _bits(_context: Any, x: Any) -> Any:
    """The 64 bits of a double as an integer."""
    return numba.int64(numba.float64), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.IntType(64)
    )


@intrinsic
def _double(_context: Any, bits: Any) -> Any:
    """The double with these 64 bits."""
    return numba.float64(numba.int64), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.DoubleType()
    )


@intrinsic
def _fma(_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""
    return numba.float64(numba.float64, numba.float64, numba.float64), lambda context, builder, signature, arguments: builder.fma(
        *arguments
    )


fma: Any = _fma


@inlined
def exp(x):
    x = float(x)
    much, little = x > 709.0, x < -708.0
    x = 709.0 if much else -708.0 if little else x
    shifted = fma(x, _LOG2_E, _ROUND)
    n = shifted - _ROUND
    r = fma(n, -_LN2_LOW, fma(n, -_LN2_HIGH, x))
    rr = r * r
    y = r * fma(fma(1.26177193074810590878e-4, rr, 3.02994407707441961300e-2), rr, 9.99999999999999999910e-1)
    q = fma(
        fma(fma(3.00198505138664455042e-6, rr, 2.52448340349684104192e-3), rr, 2.27265548208155028766e-1),
        rr, 2.00000000000000000009e0,
    )  # fmt: skip
    power = fma(2.0, y / (q - y), 1.0) * _double((_bits(shifted) + _BIAS) << _MANTISSA)
    return math.inf if much else 0.0 if little else power


@inlined
def log(x):
    pattern = _bits(float(x))
    e = (pattern - _HALF_PATTERN) >> _MANTISSA
    f = _double(pattern - (e << _MANTISSA)) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * fma(w, fma(w, 1.531383769920937332e-01, 2.222219843214978396e-01), 3.999999999940941908e-01)
    even = fma(w, fma(w, 1.479819860511658591e-01, 1.818357216161805012e-01), 2.857142874366239149e-01)
    even = z * fma(w, even, 6.666666666666735130e-01)
    half, n = 0.5 * f * f, float(e)
    return fma(n, _LN2_HIGH_LOG, -((half - fma(s, half + (odd + even), n * _LN2_LOW_LOG)) - f))


@inlined
def log1p(x):
    """log(1 + x), exact for small x too: what rounding 1 + x loses is given back."""
    u = 1.0 + x
    return log(u) - ((u - 1.0) - x) / u


@inlined
def sine_cosine(turns):
    """(sin, cos) of an angle given in full turns, |turns| below 2^50."""
    shifted = fma(4.0, turns, _ROUND)
    r = fma(-0.25, shifted - _ROUND, turns) * 6.283185307179586
    quarter = _bits(shifted)
    z = r * r
    w = z * z
    odd = fma(z * w, fma(z, 1.58969099521155010221e-10, -2.50507602534068634195e-08), 8.33333333332248946124e-03)
    odd = fma(z, fma(z, 2.75573137070700676789e-06, -1.98412698298579493134e-04), odd)
    sine = fma(z * r, fma(z, odd, -1.66666666666666324348e-01), r)
    low = z * fma(z, fma(z, 2.48015872894767294178e-05, -1.38888888888741095749e-03), 4.16666666666666019037e-02)
    high = fma(z, fma(z, -1.13596475577881948265e-11, 2.08757232129817482790e-09), -2.75573143513906633035e-07)
    high = w * w * high
    cosine = 1.0 - (0.5 * z - z * (low + high))
    a, b = (cosine, sine) if quarter & 1 else (sine, cosine)
    return (-a if quarter & 2 else a), (-b if (quarter + 1) & 2 else b)

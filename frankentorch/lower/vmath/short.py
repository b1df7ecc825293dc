"""The f32 versions that compute on f64 lanes: short polynomials, no pairs, relative errors below 2**-31.

Enters: f32 values held in f64 lanes. Leaves: f64 lanes, which the caller rounds once to f32 (and makes NaNs canonical).
"""

from __future__ import annotations

from frankentorch.lower.lanes import Lane, Lanes
from frankentorch.lower.vmath import coefficients as C
from frankentorch.lower.vmath.exponents import (
    INF,
    LN2,
    LOG2E,
    MAGIC64,
    NAN,
    add_to_exponent,
    integer_part,
    log_limits,
    log_parts,
    power_of_two,
)
from frankentorch.lower.vmath.pairs import horner

LOG10E = 0.4342944819032518


def _parts(L: Lanes, x: Lane) -> tuple[Lane, Lane, Lane]:
    """(t, r, r**2 p) with e**x = 2**n (1 + r + r**2 p)."""
    t = L.fma(x, LOG2E, MAGIC64)
    r = L.fma(MAGIC64 - t, LN2[0], x)
    return t, r, r * r * horner(r, C.F32_WIDE_EXP)


def exp(L: Lanes, x: Lane) -> Lane:
    """e**x for |x| <= 700; NaNs are lost."""
    t, r, tail = _parts(L, x)
    return add_to_exponent(L, 1.0 + (r + tail), t)


def between(L: Lanes, x: Lane, lo: float, hi: float) -> Lane:
    return L.select(L.cmp("olt", x, lo), lo, L.select(L.cmp("ogt", x, hi), hi, x))


def _expm1(L: Lanes, x: Lane) -> Lane:
    t, r, tail = _parts(L, x)
    scale = power_of_two(L, integer_part(L, t))
    return L.fma(scale, r + tail, scale - 1.0)


def expm1(L: Lanes, x: Lane) -> Lane:
    out = _expm1(L, between(L, x, -60.0, 100.0))
    return L.select(L.cmp("oeq", x, 0.0) | L.isnan(x), x, out)


def _log(L: Lanes, k: Lane, f: Lane) -> Lane:
    """log(2**k (1 + f))."""
    s = f / (f + 2.0)
    z = s * s
    return L.fma(k, LN2[0], L.fma(s * z, horner(z, C.F32_WIDE_LOG), s + s))


def log(L: Lanes, x: Lane) -> Lane:
    """log(x), for normal positive f64."""
    k, m, _ = log_parts(L, x)
    return _log(L, k, m - 1.0)


def log2(L: Lanes, x: Lane) -> Lane:
    k, m, _ = log_parts(L, x)
    return log_limits(L, x, L.fma(_log(L, L.zero(k), m - 1.0), LOG2E, k))


def log10(L: Lanes, x: Lane) -> Lane:
    return log_limits(L, x, log(L, x) * LOG10E)


def log1p(L: Lanes, x: Lane) -> Lane:
    y = x + 1.0
    k, m, _ = log_parts(L, y)
    # With k = 0 the sum's rounding would be lost; x itself is the exact argument.
    out = log_limits(L, y, _log(L, k, L.select(L.cmp("oeq", k, 0.0), x, m - 1.0)))
    return L.select(L.cmp("oeq", x, 0.0), x, out)


def softplus(L: Lanes, x: Lane) -> Lane:
    return _log1p_exp(L, L.abs(x), L.select(L.cmp("ogt", x, 0.0), x, 0.0), x)


def _log1p_exp(L: Lanes, gap: Lane, top: Lane, witness: Lane) -> Lane:
    return L.select(L.isnan(witness), NAN, top + log1p(L, exp(L, -L.select(L.cmp("olt", gap, 300.0), gap, 300.0))))


def logaddexp(L: Lanes, x: Lane, y: Lane) -> Lane:
    swap = L.cmp("olt", x, y)
    top, low = L.select(swap, y, x), L.select(swap, x, y)
    gap = L.select(L.cmp("oeq", top, low), 0.0, top - low)
    return _log1p_exp(L, gap, top, x + L.select(L.isnan(y), y, 0.0))


def pow_operands(L: Lanes, x: Lane, y: Lane) -> tuple[Lane, Lane]:
    """|x| with 1 for 0, infinity and NaN, and y brought within 2**66, beyond which nothing changes."""
    size = L.abs(x)
    limit = L.const("f64", 2.0**66)
    return (L.select(L.cmp("ogt", size, 0.0) & L.cmp("olt", size, INF), size, 1.0),
            L.select(L.cmp("ogt", L.abs(y), limit), L.copysign(limit, y), y))


def pow_limits(L: Lanes, x: Lane, y: Lane, out: Lane) -> Lane:
    """x**y from |x|**y (for ordinary |x|): C99 Annex F.9.4.4."""
    size = L.abs(x)
    whole = L.cmp("oeq", L.trunc(y), y)
    half = y * 0.5
    odd = whole & L.cmp("one", L.trunc(half), half)
    grows = L.cmp("ogt", y, 0.0)
    out = L.select(L.cmp("oeq", size, 0.0), L.select(grows, 0.0, L.const("f64", INF)), out)
    out = L.select(L.cmp("oeq", size, INF), L.select(grows, L.const("f64", INF), 0.0), out)
    sign = L.bitcast(x, "u64") & (1 << 63)
    flipped = L.bitcast(L.bitcast(out, "u64") ^ L.select(odd, sign, 0), "f64")
    bad = (L.cmp("olt", x, 0.0) & ~whole & L.cmp("one", size, INF)) | L.isnan(x) | L.isnan(y)
    return L.select(L.cmp("oeq", y, 0.0) | L.cmp("oeq", x, 1.0), 1.0, L.select(bad, NAN, flipped))


def pow(L: Lanes, x: Lane, y: Lane) -> Lane:
    size, power = pow_operands(L, x, y)
    return pow_limits(L, x, y, exp(L, between(L, power * log(L, size), -200.0, 200.0)))


def sinh(L: Lanes, x: Lane) -> Lane:
    e = _expm1(L, between(L, L.abs(x), 0.0, 100.0))
    return L.copysign((e + e / (e + 1.0)) * 0.5, x)


def cosh(L: Lanes, x: Lane) -> Lane:
    e = exp(L, between(L, L.abs(x), 0.0, 100.0))
    return L.select(L.isnan(x), NAN, (e + 1.0 / e) * 0.5)


def asinh(L: Lanes, x: Lane) -> Lane:
    size = L.abs(x)
    a = between(L, size, 0.0, 2.0**300)
    out = L.copysign(log1p(L, a + a * a / (L.sqrt(L.fma(a, a, 1.0)) + 1.0)), x)
    return L.select(L.cmp("oeq", size, INF), x, out)


def acosh(L: Lanes, x: Lane) -> Lane:
    t = x - 1.0
    return L.select(L.cmp("oge", x, 1.0), log1p(L, t + L.sqrt(t * (t + 2.0))), NAN)


def atanh(L: Lanes, x: Lane) -> Lane:
    size = L.abs(x)
    return L.copysign(log1p(L, (size + size) / (1.0 - size)) * 0.5, x)

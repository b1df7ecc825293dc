"""Hyperbolic functions: sinh cosh tanh asinh acosh atanh.

Enters and leaves: f32 or f64 lanes. All come from pairs of exp and log, so nothing cancels. f32 tanh has its own path.
"""

from __future__ import annotations

import math

from frankentorch.lower.lanes import Lane, Lanes
from frankentorch.lower.vmath import coefficients as C
from frankentorch.lower.vmath import short
from frankentorch.lower.vmath.explog import exp32_parts, exp_parts, expm1_pair, log1p_pair, log_pair
from frankentorch.lower.vmath.exponents import LN2, add_to_exponent, integer_part, power_of_two, scale_wide
from frankentorch.lower.vmath.pairs import (
    Pair,
    add,
    constant,
    divide,
    fast_two_sum,
    horner,
    multiply,
    two_product,
    two_sum,
    with_short,
)
from frankentorch.lower.vmath.trig import sqrt_pair

NAN = math.nan


def _capped(L: Lanes, size: Lane, limit: float) -> Lane:
    return L.select(L.cmp("ogt", size, limit), limit, size)


def _odd(L: Lanes, x: Lane, size: Lane) -> Lane:
    """The value for |x| with the sign of x; x itself where it is tiny."""
    return L.canonical(L.copysign(L.select(L.cmp("olt", L.abs(x), 2.0**-30), L.abs(x), size), x))


def tanh(L: Lanes, x: Lane) -> Lane:
    """The hyperbolic tangent."""
    if x.ty == "f32":
        return _tanh32(L, x)
    size = L.abs(x)
    hi, lo = expm1_pair(L, _capped(L, size, 30.0) * -2.0)
    return _odd(L, x, divide((-hi, -lo), add(constant(L, "f64", 2.0, 0.0), (hi, lo)))[0])


def _tanh32(L: Lanes, x: Lane) -> Lane:
    size = L.abs(x)
    z = x * x
    near = L.fma(size * z, horner(z, C.F32_TANH), size)
    t, y = exp32_parts(L, _capped(L, size, 10.0) * 2.0)
    far = 1.0 - 2.0 / (add_to_exponent(L, y, t) + 1.0)
    return L.canonical(L.copysign(L.select(L.cmp("ogt", size, 1.0), far, near), x))


@with_short(short.sinh)
def sinh(L: Lanes, x: Lane) -> Lane:
    """The hyperbolic sine."""
    size = L.abs(x)
    e = expm1_pair(L, _capped(L, size, 40.0))
    near = add(e, divide(e, add(constant(L, "f64", 1.0, 0.0), e)))[0] * 0.5

    def far() -> list[Lane]:
        t, h, l = exp_parts(L, _capped(L, size, 800.0))
        return [scale_wide(L, 1.0 + (h + l), integer_part(L, t) - 1)]

    return _odd(L, x, L.rare(L.cmp("ogt", size, 40.0), far, [near])[0])


@with_short(short.cosh)
def cosh(L: Lanes, x: Lane) -> Lane:
    """The hyperbolic cosine."""
    t, h, l = exp_parts(L, _capped(L, L.abs(x), 800.0))
    n = integer_part(L, t)
    y = add(fast_two_sum(L.one(x), h), (l, L.zero(x)))
    weight = L.select(L.cmp("gt", n, 60), 0.0, power_of_two(L, L.select(L.cmp("gt", n, 60), 0, n) * -2))
    other = divide((weight, L.zero(x)), y)
    return L.canonical(scale_wide(L, add(y, other)[0], n - 1))


def _log_of_double(L: Lanes, x: Lane) -> Lane:
    """log(2 x) for large finite or infinite x."""
    finite = L.cmp("olt", x, math.inf)
    return L.select(finite, add(constant(L, "f64", *LN2), log_pair(L, L.select(finite, x, 2.0)))[0], x)


@with_short(short.asinh)
def asinh(L: Lanes, x: Lane) -> Lane:
    """The inverse hyperbolic sine: log1p(|x| + x**2 / (1 + sqrt(1 + x**2)))."""
    size = L.abs(x)
    a = _capped(L, size, 2.0**60)
    square, one = two_product(a, a), constant(L, "f64", 1.0, 0.0)
    root = sqrt_pair(L, *add(square, one))
    near = log1p_pair(L, *add((a, L.zero(a)), divide(square, add(root, one))))[0]
    return _odd(L, x, L.rare(L.cmp("ogt", size, 2.0**60), lambda: [_log_of_double(L, size)], [near])[0])


@with_short(short.acosh)
def acosh(L: Lanes, x: Lane) -> Lane:
    """The inverse hyperbolic cosine: log1p(t + sqrt(t (t + 2))), t = x - 1."""
    t = two_sum(_capped(L, x, 2.0**60), L.const("f64", -1.0))
    root = sqrt_pair(L, *multiply(t, add(t, constant(L, "f64", 2.0, 0.0))))
    near = log1p_pair(L, *add(t, root))[0]
    out = L.rare(L.cmp("ogt", x, 2.0**60), lambda: [_log_of_double(L, x)], [near])[0]
    return L.select(L.cmp("oge", x, 1.0), out, NAN)


@with_short(short.atanh)
def atanh(L: Lanes, x: Lane) -> Lane:
    """The inverse hyperbolic tangent: log1p(2 |x| / (1 - |x|)) / 2."""
    size = L.abs(x)
    inside = L.cmp("olt", size, 1.0)
    a = L.select(inside, size, 0.5)
    quotient: Pair = divide((a + a, L.zero(a)), two_sum(L.one(a), -a))
    out = _odd(L, x, log1p_pair(L, *quotient)[0] * 0.5)
    edge = L.select(L.cmp("oeq", size, 1.0), L.copysign(L.const("f64", math.inf), x), NAN)
    return L.select(inside, out, edge)

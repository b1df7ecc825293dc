"""Functions of complex lanes: exp, log, powers, trigonometric and hyperbolic functions and their inverses.

Enters and leaves: `Complex` pairs of f64 lanes, or of f32 lanes, for which everything is computed in f64 and rounded once. Inverses
follow Kahan, "Branch cuts for complex elementary functions" (1987), so the sign of a zero chooses the side of a cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from frankentorch.lower.lanes import Complex, Lane, Lanes
from frankentorch.lower.vmath import arith, explog, hyperbolic, trig
from frankentorch.lower.vmath.exponents import LN2
from frankentorch.lower.vmath.pairs import add, two_product

ComplexFunction = Callable[..., Complex]
INF = math.inf


def _wide(function: ComplexFunction) -> ComplexFunction:
    """Mark a function of f64 complexes that also serves f32 ones."""
    def wrapped(L: Lanes, *args: Complex) -> Complex:
        if args[0].re.ty == "f64":
            return function(L, *args)
        out = function(L, *(Complex(L.convert(a.re, "f64"), L.convert(a.im, "f64")) for a in args))
        return Complex(L.canonical(L.convert(out.re, "f32")), L.canonical(L.convert(out.im, "f32")))

    wrapped.__name__, wrapped.__doc__ = function.__name__, function.__doc__
    return wrapped


def _times_i(z: Complex) -> Complex:
    return Complex(-z.im, z.re)


def _over_i(z: Complex) -> Complex:
    return Complex(z.im, -z.re)


def _product(L: Lanes, size: Lane, unit: Lane) -> Lane:
    """size * unit, where 0 * infinity is 0: e**z on the real axis and at -infinity."""
    return L.select(L.cmp("oeq", unit, 0.0) | (L.cmp("oeq", size, 0.0)), L.copysign(L.zero(unit), unit), size * unit)


@_wide
def exp(L: Lanes, z: Complex) -> Complex:
    """e**z."""
    size = explog.exp(L, z.re)
    return Complex(_product(L, size, trig.cos(L, z.im)), _product(L, size, trig.sin(L, z.im)))


@_wide
def expm1(L: Lanes, z: Complex) -> Complex:
    """e**z - 1."""
    half = trig.sin(L, z.im * 0.5)
    e = explog.expm1(L, z.re)
    return Complex(e * trig.cos(L, z.im) - 2.0 * (half * half), _product(L, explog.exp(L, z.re), trig.sin(L, z.im)))


@_wide
def exp2(L: Lanes, z: Complex) -> Complex:
    """2**z."""
    return exp(L, z.scale(LN2[0]))


def log_size(L: Lanes, z: Complex) -> Lane:
    """log|z|, accurate also where |z| is near 1."""
    a, b = L.abs(z.re), L.abs(z.im)
    big = L.select(L.cmp("ogt", a, b), a, b)
    usual = L.cmp("ogt", big, 0.0) & L.cmp("olt", big, INF)
    down = L.select(L.cmp("ogt", big, 2.0**400), 2.0**-600, L.select(L.cmp("olt", big, 2.0**-400), 2.0**600, L.one(a)))
    shift = L.select(L.cmp("ogt", big, 2.0**400), 600.0, L.select(L.cmp("olt", big, 2.0**-400), -600.0, L.zero(a)))
    a, b = L.select(usual, a, 1.0) * down, L.select(usual, b, 0.0) * down
    hi, lo = add(two_product(a, a), two_product(b, b))
    log = explog.log_pair(L, hi, lo)
    out = add((log[0] * 0.5, log[1] * 0.5), (shift * LN2[0], shift * LN2[1]))[0]
    edge = L.select(L.cmp("oeq", big, 0.0), -INF, L.const("f64", INF))
    return L.select(usual, out, L.select(L.cmp("oeq", a, INF) | L.cmp("oeq", L.abs(z.im), INF), INF, edge))


@_wide
def log(L: Lanes, z: Complex) -> Complex:
    """The principal logarithm."""
    size = log_size(L, z)
    bad = (L.isnan(z.re) & L.cmp("une", L.abs(z.im), INF)) | (L.isnan(z.im) & L.cmp("une", L.abs(z.re), INF))
    return Complex(L.select(bad, math.nan, size), trig.atan2(L, z.im, z.re))


@_wide
def log2(L: Lanes, z: Complex) -> Complex:
    """The principal logarithm to base 2."""
    return log(L, z).scale(1.4426950408889634)


@_wide
def log10(L: Lanes, z: Complex) -> Complex:
    """The principal logarithm to base 10."""
    return log(L, z).scale(0.4342944819032518)


@_wide
def log1p(L: Lanes, z: Complex) -> Complex:
    """log(1 + z)."""
    small = L.cmp("olt", L.abs(z.re), 0.5) & L.cmp("olt", L.abs(z.im), 0.5)
    near = explog.log1p(L, L.fma(z.re, z.re + 2.0, z.im * z.im)) * 0.5
    far = log(L, z + 1.0)
    return Complex(L.select(small, near, far.re), far.im)


@_wide
def sqrt(L: Lanes, z: Complex) -> Complex:
    """The principal square root."""
    a, b = L.abs(z.re), L.abs(z.im)
    big = L.select(L.cmp("ogt", a, b), a, b)
    high, low = L.cmp("ogt", big, 2.0**1000), L.cmp("olt", big, 2.0**-900)
    down = L.select(high, 2.0**-4, L.select(low, 2.0**120, L.one(a)))
    up = L.select(high, 2.0**2, L.select(low, 2.0**-60, L.one(a)))
    sa, sb = a * down, b * down
    t = L.sqrt((sa + arith.hypot(L, sa, sb)) * 0.5)
    u = L.select(L.cmp("oeq", t, 0.0), 0.0, sb / (t + t))
    t, u = t * up, u * up
    right = L.cmp("sge", L.bitcast(z.re, "i64"), 0)
    infinite = L.cmp("oeq", b, INF)
    re, im = L.select(right, t, u), L.copysign(L.select(right, u, t), z.im)
    # An infinite real part leaves a finite imaginary part with inf / inf.
    flat = L.cmp("oeq", a, INF) & L.cmp("olt", b, INF)
    re = L.select(flat, L.select(right, INF, L.zero(a)), re)
    im = L.select(flat, L.copysign(L.select(right, 0.0, L.const("f64", INF)), z.im), im)
    return Complex(L.canonical(L.select(infinite, INF, re)), L.canonical(L.select(infinite, z.im, im)))


@_wide
def rsqrt(L: Lanes, z: Complex) -> Complex:
    """1 / sqrt(z)."""
    return 1.0 / sqrt(L, z)


@_wide
def pow(L: Lanes, a: Complex, b: Complex) -> Complex:
    """e**(b log a); anything to the power 0 is 1; 0 to another power is 0 where its real part is positive, else inf + nan i, as torch."""
    out = exp(L, b * log(L, a))
    zero = L.cmp("oeq", a.re, 0.0) & L.cmp("oeq", a.im, 0.0)
    none = L.cmp("oeq", b.re, 0.0) & L.cmp("oeq", b.im, 0.0)
    grows = L.cmp("ogt", b.re, 0.0)
    re = L.select(zero, L.select(grows, 0.0, L.const("f64", INF)), out.re)
    im = L.select(zero, L.select(grows, 0.0, L.const("f64", math.nan)), out.im)
    return Complex(L.select(none, 1.0, re), L.select(none, 0.0, im))


@_wide
def sigmoid(L: Lanes, z: Complex) -> Complex:
    """1 / (1 + e**-z)."""
    return 1.0 / (exp(L, -z) + 1.0)


@_wide
def sinh(L: Lanes, z: Complex) -> Complex:
    """The hyperbolic sine."""
    return Complex(_product(L, hyperbolic.sinh(L, z.re), trig.cos(L, z.im)), _product(L, hyperbolic.cosh(L, z.re), trig.sin(L, z.im)))


@_wide
def cosh(L: Lanes, z: Complex) -> Complex:
    """The hyperbolic cosine."""
    return Complex(_product(L, hyperbolic.cosh(L, z.re), trig.cos(L, z.im)), _product(L, hyperbolic.sinh(L, z.re), trig.sin(L, z.im)))


@_wide
def tanh(L: Lanes, z: Complex) -> Complex:
    """The hyperbolic tangent: (sinh x cosh x + i sin y cos y) / (sinh(x)**2 + cos(y)**2)."""
    far = L.cmp("ogt", L.abs(z.re), 22.0)
    x = L.select(far, L.copysign(L.const("f64", 22.0), z.re), z.re)
    sh, ch = hyperbolic.sinh(L, x), hyperbolic.cosh(L, x)
    s, c = trig.sin(L, z.im), trig.cos(L, z.im)
    bottom = L.fma(sh, sh, c * c)
    decay = explog.exp(L, L.abs(z.re) * -2.0)
    return Complex(L.select(far, L.copysign(L.one(x), z.re), sh * ch / bottom), L.select(far, 4.0 * (s * c) * decay, s * c / bottom))


@_wide
def sin(L: Lanes, z: Complex) -> Complex:
    """The sine."""
    return _over_i(sinh(L, _times_i(z)))


@_wide
def cos(L: Lanes, z: Complex) -> Complex:
    """The cosine."""
    return cosh(L, _times_i(z))


@_wide
def tan(L: Lanes, z: Complex) -> Complex:
    """The tangent."""
    return _over_i(tanh(L, _times_i(z)))


def _beside_one(L: Lanes, z: Complex) -> tuple[Complex, Complex]:
    """sqrt(1 - z) and sqrt(1 + z), keeping the sign of a zero imaginary part."""
    return sqrt(L, Complex(1.0 - z.re, -z.im)), sqrt(L, Complex(1.0 + z.re, z.im))


@_wide
def asin(L: Lanes, z: Complex) -> Complex:
    """The inverse sine."""
    minus, plus = _beside_one(L, z)
    below = minus.re * plus.re - minus.im * plus.im
    return Complex(trig.atan2(L, z.re, below), hyperbolic.asinh(L, minus.re * plus.im - minus.im * plus.re))


@_wide
def acos(L: Lanes, z: Complex) -> Complex:
    """The inverse cosine."""
    minus, plus = _beside_one(L, z)
    return Complex(2.0 * trig.atan2(L, minus.re, plus.re), hyperbolic.asinh(L, plus.re * minus.im - plus.im * minus.re))


@_wide
def acosh(L: Lanes, z: Complex) -> Complex:
    """The inverse hyperbolic cosine."""
    minus, plus = sqrt(L, Complex(z.re - 1.0, z.im)), sqrt(L, Complex(z.re + 1.0, z.im))
    return Complex(hyperbolic.asinh(L, minus.re * plus.re + minus.im * plus.im), 2.0 * trig.atan2(L, minus.im, plus.re))


@_wide
def asinh(L: Lanes, z: Complex) -> Complex:
    """The inverse hyperbolic sine."""
    return _over_i(asin(L, _times_i(z)))


@_wide
def atanh(L: Lanes, z: Complex) -> Complex:
    """The inverse hyperbolic tangent."""
    away = 1.0 - z.re
    # By |x|, so that the logarithm's argument is never near -1.
    size = L.abs(z.re)
    near = 1.0 - size
    re = L.copysign(explog.log1p(L, 4.0 * size / L.fma(near, near, z.im * z.im)) * 0.25, z.re)
    return Complex(re, trig.atan2(L, z.im + z.im, L.fma(-z.im, z.im, away * (1.0 + z.re))) * 0.5)


@_wide
def atan(L: Lanes, z: Complex) -> Complex:
    """The inverse tangent."""
    return _over_i(atanh(L, _times_i(z)))


@_wide
def logaddexp(L: Lanes, a: Complex, b: Complex) -> Complex:
    """log(e**a + e**b), from the operand of the larger real part; of two equal infinite ones, the first."""
    first = L.cmp("oge", a.re, b.re)
    high = Complex(L.select(first, a.re, b.re), L.select(first, a.im, b.im))
    low = Complex(L.select(first, b.re, a.re), L.select(first, b.im, a.im))
    out = log1p(L, exp(L, low - high)) + high
    even = L.cmp("oeq", a.re, b.re) & L.cmp("oeq", L.abs(a.re), INF)
    return Complex(L.select(even, high.re, out.re), L.select(even, high.im, out.im))


def silu(L: Lanes, z: Complex) -> Complex:
    """z * sigmoid(z)."""
    return z * sigmoid(L, z)


COMPLEX_FUNCTIONS: dict[str, ComplexFunction] = {
    f.__name__: f for f in (exp, expm1, exp2, log, log2, log10, log1p, sqrt, rsqrt, pow, sigmoid, sinh, cosh, tanh, sin, cos, tan,
                            asin, acos, acosh, asinh, atanh, atan, logaddexp, silu)}

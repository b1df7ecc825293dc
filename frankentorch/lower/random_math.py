"""The arithmetic of random draws, as lane functions (see `lanes`): words in, samples out.

Enters: u32 lanes of tempered generator words, and parameters as lanes. Leaves: lanes of f32 or f64 samples.

The f32 normal path is torch's own: single-precision logarithm and sine/cosine of the Cephes library (Moshier, 1989), with
each multiply-add fused where torch's AVX2 build fuses it. The f64 functions are ours: a double-double kernel rounded once at the
end, with an error below 0.51 ulp on the ranges used here, so that they agree with any good libm to the last place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from frankentorch.lower.lanes import Lane, Lanes

Pair = tuple[Lane, Lane]

# pi/2 and ln 2 to 200 bits, as integers over 2**200.
_HALF_PI = Fraction(0x1921FB54442D18469898CC51701B839A252049C1114CF98E804, 1 << 200)
_LN2 = Fraction(0xB17217F7D1CF79ABC9E3B39803F2F6AF40F343267298B62D8A, 1 << 200)


def _split(x: Fraction, *bits: int) -> list[float]:
    """`x` as a sum of doubles: each but the last keeps only that many leading bits, so small multiples are exact."""
    out = []
    for keep in bits:
        scale = Fraction(2) ** (keep - 1 - math.frexp(float(x))[1] + 1)
        part = Fraction(int(x * scale)) / scale
        out.append(float(part))
        x -= part
    return [*out, float(x)]


_PIO2 = _split(_HALF_PI, 50, 50)
_LN2_PARTS = _split(_LN2, 42)


# Uniforms ---------------------------------------------------------------------------------------------------------
def uniform_f32(L: Lanes, word: Lane) -> Lane:
    """24 low bits of one word, over 2**24."""
    return L.to_float(L.bitcast(word & 0xFFFFFF, "i32"), "f32") * 2.0**-24


def word_to_f64(L: Lanes, word: Lane) -> Lane:
    """A u32 as an f64, exactly, through the signed conversion every CPU has for vectors."""
    return L.to_float(L.bitcast(word ^ 0x80000000, "i32"), "f64") + 2.0**31


def uniform_f64(L: Lanes, high: Lane, low: Lane) -> Lane:
    """53 low bits of high * 2**32 + low, over 2**53; every step is exact."""
    top = L.to_float(L.bitcast(high & 0x1FFFFF, "i32"), "f64")
    return (top * 2.0**32 + word_to_f64(L, low)) * 2.0**-53


def join64(L: Lanes, high: Lane, low: Lane) -> Lane:
    return (L.convert(high, "u64") << 32) | L.convert(low, "u64")


# Single precision: Cephes, as torch's AVX2 path rounds it -----------------------------------------------------------
_LOGF = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
         2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
_SINF = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSF = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_PIO4F = (0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)


def _horner(L: Lanes, x: Lane, coefficients: Sequence[float]) -> Lane:
    y = L.const(x.ty, coefficients[0])
    for c in coefficients[1:]:
        y = L.fma(y, x, c)
    return y


def log_f32(L: Lanes, x: Lane) -> Lane:
    """Natural logarithm of a positive normal f32."""
    bits = L.bitcast(x, "u32")
    exponent = L.to_float(L.bitcast(bits >> 23, "i32") - 126, "f32")
    m = L.bitcast((bits & 0x7FFFFF) | 0x3F000000, "f32")
    low = L.cmp("lt", m, 0.707106781186547524)
    exponent = exponent - L.select(low, L.one(exponent), 0.0)
    f = (m - 1.0) + L.select(low, m, 0.0)
    z = f * f
    y = _horner(L, f, _LOGF) * f
    y = L.fma(y, z, exponent * -2.12194440e-4)
    y = y - z * 0.5
    return L.fma(exponent, 0.693359375, f + y)


def sincos_f32(L: Lanes, x: Lane) -> Pair:
    """Sine and cosine of a non-negative f32 of moderate size."""
    octant = (L.to_int(x * 1.27323954473516, "i32") + 1) & ~1
    k = L.to_float(octant, "f32")
    for part in _PIO4F:
        x = L.fma(k, -part, x)
    z = x * x
    cosine = L.fma(_horner(L, z, _COSF) * z, z, -(z * 0.5)) + 1.0
    sine = L.fma(_horner(L, z, _SINF) * z, x, x)
    swap = L.cmp("ne", octant & 2, 0)
    octant = L.bitcast(octant, "u32")
    sin_sign, cos_sign = (octant & 4) << 29, (~(octant - 2) & 4) << 29
    s, c = L.select(swap, cosine, sine), L.select(swap, sine, cosine)
    return (L.bitcast(L.bitcast(s, "u32") ^ sin_sign, "f32"), L.bitcast(L.bitcast(c, "u32") ^ cos_sign, "f32"))


def box_muller_f32(L: Lanes, u: Lane, v: Lane) -> Pair:
    """Two standard normals from two uniforms in [0, 1)."""
    radius = L.sqrt(log_f32(L, 1.0 - u) * -2.0)
    s, c = sincos_f32(L, v * (2 * math.pi))
    return radius * c, radius * s


# Double-double ------------------------------------------------------------------------------------------------------
def _fast_two_sum(a: Lane, b: Lane) -> Pair:
    s = a + b
    return s, b - (s - a)


def _two_sum(a: Lane, b: Lane) -> Pair:
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _mul(L: Lanes, a: Pair, b: Pair) -> Pair:
    p = a[0] * b[0]
    e = L.fma(a[0], b[1], L.fma(a[1], b[0], L.fma(a[0], b[0], -p)))
    return _fast_two_sum(p, e)


def _square(L: Lanes, a: Pair) -> Pair:
    p = a[0] * a[0]
    return _fast_two_sum(p, L.fma(a[0] + a[0], a[1], L.fma(a[0], a[0], -p)))


def _add_constant(L: Lanes, c: Fraction, x: Pair) -> Pair:
    high = float(c)
    s, e = _two_sum(L.const("f64", high), x[0])
    return _fast_two_sum(s, e + (x[1] + float(c - Fraction(high))))


def _series(L: Lanes, z: Pair, coefficients: Sequence[Fraction], precise: int) -> Pair:
    """sum of c[k] z**k: the first `precise` steps in double-double, the small rest in double."""
    tail = _horner(L, z[0], [float(c) for c in reversed(coefficients[precise:])])
    acc = _mul(L, z, (tail, L.zero(tail)))
    for c in reversed(coefficients[1:precise]):
        acc = _mul(L, z, _add_constant(L, c, acc))
    return _add_constant(L, coefficients[0], acc)


_LOG_SERIES = [Fraction(2, 2 * k + 3) for k in range(12)]
_SIN_SERIES = [Fraction((-1) ** (k + 1), math.factorial(2 * k + 3)) for k in range(9)]
_COS_SERIES = [Fraction((-1) ** (k + 1), math.factorial(2 * k + 2)) for k in range(9)]
_EXP_SERIES = [Fraction(1, math.factorial(k + 1)) for k in range(15)]


def log_pair(L: Lanes, v: Lane, low: Lane | None = None) -> Pair:
    """log(v + low) as an unevaluated sum; `v` is positive and normal, `low` below one ulp of it.

    v = 2**e m with m in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1), log m = 2 (s + s**3/3 + ...).
    """
    bits = L.bitcast(v, "i64")
    e = (bits - 0x3FE6A09E667F3BCD) >> 52
    m = L.bitcast(bits - (e << 52), "f64")
    k = L.to_float(L.convert(e, "i32"), "f64")
    f = m - 1.0
    d = f + 2.0
    d_low = f - (d - 2.0)
    s = f / d
    s_low = (L.fma(-s, d, f) - s * d_low) / d
    z = _square(L, (s, s_low))
    cubic = _mul(L, (s, s_low), _mul(L, z, _series(L, z, _LOG_SERIES, 2)))
    h, t = _fast_two_sum(s + s, cubic[0])
    t = t + (s_low + s_low) + cubic[1]
    high, rest = _fast_two_sum(k * _LN2_PARTS[0], h)
    rest = rest + L.fma(k, _LN2_PARTS[1], t)
    return _fast_two_sum(high, rest if low is None else rest + low / v)


def log_f64(L: Lanes, v: Lane) -> Lane:
    """Natural logarithm of a positive normal f64; log(0) is -inf."""
    return L.select(L.cmp("eq", v, 0.0), -math.inf, log_pair(L, v)[0])


def log1p_negated(L: Lanes, p: Lane) -> Lane:
    """log1p(-p) for p in [0, 1)."""
    v = 1.0 - p
    return log_pair(L, v, (1.0 - v) - p)[0]


def sincos_pairs(L: Lanes, x: Lane) -> tuple[Pair, Pair]:
    """Sine and cosine of an f64 no larger than 2 pi, each as an unevaluated sum."""
    k = L.rint(x * (2 / math.pi))
    h, t = _two_sum(x - k * _PIO2[0], k * -_PIO2[1])
    r = _fast_two_sum(h, L.fma(k, -_PIO2[2], t))
    z = _square(L, r)
    cubic = _mul(L, r, _mul(L, z, _series(L, z, _SIN_SERIES, 3)))
    s, e = _fast_two_sum(r[0], cubic[0])
    sine = _fast_two_sum(s, e + (r[1] + cubic[1]))
    cosine = _add_constant(L, Fraction(1), _mul(L, z, _series(L, z, _COS_SERIES, 3)))
    quadrant = L.to_int(k, "i32")
    swap = L.cmp("ne", quadrant & 1, 0)
    flip_sin, flip_cos = L.cmp("ne", quadrant & 2, 0), L.cmp("ne", (quadrant + 1) & 2, 0)

    def pick(a: Pair, b: Pair, flip: Lane) -> Pair:
        h, t = L.select(swap, a[0], b[0]), L.select(swap, a[1], b[1])
        return L.select(flip, -h, h), L.select(flip, -t, t)

    return pick(cosine, sine, flip_sin), pick(sine, cosine, flip_cos)


def tan_f64(L: Lanes, x: Lane) -> Lane:
    s, c = sincos_pairs(L, x)
    q = s[0] / c[0]
    return q + (L.fma(-q, c[0], s[0]) + (s[1] - q * c[1])) / c[0]


def exp_f64(L: Lanes, x: Lane, low: Lane | None = None) -> Lane:
    """exp(x + low), `low` tiny."""
    x = L.maximum(L.minimum(x, L.const("f64", 710.0)), L.const("f64", -746.0))
    k = L.rint(x * (1 / math.log(2)))
    p = k * -_LN2_PARTS[1]
    h, t = _two_sum(L.fma(k, -_LN2_PARTS[0], x), p)
    t = t + L.fma(k, -_LN2_PARTS[1], -p)
    r = _fast_two_sum(h, t if low is None else t + low)
    y = _add_constant(L, Fraction(1), _mul(L, r, _series(L, r, _EXP_SERIES, 4)))[0]
    n = L.to_int(k, "i32")
    half = n >> 1
    return y * _power_of_two(L, half) * _power_of_two(L, n - half)


def _power_of_two(L: Lanes, n: Lane) -> Lane:
    return L.bitcast(L.convert(n + 1023, "i64") << 52, "f64")


def power_f64(L: Lanes, x: Lane, y: Lane) -> Lane:
    """x ** y for x in (0, 1] and positive y."""
    high, low = log_pair(L, x)
    p = y * high
    return exp_f64(L, p, L.fma(y, low, L.fma(y, high, -p)))


def box_muller_f64(L: Lanes, log_of: Lane, turn: Lane) -> Pair:
    """Two standard normals: the radius from 1 - `log_of`, the angle from `turn`, both uniforms in [0, 1)."""
    radius = L.sqrt(log_pair(L, 1.0 - log_of)[0] * -2.0)
    s, c = sincos_pairs(L, turn * (2 * math.pi))
    return radius * c[0], radius * s[0]


def log_factorial(L: Lanes, k: Lane) -> Lane:
    """log(k!) of an integral f64: Stirling's series from 16 on, reached by multiplying up."""
    y, product = k + 1.0, L.const("f64", 1.0)
    for _ in range(15):
        small = L.cmp("lt", y, 16.0)
        product = L.select(small, product * y, product)
        y = L.select(small, y + 1.0, y)
    inverse = 1.0 / y
    w = inverse * inverse
    series = _horner(L, w, (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)) * inverse
    high, low = log_pair(L, y)
    main = L.fma(y - 0.5, high, -y)
    return (main + ((y - 0.5) * low + (series + 0.5 * math.log(2 * math.pi)))) - log_pair(L, product)[0]

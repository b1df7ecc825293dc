"""Trigonometry: sin cos tan sinc asin acos atan atan2.

Enters and leaves: f32 or f64 lanes. Arguments below 2**30 are reduced by three parts of pi/2 with fma (Cody & Waite); beyond
that by integer products with 192 bits of 2/pi (Payne & Hanek, SIGNUM Newsletter 18(1), 1983), in a rare block.
f32 sin and cos compute in f64 with short polynomials; the rest of f32 goes through the f64 functions.
"""

from __future__ import annotations

import math

from frankentorch.lower.lanes import Lane, Lanes
from frankentorch.lower.vmath import coefficients as C
from frankentorch.lower.vmath.pairs import (
    Pair,
    add,
    constant,
    divide,
    fast_two_sum,
    horner,
    multiply,
    through_f64,
    two_product,
    two_sum,
    with_short,
)

MAGIC = 1.5 * 2.0**52
TWO_OVER_PI = 0.6366197723675814
HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
QUARTER_PI = (0.7853981633974483, 3.061616997868383e-17)
PI = (3.141592653589793, 1.2246467991473532e-16)
TAN_PI_8 = 0.41421356237309503
NAN = math.nan
#: 64 zeros, then the binary expansion of 2/pi, in words of 64 bits, most significant first.
TWO_OVER_PI_WORDS = (
    0x0000000000000000, 0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041,
    0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0, 0x06492EEA09D1921C, 0xFE1DEB1CB129A73E,
    0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4, 0x9C845F8BBDF9283B,
    0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB,
    0xF0CFBC209AF4361D, 0xA9E391615EE61B08,
)
#: 2/pi in pieces of 28 bits: a float times a piece is exact in double.
TWO_OVER_PI_PIECES = (
    0.6366197690367699, 3.3308114738561656e-09, 2.276010047810136e-18, 2.5268260189002822e-26,
    1.6682867657019525e-34, 1.158871328288855e-43, 7.053959174404295e-52, 8.910067885731021e-60,
)


# Reduction ----------------------------------------------------------------------------------------------------
def reduce_half_pi(L: Lanes, x: Lane) -> tuple[Lane, Pair]:
    """(q, (r, r_lo)) with x = q pi/2 + r + r_lo, |r| <= pi/4, in f64; of the i64 lane q only the low two bits count."""
    t = L.fma(x, TWO_OVER_PI, MAGIC)
    n = t - MAGIC
    start = L.fma(-n, HALF_PI[0], x)
    p, e = two_product(n, HALF_PI[1])
    r, r_lo = two_sum(start, -p)
    r, r_lo = fast_two_sum(r, L.fma(-n, HALF_PI[2], r_lo - e))
    out = L.seldom(L.cmp("uge", L.abs(x), 2.0**30), _reduce_large, [x], [L.bitcast(t, "i64"), r, r_lo])
    return out[0], (out[1], out[2])


def _word(L: Lanes, index: Lane, count: int) -> list[Lane]:
    """`count` consecutive words of 2/pi from a per-lane index: a tree of selections on the bits of the index."""
    words = [L.const("u64", w) for w in TWO_OVER_PI_WORDS]
    for bit in (16, 8, 4, 2, 1):
        chosen = L.cmp("ne", index & bit, 0)
        keep = min(len(words), bit + count - 1)
        last = len(words) - 1
        words = [L.select(chosen, words[min(k + bit, last)], words[k]) for k in range(keep)]
    return words[:count]


def _reduce_large(L: Lanes, x: Lane) -> tuple[Lane, Lane, Lane]:
    bits = L.bitcast(x, "u64")
    mantissa = (bits & 0x000FFFFFFFFFFFFF) | 0x0010000000000000
    # x = mantissa 2**e; the bits of 2/pi before number e - 1 contribute whole turns.
    start = ((bits >> 52) & 0x7FF) - (1075 + 2 - 64)
    start = L.select(L.cmp("ult", start, 1100), start, 0)
    shift = start & 63
    w = _word(L, start >> 6, 4)
    window = [(w[k] << shift) | L.lshr(w[k + 1] >> 1, 63 - shift) for k in range(3)]
    limbs = [part for word in reversed(window) for part in (word & 0xFFFFFFFF, word >> 32)]
    low, high = mantissa & 0xFFFFFFFF, mantissa >> 32
    carry, out = L.zero(mantissa), []
    for k in range(6):
        first = limbs[k] * low
        second = limbs[k - 1] * high if k else L.zero(mantissa)
        total = (first & 0xFFFFFFFF) + (second & 0xFFFFFFFF) + carry
        out.append(total & 0xFFFFFFFF)
        carry = (total >> 32) + (first >> 32) + (second >> 32)
    top = (out[5] << 32) | out[4]
    mid = (out[3] << 32) | out[2]
    end = (out[1] << 32) | out[0]
    quadrant = (top + (1 << 61)) >> 62
    # The fraction of a quadrant, as a signed number of 190 bits; its ones' complement is near enough to its negative.
    top, mid = (top << 2) | (mid >> 62), (mid << 2) | (end >> 62)
    negative = L.cmp("slt", top, 0)
    flip = L.select(negative, L.const("u64", -1), 0)
    top, mid, end = top ^ flip, mid ^ flip, (end << 2) ^ flip
    parts = (top >> 22, ((top & 0x3FFFFF) << 20) | (mid >> 44), (mid >> 2) & 0x3FFFFFFFFFF)
    a, b, c = (_small_float(L, p) * 2.0**s for p, s in zip(parts, (-42, -84, -126), strict=True))
    hi, lo = two_sum(a, b)
    hi, lo = fast_two_sum(hi, lo + c)
    r, r_lo = multiply((hi, lo), constant(L, "f64", *HALF_PI[:2]))
    sign = (flip & (1 << 63)) ^ (bits & (1 << 63))
    infinite = L.cmp("uge", L.abs(x), math.inf)
    r = L.select(infinite, NAN, L.bitcast(L.bitcast(r, "u64") ^ sign, "f64"))
    r_lo = L.bitcast(L.bitcast(r_lo, "u64") ^ sign, "f64")
    q = L.bitcast(quadrant, "i64")
    return L.select(L.cmp("olt", x, 0.0), -q, q), r, r_lo


def _reduce_large32(L: Lanes, x: Lane) -> list[Lane]:
    """[q, r] for a float held in f64: exact products with pieces of 2/pi, each freed of its multiples of 4."""
    total, low = L.zero(x), L.zero(x)
    for piece in TWO_OVER_PI_PIECES:
        p = x * piece
        total, e = two_sum(total, L.fma(L.rint(p * 0.25), -4.0, p))
        low = low + e
    t = total + MAGIC
    return [L.bitcast(t, "i64"), ((total - (t - MAGIC)) + low) * HALF_PI[0]]


def _small_float(L: Lanes, n: Lane) -> Lane:
    """A u64 below 2**52 as f64."""
    return L.bitcast(n | 0x4330000000000000, "f64") - 2.0**52


# sin, cos, tan ------------------------------------------------------------------------------------------------
def sin_pair(r: Lane, r_lo: Lane) -> Pair:
    """sin(r + r_lo) as head r and tail, |r| <= pi/4."""
    L, z = r.L, r * r
    return r, L.fma(z * r, horner(z, C.SIN), L.fma(z * -0.5, r_lo, r_lo))


def cos_pair(r: Lane, r_lo: Lane) -> Pair:
    """cos(r + r_lo) as head and tail, |r| <= pi/4."""
    L = r.L
    z, z_lo = two_product(r, r)
    head, e = fast_two_sum(L.one(r), z * -0.5)
    return head, e + L.fma(z * z, horner(z, C.COS), -L.fma(r, r_lo, z_lo * 0.5))


def _by_quadrant(L: Lanes, q: Lane, s: Lane, c: Lane) -> Lane:
    """s, c, -s or -c by the low bits of q."""
    value = L.bitcast(L.select(L.cmp("ne", q & 1, 0), c, s), "i64")
    return L.bitcast(value ^ ((q & 2) << 62), "f64")


def _turn(L: Lanes, x: Lane, quarter: int) -> Lane:
    if x.ty == "f32":
        return _turn32(L, x, quarter)
    q, (r, r_lo) = reduce_half_pi(L, x)
    s, s_lo = sin_pair(r, r_lo)
    c, c_lo = cos_pair(r, r_lo)
    return L.canonical(_by_quadrant(L, q + quarter, s + s_lo, c + c_lo))


def _turn32(L: Lanes, x: Lane, quarter: int) -> Lane:
    q, s, c = _sin_cos_short(L, L.convert(x, "f64"))
    return L.canonical(L.convert(_by_quadrant(L, q + quarter, s, c), "f32"))


def _sin_cos_short(L: Lanes, x: Lane) -> tuple[Lane, Lane, Lane]:
    """(q, sin r, cos r) with x = q pi/2 + r, to about 2**-33, for a float held in f64."""
    t = L.fma(x, TWO_OVER_PI, MAGIC)
    n = t - MAGIC
    r = L.fma(-n, HALF_PI[1], L.fma(-n, HALF_PI[0], x))
    q, r = L.rare(L.cmp("uge", L.abs(x), 2.0**40), lambda: _reduce_large32(L, x), [L.bitcast(t, "i64"), r])
    z = r * r
    s = L.fma(z * r, horner(z, C.F32_SIN), r)
    return q, s, L.fma(z * z, horner(z, C.F32_COS), L.fma(z, -0.5, 1.0))


def sin(L: Lanes, x: Lane) -> Lane:
    """The sine."""
    return L.select(L.cmp("oeq", x, 0.0), x, _turn(L, x, 0))


def cos(L: Lanes, x: Lane) -> Lane:
    """The cosine."""
    return _turn(L, x, 1)


def _tan_short(L: Lanes, x: Lane) -> Lane:
    q, s, c = _sin_cos_short(L, x)
    odd = L.cmp("ne", q & 1, 0)
    return L.select(L.cmp("oeq", x, 0.0), x, L.select(odd, -c, s) / L.select(odd, s, c))


@with_short(_tan_short)
def tan(L: Lanes, x: Lane) -> Lane:
    """The tangent."""
    q, (r, r_lo) = reduce_half_pi(L, x)
    s, c = fast_two_sum(*sin_pair(r, r_lo)), fast_two_sum(*cos_pair(r, r_lo))
    odd = L.cmp("ne", q & 1, 0)
    top = (L.select(odd, -c[0], s[0]), L.select(odd, -c[1], s[1]))
    bottom = (L.select(odd, s[0], c[0]), L.select(odd, s[1], c[1]))
    out = divide(top, bottom)[0]
    return L.canonical(L.select(L.cmp("olt", L.abs(x), 2.0**-30), x, out))


def sin_cos_pi(L: Lanes, x: Lane) -> tuple[Pair, Pair]:
    """sin(pi x) and cos(pi x) as pairs, in f64, for any finite x: the reduction is exact."""
    twice = x + x
    n = L.rint(twice)
    r = L.fma(n, -0.5, x)
    turn = L.to_int(L.fma(L.floor(n * 0.25), -4.0, n), "i32")
    hi, lo = multiply((r, L.zero(r)), constant(L, "f64", *PI))
    s, c = sin_pair(hi, lo), cos_pair(hi, lo)
    odd = L.cmp("ne", turn & 1, 0)
    minus = L.cmp("ne", turn & 2, 0)

    def pick(a: Pair, b: Pair, negate: Lane) -> Pair:
        hi, lo = L.select(odd, b[0], a[0]), L.select(odd, b[1], a[1])
        return fast_two_sum(L.select(negate, -hi, hi), L.select(negate, -lo, lo))

    return pick(s, c, minus), pick(c, s, minus ^ odd)


@through_f64
def sinc(L: Lanes, x: Lane) -> Lane:
    """sin(pi x) / (pi x), 1 at 0."""
    size = L.abs(x)
    usual = L.cmp("ogt", size, 2.0**-500) & L.cmp("olt", size, 2.0**52)
    inside = L.select(usual, x, 0.5)
    pi_x = multiply((inside, L.zero(x)), constant(L, "f64", *PI))
    out = L.select(usual, divide(sin_cos_pi(L, inside)[0], pi_x)[0], L.select(L.cmp("olt", size, 1.0), 1.0, L.zero(x)))
    return L.select(L.cmp("olt", size, math.inf), out, NAN)


# Inverses -----------------------------------------------------------------------------------------------------
def _arc(L: Lanes, y: Pair, x: Pair) -> Pair:
    """atan(y / x) as a pair for 0 <= y, 0 < max(x, y), by octants: one division, |z| <= tan(pi/8)."""
    swap = L.cmp("ogt", y[0], x[0])
    small = L.select(swap, x[0], y[0]), L.select(swap, x[1], y[1])
    big = L.select(swap, y[0], x[0]), L.select(swap, y[1], x[1])
    middle = L.cmp("ogt", small[0], big[0] * TAN_PI_8)
    minus = add(small, (-big[0], -big[1]))
    plus = add(small, big)
    top = L.select(middle, minus[0], small[0]), L.select(middle, minus[1], small[1])
    bottom = L.select(middle, plus[0], big[0]), L.select(middle, plus[1], big[1])
    z, z_lo = divide(top, bottom)
    square = z * z
    tail = L.fma(square * z, horner(square, C.ATAN), z_lo)
    base = L.select(middle, QUARTER_PI[0], L.const("f64", 0.0)), L.select(middle, QUARTER_PI[1], L.const("f64", 0.0))
    low = add(base, fast_two_sum(z, tail))
    high = add(constant(L, "f64", *HALF_PI[:2]), (-low[0], -low[1]))
    return L.select(swap, high[0], low[0]), L.select(swap, high[1], low[1])


def _arc_short(L: Lanes, y: Lane, x: Lane) -> Lane:
    """atan(y / x) to about 2**-34, as `_arc`, without pairs."""
    swap = L.cmp("ogt", y, x)
    small, big = L.select(swap, x, y), L.select(swap, y, x)
    middle = L.cmp("ogt", small, big * TAN_PI_8)
    z = L.select(middle, small - big, small) / L.select(middle, small + big, big)
    square = z * z
    low = L.fma(square * z, horner(square, C.F32_ATAN), z) + L.select(middle, QUARTER_PI[0], L.zero(z))
    return L.select(swap, HALF_PI[0] - low, low)


def _atan_short(L: Lanes, x: Lane) -> Lane:
    size = L.abs(x)
    return L.copysign(_arc_short(L, L.select(L.cmp("ogt", size, 2.0**60), 2.0**60, size), L.one(x)), x)


def _asin_short(L: Lanes, x: Lane) -> Lane:
    size = L.abs(x)
    return L.copysign(_arc_short(L, size, L.sqrt((1.0 - size) * (1.0 + size))), x)


def _acos_short(L: Lanes, x: Lane) -> Lane:
    size = L.abs(x)
    out = _arc_short(L, L.sqrt((1.0 - size) * (1.0 + size)), size)
    return L.select(L.cmp("olt", x, 0.0), PI[0] - out, out)


def _atan2_operands(L: Lanes, y: Lane, x: Lane) -> Pair:
    """|y| and |x| with infinities replaced: by 1, beside which any finite number is 0."""
    ay, ax = L.abs(y), L.abs(x)
    infinite_y, infinite_x = L.cmp("oeq", ay, math.inf), L.cmp("oeq", ax, math.inf)
    either = infinite_y | infinite_x
    unit = [L.select(one, L.const("f64", 1.0), 0.0) for one in (infinite_y, infinite_x)]
    return L.select(either, unit[0], ay), L.select(either, unit[1], ax)


def _atan2_limits(L: Lanes, y: Lane, x: Lane, hi: Lane, lo: Lane) -> Lane:
    left = L.cmp("slt", L.bitcast(x, "i64"), 0)
    turned = add(constant(L, "f64", *PI), (-hi, -lo))[0]
    out = L.copysign(L.select(left, turned, hi), y)
    return L.select(L.isnan(x) | L.isnan(y), NAN, out)


def _atan2_short(L: Lanes, y: Lane, x: Lane) -> Lane:
    ay, ax = _atan2_operands(L, y, x)
    none = L.cmp("oeq", ay, 0.0) & L.cmp("oeq", ax, 0.0)
    return _atan2_limits(L, y, x, _arc_short(L, ay, L.select(none, 1.0, ax)), L.zero(x))


@with_short(_atan_short)
def atan(L: Lanes, x: Lane) -> Lane:
    """The inverse tangent."""
    size = L.abs(x)
    zero, one = L.zero(x), L.one(x)
    capped = L.select(L.cmp("ogt", size, 2.0**60), 2.0**60, size)
    out = _arc(L, (capped, zero), (one, zero))[0]
    return L.canonical(L.copysign(L.select(L.cmp("olt", size, 2.0**-30), size, out), x))


@with_short(_asin_short)
def asin(L: Lanes, x: Lane) -> Lane:
    """The inverse sine: atan(x / sqrt(1 - x**2))."""
    size = L.abs(x)
    zero = L.zero(x)
    out = L.select(L.cmp("olt", size, 2.0**-30), size, _arc(L, (size, zero), _cathetus(L, size))[0])
    return L.select(L.cmp("ole", size, 1.0), L.copysign(out, x), NAN)


@with_short(_acos_short)
def acos(L: Lanes, x: Lane) -> Lane:
    """The inverse cosine: the angle of (x, sqrt(1 - x**2))."""
    size = L.abs(x)
    hi, lo = _arc(L, _cathetus(L, size), (size, L.zero(x)))
    flipped = add(constant(L, "f64", *PI), (-hi, -lo))[0]
    return L.select(L.cmp("ole", size, 1.0), L.select(L.cmp("olt", x, 0.0), flipped, hi), NAN)


def _cathetus(L: Lanes, x: Lane) -> Pair:
    """sqrt(1 - x**2) as a pair for 0 <= x <= 1."""
    p, e = two_product(x, x)
    d, d_lo = two_sum(L.one(x), -p)
    return sqrt_pair(L, *fast_two_sum(d, d_lo - e))


def sqrt_pair(L: Lanes, d: Lane, d_lo: Lane) -> Pair:
    """sqrt(d + d_lo) as a pair, d >= 0."""
    s = L.sqrt(d)
    rest = (L.fma(-s, s, d) + d_lo) / (s + s)
    return fast_two_sum(s, L.select(L.cmp("ogt", d, 0.0), rest, 0.0))


@with_short(_atan2_short)
def atan2(L: Lanes, y: Lane, x: Lane) -> Lane:
    """The angle of the point (x, y), with C99's special cases."""
    ay, ax = _atan2_operands(L, y, x)
    big = L.select(L.cmp("ogt", ay, ax), ay, ax)
    # Both are scaled so that nothing overflows and errors do not underflow.
    scale = L.select(L.cmp("ogt", big, 2.0**900), 2.0**-120, L.select(L.cmp("olt", big, 2.0**-500), 2.0**500, L.one(x)))
    sy, sx = ay * scale, ax * scale
    none = L.cmp("oeq", big, 0.0)
    zero = L.zero(x)
    steep = L.select(L.cmp("olt", sx, sy * 2.0**-70), sy * 2.0**-70, sx)
    hi, lo = _arc(L, (sy, zero), (L.select(none, 1.0, steep), zero))
    # Far below the diagonal the angle is the quotient, which may be denormal and must be rounded once.
    shallow = L.cmp("olt", sy, sx * 2.0**-60)
    hi = L.select(shallow, ay / L.select(none, 1.0, ax), hi)
    return _atan2_limits(L, y, x, hi, L.select(shallow, 0.0, lo))

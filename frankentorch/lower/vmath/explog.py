"""exp, log and their kin: exp exp2 expm1 log log2 log10 log1p pow sigmoid softplus logaddexp.

Enters and leaves: f32 or f64 lanes. Arguments are reduced by Cody & Waite's method with fma (Software Manual for the Elementary
Functions, 1980), so that the reduced argument is exact or a pair; polynomials are our own minimax fits. f32 versions of
exp, exp2, log and sigmoid work in f32; the others go through f64.
"""

from __future__ import annotations

from frankentorch.lower.lanes import Lane, Lanes
from frankentorch.lower.vmath import coefficients as C
from frankentorch.lower.vmath import short
from frankentorch.lower.vmath.exponents import (
    INF,
    LN2,
    LOG2E,
    MAGIC32,
    MAGIC64,
    NAN,
    add_to_exponent,
    finish_exp,
    integer_part,
    log_limits,
    log_parts,
    power_of_two,
    scale_wide,
)
from frankentorch.lower.vmath.pairs import (
    Pair,
    constant,
    divide,
    fast_two_sum,
    horner,
    multiply,
    two_product,
    two_sum,
    with_short,
)

#: ln 2 in 42 bits, so that k times it is exact, and the rest.
LN2_SHORT, LN2_REST = float.fromhex("0x1.62e42fefa38p-1"), float.fromhex("0x1.ef35793c7673p-45")
LOG10E = (0.4342944819032518, 1.098319650216765e-17)
LOG2E_PAIR = (1.4426950408889634, 2.0355273740931033e-17)
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


# exp ----------------------------------------------------------------------------------------------------------
def exp_parts(L: Lanes, x: Lane, x_lo: Lane | None = None) -> tuple[Lane, Lane, Lane]:
    """(t, h, l) with e**(x + x_lo) = 2**n (1 + h + l), in f64, for |x| < 2**40; the low bits of t are n's."""
    t = L.fma(x, LOG2E, MAGIC64)
    n = t - MAGIC64
    start = L.fma(-n, LN2[0], x)
    rest = -n * LN2[1] if x_lo is None else L.fma(-n, LN2[1], x_lo)
    r, r_lo = two_sum(start, rest)
    return t, r, L.fma(r * r, horner(r, C.EXP), L.fma(r_lo, r, r_lo))


def one_plus(h: Lane, l: Lane) -> Lane:
    """1 + h + l rounded almost once, |h| < 0.5."""
    s, e = fast_two_sum(h.L.one(h), h)
    return s + (e + l)


def exp_of_pair(L: Lanes, x: Lane, x_lo: Lane) -> Lane:
    """e**(x + x_lo) over the full f64 range; |x| may be large but not infinite."""
    inside = L.select(L.cmp("olt", x, -800.0), -800.0, L.select(L.cmp("ogt", x, 800.0), 800.0, x))
    x_lo = L.select(L.cmp("oeq", x, inside), x_lo, 0.0)
    t, h, l = exp_parts(L, inside, x_lo)
    return scale_wide(L, one_plus(h, l), integer_part(L, t))


def exp(L: Lanes, x: Lane) -> Lane:
    """e**x."""
    if x.ty == "f64":
        t, h, l = exp_parts(L, x)
        return finish_exp(L, x, one_plus(h, l), t, 708.0, 709.8, -745.2)
    t, y = exp32_parts(L, x)
    return finish_exp(L, x, y, t, 87.0, 88.8, -104.0)


def exp32_parts(L: Lanes, x: Lane) -> tuple[Lane, Lane]:
    """(t, y) with e**x = 2**n y in f32; the low bits of t are n's."""
    t = L.fma(x, LOG2E, MAGIC32)
    n = t - MAGIC32
    r = L.fma(-n, -1.9046542e-09, L.fma(-n, 0.6931472, x))
    return t, _exp_tail(L, r, C.F32_EXP, 1.0)


def _exp_tail(L: Lanes, r: Lane, c: tuple[float, ...], first: float) -> Lane:
    return L.fma(L.fma(horner(r, c), r, first), r, 1.0)


def exp2(L: Lanes, x: Lane) -> Lane:
    """2**x."""
    if x.ty == "f64":
        t = x + MAGIC64
        r, r_lo = multiply((x - (t - MAGIC64), L.zero(x)), constant(L, "f64", *LN2))
        tail = L.fma(r * r, horner(r, C.EXP), L.fma(r_lo, r, r_lo))
        return finish_exp(L, x, one_plus(r, tail), t, 1022.0, 1024.5, -1076.0)
    t, y = exp2_32_parts(L, x)
    return finish_exp(L, x, y, t, 126.0, 128.5, -151.0)


def exp2_32_parts(L: Lanes, x: Lane) -> tuple[Lane, Lane]:
    """(t, y) with 2**x = 2**n y in f32."""
    t = x + MAGIC32
    return t, _exp_tail(L, x - (t - MAGIC32), C.F32_EXP2, 0.6931472)


def expm1_pair(L: Lanes, x: Lane) -> Pair:
    """e**x - 1 as a pair, in f64, for |x| <= 700."""
    t, h, l = exp_parts(L, x)
    scale = power_of_two(L, integer_part(L, t))
    base, rest = two_sum(scale, L.const("f64", -1.0))
    top, low = two_sum(base, scale * h)
    return fast_two_sum(top, L.fma(scale, l, low + rest))


@with_short(short.expm1)
def expm1(L: Lanes, x: Lane) -> Lane:
    """e**x - 1."""
    inside = L.select(L.cmp("olt", x, -60.0), -60.0, L.select(L.cmp("ogt", x, 60.0), 60.0, x))
    out = expm1_pair(L, inside)[0]
    out = L.rare(L.cmp("ogt", x, 60.0), lambda: [exp(L, x)], [out])[0]
    return L.canonical(L.select(L.cmp("oeq", x, 0.0), x, out))


# log ----------------------------------------------------------------------------------------------------------
def log_of_parts(L: Lanes, f: Lane, f_lo: Lane | None) -> Pair:
    """log(1 + f + f_lo) as a pair, to about 2**-64, for f in [-0.293, 0.415]: twice the atanh of f / (2 + f)."""
    zero = L.zero(f)
    d, d_lo = fast_two_sum(L.const("f64", 2.0), f)
    s, s_lo = divide((f, zero if f_lo is None else f_lo), (d, d_lo if f_lo is None else d_lo + f_lo))
    z, z_lo = two_product(s, s)
    z_lo = L.fma(s + s, s_lo, z_lo)
    u, u_lo = two_product(z, TWO_THIRDS[0])
    u_lo = u_lo + L.fma(z, TWO_THIRDS[1], z_lo * TWO_THIRDS[0])
    u, u_lo = fast_two_sum(u, L.fma(z * z, horner(z, C.LOG), u_lo))
    v, v_lo = two_product(s, u)
    v_lo = L.fma(s, u_lo, L.fma(s_lo, u, v_lo))
    top, low = fast_two_sum(s + s, v)
    return fast_two_sum(top, low + (v_lo + (s_lo + s_lo)))


def add_exponent(L: Lanes, k: Lane, tail: Pair, base: tuple[float, float]) -> Pair:
    """k * (the logarithm of 2, split so that k times its head is exact) plus a pair."""
    top, low = two_sum(k * base[0], tail[0])
    return fast_two_sum(top, L.fma(k, base[1], low + tail[1]))


def log_pair(L: Lanes, x: Lane, x_lo: Lane | None = None) -> Pair:
    """log(x + x_lo) as a pair, for positive finite f64 x, denormal or not (x_lo: normal x only)."""
    tiny = L.cmp("olt", x, 2.0**-1022)
    k, m, scale = log_parts(L, L.select(tiny, x * 2.0**54, x))
    k = L.select(tiny, k - 54.0, k)
    f = m - 1.0
    if x_lo is None:
        return add_exponent(L, k, log_of_parts(L, f, None), (LN2_SHORT, LN2_REST))
    f, f_lo = two_sum(f, x_lo * scale)
    return add_exponent(L, k, log_of_parts(L, f, f_lo), (LN2_SHORT, LN2_REST))


def log(L: Lanes, x: Lane) -> Lane:
    """The natural logarithm."""
    if x.ty == "f64":
        return log_limits(L, x, log_pair(L, x)[0])
    fast = _log32(L, x, 0.0)
    # One unsigned comparison finds denormals, zeros, negatives, infinities and NaNs.
    odd = L.cmp("uge", L.bitcast(x, "u32") - 0x00800000, 0x7F000000)
    return L.rare(odd, lambda: [log_limits(L, x, _log32(L, x * 2.0**24, -24.0))], [fast])[0]


def _log32(L: Lanes, x: Lane, shift: float) -> Lane:
    bits = L.bitcast(x, "i32")
    k = (bits - 0x3F3504F3) >> 23
    f = L.bitcast(bits - (k << 23), "f32") - 1.0
    n = L.to_float(k, "f32") + shift
    z = f * f
    tail = L.fma(f * z, horner(f, C.F32_LOG), n * 1.4286068e-06)
    return L.fma(n, 0.693145751953125, f + L.fma(z, -0.5, tail))


def _scaled_log(L: Lanes, x: Lane, factor: tuple[float, float]) -> Lane:
    hi, lo = log_pair(L, x)
    return log_limits(L, x, multiply((hi, lo), constant(L, "f64", *factor))[0])


@with_short(short.log2)
def log2(L: Lanes, x: Lane) -> Lane:
    """The logarithm to base 2; exact at powers of two."""
    tiny = L.cmp("olt", x, 2.0**-1022)
    k, m, _ = log_parts(L, L.select(tiny, x * 2.0**54, x))
    tail = multiply(log_of_parts(L, m - 1.0, None), constant(L, "f64", *LOG2E_PAIR))
    return log_limits(L, x, add_exponent(L, L.select(tiny, k - 54.0, k), tail, (1.0, 0.0))[0])


@with_short(short.log10)
def log10(L: Lanes, x: Lane) -> Lane:
    """The logarithm to base 10."""
    return _scaled_log(L, x, LOG10E)


def log1p_pair(L: Lanes, u: Lane, u_lo: Lane) -> Pair:
    """log(1 + u + u_lo) as a pair, for u > -1 and below 2**1000; u_lo within an ulp of u."""
    y, e = two_sum(L.one(u), u)
    return log_pair(L, y, e + u_lo)


@with_short(short.log1p)
def log1p(L: Lanes, x: Lane) -> Lane:
    """log(1 + x)."""
    huge = L.cmp("oge", x, 2.0**60)
    out = log1p_pair(L, L.select(huge, 0.0, x), L.zero(x))[0]
    out = L.rare(huge, lambda: [log_pair(L, x)[0]], [out])[0]
    out = L.select(L.cmp("olt", L.abs(x), 2.0**-54), x, out)
    out = L.select(L.cmp("oeq", x, INF), INF, L.select(L.cmp("oeq", x, -1.0), -INF, out))
    return L.select(L.cmp("oge", x, -1.0), out, NAN)


# Built from them ----------------------------------------------------------------------------------------------
@with_short(short.pow)
def pow(L: Lanes, x: Lane, y: Lane) -> Lane:
    """x**y with C99's special cases (Annex F.9.4.4), which are torch's."""
    size, power = short.pow_operands(L, x, y)
    hi, lo = log_pair(L, size)
    p, e = two_product(power, hi)
    return short.pow_limits(L, x, y, exp_of_pair(L, p, L.fma(power, lo, e)))


def sigmoid(L: Lanes, x: Lane) -> Lane:
    """1 / (1 + e**-x), right in both tails."""
    if x.ty == "f32":
        return _sigmoid32(L, x)
    e = exp(L, -L.abs(x))
    return L.canonical(L.select(L.cmp("olt", x, 0.0), e, 1.0) / (e + 1.0))


def _sigmoid32(L: Lanes, x: Lane) -> Lane:
    t, y = exp32_parts(L, -x)
    s, low = two_sum(add_to_exponent(L, y, t), L.one(x))
    q = 1.0 / s
    # One Newton step on the exact sum leaves only the error of the exponential and the last rounding.
    fast = L.fma(L.fma(-q, low, L.fma(-q, s, 1.0)), q, q)

    def far() -> list[Lane]:
        inside = L.select(L.cmp("olt", x, -110.0), -110.0, x)
        n, e = exp32_parts(L, inside)
        return [L.canonical(L.select(L.cmp("ogt", x, 0.0), 1.0, scale_wide(L, e, integer_part(L, n))))]

    return L.rare(L.cmp("uge", L.abs(x), 80.0), far, [fast])[0]


@with_short(short.softplus)
def softplus(L: Lanes, x: Lane) -> Lane:
    """log(1 + e**x)."""
    return _log1p_exp(L, L.abs(x), L.select(L.cmp("ogt", x, 0.0), x, 0.0), x)


def _log1p_exp(L: Lanes, gap: Lane, top: Lane, witness: Lane) -> Lane:
    """top + log(1 + e**-gap), gap >= 0; NaN where `witness` is."""
    e = exp(L, -gap)
    tail = L.select(L.cmp("olt", e, 2.0**-54), e, log1p_pair(L, e, L.zero(e))[0])
    return L.select(L.isnan(witness), NAN, top + tail)


@with_short(short.logaddexp)
def logaddexp(L: Lanes, x: Lane, y: Lane) -> Lane:
    """log(e**x + e**y)."""
    swap = L.cmp("olt", x, y)
    top, low = L.select(swap, y, x), L.select(swap, x, y)
    gap = L.select(L.cmp("oeq", top, low), 0.0, top - low)
    return _log1p_exp(L, gap, top, x + L.select(L.isnan(y), y, 0.0))


def integer_pow(L: Lanes, x: Lane, n: Lane) -> Lane:
    """x**n on integers, wrapping; a negative n gives torch's 1, -1 or 0."""
    negative = L.cmp("lt", n, 0)

    def step(state: list[Lane]) -> tuple[Lane, list[Lane]]:
        out, base, left = state
        return L.cmp("ne", left, 0), [L.select(L.cmp("ne", left & 1, 0), out * base, out), base * base, L.lshr(left, 1)]

    out, _, _ = L.repeat([L.one(x) * L.one(x), x, L.select(negative, 0, n)], step)
    unit = L.select(L.cmp("eq", x, 1), L.one(x), 0)
    if x.ty[0] == "i":
        minus = L.select(L.cmp("ne", n & 1, 0), L.const(x.ty, -1), 1)
        unit = L.select(L.cmp("eq", x, -1), minus, unit)
    return L.select(negative, unit, out)

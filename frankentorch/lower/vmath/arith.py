"""Exact and nearly exact arithmetic: fmod remainder floor_divide hypot rsqrt.

Enters and leaves: f32 or f64 lanes. fmod is exact for every pair of arguments; the others follow torch's definitions.
"""

from __future__ import annotations

import math

from frankentorch.lower.lanes import Lane, Lanes
from frankentorch.lower.vmath.exponents import power_of_two
from frankentorch.lower.vmath.pairs import add, through_f64, two_product, with_short
from frankentorch.lower.vmath.trig import sqrt_pair

INF, NAN = math.inf, math.nan


def _reduce(L: Lanes, r: Lane, step: Lane) -> Lane:
    """r mod step, exactly, where r / step < 2**52: the rounded quotient is right or one too large."""
    rest = L.fma(-L.trunc(r / step), step, r)
    return L.select(L.cmp("olt", rest, 0.0), rest + step, rest)


def _exponent(L: Lanes, a: Lane) -> Lane:
    """The exponent of positive a as an i64, denormals included."""
    tiny = L.cmp("olt", a, 2.0**-1022)
    bits = L.bitcast(L.select(tiny, a * 2.0**54, a), "i64") >> 52
    return L.select(tiny, bits - 54, bits)


@through_f64
def fmod(L: Lanes, x: Lane, y: Lane) -> Lane:
    """x - trunc(x / y) y, exactly, with the sign of x."""
    a, b = L.abs(x), L.abs(y)
    usual = L.cmp("olt", a, INF) & L.cmp("ogt", b, 0.0) & L.cmp("olt", b, INF)
    top, bottom = L.select(usual, a, 0.0), L.select(usual, b, 1.0)

    def long_division() -> list[Lane]:
        base = _exponent(L, bottom)

        def step(state: list[Lane]) -> tuple[Lane, list[Lane]]:
            r = state[0]
            gap = _exponent(L, r) - base - 51
            gap = L.select(L.cmp("gt", gap, 0), gap, 0)
            third = L.bitcast(L.bitcast(gap, "u64") >> 2, "i64")
            p = power_of_two(L, third)
            scaled = bottom * p * p * p * power_of_two(L, gap - third * 3)
            return L.cmp("oge", r, bottom), [_reduce(L, r, scaled)]

        return L.repeat([top], step)

    out = L.rare(L.cmp("uge", top / bottom, 2.0**52), long_division, [_reduce(L, top, bottom)])[0]
    out = L.copysign(out, x)
    out = L.select(usual, out, NAN)
    return L.select(L.cmp("oeq", b, INF) & L.cmp("olt", a, INF), x, out)


def _signs_differ(L: Lanes, rest: Lane, y: Lane) -> Lane:
    return L.cmp("one", rest, 0.0) & (L.cmp("olt", rest, 0.0) ^ L.cmp("olt", y, 0.0))


def remainder(L: Lanes, x: Lane, y: Lane) -> Lane:
    """Python's %: the fmod, brought to the sign of y by one rounded addition."""
    rest = fmod(L, x, y)
    return L.select(_signs_differ(L, rest, y), rest + y, rest)


def floor_divide(L: Lanes, x: Lane, y: Lane) -> Lane:
    """Python's //: (x - fmod) / y, corrected to an integer; x / y where y is 0."""
    rest = fmod(L, x, y)
    plain = x / y
    whole = (x - rest) / y
    whole = L.select(_signs_differ(L, rest, y), whole - 1.0, whole)
    floor = L.floor(whole)
    floor = L.select(L.cmp("ogt", whole - floor, 0.5), floor + 1.0, floor)
    floor = L.select(L.cmp("oeq", whole, 0.0), L.copysign(L.zero(x), plain), floor)
    return L.canonical(L.select(L.cmp("oeq", y, 0.0), plain, floor))


def integer_remainder(L: Lanes, x: Lane, y: Lane) -> Lane:
    """Python's % on integers; 0 where y is 0."""
    if x.ty[0] == "u":
        return L.urem(x, y)
    rest = L.srem(x, y)
    return L.select(L.cmp("ne", rest, 0) & L.cmp("lt", rest ^ y, 0), rest + y, rest)


def integer_floor_divide(L: Lanes, x: Lane, y: Lane) -> Lane:
    """Python's // on integers; x where y is 0."""
    if x.ty[0] == "u":
        return L.udiv(x, y)
    quotient, rest = L.sdiv(x, y), L.srem(x, y)
    return L.select(L.cmp("ne", rest, 0) & L.cmp("lt", rest ^ y, 0), quotient - 1, quotient)


def _hypot_short(L: Lanes, x: Lane, y: Lane) -> Lane:
    out = L.sqrt(L.fma(x, x, y * y))
    return L.select(L.cmp("oeq", L.abs(x), INF) | L.cmp("oeq", L.abs(y), INF), INF, out)


@with_short(_hypot_short)
def hypot(L: Lanes, x: Lane, y: Lane) -> Lane:
    """sqrt(x**2 + y**2) without overflow; inf wins over NaN."""
    a, b = L.abs(x), L.abs(y)
    big = L.select(L.cmp("ogt", a, b), a, b)
    huge, tiny = L.cmp("ogt", big, 2.0**500), L.cmp("olt", big, 2.0**-400)
    down = L.select(huge, 2.0**-600, L.select(tiny, 2.0**600, L.one(x)))
    up = L.select(huge, 2.0**600, L.select(tiny, 2.0**-600, L.one(x)))
    a, b = a * down, b * down
    out = sqrt_pair(L, *add(two_product(a, a), two_product(b, b)))[0] * up
    infinite = L.cmp("oeq", L.abs(x), INF) | L.cmp("oeq", L.abs(y), INF)
    out = L.select(L.isnan(x) | L.isnan(y), NAN, out)
    return L.select(infinite, INF, out)


def rsqrt(L: Lanes, x: Lane) -> Lane:
    """1 / sqrt(x)."""
    return L.canonical(1.0 / L.sqrt(x))


def sqrt(L: Lanes, x: Lane) -> Lane:
    """The square root, correctly rounded."""
    return L.canonical(L.sqrt(x))

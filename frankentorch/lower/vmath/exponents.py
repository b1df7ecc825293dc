"""Taking floats apart and putting them together: powers of two, exponents, the limits that logarithms share.

Enters and leaves: f32 or f64 lanes.
"""

from __future__ import annotations

import math

from frankentorch.lower.lanes import Lane, Lanes

INF, NAN = math.inf, math.nan
MAGIC64, MAGIC32 = 1.5 * 2.0**52, 1.5 * 2.0**23
LOG2E = 1.4426950408889634
LN2 = (0.6931471805599453, 2.3190468138462996e-17)


def integer_part(L: Lanes, t: Lane) -> Lane:
    """n as an integer lane, from a sum with the magic constant."""
    if t.ty == "f64":
        return L.bitcast(t, "i64") - 0x4338000000000000
    return L.bitcast(t, "i32") - 0x4B400000


def power_of_two(L: Lanes, n: Lane) -> Lane:
    """2**n for an integer lane in the normal range."""
    if n.ty == "i64":
        return L.bitcast((n + 1023) << 52, "f64")
    return L.bitcast((n + 127) << 23, "f32")


def scale_wide(L: Lanes, y: Lane, n: Lane) -> Lane:
    """y * 2**n with one rounding, where n may be twice the exponent range."""
    half = n >> 1
    return y * power_of_two(L, half) * power_of_two(L, n - half)


def add_to_exponent(L: Lanes, y: Lane, t: Lane) -> Lane:
    """y * 2**n where the result is normal; t as from the magic constant."""
    ints, width = ("i64", 52) if y.ty == "f64" else ("i32", 23)
    return L.bitcast(L.bitcast(y, ints) + (L.bitcast(t, ints) << width), y.ty)


def log_parts(L: Lanes, x: Lane) -> tuple[Lane, Lane, Lane]:
    """(k, m, 2**-k) with x = 2**k m, m in [0.707, 1.415), for normal positive f64 x; k is an f64 lane."""
    bits = L.bitcast(x, "u64")
    biased = (bits + (0x3FF0000000000000 - 0x3FE6A09E00000000)) >> 52
    k = L.bitcast(biased | 0x4338000000000000, "f64") - (MAGIC64 + 1023.0)
    m = L.bitcast(bits - ((biased - 1023) << 52), "f64")
    return k, m, L.bitcast((2046 - biased) << 52, "f64")


def log_limits(L: Lanes, x: Lane, y: Lane) -> Lane:
    """y, but -inf at 0, nan below and at nan, inf at inf."""
    y = L.select(L.cmp("oeq", x, INF), INF, L.select(L.cmp("oeq", x, 0.0), -INF, y))
    return L.select(L.cmp("uge", x, 0.0) & ~L.isnan(x), y, NAN)


def finish_exp(L: Lanes, x: Lane, y: Lane, t: Lane, safe: float, over: float, under: float) -> Lane:
    """y * 2**n: by adding to the exponent, or, outside `safe`, with care."""
    def slow() -> list[Lane]:
        wide = scale_wide(L, y, integer_part(L, t))
        wide = L.select(L.cmp("ogt", x, over), INF, L.select(L.cmp("olt", x, under), 0.0, wide))
        return [L.canonical(wide)]

    return L.rare(L.cmp("uge", L.abs(x), safe), slow, [add_to_exponent(L, y, t)])[0]

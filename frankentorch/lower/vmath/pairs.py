"""Pairs of floats: sums and products with their rounding errors, and polynomial evaluation.

Enters and leaves: lanes. A pair (hi, lo) stands for hi + lo with |lo| at most half an ulp of hi once renormalised. The
transformations are exact (Muller et al., Handbook of Floating-Point Arithmetic, 2nd ed., ch. 4) away from overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frankentorch.lower.lanes import Lane, Lanes

Pair = tuple[Lane, Lane]


def two_sum(a: Lane, b: Lane) -> Pair:
    """a + b and its error, for any a and b."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def fast_two_sum(a: Lane, b: Lane) -> Pair:
    """a + b and its error, where |a| >= |b| (or a == 0)."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Lane, b: Lane | float) -> Pair:
    """a * b and its error."""
    p = a * b
    return p, a.L.fma(a, b, -p)


def multiply(a: Pair, b: Pair) -> Pair:
    """The product of two pairs, to about 2**-100."""
    L = a[0].L
    p, e = two_product(a[0], b[0])
    return fast_two_sum(p, L.fma(a[0], b[1], L.fma(a[1], b[0], e)))


def divide(a: Pair, b: Pair) -> Pair:
    """The quotient of two pairs, to about 2**-100: one division, then a correction by the same reciprocal."""
    L = a[0].L
    inverse = 1.0 / b[0]
    q = a[0] * inverse
    rest = L.fma(-q, b[1], L.fma(-q, b[0], a[0]) + a[1])
    return fast_two_sum(q, rest * inverse)


def add(a: Pair, b: Pair) -> Pair:
    """The sum of two pairs."""
    s, e = two_sum(a[0], b[0])
    return fast_two_sum(s, e + (a[1] + b[1]))


def constant(L: Lanes, ty: str, hi: float, lo: float) -> Pair:
    return L.const(ty, hi), L.const(ty, lo)


def horner(x: Lane, coefficients: Sequence[float]) -> Lane:
    """The polynomial with these coefficients, low order first, by fma."""
    L = x.L
    out = L.const(x.ty, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        out = L.fma(out, x, c)
    return out


def with_short(short: Callable[..., Lane]) -> Callable[[Callable[..., Lane]], Callable[..., Lane]]:
    """Mark a function on f64 lanes: on f32 lanes `short`, also on f64 lanes, computes and the result is rounded once."""
    def mark(function: Callable[..., Lane]) -> Callable[..., Lane]:
        def wrapped(L: Lanes, *args: Lane) -> Lane:
            if args[0].ty == "f64":
                return function(L, *args)
            return L.canonical(L.convert(short(L, *(L.convert(a, "f64") for a in args)), "f32"))

        wrapped.__name__, wrapped.__doc__ = function.__name__, function.__doc__
        return wrapped

    return mark


def through_f64(function: Callable[..., Lane]) -> Callable[..., Lane]:
    """Mark a function on f64 lanes that also serves f32: computed in f64 and rounded once."""
    return with_short(function)(function)

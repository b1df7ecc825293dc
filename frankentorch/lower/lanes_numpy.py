"""Lane functions evaluated on numpy arrays, exact to the bit: what a lane function means.

Enters: arrays wrapped as lanes. Leaves: lanes over arrays. fma is exact: float32 through float64 rounded to odd, float64 by
error-free transformations, with integers where those would overflow or underflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from frankentorch.lower.lanes_base import BITS, SMALL_FLOATS, UNSIGNED, Lane, Lanes, is_float, is_unsigned, numpy_type

_NUMPY = {ty: np.dtype(numpy_type(ty)).type for ty in BITS}
_NP_BINARY: dict[str, Callable[..., Any]] = {
    "fadd": np.add, "fsub": np.subtract, "fmul": np.multiply, "fdiv": np.divide, "add": np.add, "sub": np.subtract,
    "mul": np.multiply, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "copysign": np.copysign,
    "shl": np.left_shift}
_NP_UNARY: dict[str, Callable[..., Any]] = {
    "fneg": np.negative, "fabs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "roundeven": np.rint}
_NP_CMP: dict[str, Callable[..., Any]] = {"lt": np.less, "le": np.less_equal, "gt": np.greater,
                                          "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal}


class NumpyLanes(Lanes):
    """Evaluate lane functions on numpy arrays: slow, and exact to the bit. This is what a lane function means."""

    def wrap(self, ty: str, array: Any) -> Lane:
        """A lane over an array (f16 and bf16: of uint16 patterns)."""
        return Lane(self, ty, np.asarray(array).astype(_NUMPY[ty], copy=False))

    def const(self, ty: str, value: float) -> Lane:
        if ty in SMALL_FLOATS:
            return Lane(self, ty, self.convert(self.const("f32", value), ty).v)
        if is_float(ty):
            with np.errstate(over="ignore"):
                return Lane(self, ty, _NUMPY[ty](value), value)
        value = int(value) & ((1 << BITS[ty]) - 1)
        unsigned = np.array(value, _NUMPY[UNSIGNED.get(ty, ty)])
        return Lane(self, ty, unsigned.view(_NUMPY[ty])[()], value)

    def _as(self, a: Lane, ty: str) -> Any:
        return np.asarray(a.v).view(_NUMPY[ty])

    def _binary(self, op: str, a: Lane, b: Lane) -> Lane:
        with np.errstate(all="ignore"):
            if op in _NP_BINARY:
                return Lane(self, a.ty, _NP_BINARY[op](a.v, b.v).astype(_NUMPY[a.ty], copy=False))
            view = a.ty if op[0] in "sa" else UNSIGNED.get(a.ty, a.ty)
            if op[0] in "sa" and is_unsigned(a.ty):
                view = "i" + a.ty[1:]
            x, y = self._as(a, view), self._as(b, view)
            if op in ("ashr", "lshr"):
                out = np.right_shift(x, y)
            elif op in ("udiv", "urem"):
                out = x // y if op == "udiv" else x % y
            else:
                out = np.fmod(x, y)
                out = out if op == "srem" else (x - out) // y
        return Lane(self, a.ty, np.asarray(out).view(_NUMPY[a.ty]))

    def _unary(self, op: str, a: Lane) -> Lane:
        with np.errstate(all="ignore"):
            if op in _NP_UNARY:
                return Lane(self, a.ty, _NP_UNARY[op](a.v))
        bits = np.array(self._as(a, UNSIGNED.get(a.ty, a.ty)))
        count = np.zeros(bits.shape, np.uint8)
        width = BITS[a.ty]
        if op == "ctlz":
            for k in range(width):
                bits |= bits >> np.array(min(1 << k, width - 1), bits.dtype) if (1 << k) < width else bits
            bits = ~bits
        for k in range(width):
            count += ((bits >> np.array(k, bits.dtype)) & np.array(1, bits.dtype)).astype(np.uint8)
        return Lane(self, a.ty, count.astype(_NUMPY[a.ty]))

    def _cast(self, op: str, a: Lane, ty: str) -> Lane:
        with np.errstate(all="ignore"):
            return Lane(self, ty, np.asarray(a.v).astype(_NUMPY[ty]))

    def _cmp(self, predicate: str, a: Lane, b: Lane) -> Lane:
        x, y = np.asarray(a.v), np.asarray(b.v)
        if is_float(a.ty):
            unordered = np.isnan(x) | np.isnan(y)
            if predicate in ("uno", "ord"):
                return Lane(self, "i1", unordered if predicate == "uno" else ~unordered)
            out = _NP_CMP[predicate[1:]](x, y)
            return Lane(self, "i1", out | unordered if predicate[0] == "u" else out & ~unordered)
        if predicate not in ("eq", "ne"):
            low = UNSIGNED.get(a.ty, a.ty) if predicate[0] == "u" else a.ty.replace("u", "i")
            x, y, predicate = self._as(a, low), self._as(b, low), predicate[1:]
        return Lane(self, "i1", _NP_CMP[predicate](x, y))

    def _select(self, c: Lane, a: Lane, b: Lane) -> Lane:
        return Lane(self, a.ty, np.where(c.v, a.v, b.v))

    def _fma(self, a: Lane, b: Lane, c: Lane) -> Lane:
        return Lane(self, a.ty, fma32(a.v, b.v, c.v) if a.ty == "f32" else fma64(a.v, b.v, c.v))

    def bitcast(self, a: Lane, ty: str) -> Lane:
        return Lane(self, ty, self._as(a, ty))

    def rare(self, cond: Lane, slow: Callable[[], Sequence[Lane]], fast: Sequence[Lane]) -> list[Lane]:
        if not np.any(cond.v):
            return list(fast)
        return [self.select(cond, s, f) for s, f in zip(slow(), fast, strict=True)]

    def repeat(self, state: Sequence[Lane], step: Callable[[list[Lane]], tuple[Lane, Sequence[Lane]]]) -> list[Lane]:
        now = list(state)
        while True:
            active, new = step(now)
            now = [self.select(active, n, a) for n, a in zip(new, now, strict=True)]
            if not np.any(active.v):
                return now


# Exact fma in numpy -------------------------------------------------------------------------------------------
def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """s + e == a + b exactly (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _to_odd(s: Any, e: Any) -> Any:
    """s + e rounded to odd, given s the nearest and e the rest (Boldo & Melquiond, IEEE TC 57(4), 2008)."""
    s = np.asarray(s, np.float64)
    bits = s.view(np.int64)
    fix = (e != 0) & ((bits & 1) == 0) & np.isfinite(s)
    towards_zero = (e > 0) != (s > 0)
    return np.where(fix, bits + np.where(towards_zero, -1, 1), bits).view(np.float64)


def fma32(a: Any, b: Any, c: Any) -> Any:
    """a * b + c in float32 with one rounding: the product is exact in float64, the sum is rounded to odd there."""
    with np.errstate(all="ignore"):
        product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
        return _to_odd(*_two_sum(product, np.asarray(c, np.float64))).astype(np.float32)


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """p + e == a * b exactly, away from overflow and underflow (Dekker, Veltkamp)."""
    p = a * b
    ta, tb = a * 134217729.0, b * 134217729.0
    ah, bh = ta - (ta - a), tb - (tb - b)
    al, bl = a - ah, b - bh
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def fma64(a: Any, b: Any, c: Any) -> Any:
    """a * b + c in float64 with one rounding (Boldo & Melquiond's algorithm; integers near the ends of the range)."""
    a, b, c = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64), np.asarray(c, np.float64))
    with np.errstate(all="ignore"):
        uh, ul = _two_product(a, b)
        th, tl = _two_sum(c, ul)
        vh, vl = _two_sum(uh, th)
        out = np.array(vh + _to_odd(*_two_sum(tl, vl)))
        plain = np.where(np.isfinite(a) & np.isfinite(b) & np.isinf(c), c, a * b + c)
        size = np.abs(a * b)
        easy = (np.abs(a) < 2.0**400) & (np.abs(b) < 2.0**400) & (size > 2.0**-900) & (size < 2.0**900)
        easy &= (np.abs(c) < 2.0**900) & ((np.abs(c) > 2.0**-900) | (c == 0))
        special = ~(np.isfinite(a) & np.isfinite(b) & np.isfinite(c)) | (a == 0) | (b == 0)
    out[special] = plain[special]
    for i in np.argwhere(~easy & ~special):
        k = tuple(i)
        out[k] = _fma_exact(float(a[k]), float(b[k]), float(c[k]))
    return out


def _fma_exact(a: float, b: float, c: float) -> float:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c if c == 0 and a * b == 0 else 0.0
    try:
        # CPython rounds a quotient of integers correctly, denormals included.
        return exact.numerator / exact.denominator
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")


def evaluate(function: Callable[..., Lane], ty: str, *arrays: Any) -> Any:
    """A lane function applied to numpy arrays of one type."""
    L = NumpyLanes()
    return function(L, *(L.wrap(ty, a) for a in arrays)).v

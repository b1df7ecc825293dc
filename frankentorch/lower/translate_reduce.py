"""How accumulators start, join and fold: the arithmetic of reductions, in the lane language.

Enters: accumulators as lists of lanes (one; for argmax and argmin the best value and its index; of complex ones both parts).
Leaves: the same. The functions take any `Lanes` builder, so the reference and the kernels share them; only `fold_lanes` needs LLVM vectors.
"""

from __future__ import annotations

from collections.abc import Sequence

from frankentorch.lower.lanes import BITS, Complex, Lane, Lanes, LLVMLanes, is_float, is_unsigned

Acc = Sequence[Lane]
NO_INDEX = (1 << 63) - 1


def accumulator_types(kind: str, arg: str, result: str) -> list[str]:
    """The lane codes of a reduction's accumulator, from its argument's and its step's dtype; the two parts of a complex one."""
    if kind in ("any", "all"):
        return ["i1"]
    if result in ("c64", "c128"):
        return ["f32", "f32"] if result == "c64" else ["f64", "f64"]
    if kind in ("sum", "prod"):
        return ["f32" if result in ("f16", "bf16") else result if is_float(result) else "i64"]
    value = "f32" if arg in ("f16", "bf16") else "u8" if arg == "i1" else arg
    return [value, "i64"] if kind.startswith("arg") else [value]


def extreme(ty: str, least: bool) -> float:
    """The least or greatest value of a lane code."""
    if is_float(ty):
        return float("-inf") if least else float("inf")
    if is_unsigned(ty):
        return 0 if least else (1 << BITS[ty]) - 1
    return -(1 << (BITS[ty] - 1)) if least else (1 << (BITS[ty] - 1)) - 1


def identity(L: Lanes, kind: str, types: Sequence[str]) -> list[Lane]:
    """The accumulator of no elements."""
    ty = types[0]
    if len(types) == 2 and not kind.startswith("arg"):
        return [L.const(ty, 0 if kind == "sum" else 1), L.const(ty, 0)]
    if kind in ("sum", "prod", "any", "all"):
        return [L.const(ty, {"sum": 0, "prod": 1, "any": 0, "all": 1}[kind])]
    best = L.const(ty, extreme(ty, least=kind.endswith("max")))
    return [best, L.const("i64", NO_INDEX)] if kind.startswith("arg") else [best]


def combine(L: Lanes, kind: str, acc: Acc, x: Acc) -> list[Lane]:
    """acc (+) x, lane by lane."""
    if kind.startswith("arg"):
        return _better(L, "gt" if kind == "argmax" else "lt", acc, x)
    if len(acc) == 2:
        (re, im), (p, q) = acc, x
        if kind == "sum":
            return [re + p, im + q]
        product = Complex(re, im) * Complex(p, q)
        return [product.re, product.im]
    a, b = acc[0], x[0]
    match kind:
        case "sum":
            return [a + b]
        case "prod":
            return [a * b]
        case "any":
            return [a | b]
        case "all":
            return [a & b]
        case "max":
            return [L.maximum(a, b)]
        case _:
            return [L.minimum(a, b)]


def _better(L: Lanes, predicate: str, acc: Acc, x: Acc) -> list[Lane]:
    (v, i), (w, j) = acc, x
    wins, ties = L.cmp(predicate, w, v), L.cmp("eq", w, v)
    if is_float(v.ty):
        v_nan, w_nan = L.isnan(v), L.isnan(w)
        wins, ties = wins | (w_nan & ~v_nan), ties | (w_nan & v_nan)
    take = wins | (ties & L.cmp("lt", j, i))
    return [L.select(take, w, v), L.select(take, j, i)]


def fold_list(L: Lanes, kind: str, rows: Sequence[Acc]) -> list[Lane]:
    """Sixteen accumulators by the tree: l with l + 8, then + 4, + 2, + 1."""
    rows = list(rows)
    while len(rows) > 1:
        half = len(rows) // 2
        rows = [combine(L, kind, rows[k], rows[k + half]) for k in range(half)]
    return _settle(L, kind, rows[0])


def fold_lanes(L: LLVMLanes, kind: str, acc: Acc) -> list[Lane]:
    """The same tree over the lanes of one vector; the result in every lane."""
    for shift in (8, 4, 2, 1):
        acc = combine(L, kind, acc, [_shuffle(L, a, [(k + shift) % 16 for k in range(16)]) for a in acc])
    return _settle(L, kind, [_shuffle(L, a, [0] * 16) for a in acc])


def _settle(L: Lanes, kind: str, acc: Acc) -> list[Lane]:
    """NaNs of arithmetic have no sign to keep."""
    return [L.canonical(a) if is_float(a.ty) else a for a in acc]


def _shuffle(L: LLVMLanes, a: Lane, order: Sequence[int]) -> Lane:
    picks = ", ".join(f"i32 {k}" for k in order)
    ty = L.type(a.ty)
    return L.wrap(a.ty, L.fn.op(f"shufflevector {ty} {a.v}, {ty} poison, <16 x i32> <{picks}>"))

"""Products with few rows, where B (usually weights) is read once and never packed.

Enters: a dtype, a tier, the number of rows, the unit-stride axis of B. Leaves: the tile to use, and for B stored (n, k), as the
weights of torch's linear are, a micro-kernel that transposes four k of its columns in registers on the way to the same chains.
"""

from __future__ import annotations

from dataclasses import replace

from frankentorch.lower.contract_micro import ROW_PITCH, Machine, Routine, arith, keep, load, machine, offset, size_of, splat_scalar
from frankentorch.lower.contract_pack import four_columns, load_strided_raw, to_compute
from frankentorch.lower.lanes import llvm_type

MAX_ROWS = 8
# Vectors of a row by rows of the tile, for B stored (k, n) and for B stored (n, k).
_WIDE = {"avx512": {1: 12, 2: 12, 4: 6, 8: 3}, "avx2": {1: 8, 2: 6, 4: 3, 8: 1}, "sse4.2": {1: 4, 2: 4, 4: 2, 8: 1}}
_TRANSPOSED = {"avx512": {1: 2, 2: 2, 4: 2, 8: 2}, "avx2": {1: 2, 2: 2, 4: 1, 8: 1}, "sse4.2": {1: 1, 2: 1, 4: 1, 8: 1}}


def height(rows: int) -> int:
    """The tile height for so many rows; 0 when they are too many."""
    return next((h for h in (1, 2, 4, 8) if h >= rows), 0)


def tile(dtype: str, tier: str, height: int, b_class: str) -> Machine:
    """The machine for a tile of `height` rows."""
    table = _TRANSPOSED if b_class == "k" else _WIDE
    return replace(machine(dtype, tier), vectors=table[tier][height], rows=(height,), ahead=0 if b_class == "k" else 8)


def fused(m: Machine, dtype: str) -> Routine:
    """``fused(a, b, stride, segments, count, slot, add)``: a micro-kernel for row-major packed A and B stored (n, k).

    `b` is the first of `m.columns` rows of B, `stride` bytes apart.
    """
    f = Routine("fused", [("ptr", "a"), ("ptr", "b"), ("i64", "stride"), ("ptr", "segments"), ("i64", "count"), ("ptr", "slot"),
                          ("i1", "add")])
    rows, size = m.rows[0], size_of(dtype)
    kc = load(f, "i64", f.op("getelementptr inbounds i64, ptr %segments, i64 1"), 8)
    fours = arith(f, "and", kc, -4)
    # Row 4i + j is at base j plus offset i: few registers, and each base moves by one addition.
    steps = [arith(f, "mul", "%stride", 4 * i) for i in range(m.columns // 4)]
    bases = [offset(f, "%b", arith(f, "mul", "%stride", j), 1) for j in range(4)]
    n = rows * m.vectors
    with f.loop("0", fours, 4, carried=[*(("ptr", p) for p in bases), *[(m.vector, m.zero())] * n]) as k:
        at, acc = k.vars[:4], k.vars[4:]
        columns = []
        for v in range(m.vectors):
            group = [offset(f, at[i % 4], steps[v * m.lanes // 4 + i // 4], 1) for i in range(m.lanes)]
            columns.append(four_columns(f, m, dtype, group))
        for j in range(4):
            for r in range(rows):
                where = arith(f, "add", k.iv, r * ROW_PITCH + j)
                a = splat_scalar(f, m, load(f, m.scalar, offset(f, "%a", where, m.size), m.size))
                for v in range(m.vectors):
                    acc[r * m.vectors + v] = m.fma(f, a, columns[v][j], acc[r * m.vectors + v])
        k.next([*(offset(f, p, str(4 * size), 1) for p in at), *acc])
    with f.loop(fours, kc, carried=[(m.vector, x) for x in k.results[4:]]) as k:
        acc = list(k.vars)
        for v in range(m.vectors):
            first = offset(f, offset(f, "%b", arith(f, "mul", "%stride", v * m.lanes), 1), k.iv, size)
            raw = load_strided_raw(f, llvm_type(dtype), size, m.lanes, first, "%stride", str(m.lanes))
            column = to_compute(f, m, dtype, raw, m.lanes)
            for r in range(rows):
                where = arith(f, "add", k.iv, r * ROW_PITCH)
                a = splat_scalar(f, m, load(f, m.scalar, offset(f, "%a", where, m.size), m.size))
                acc[r * m.vectors + v] = m.fma(f, a, column, acc[r * m.vectors + v])
        k.next(acc)
    keep(f, m, k.results)
    return f

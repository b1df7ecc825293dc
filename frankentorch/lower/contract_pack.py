"""Moving operands between strided memory and the packed panels that micro-kernels read.

Enters: a `Machine`, a stored dtype and a layout class. Leaves: LLVM text of internal functions
``pack_a(src, row_stride, k_stride, rows, padded_rows, kc, dst)`` and ``pack_b(src, k_stride, col_stride, cols, kc, dst)``
(strides in bytes), and helpers which load and store up to a vector of lanes at any stride. Packing converts to the compute type.
What pads a panel is zero, or a copy of a real row: stale memory could hold denormals, which are slow.
"""

from __future__ import annotations

from frankentorch.lower.contract_micro import PANEL, ROW_PITCH, Machine, Routine, arith, load, maximum, minimum, offset, size_of, store
from frankentorch.lower.lanes import llvm_type
from frankentorch.lower.llvmtext import Function


def to_compute(f: Function, m: Machine, dtype: str, value: str, lanes: int) -> str:
    """Stored lanes as the compute type (exact)."""
    lane = m.lanes_of(f, lanes)
    return str(lane.convert(lane.wrap(dtype, value), m.compute).v) if dtype != m.compute else value


def from_compute(f: Function, m: Machine, dtype: str, value: str, lanes: int) -> str:
    """Compute lanes as the stored type: one rounding, or the low bits."""
    lane = m.lanes_of(f, lanes)
    return str(lane.convert(lane.wrap(m.compute, value), dtype).v) if dtype != m.compute else value


def _vector(scalar: str, lanes: int) -> str:
    return f"<{lanes} x {scalar}>"


def first_lanes(f: Function, lanes: int, count: str) -> str:
    """The mask whose first `count` lanes are set."""
    narrow = f.op(f"trunc i64 {count} to i32")
    type_ = _vector("i32", lanes)
    one = f.op(f"insertelement {type_} poison, i32 {narrow}, i64 0")
    all_ = f.op(f"shufflevector {type_} {one}, {type_} poison, <{lanes} x i32> zeroinitializer")
    ids = ", ".join(f"i32 {i}" for i in range(lanes))
    return f.op(f"icmp ult {type_} <{ids}>, {all_}")


def _mangled(scalar: str, lanes: int) -> str:
    return f"v{lanes}" + {"float": "f32", "double": "f64"}.get(scalar, scalar)


def _masked(m: Machine) -> bool:
    return m.tier == "avx512"


def load_part(f: Function, m: Machine, dtype: str, p: str, count: str) -> str:
    """`count` < lanes adjacent elements as a compute vector; the other lanes are zero."""
    if _masked(m):
        return load_masked(f, m, dtype, p, first_lanes(f, m.lanes, count))
    size = size_of(dtype)
    return to_compute(f, m, dtype, load_strided_raw(f, llvm_type(dtype), size, m.lanes, p, str(size), count), m.lanes)


def load_masked(f: Function, m: Machine, dtype: str, p: str, mask: str) -> str:
    """The lanes of `mask` as a compute vector, zero elsewhere, on tiers that have masks."""
    scalar, size = llvm_type(dtype), size_of(dtype)
    type_ = _vector(scalar, m.lanes)
    raw = f.call(f"llvm.masked.load.{_mangled(scalar, m.lanes)}.p0", type_,
                 [(f"ptr align {size}", p), (_vector("i1", m.lanes), mask), (type_, "zeroinitializer")])
    return to_compute(f, m, dtype, raw, m.lanes)


def load_whole_or_part(f: Function, m: Machine, dtype: str, p: str, count: str) -> str:
    """The first `count` <= lanes adjacent elements as a compute vector."""
    return load_lanes(f, m, dtype, p, str(size_of(dtype)), count)


def store_part(f: Function, m: Machine, dtype: str, value: str, p: str, count: str) -> None:
    """Store the first `count` lanes of stored type, on tiers that have masks."""
    scalar, size = llvm_type(dtype), size_of(dtype)
    f.call(f"llvm.masked.store.{_mangled(scalar, m.lanes)}.p0", "void",
           [(_vector(scalar, m.lanes), value), (f"ptr align {size}", p), (_vector("i1", m.lanes), first_lanes(f, m.lanes, count))])


def load_strided_raw(f: Function, scalar: str, size: int, lanes: int, p: str, stride: str, count: str) -> str:
    """`count` elements at a byte stride, through the stack; the other lanes are zero."""
    type_ = _vector(scalar, lanes)
    buffer = f.alloca(type_)
    store(f, type_, "zeroinitializer", buffer, 64)
    with f.loop("0", count) as i:
        value = load(f, scalar, offset(f, p, arith(f, "mul", i.iv, stride), 1), size)
        store(f, scalar, value, offset(f, buffer, i.iv, size), size)
    return load(f, type_, buffer, 64)


def copy_run(f: Function, m: Machine, dtype: str, src: str, dst: str, count: str, exact: bool = False) -> None:
    """Convert `count` adjacent elements. Unless `exact`, a whole last vector is stored, which is zero beyond them."""
    whole = arith(f, "and", count, -m.lanes)
    with f.loop("0", whole, m.lanes) as i:
        raw = load(f, _vector(llvm_type(dtype), m.lanes), offset(f, src, i.iv, size_of(dtype)), size_of(dtype))
        store(f, m.vector, to_compute(f, m, dtype, raw, m.lanes), offset(f, dst, i.iv, m.size), m.size)
    rest = arith(f, "sub", count, whole)
    with f.when(f.op(f"icmp sgt i64 {rest}, 0")):
        src, dst = offset(f, src, whole, size_of(dtype)), offset(f, dst, whole, m.size)
        if not exact:
            store(f, m.vector, load_part(f, m, dtype, src, rest), dst, m.size)
        elif _masked(m):
            store_part(f, m, m.compute, load_part(f, m, dtype, src, rest), dst, rest)
        else:
            with f.loop("0", rest) as i:
                copy_scalar(f, m, dtype, offset(f, src, i.iv, size_of(dtype)), offset(f, dst, i.iv, m.size))


def copy_scalar(f: Function, m: Machine, dtype: str, src: str, dst: str) -> None:
    value = load(f, llvm_type(dtype), src, size_of(dtype))
    store(f, m.scalar, to_compute(f, m, dtype, value, 0), dst, m.size)


def pack_a(m: Machine, dtype: str, layout: str, exact: bool = False) -> Function:
    """`layout` is the unit-stride axis of A: "k", "m" (the panel is then k-major) or "g" for neither.

    With `exact`, a k-major panel keeps what lies beyond `rows`, so that it can be packed piecemeal.
    """
    f = Routine("pack_a", [("ptr", "src"), ("i64", "row"), ("i64", "k"), ("i64", "rows"), ("i64", "padded"), ("i64", "kc"),
                            ("ptr", "dst")])
    if layout == "m":
        _pack_columns(f, m, dtype, exact)
        return f
    with f.loop("0", "%rows") as r:
        src, dst = offset(f, "%src", arith(f, "mul", r.iv, "%row"), 1), offset(f, "%dst", r.iv, ROW_PITCH * m.size)
        if layout == "k":
            copy_run(f, m, dtype, src, dst, "%kc")
        else:
            with f.loop("0", "%kc") as k:
                copy_scalar(f, m, dtype, offset(f, src, arith(f, "mul", k.iv, "%k"), 1), offset(f, dst, k.iv, m.size))
    with f.loop("%rows", "%padded") as r:
        dst = offset(f, "%dst", r.iv, ROW_PITCH * m.size)
        with f.loop("0", "%kc", m.lanes) as k:
            store(f, m.vector, m.zero(), offset(f, dst, k.iv, m.size), m.size)
    return f


def _pack_columns(f: Routine, m: Machine, dtype: str, exact: bool) -> None:
    # A panel has no more rows than `k_pitch`, so every k is the same one or two loads; where the tier has masks they are made once.
    if not _masked(m):
        with f.loop("0", "%kc") as k:
            src, dst = offset(f, "%src", arith(f, "mul", k.iv, "%k"), 1), offset(f, "%dst", k.iv, m.k_pitch * m.size)
            copy_run(f, m, dtype, src, dst, "%rows", exact)
        return
    flags = _vector("i1", m.lanes)
    masks = [first_lanes(f, m.lanes, maximum(f, arith(f, "sub", "%rows", first), "0")) for first in range(0, m.rows[0], m.lanes)]
    with f.loop("0", "%kc", carried=[("ptr", "%src"), ("ptr", "%dst")]) as k:
        for i, mask in enumerate(masks):
            value = load_masked(f, m, dtype, offset(f, k.vars[0], str(i * m.lanes), size_of(dtype)), mask)
            to = offset(f, k.vars[1], str(i * m.lanes), m.size)
            if exact:
                f.call(f"llvm.masked.store.{_mangled(m.scalar, m.lanes)}.p0", "void",
                       [(m.vector, value), (f"ptr align {m.size}", to), (flags, mask)])
            else:
                store(f, m.vector, value, to, m.size)
        k.next([offset(f, k.vars[0], "%k", 1), offset(f, k.vars[1], str(m.k_pitch * m.size), 1)])


def pack_b(m: Machine, dtype: str, layout: str, name: str = "pack_b") -> Function:
    """`layout` is the unit-stride axis of B: "n", "k" or "g". The block is panels of ``[CHUNK][columns]``."""
    f = Routine(name, [("ptr", "src"), ("i64", "k"), ("i64", "col"), ("i64", "cols"), ("i64", "kc"), ("ptr", "dst")])
    if layout == "n":
        _pack_rows(f, m, dtype)
        return f
    with f.loop("0", "%cols", m.columns) as j:
        have = minimum(f, arith(f, "sub", "%cols", j.iv), str(m.columns))
        src, dst = offset(f, "%src", arith(f, "mul", j.iv, "%col"), 1), offset(f, "%dst", j.iv, PANEL * m.size)
        (_pack_transposed if layout == "k" else _pack_scattered)(f, m, dtype, src, dst, have)
    return f


def _pack_rows(f: Function, m: Machine, dtype: str) -> None:
    # Whole rows of B at a time: the source is read in order, however far apart its rows are.
    panel = PANEL * m.columns * m.size
    whole = arith(f, "mul", arith(f, "udiv", "%cols", m.columns), m.columns)
    rest = arith(f, "sub", "%cols", whole)
    ragged = f.op(f"icmp sgt i64 {rest}, 0")
    with f.loop("0", "%kc") as k:
        src, dst = offset(f, "%src", arith(f, "mul", k.iv, "%k"), 1), offset(f, "%dst", k.iv, m.columns * m.size)
        with f.loop("0", whole, m.columns, carried=[("ptr", dst)]) as j:
            at = offset(f, src, j.iv, size_of(dtype))
            for v in range(m.vectors):
                raw = load(f, _vector(llvm_type(dtype), m.lanes), offset(f, at, str(v * m.lanes), size_of(dtype)), size_of(dtype))
                store(f, m.vector, to_compute(f, m, dtype, raw, m.lanes), offset(f, j.vars[0], str(v * m.lanes), m.size), m.size)
            j.next([offset(f, j.vars[0], str(panel), 1)])
        with f.when(ragged):
            to = j.results[0]
            for v in range(m.vectors):
                store(f, m.vector, m.zero(), offset(f, to, str(v * m.lanes), m.size), m.size)
            copy_run(f, m, dtype, offset(f, src, whole, size_of(dtype)), to, rest)


def _pack_scattered(f: Function, m: Machine, dtype: str, src: str, dst: str, cols: str) -> None:
    with f.loop("0", "%kc") as k:
        to = offset(f, dst, k.iv, m.columns * m.size)
        for v in range(m.vectors):
            store(f, m.vector, m.zero(), offset(f, to, str(v * m.lanes), m.size), m.size)
        row = offset(f, src, arith(f, "mul", k.iv, "%k"), 1)
        with f.loop("0", cols) as n:
            copy_scalar(f, m, dtype, offset(f, row, arith(f, "mul", n.iv, "%col"), 1), offset(f, to, n.iv, m.size))


def concat(f: Function, scalar: str, parts: list[str], lanes: int) -> str:
    """Join vectors of `lanes` lanes, pairwise."""
    while len(parts) > 1:
        ids = ", ".join(f"i32 {i}" for i in range(2 * lanes))
        t = _vector(scalar, lanes)
        parts = [f.op(f"shufflevector {t} {x}, {t} {y}, <{2 * lanes} x i32> <{ids}>")
                 for x, y in zip(parts[::2], parts[1::2], strict=True)]
        lanes *= 2
    return parts[0]


def transpose_fours(f: Function, vector: str, lanes: int, four: list[str]) -> list[str]:
    """Transpose the 4x4 block held by each run of four lanes of four vectors."""
    def shuffle(x: str, y: str, pick: tuple[int, int, int, int]) -> str:
        ids = ", ".join(f"i32 {(b + i % 4) + (lanes if i >= 4 else 0)}" for b in range(0, lanes, 4) for i in pick)
        return f.op(f"shufflevector {vector} {x}, {vector} {y}, <{lanes} x i32> <{ids}>")

    a, b, c, d = four
    low, high = (0, 4, 1, 5), (2, 6, 3, 7)
    ab, cd, ab2, cd2 = shuffle(a, b, low), shuffle(c, d, low), shuffle(a, b, high), shuffle(c, d, high)
    return [shuffle(ab, cd, (0, 1, 4, 5)), shuffle(ab, cd, (2, 3, 6, 7)),
            shuffle(ab2, cd2, (0, 1, 4, 5)), shuffle(ab2, cd2, (2, 3, 6, 7))]


def four_columns(f: Function, m: Machine, dtype: str, rows: list[str]) -> list[str]:
    """Four adjacent elements from each of `lanes` row pointers, as four compute vectors with one row a lane."""
    scalar, size = llvm_type(dtype), size_of(dtype)
    pieces = [load(f, _vector(scalar, 4), p, size) for p in rows]
    mixed = [to_compute(f, m, dtype, concat(f, scalar, pieces[j::4], 4), m.lanes) for j in range(4)]
    return transpose_fours(f, m.vector, m.lanes, mixed)


def row_table(f: Function, m: Machine, src: str, stride: str, count: str) -> str:
    """`lanes` row pointers in stack memory; rows from `count` on repeat the last, so that every one can be read."""
    table = f.alloca(f"[{m.lanes} x ptr]")
    last = arith(f, "sub", count, 1)
    with f.loop("0", str(m.lanes)) as i:
        row = minimum(f, i.iv, last)
        store(f, "ptr", offset(f, src, arith(f, "mul", row, stride), 1), offset(f, table, i.iv, 8), 8)
    return table


def _pack_transposed(f: Function, m: Machine, dtype: str, src: str, dst: str, cols: str) -> None:
    step = 4 * size_of(dtype)
    fours = arith(f, "and", "%kc", -4)
    for v in range(m.vectors):
        here = minimum(f, str(v * m.lanes), arith(f, "sub", cols, 1))
        left = maximum(f, arith(f, "sub", cols, v * m.lanes), "1")
        table = row_table(f, m, offset(f, src, arith(f, "mul", here, "%col"), 1), "%col", left)
        rows = [load(f, "ptr", offset(f, table, str(i), 8), 8) for i in range(m.lanes)]
        lane = offset(f, dst, str(v * m.lanes), m.size)
        with f.loop("0", fours, 4) as k:
            at = arith(f, "mul", k.iv, step // 4)
            columns = four_columns(f, m, dtype, [offset(f, p, at, 1) for p in rows])
            for j, column in enumerate(columns):
                store(f, m.vector, column, offset(f, lane, arith(f, "add", k.iv, j), m.columns * m.size), m.size)
        with f.loop(fours, "%kc") as k, f.loop("0", str(m.lanes)) as n:
            row = load(f, "ptr", offset(f, table, n.iv, 8), 8)
            to = offset(f, offset(f, lane, k.iv, m.columns * m.size), n.iv, m.size)
            copy_scalar(f, m, dtype, offset(f, row, k.iv, size_of(dtype)), to)


def store_lanes(f: Function, m: Machine, dtype: str, value: str, p: str, stride: str, count: str, unit: str) -> None:
    """Round compute lanes to `dtype` and store the first `count` at byte `stride`; `unit` says the stride is one element."""
    scalar, size = llvm_type(dtype), size_of(dtype)
    type_ = _vector(scalar, m.lanes)
    value = from_compute(f, m, dtype, value, m.lanes)
    whole, part, done = f.label("whole"), f.label("part"), f.label("stored")
    full = f.op(f"icmp sge i64 {count}, {m.lanes}")
    f.branch_if(f.op(f"and i1 {full}, {unit}"), whole, part)
    f.block(whole)
    store(f, type_, value, p, size)
    f.branch(done)
    f.block(part)
    if _masked(m):
        strided, ragged = f.label("strided"), f.label("ragged")
        f.branch_if(unit, ragged, strided)
        f.block(ragged)
        store_part(f, m, dtype, value, p, count)
        f.branch(done)
        f.block(strided)
    buffer = f.alloca(type_)
    store(f, type_, value, buffer, 64)
    with f.loop("0", minimum(f, count, str(m.lanes))) as i:
        one = load(f, scalar, offset(f, buffer, i.iv, size), size)
        store(f, scalar, one, offset(f, p, arith(f, "mul", i.iv, stride), 1), size)
    f.branch(done)
    f.block(done)


def load_lanes(f: Function, m: Machine, dtype: str, p: str, stride: str, count: str) -> str:
    """The first `count` elements at byte `stride` as compute lanes (zero beyond)."""
    scalar, size = llvm_type(dtype), size_of(dtype)
    type_ = _vector(scalar, m.lanes)
    unit = f.op(f"icmp eq i64 {stride}, {size}")
    full = f.op(f"icmp sge i64 {count}, {m.lanes}")
    whole, part, done = f.label("whole"), f.label("part"), f.label("loaded")
    f.branch_if(f.op(f"and i1 {full}, {unit}"), whole, part)
    f.block(whole)
    one = load(f, type_, p, size)
    f.branch(done)
    f.block(part)
    other = load_strided_raw(f, scalar, size, m.lanes, p, stride, minimum(f, count, str(m.lanes)))
    end = f.current_block
    f.branch(done)
    f.block(done)
    raw = f.op(f"phi {type_} [ {one}, %{whole} ], [ {other}, %{end} ]")
    return to_compute(f, m, dtype, raw, m.lanes)

"""What every contraction does around its micro-kernels: running them over a tile, folding, the epilogue and the store.

Enters: a `Machine`, an `Epilogue`. Leaves: LLVM text of internal functions, or instructions added to the function being written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from frankentorch.lower.contract_micro import ROW_PITCH, Machine, Routine, arith, load, offset, size_of, store, word
from frankentorch.lower.contract_pack import from_compute, load_lanes, store_lanes
from frankentorch.lower.kernel import Word
from frankentorch.lower.lanes import Lane, LLVMLanes, llvm_type
from frankentorch.lower.llvmtext import Function, module


@dataclass(frozen=True, slots=True)
class EpilogueOperand:
    """A tensor the epilogue reads at the output's index: strides are (*batch, row, column) in elements, 0 to broadcast."""

    word: Word
    dtype: str
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What happens to a folded sum before it is rounded and stored.

    ``emit(L, acc, operands)`` is a lane function in the compute type; `key` names it and is part of the symbol, so equal keys must mean
    equal functions (and equal operand dtypes).
    """

    key: str
    emit: Callable[[LLVMLanes, Lane, list[Lane]], Lane]
    operands: tuple[EpilogueOperand, ...] = ()


def bias_epilogue(word_: Word, dtype: str, strides: tuple[int, ...]) -> Epilogue:
    """acc + bias, rounded once; `strides` (*batch, row, column) choose a bias per column, per row or per element."""
    return Epilogue(f"bias_{dtype}", lambda L, acc, operands: acc + operands[0], (EpilogueOperand(word_, dtype, strides),))


class Held:
    """Carries an epilogue past the cache key: its key string stands for it."""

    def __init__(self, epilogue: Epilogue | None) -> None:
        self.epilogue = epilogue

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held)


def assemble(parts: list[Function]) -> str:
    """One module from functions which may call each other."""
    defined = {f.name for f in parts}
    declares = {n: d for f in parts for n, d in f.declares.items() if n not in defined}
    return module(parts, declares)


def finish(m: Machine, out_dtype: str, epilogue: Epilogue | None, from_table: bool = False) -> Function:
    """``finish(slot, rows, cols, c, c_row, c_col, bases, row, col)``: the epilogue and the store of one tile.

    `c` is the tile's first output; `bases` holds (address, row stride, column stride) of each epilogue operand, indexed by
    the absolute `row` and `col`. With `from_table`, `c` is a table of (source, output) addresses, one pair a row, and `c_row` an
    offset to add to every output address.
    """
    f = Routine("finish", [("ptr", "slot"), ("i64", "rows"), ("i64", "cols"), ("ptr", "c"), ("i64", "c_row"), ("i64", "c_col"),
                            ("ptr", "bases"), ("i64", "row"), ("i64", "col")])
    unit = f.op(f"icmp eq i64 %c_col, {size_of(out_dtype)}")
    plain = f.op(f"and i1 {unit}, {f.op(f'icmp eq i64 %cols, {m.columns}')}")
    with f.loop("0", "%rows") as r:
        from_row = offset(f, "%slot", r.iv, m.columns * m.size)
        if from_table:
            to_row = offset(f, word(f, offset(f, "%c", r.iv, 16), 1, "ptr"), "%c_row", 1)
        else:
            to_row = offset(f, "%c", arith(f, "mul", r.iv, "%c_row"), 1)
        row = arith(f, "add", "%row", r.iv)
        if epilogue is None:
            # The common tile, whole and adjacent, without the questions of the general one.
            general, next_row = f.label("general"), f.label("next")
            quick = f.label("quick")
            f.branch_if(plain, quick, general)
            f.block(quick)
            for v in range(m.vectors):
                value = load(f, m.vector, offset(f, from_row, str(v * m.lanes), m.size), m.size)
                value = from_compute(f, m, out_dtype, value, m.lanes)
                stored = f"<{m.lanes} x {llvm_type(out_dtype)}>"
                store(f, stored, value, offset(f, to_row, str(v * m.lanes), size_of(out_dtype)), size_of(out_dtype))
            f.branch(next_row)
            f.block(general)
        with f.loop("0", "%cols", m.lanes) as j:
            acc = load(f, m.vector, offset(f, from_row, j.iv, m.size), m.size)
            count = arith(f, "sub", "%cols", j.iv)
            if epilogue is not None:
                lanes = m.lanes_of(f)
                col = arith(f, "add", "%col", j.iv)
                values = [lanes.wrap(m.compute, _operand(f, m, o.dtype, t, row, col, count)) for t, o in enumerate(epilogue.operands)]
                acc = epilogue.emit(lanes, lanes.wrap(m.compute, acc), values).v
            store_lanes(f, m, out_dtype, acc, offset(f, to_row, arith(f, "mul", j.iv, "%c_col"), 1), "%c_col", count, unit)
        if epilogue is None:
            f.branch(next_row)
            f.block(next_row)
    return f


def _operand(f: Function, m: Machine, dtype: str, index: int, row: str, col: str, count: str) -> str:
    base, row_step, col_step = (word(f, "%bases", 3 * index + i, t) for i, t in enumerate(("ptr", "i64", "i64")))
    p = offset(f, offset(f, base, arith(f, "mul", row, row_step), 1), arith(f, "mul", col, col_step), 1)
    return load_lanes(f, m, dtype, p, col_step, count)


def tile_height(f: Function, m: Machine, have: str) -> str:
    """How many rows to compute for `have` rows: a whole tile, or a multiple of the short micro-kernel's rows."""
    short = m.rows[-1]
    return arith(f, "mul", arith(f, "udiv", arith(f, "add", have, short - 1), short), short)


def call_micro(f: Function, m: Machine, k_major: bool, height: str, a: str, b: str, ldb: str, segments: str, count: str, slot: str,
               add: str) -> None:
    """Run the tall micro-kernel on a whole tile, or the short one as often as `height` asks."""
    tall, short, done = f.label("tall"), f.label("short"), f.label("computed")
    rest = f"i64 {ldb}, ptr {segments}, i64 {count}"
    if len(m.rows) > 1:
        f.branch_if(f.op(f"icmp eq i64 {height}, {m.rows[0]}"), tall, short)
        f.block(tall)
    f.do(f"call void @micro_{m.rows[0]}(ptr {a}, ptr {b}, {rest}, ptr {slot}, i1 {add})")
    if len(m.rows) == 1:
        return
    f.branch(done)
    f.block(short)
    with f.loop("0", height, m.rows[1]) as r:
        rows, to = offset(f, a, r.iv, m.size * (1 if k_major else ROW_PITCH)), offset(f, slot, r.iv, m.columns * m.size)
        f.do(f"call void @micro_{m.rows[1]}(ptr {rows}, ptr {b}, {rest}, ptr {to}, i1 {add})")
    f.branch(done)
    f.block(done)


def fold_groups(f: Function, m: Machine, slot: str, total: str, later: str, last: str) -> None:
    """At the end of a group: slot = total + slot from the second group on; total = slot when more groups follow."""
    elements = str(m.rows[0] * m.columns)
    with f.when(later), f.loop("0", elements, m.lanes) as i:
        at, t = offset(f, slot, i.iv, m.size), load(f, m.vector, offset(f, total, i.iv, m.size), m.size)
        store(f, m.vector, m.add(f, t, load(f, m.vector, at, m.size)), at, m.size)
    with f.when(f.op(f"xor i1 {last}, true")), f.loop("0", elements, m.lanes) as i:
        store(f, m.vector, load(f, m.vector, offset(f, slot, i.iv, m.size), m.size), offset(f, total, i.iv, m.size), m.size)

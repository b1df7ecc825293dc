"""The inner kernels of every contraction: tile tables and the micro-kernel that runs fma chains over packed panels.

Enters: a dtype, a CPU tier. Leaves: a `Machine` (lanes, tile sizes, element access) and LLVM text of internal functions.

A micro-kernel is ``micro_R(a, b, ldb, segments, count, slot, add)``: R rows times `Machine.columns` columns, each
output one fma chain from +0 over the k of `segments` ((first, length) pairs within one chunk), stored to `slot` or added
to it. A tile cannot change a chain, so neither can the tier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frankentorch.lower.lanes import LLVMLanes, llvm_type
from frankentorch.lower.llvmtext import Function, splat

CHUNK = 384
GROUP = 32
PANEL = CHUNK + 2  # rows reserved for a B panel; panels must not share cache sets
TIERS = ("avx512", "avx2", "sse4.2")
# The features of each tier, as LLVM spells them; the build machine's own cpu name must not leak into the text.
FEATURES = {"avx512": "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512cd,+avx2,+fma,+f16c,+bmi,+bmi2,+popcnt,+lzcnt,-prefer-256-bit",
            "avx2": "+avx2,+fma,+f16c,+bmi,+bmi2,+popcnt,+lzcnt", "sse4.2": "+sse4.2,+popcnt"}
_COMPUTE = {"bf16": "f32", "f16": "f32", "i8": "i32", "u8": "i32", "i16": "i32", "u16": "i32", "u32": "i32", "u64": "i64"}
_BYTES = {"i8": 1, "u8": 1, "i16": 2, "u16": 2, "f16": 2, "bf16": 2, "i32": 4, "u32": 4, "f32": 4,
          "i64": 8, "u64": 8, "f64": 8}
ROW_PITCH = CHUNK + 16  # elements between rows of a row-major A panel; not a power of two, so rows do not share cache sets
AHEAD = 16  # rows of B to prefetch ahead


def compute_type(dtype: str) -> str:
    """The type a contraction of `dtype` accumulates in. Narrow integers wrap equally whether accumulated wide or not."""
    return _COMPUTE.get(dtype, dtype)


def size_of(dtype: str) -> int:
    return _BYTES[dtype]


@dataclass(frozen=True, slots=True)
class Machine:
    """The tile of one compute type on one tier: vectors of `lanes`, `vectors` of them a row, panels of `rows[0]` rows.

    `rows` lists the micro-kernels' heights: the tile's, and a divisor of it from which ragged last panels are made. `ahead`
    rows of B are prefetched, for tiles that read B in place.
    """

    tier: str
    compute: str
    lanes: int
    vectors: int
    rows: tuple[int, ...]
    ahead: int = 0

    @property
    def columns(self) -> int:
        return self.lanes * self.vectors

    @property
    def k_pitch(self) -> int:
        """Elements between k of a k-major A panel. A whole vector stored there may spill into the next k, which is written later."""
        return self.rows[0]

    @property
    def size(self) -> int:
        return size_of(self.compute)

    @property
    def scalar(self) -> str:
        return llvm_type(self.compute)

    @property
    def vector(self) -> str:
        return f"<{self.lanes} x {self.scalar}>"

    @property
    def is_float(self) -> bool:
        return self.compute in ("f32", "f64")

    def zero(self, lanes: int | None = None) -> str:
        lanes = self.lanes if lanes is None else lanes
        return splat(self.scalar, "0.0" if self.is_float else "0", lanes)

    def lanes_of(self, f: Function, lanes: int | None = None) -> LLVMLanes:
        return LLVMLanes(f, self.lanes if lanes is None else lanes, f16c=self.tier != "sse4.2")

    def fma(self, f: Function, a: str, b: str, c: str) -> str:
        """a * b + c on vectors: one rounding, or wrapping."""
        v = self.vector
        if self.is_float:
            return f.call(f"llvm.fma.v{self.lanes}{self.compute}", v, [(v, a), (v, b), (v, c)])
        return f.op(f"add {v} {c}, {f.op(f'mul {v} {a}, {b}')}")

    def add(self, f: Function, a: str, b: str) -> str:
        return f.op(f"{'fadd' if self.is_float else 'add'} {self.vector} {a}, {b}")


def machine(dtype: str, tier: str) -> Machine:
    """The tile table. Accumulators, one row of B and one broadcast fit the registers of each tier without spills."""
    if tier not in TIERS:
        raise ValueError(f"no such tier: {tier!r}; one of {', '.join(TIERS)}")
    compute = compute_type(dtype)
    wide = size_of(compute) == 8
    if tier == "avx512":
        return Machine(tier, compute, 8 if wide else 16, 2, (12, 4))
    if tier == "avx2":
        return Machine(tier, compute, 4 if wide else 8, 2, (6, 2))
    return Machine(tier, compute, 4, 1 if wide else 2, (4, 1))


class Routine(Function):
    """A `Function` that says how its code is to be generated and what it returns."""

    def __init__(self, name: str, params: Sequence[tuple[str, str]], linkage: str = "internal",
                 ret: str = "void", quick: bool = False) -> None:
        # Control code is a third of the time to generate code and a hundredth of the time to run: no optimisation for it.
        super().__init__(name, params, ret, linkage, "nounwind noinline optnone" if quick else "nounwind")
        self.ret = ret
        self.result = ""

    def finish(self, ret: str = "") -> str:
        return super().finish(ret or f"ret {self.ret} {self.result}".rstrip())


def offset(f: Function, base: str, count: str, size: int) -> str:
    """base + count * size bytes."""
    if size == 1:
        return f.op(f"getelementptr inbounds i8, ptr {base}, i64 {count}")
    return f.op(f"getelementptr inbounds [{size} x i8], ptr {base}, i64 {count}")


def word(f: Function, args: str, index: int | str, type_: str = "i64") -> str:
    """Argument word `index`."""
    return f.op(f"load {type_}, ptr {offset(f, args, str(index), 8)}, align 8")


def load(f: Function, type_: str, p: str, align: int) -> str:
    return f.op(f"load {type_}, ptr {p}, align {align}")


def store(f: Function, type_: str, value: str, p: str, align: int) -> None:
    f.do(f"store {type_} {value}, ptr {p}, align {align}")


def prefetch(f: Function, p: str, write: bool = False) -> None:
    """Bring a cache line near. Any address is allowed."""
    f.call("llvm.prefetch.p0", "void", [("ptr", p), ("i32", "1" if write else "0"), ("i32", "3"), ("i32", "1")])


def minimum(f: Function, a: str, b: str) -> str:
    return f.call("llvm.smin.i64", "i64", [("i64", a), ("i64", b)])


def maximum(f: Function, a: str, b: str) -> str:
    return f.call("llvm.smax.i64", "i64", [("i64", a), ("i64", b)])


def arith(f: Function, op: str, a: str, b: str | int) -> str:
    return f.op(f"{op} i64 {a}, {b}")


def splat_scalar(f: Function, m: Machine, value: str) -> str:
    """A vector of `value` in every lane."""
    one = f.op(f"insertelement {m.vector} poison, {m.scalar} {value}, i64 0")
    return f.op(f"shufflevector {m.vector} {one}, {m.vector} poison, <{m.lanes} x i32> zeroinitializer")


def micro(m: Machine, rows: int, k_major: bool) -> Function:
    """The micro-kernel of `rows` rows. A is packed ``[k][m.k_pitch]`` when `k_major`, else ``[row][ROW_PITCH]``."""
    f = Routine(f"micro_{rows}", [("ptr", "a"), ("ptr", "b"), ("i64", "ldb"), ("ptr", "segments"), ("i64", "count"),
                                  ("ptr", "slot"), ("i1", "add")])
    row_step, k_step = (m.size, m.k_pitch * m.size) if k_major else (ROW_PITCH * m.size, m.size)
    n = rows * m.vectors
    distance = arith(f, "mul", "%ldb", m.ahead)
    zeros = [(m.vector, m.zero())] * n
    with f.loop("0", "%count", carried=zeros) as segments:
        at = f.op(f"getelementptr inbounds [2 x i64], ptr %segments, i64 {segments.iv}")
        first, length = load(f, "i64", at, 8), load(f, "i64", f.op(f"getelementptr inbounds i64, ptr {at}, i64 1"), 8)
        a = offset(f, "%a", first, k_step)
        b = offset(f, "%b", arith(f, "mul", first, "%ldb"), 1)
        with f.loop("0", length, carried=[("ptr", a), ("ptr", b), *((m.vector, c) for c in segments.vars)]) as k:
            a, b, acc = k.vars[0], k.vars[1], k.vars[2:]
            if m.ahead:
                distant = offset(f, b, distance, 1)
                for line in range(0, m.columns * m.size, 64):
                    prefetch(f, offset(f, distant, str(line), 1))
            lines = [load(f, m.vector, offset(f, b, str(v * m.lanes), m.size), m.size) for v in range(m.vectors)]
            out = []
            for r in range(rows):
                one = load(f, m.scalar, offset(f, a, str(r * row_step), 1), m.size)
                broadcast = splat_scalar(f, m, one)
                out += [m.fma(f, broadcast, lines[v], acc[r * m.vectors + v]) for v in range(m.vectors)]
            k.next([offset(f, a, str(k_step), 1), offset(f, b, "%ldb", 1), *out])
        segments.next(k.results[2:])
    keep(f, m, segments.results)
    return f


def keep(f: Function, m: Machine, acc: Sequence[str]) -> None:
    """Store a tile's chunk sums to `%slot`, or add them to it when `%add`."""
    places = [offset(f, "%slot", str(i * m.lanes), m.size) for i in range(len(acc))]
    added, fresh = f.label("add"), f.label("set")
    f.branch_if("%add", added, fresh)
    f.block(added)
    for p, value in zip(places, acc, strict=True):
        store(f, m.vector, m.add(f, load(f, m.vector, p, m.size), value), p, m.size)
    f.do("ret void")
    f.block(fresh)
    for p, value in zip(places, acc, strict=True):
        store(f, m.vector, value, p, m.size)

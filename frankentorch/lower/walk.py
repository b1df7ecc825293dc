"""Writing kernels whose units are places of a strided space: argument words, odometers, inner loops.

Enters: concrete sizes and strides, which become argument words (text depends only on which strides are 0 or 1 and on the number
of dimensions left after merging). Leaves: `Lowered` from `Kernel.finish`. Used by the gather, scatter, scan, sort and window templates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from blake3 import blake3

from frankentorch.lower.kernel import Lowered, Ptr, Word
from frankentorch.lower.lanes import BITS, Lane, LLVMLanes
from frankentorch.lower.llvmtext import Function, module

ABI = [("ptr", "args"), ("i64", "lo"), ("i64", "hi"), ("ptr", "scratch")]
LANES = 16
WORK_PER_THREAD = 16384
_NAME = "KERNEL"


def collapse(sizes: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Merge dimensions that all operands walk evenly, and drop those of size one: (sizes, strides by operand)."""
    out_sizes: list[int] = []
    out: list[list[int]] = [[] for _ in strides]
    for d, n in enumerate(sizes):
        if n == 1:
            continue
        if out_sizes and all(o[-1] == s[d] * n for o, s in zip(out, strides, strict=True)):
            out_sizes[-1] *= n
            for o, s in zip(out, strides, strict=True):
                o[-1] = s[d]
            continue
        out_sizes.append(n)
        for o, s in zip(out, strides, strict=True):
            o.append(s[d])
    return out_sizes, out


@dataclass(slots=True)
class Dim:
    """One dimension of a space, as words: its size and each operand's stride (None: 0)."""

    size: str
    strides: list[str | None]


class Kernel:
    """One kernel being written. Take all words before the first loop is opened."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.f = Function(_NAME, ABI)
        self.words: list[Word] = []

    # Words ----------------------------------------------------------------------------------------------------
    def word(self, value: Word, ty: str = "i64") -> str:
        at = self.f.op(f"getelementptr inbounds i64, ptr %args, i64 {len(self.words)}")
        self.words.append(value)
        return self.f.op(f"load {ty}, ptr {at}, align 8")

    def pointer(self, operand: int) -> str:
        return self.word(Ptr(operand), "ptr")

    def stride(self, value: int) -> str | None:
        """A stride: None when it is 0, the literal when it is 1 (the text specialises on both), else a word."""
        return None if value == 0 else "1" if value == 1 else self.word(value)

    def dims(self, sizes: Sequence[int], strides: Sequence[Sequence[int]]) -> list[Dim]:
        return [Dim(self.word(n), [self.stride(s[d]) for s in strides]) for d, n in enumerate(sizes)]

    # Integer arithmetic ---------------------------------------------------------------------------------------
    def add(self, a: str | None, b: str | None) -> str:
        if a in (None, "0"):
            return b or "0"
        return a if b in (None, "0") else self.f.op(f"add i64 {a}, {b}")  # type: ignore[return-value]

    def sub(self, a: str, b: str) -> str:
        return self.f.op(f"sub i64 {a}, {b}")

    def mul(self, a: str, b: str | None) -> str:
        if b is None or a == "0":
            return "0"
        return a if b == "1" else b if a == "1" else self.f.op(f"mul i64 {a}, {b}")

    def least(self, a: str, b: str) -> str:
        return self.f.op(f"select i1 {self.f.op(f'icmp slt i64 {a}, {b}')}, i64 {a}, i64 {b}")

    def most(self, a: str, b: str) -> str:
        return self.f.op(f"select i1 {self.f.op(f'icmp sgt i64 {a}, {b}')}, i64 {a}, i64 {b}")

    # Memory ---------------------------------------------------------------------------------------------------
    def at(self, base: str, offset: str | None, bits: int) -> str:
        """The address of element `offset` of `bits` bits."""
        return base if offset in (None, "0") else self.f.op(f"getelementptr inbounds i{bits}, ptr {base}, i64 {offset}")

    def load_int(self, base: str, offset: str | None, bits: int, signed: bool = True) -> str:
        """An integer element as i64."""
        v = self.f.op(f"load i{bits}, ptr {self.at(base, offset, bits)}, align {bits // 8}")
        return v if bits == 64 else self.f.op(f"{'sext' if signed else 'zext'} i{bits} {v} to i64")

    def move(self, source: str, target: str, bits: int) -> None:
        align = min(bits // 8, 8)
        v = self.f.op(f"load i{bits}, ptr {source}, align {align}")
        self.f.do(f"store i{bits} {v}, ptr {target}, align {align}")

    def copy(self, source: str, target: str, nbytes: str) -> None:
        self.f.declare("llvm.memcpy.p0.p0.i64", "void", ["ptr", "ptr", "i64", "i1"])
        self.f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {nbytes}, i1 false)")

    # Loops ----------------------------------------------------------------------------------------------------
    @contextmanager
    def each(self, dims: Sequence[Dim], operands: int, lo: str = "%lo", hi: str = "%hi") -> Iterator[tuple[list[str], list[str]]]:
        """Places lo..hi of the row-major space: yields (coordinates, offset of each operand). No division inside the loop."""
        f = self.f
        coords, rest = [], lo
        for d in reversed(dims):
            coords.append(f.op(f"urem i64 {rest}, {d.size}"))
            rest = f.op(f"udiv i64 {rest}, {d.size}")
        coords.reverse()
        offsets = []
        for k in range(operands):
            total = "0"
            for c, d in zip(coords, dims, strict=True):
                total = self.add(total, self.mul(c, d.strides[k]))
            offsets.append(total)
        back = [[None if s is None else self.mul(self.sub("1", d.size), s) for s in d.strides] for d in dims]
        with f.loop(lo, hi, carried=[("i64", v) for v in (*coords, *offsets)]) as it:
            now, places = it.vars[: len(coords)], it.vars[len(coords):]
            yield now, places
            it.next(self._advance(dims, back, now, places))

    def _advance(self, dims: Sequence[Dim], back: list[list[str | None]], now: list[str], places: list[str]) -> list[str]:
        f = self.f
        coords, offsets, carry = list(now), list(places), ""
        for d in range(len(dims) - 1, -1, -1):
            more = f.op(f"add i64 {now[d]}, 1")
            over = f.op(f"icmp eq i64 {more}, {dims[d].size}")
            following = f.op(f"select i1 {over}, i64 0, i64 {more}")
            coords[d] = f.op(f"select i1 {carry}, i64 {following}, i64 {now[d]}") if carry else following
            for k, s in enumerate(dims[d].strides):
                if s is not None:
                    step = f.op(f"select i1 {over}, i64 {back[d][k]}, i64 {s}")
                    step = f.op(f"select i1 {carry}, i64 {step}, i64 0") if carry else step
                    offsets[k] = self.add(offsets[k], step)
            carry = f.op(f"and i1 {carry}, {over}") if carry else over
        return [*coords, *offsets]

    def in_lanes(self, count: str, body: Callable[[LLVMLanes, str], None]) -> None:
        """``body(L, i)`` for i in steps of 16 on vectors, then one by one for what is left."""
        f = self.f
        whole = f.op(f"and i64 {count}, -{LANES}")
        with f.loop("0", whole, LANES) as it:
            body(LLVMLanes(f, LANES), it.iv)
        with f.loop(whole, count) as it:
            body(LLVMLanes(f, 0), it.iv)

    def finish(self, units: int, work: int, scratch: int = 0) -> Lowered:
        """`work` is what one unit costs, in elements moved."""
        body = self.f.finish()
        text = module([body], self.f.declares)
        symbol = f"{self.name}_{blake3(text.encode()).hexdigest()[:16]}"
        return Lowered(text.replace(f"@{_NAME}(", f"@{symbol}("), symbol, self.words, units, max(1, WORK_PER_THREAD // max(work, 1)), scratch)


def load(L: LLVMLanes, ty: str, address: str) -> str:
    """A lane (or 16 adjacent ones) of `ty` from memory; bool is a byte."""
    bits = max(BITS[ty], 8)
    if ty == "i1":
        v = L.fn.op(f"load {L.type('u8')}, ptr {address}, align 1")
        return L.fn.op(f"icmp ne {L.type('u8')} {v}, {'zeroinitializer' if L.lanes else '0'}")
    return L.fn.op(f"load {L.type(ty)}, ptr {address}, align {bits // 8}")


def store(L: LLVMLanes, ty: str, value: str, address: str) -> None:
    if ty == "i1":
        value = L.fn.op(f"zext {L.type('i1')} {value} to {L.type('u8')}")
        ty = "u8"
    L.fn.do(f"store {L.type(ty)} {value}, ptr {address}, align {BITS[ty] // 8}")


def spread(k: Kernel, L: LLVMLanes, ty: str, value: str) -> Lane:
    """A scalar in every lane."""
    if not L.lanes:
        return L.wrap(ty, value)
    vector = L.type(ty)
    one = k.f.op(f"insertelement {vector} poison, {L.element(ty)} {value}, i64 0")
    return L.wrap(ty, k.f.op(f"shufflevector {vector} {one}, {vector} poison, <{L.lanes} x i32> zeroinitializer"))


def gather_16(k: Kernel, L: LLVMLanes, ty: str, base: str, offsets: str, mask: str) -> str:
    """Elements of a 4- or 8-byte type at 16 offsets from `base`; nothing is read where the mask is false."""
    f, lanes, vector = k.f, L.lanes, L.type(ty)
    pointers = f.op(f"getelementptr {L.element(ty)}, ptr {base}, <{lanes} x i64> {offsets}")
    name = f"llvm.masked.gather.v{lanes}{'f' if ty[0] == 'f' else 'i'}{BITS[ty]}.v{lanes}p0"
    # LLVM's assembler takes the alignment as an attribute of the pointers.
    f.declare(name, vector, [f"<{lanes} x ptr>", f"<{lanes} x i1>", vector])
    return f.op(f"call {vector} @{name}(<{lanes} x ptr> align {BITS[ty] // 8} {pointers}, <{lanes} x i1> {mask}, {vector} zeroinitializer)")

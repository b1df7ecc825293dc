"""Kernels that write through indices: scatter, index_copy, index_put and their accumulating forms.

Enters: a `Sig` whose output already holds the values of operand 0 (trait ``updates:0``). Leaves: one kernel. A space of places is walked;
at each the source element goes to ``offset(place) + sum of index_k(place) * stride_k``.

Order. Dimensions in which the destination moves by itself are *parallel*: their places never meet. The others are walked by one unit
in row-major order, so each destination takes its contributions in source order. Where few units would be left, destinations
are split by ranges of the first index: each unit reads all indices and serves its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from frankentorch.errors import NotImplementedYet
from frankentorch.lower.gather import Index, _without, index_space
from frankentorch.lower.kernel import Lowered
from frankentorch.lower.lanes import BITS, Lane, LLVMLanes
from frankentorch.lower.walk import Dim, Kernel, collapse, load, store

BLOCK = 256
_RANGED_FROM = 1 << 15
_MOVES = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}


def combine(L: LLVMLanes, op: str, a: Lane, b: Lane) -> Lane:
    """What one contribution does to a destination."""
    if a.ty == "i1":
        return a | b if op in ("add", "max") else a & b
    if op == "add":
        return a + b
    if op == "mul":
        return a * b
    return L.maximum(a, b) if op == "max" else L.minimum(a, b)


@dataclass
class Write:
    """A scatter over a space: (operand, strides) of destination and source; `op` is assign, add, mul, max or min."""

    sizes: Sequence[int]
    target: tuple[int, Sequence[int]]
    source: tuple[int, Sequence[int]]
    indices: Sequence[Index]
    lane: str
    itemsize: int
    op: str
    wraps: bool


class _Writer:
    """The body of one scatter kernel."""

    def __init__(self, k: Kernel, w: Write) -> None:
        self.k, self.w, self.f = k, w, k.f
        self.out, self.src = k.pointer(w.target[0]), k.pointer(w.source[0])
        self.indices = [(k.pointer(i.operand), i.bits, k.stride(i.step), k.word(i.size)) for i in w.indices]
        self.bits = w.itemsize * 8

    def target_of(self, places: Sequence[str], limits: tuple[str, str] | None) -> tuple[str, str]:
        """(destination offset, whether it is this unit's) from the offsets of the index operands."""
        offset, mine = "0", ""
        for n, ((pointer, width, step, size), place) in enumerate(zip(self.indices, places, strict=True)):
            value = self.k.load_int(pointer, place, width)
            if self.w.wraps:
                value = self.k.add(value, self.f.op(f"select i1 {self.f.op(f'icmp slt i64 {value}, 0')}, i64 {size}, i64 0"))
            if limits and n == 0:
                above, below = self.f.op(f"icmp sge i64 {value}, {limits[0]}"), self.f.op(f"icmp slt i64 {value}, {limits[1]}")
                mine = self.f.op(f"and i1 {above}, {below}")
            offset = self.k.add(offset, self.k.mul(value, step))
        return offset, mine

    def element(self, L: LLVMLanes, target: str, source: str) -> None:
        """Combine one element (or 16) into its destination."""
        w = self.w
        if w.lane in ("c64", "c128"):
            part = "float" if w.lane == "c64" else "double"
            a, b = (self.f.op(f"load <2 x {part}>, ptr {p}, align {w.itemsize // 2}") for p in (target, source))
            self.f.do(f"store <2 x {part}> {self.f.op(f'fadd <2 x {part}> {a}, {b}')}, ptr {target}, align {w.itemsize // 2}")
            return
        held, given = (L.wrap(w.lane, load(L, w.lane, p)) for p in (target, source))
        store(L, w.lane, combine(L, w.op, held, given).v, target)

    def one(self, target: str, source: str) -> None:
        to, frm = self.k.at(self.out, target, self.bits), self.k.at(self.src, source, self.bits)
        if self.w.op == "assign":
            self.k.move(frm, to, self.bits)
        else:
            self.element(LLVMLanes(self.f, 0), to, frm)

    def row(self, target: str, source: str, count: str) -> None:
        to, frm = self.k.at(self.out, target, self.bits), self.k.at(self.src, source, self.bits)
        if self.w.op == "assign":
            self.k.copy(frm, to, self.k.mul(count, str(self.w.itemsize)))
            return
        if self.w.lane in ("c64", "c128"):
            with self.f.loop("0", count) as it:
                self.element(LLVMLanes(self.f, 0), self.k.at(to, it.iv, self.bits), self.k.at(frm, it.iv, self.bits))
            return
        self.k.in_lanes(count, lambda L, i: self.element(L, self.k.at(to, i, self.bits), self.k.at(frm, i, self.bits)))


def lower_write(w: Write) -> list[Lowered]:
    if 0 in w.sizes:
        return []
    if w.op not in ("assign", "add") and w.lane in ("c64", "c128"):
        raise NotImplementedYet(f"a {w.op} scatter of complex numbers is not there yet")
    free = [d for d, s in enumerate(w.target[1]) if s != 0 or w.sizes[d] == 1]
    bound = [d for d in range(len(w.sizes)) if d not in free]
    every = [w.target[1], w.source[1], *(i.strides for i in w.indices)]
    p_sizes, p_strides = collapse([w.sizes[d] for d in free], [[s[d] for d in free] for s in every])
    q_sizes, q_strides = collapse([w.sizes[d] for d in bound], [[s[d] for d in bound] for s in every])
    solid = next((d for d in range(len(p_sizes)) if p_strides[0][d] == 1), None)
    # Walking along the source first is right where the destination's innermost dimension is the indexed one.
    inner = solid is not None and p_sizes[solid] > 1
    columns = (1, [0] * len(every))
    if inner:
        assert solid is not None
        columns = (p_sizes.pop(solid), [s.pop(solid) for s in p_strides])
    return [_write_kernel(w, p_sizes, p_strides, q_sizes or [1], q_strides if q_sizes else [[0] for _ in every], columns)]


def _ranges(w: Write, units: int, width: int, work: int) -> int:
    """How many ranges of destinations: reading every index once more for each must be cheap beside the rows moved."""
    if work < _RANGED_FROM or units >= 16 or not w.indices:
        return 1
    return max(1, min(16, width // 8, w.indices[0].size))


def _write_kernel(w: Write, p_sizes: list[int], p_strides: list[list[int]], q_sizes: list[int], q_strides: list[list[int]],
                  columns: tuple[int, list[int]]) -> Lowered:
    n, along = columns
    rows = n > 1 and not any(along[2:]) and along[:2] == [1, 1]
    blocks = -(-n // BLOCK)
    units = blocks
    for size in p_sizes:
        units *= size
    long = 1
    for size in q_sizes:
        long *= size
    ranges = _ranges(w, units, n if rows else 1, units * min(n, BLOCK) * long)
    k = Kernel(f"scatter_{w.op}_{w.lane if w.op != 'assign' else w.itemsize}")
    f, body = k.f, _Writer(k, w)
    space = k.dims([*p_sizes, blocks, ranges], [[*s, a * BLOCK, 0] for s, a in zip(p_strides, along, strict=True)])
    sequence = k.dims(q_sizes, q_strides)
    total, block, whole = k.word(long), k.word(BLOCK), k.word(n)
    span = k.word(-(-w.indices[0].size // ranges)) if ranges > 1 else ""
    steps = [k.stride(a) for a in along]
    with k.each(space, len(along)) as (coords, places):
        count = k.least(block, k.sub(whole, k.mul(coords[-2], block)))
        limits = None
        if span:
            first = k.mul(coords[-1], span)
            limits = (first, k.add(first, span))
        with _in_order(k, sequence, len(along), total) as at:
            source = k.add(places[1], at[1])
            index_places = [k.add(a, b) for a, b in zip(places[2:], at[2:], strict=True)]
            if rows or n == 1:
                offset, mine = body.target_of(index_places, limits)
                target = k.add(places[0], offset)
                act = (lambda: body.row(target, source, count)) if rows else (lambda: body.one(target, source))
                if mine:
                    with f.when(mine):
                        act()
                else:
                    act()
            else:
                with f.loop("0", count) as it:
                    moved = [k.add(p, k.mul(it.iv, s)) for p, s in zip(index_places, steps[2:], strict=True)]
                    offset, _ = body.target_of(moved, None)
                    target = k.add(k.add(places[0], k.mul(it.iv, steps[0])), offset)
                    body.one(target, k.add(source, k.mul(it.iv, steps[1])))
    return k.finish(units * ranges, long * min(n, BLOCK))


def _in_order(k: Kernel, sequence: list[Dim], operands: int, total: str) -> Any:
    """The sequential places: a plain loop where there is one dimension, an odometer otherwise."""
    from contextlib import contextmanager

    @contextmanager
    def walk() -> Any:
        if len(sequence) == 1:
            strides = sequence[0].strides
            with k.f.loop("0", total) as it:
                yield [k.mul(it.iv, s) for s in strides]
        else:
            with k.each(sequence, operands, "0", total) as (_, places):
                yield places

    return walk()


def _scatter(sig: Any, op: str) -> list[Lowered]:
    """out[p with its coordinate along dim replaced by index[p]] op= src[p]; the space is index's."""
    x, index, src = sig.types
    dim = sig.attrs[0]
    layout = sig.out.strides
    sizes, index_strides, source = index.shape or (1,), index.strides or (0,), src.strides or (0,)
    target, step, size = (_without(layout, dim), layout[dim], x.shape[dim]) if x.ndim else ((0,), 0, 1)
    entry = Index(1, index.dtype.itemsize * 8, index_strides, step, size)
    return lower_write(Write(sizes, (3, target), (2, source), [entry], x.dtype.lane, x.dtype.itemsize, op, False))


def scatter(sig: Any, tier: str) -> list[Lowered]:
    return _scatter(sig, "assign")


def scatter_reduce(sig: Any, tier: str) -> list[Lowered]:
    return _scatter(sig, sig.attrs[1])


def _index_rows(sig: Any, op: str) -> list[Lowered]:
    """out[..., index[j], ...] op= src[..., j, ...]"""
    x, index, src = sig.types
    dim = sig.attrs[0]
    if not x.ndim:
        entry = Index(1, index.dtype.itemsize * 8, (index.strides[0] if index.ndim else 0,), 0, 1)
        sizes: tuple[int, ...] = (index.numel,)
        source: tuple[int, ...] = (src.strides[0] if src.ndim else 0,)
        target: tuple[int, ...] = (0,)
    else:
        along = tuple((index.strides[0] if index.ndim else 0) if d == dim else 0 for d in range(x.ndim))
        entry = Index(1, index.dtype.itemsize * 8, along, sig.out.strides[dim], x.shape[dim])
        sizes, source, target = src.shape or (1,), src.strides or (0,), _without(sig.out.strides, dim)
    return lower_write(Write(sizes, (3, target), (2, source), [entry], x.dtype.lane, x.dtype.itemsize, op, False))


def index_copy(sig: Any, tier: str) -> list[Lowered]:
    return _index_rows(sig, "assign")


def index_add(sig: Any, tier: str) -> list[Lowered]:
    return _index_rows(sig, "add")


def index_put(sig: Any, tier: str) -> list[Lowered]:
    """Advanced indexing on the left: out[..., index_0[b], ...] = (or +=) values; negative indices wrap."""
    from frankentorch.lower.gather import broadcast_strides
    from frankentorch.ops.types import broadcast_shapes

    x, values, *indices = sig.types
    dims, accumulate = sig.attrs
    wide = broadcast_shapes([t.shape for t in indices])
    operand = 2 + len(indices)
    _, sizes, strides, entries = index_space(x, indices, dims, wide, 2, sig.out.strides)
    source = broadcast_strides(values.shape, values.strides, sizes)
    return lower_write(Write(sizes, (operand, strides), (1, source), entries, x.dtype.lane, x.dtype.itemsize, "add" if accumulate else "assign", True))


__all__ = ["BITS", "index_add", "index_copy", "index_put", "scatter", "scatter_reduce"]

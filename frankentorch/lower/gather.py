"""Kernels that read through indices: index_select, gather, index; and the positions of true elements.

Enters: a `Sig`. Leaves: kernels. All three ops are one: at each place of the output's space the source is read at
``offset(place) + sum of index_k(place) * stride_k``. Where no index moves along the innermost dimension, whole rows are copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from frankentorch.lower.kernel import Lowered
from frankentorch.lower.lanes import LLVMLanes
from frankentorch.lower.walk import LANES, Kernel, collapse, gather_16, load, spread, store

BLOCK = 2048
_COPY_BYTES = 1 << 16


@dataclass(frozen=True)
class Index:
    """An index operand: its number, its bits, its strides over the space, and what it counts in the indexed tensor."""

    operand: int
    bits: int
    strides: tuple[int, ...]
    step: int
    size: int


def broadcast_strides(shape: Sequence[int], strides: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """Strides that read `shape` as `target`."""
    lead = len(target) - len(shape)
    return tuple(0 if i < lead or shape[i - lead] == 1 else strides[i - lead] for i in range(len(target)))


def lower_read(sizes: Sequence[int], source: tuple[int, Sequence[int]], target: tuple[int, Sequence[int]], indices: Sequence[Index], itemsize: int,
               wraps: bool) -> list[Lowered]:
    """`source` and `target` are (operand, strides over the space); with `wraps` a negative index counts from the end."""
    sizes, strides = collapse(sizes, [target[1], source[1], *(i.strides for i in indices)])
    if 0 in sizes:
        return []
    if not sizes:
        sizes, strides = [1], [[0] for _ in strides]
    inner = [s[-1] for s in strides]
    rows = not any(inner[2:])
    solid = rows and inner[:2] == [1, 1]
    block = max(1, _COPY_BYTES // itemsize) if solid else BLOCK
    n = sizes[-1]
    blocks = -(-n // block)
    k = Kernel("gather")
    f, bits = k.f, itemsize * 8
    out, src = k.pointer(target[0]), k.pointer(source[0])
    pointers = [(k.pointer(i.operand), i.bits, k.stride(i.step), k.word(i.size) if wraps else "") for i in indices]
    space = k.dims([*sizes[:-1], blocks], [[*s[:-1], s[-1] * block] for s in strides])
    length, whole = k.word(block), k.word(n)
    steps = [k.stride(s) for s in inner]
    with k.each(space, len(strides)) as (coords, places):
        count = k.least(length, k.sub(whole, k.mul(coords[-1], length)))

        def read(position: str) -> str:
            offset = k.add(places[1], k.mul(position, steps[1]))
            for (pointer, width, step, size), place, along in zip(pointers, places[2:], steps[2:], strict=True):
                value = k.load_int(pointer, k.add(place, k.mul(position, along)), width)
                if wraps:
                    value = k.add(value, f.op(f"select i1 {f.op(f'icmp slt i64 {value}, 0')}, i64 {size}, i64 0"))
                offset = k.add(offset, k.mul(value, step))
            return offset

        if solid:
            k.copy(k.at(src, read("0"), bits), k.at(out, places[0], bits), k.mul(count, str(itemsize)))
        else:
            start = read("0") if rows else ""
            done = "0"
            if not rows and bits in (32, 64) and len(indices) == 1 and inner[0] == inner[2] == 1 and indices[0].bits >= 32:
                done = _read_16(k, count, bits, src, out, pointers[0], places, steps[1])
            with f.loop(done, count) as it:
                offset = k.add(start, k.mul(it.iv, steps[1])) if rows else read(it.iv)
                k.move(k.at(src, offset, bits), k.at(out, k.add(places[0], k.mul(it.iv, steps[0])), bits), bits)
    units = blocks
    for size in sizes[:-1]:
        units *= size
    return [k.finish(units, min(n, block) * max(1, itemsize // 4))]


def _read_16(k: Kernel, count: str, bits: int, src: str, out: str, index: tuple[str, int, str | None, str], places: Sequence[str],
             along: str | None) -> str:
    """Sixteen elements at a time, as far as they go; returns how many were moved."""
    f, L, element = k.f, LLVMLanes(k.f, LANES), f"u{bits}"
    pointer, width, step, size = index
    whole = f.op(f"and i64 {count}, -{LANES}")
    numbers = L.type("i64")
    ramp = f"<{', '.join(f'i64 {n}' for n in range(LANES))}>"
    with f.loop("0", whole, LANES) as it:
        given = f"i{width}"
        value = L.convert(L.wrap(given, load(L, given, k.at(pointer, k.add(places[2], it.iv), width))), "i64")
        if size:
            value = value + L.select(L.cmp("lt", value, 0), spread(k, L, "i64", size), 0)
        if step != "1":
            value = value * spread(k, L, "i64", step) if step else L.const("i64", 0)
        base = k.at(src, k.add(places[1], k.mul(it.iv, along)), bits)
        if along:
            value = value + L.wrap("i64", f.op(f"mul {numbers} {spread(k, L, 'i64', along).v}, {ramp}"))
        store(L, element, gather_16(k, L, element, base, value.v, "splat (i1 true)"), k.at(out, k.add(places[0], it.iv), bits))
    return whole


def _without(strides: Sequence[int], dim: int) -> tuple[int, ...]:
    return tuple(0 if d == dim else s for d, s in enumerate(strides))


def index_select(sig: Any, tier: str) -> list[Lowered]:
    """out[..., j, ...] = x[..., index[j], ...]"""
    x, index = sig.types
    (dim,) = sig.attrs
    along = tuple(index.strides[0] if d == dim and index.ndim else 0 for d in range(sig.out.ndim))
    indices = [Index(1, index.dtype.itemsize * 8, along, x.strides[dim] if x.ndim else 0, 0)]
    return lower_read(sig.out.shape, (0, _without(x.strides, dim)), (2, sig.out.strides), indices, x.dtype.itemsize, False)


def gather(sig: Any, tier: str) -> list[Lowered]:
    """out[p] = x[p with its coordinate along dim replaced by index[p]]"""
    x, index = sig.types
    (dim,) = sig.attrs
    x_strides, step = _without(x.strides, dim), x.strides[dim] if x.ndim else 0
    if x.ndim != index.ndim:  # a number counts as one dimension of size one
        x_strides = (0,) * index.ndim
    indices = [Index(1, index.dtype.itemsize * 8, index.strides, step, 0)]
    return lower_read(sig.out.shape, (0, x_strides), (2, sig.out.strides), indices, x.dtype.itemsize, False)


def index_layout(ndim: int, dims: Sequence[int], rank: int) -> tuple[int, list[int]]:
    """torch's placement: where the `rank` dimensions of the broadcast indices go, and the dimensions of x that remain, in order."""
    adjacent = all(b == a + 1 for a, b in zip(dims, dims[1:], strict=False))
    return (dims[0] if adjacent and dims else 0), [d for d in range(ndim) if d not in dims]


def index_space(x: Any, indices: Sequence[Any], dims: Sequence[int], wide: Sequence[int], first_operand: int,
                layout: Any = None) -> tuple[int, tuple[int, ...], tuple[int, ...], list[Index]]:
    """(place of the index dimensions, space sizes, strides of x over the space, the indices)."""
    layout = layout or x.strides
    place, kept = index_layout(x.ndim, dims, len(wide))
    sizes = (*(x.shape[d] for d in kept[:place]), *wide, *(x.shape[d] for d in kept[place:]))
    strides = (*(layout[d] for d in kept[:place]), *(0 for _ in wide), *(layout[d] for d in kept[place:]))
    rest = len(kept) - place
    entries = [Index(first_operand + n, t.dtype.itemsize * 8, (*(0,) * place, *broadcast_strides(t.shape, t.strides, wide), *(0,) * rest), layout[d], x.shape[d])
               for n, (t, d) in enumerate(zip(indices, dims, strict=True))]
    return place, sizes, strides, entries


def index(sig: Any, tier: str) -> list[Lowered]:
    """Advanced indexing: out[..., b, ...] = x[..., index_0[b], ..., index_1[b], ...]"""
    from frankentorch.ops.types import broadcast_shapes

    x, *indices = sig.types
    (dims,) = sig.attrs
    wide = broadcast_shapes([t.shape for t in indices])
    _, sizes, strides, entries = index_space(x, indices, dims, wide, 1)
    return lower_read(sizes, (0, strides), (1 + len(indices), sig.out.strides), entries, x.dtype.itemsize, True)


def compact(sig: Any, tier: str) -> list[Lowered]:
    """The row-major numbers of the true elements of a mask, in order; how many there are is known. One unit."""
    mask = sig.types[0]
    sizes, (strides,) = collapse(mask.shape, [mask.strides])
    if 0 in sizes or not sig.out.numel:
        return []
    if not sizes:
        sizes, strides = [1], [0]
    k = Kernel("compact")
    f = k.f
    source, out, wanted = k.pointer(0), k.pointer(1), k.word(sig.out.numel)
    rows = 1
    for n in sizes[:-1]:
        rows *= n
    outer = k.dims(sizes[:-1] or [1], [strides[:-1] or [0]])
    total, length, step = k.word(rows), k.word(sizes[-1]), k.stride(strides[-1])
    found = f.alloca("i64", 8)
    f.do(f"store i64 0, ptr {found}, align 8")
    number = f.alloca("i64", 8)
    f.do(f"store i64 0, ptr {number}, align 8")
    with k.each(outer, 1, "0", total) as (_, (place,)):
        so_far, base = f.op(f"load i64, ptr {found}, align 8"), f.op(f"load i64, ptr {number}, align 8")
        with f.loop("0", length, carried=[("i64", so_far)]) as it:
            hit = k.load_int(source, k.add(place, k.mul(it.iv, step)), 8, signed=False)
            yes = f.op(f"icmp ne i64 {hit}, 0")
            # Without a branch: a store that does not count is overwritten by the next that does, and past the end it goes to scratch.
            room = f.op(f"icmp slt i64 {it.vars[0]}, {wanted}")
            slot = f.op(f"select i1 {room}, ptr {k.at(out, it.vars[0], 64)}, ptr %scratch")
            f.do(f"store i64 {k.add(base, it.iv)}, ptr {slot}, align 8")
            it.next([k.add(it.vars[0], f.op(f"zext i1 {yes} to i64"))])
        f.do(f"store i64 {it.results[0]}, ptr {found}, align 8")
        f.do(f"store i64 {k.add(base, length)}, ptr {number}, align 8")
    return [k.finish(1, mask.numel, 64)]

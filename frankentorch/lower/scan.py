"""Kernels of running sums, products, extremes and logsumexps.

Enters: a `Sig`. Leaves: one kernel. A line along the scanned dimension is one chain in source order; units are lines, taken 16 at a
time, one a lane, where they lie side by side in memory. Sums and products of float32 are carried in float64, as torch does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from frankentorch.lower.kernel import Lowered
from frankentorch.lower.lanes import BITS, Complex, Lane, LLVMLanes, is_float
from frankentorch.lower.walk import LANES, Kernel, collapse, load, spread, store

Step = Callable[[LLVMLanes, list[Lane], Lane, Lane], list[Lane]]
"""(L, carried lanes, element, its index) -> the next carried lanes; the first of them is the output."""

_WIDE = {"f32": "f64"}
_PARTS = {"c64": "f32", "c128": "f64"}


def _sum(L: LLVMLanes, state: list[Lane], x: Lane, i: Lane) -> list[Lane]:
    return [state[0] + L.convert(x, state[0].ty)]


def _product(L: LLVMLanes, state: list[Lane], x: Lane, i: Lane) -> list[Lane]:
    return [state[0] * L.convert(x, state[0].ty)]


def _logsumexp(L: LLVMLanes, state: list[Lane], x: Lane, i: Lane) -> list[Lane]:
    from frankentorch.lower.vmath import FUNCTIONS

    return [FUNCTIONS["logaddexp"](L, state[0], L.convert(x, state[0].ty))]


def _extreme(predicate: str) -> Step:
    """Later equals replace earlier ones; a NaN replaces anything and stays."""

    def step(L: LLVMLanes, state: list[Lane], x: Lane, i: Lane) -> list[Lane]:
        best, at = state
        take = L.cmp(predicate, x, best)
        if is_float(x.ty):
            take = L.isnan(x) | (take & ~L.isnan(best))
        return [L.select(take, x, best), L.select(take, i, at)]

    return step


def _carried(op: str, ty: str) -> list[tuple[str, float | int | None]]:
    """The carried lanes as (type, initial value); None: the line's first element."""
    if op == "sum":
        return [(_WIDE.get(ty, ty), 0)]
    if op == "product":
        return [(_WIDE.get(ty, ty), 1)]
    if op == "logsumexp":
        return [(ty, float("-inf"))]
    return [(ty, None), ("i64", 0)]


STEPS: dict[str, Step] = {"sum": _sum, "product": _product, "logsumexp": _logsumexp, "max": _extreme("ge"), "min": _extreme("le")}


def scan(op: str) -> Callable[[Any, str], list[Lowered]]:
    """The template of one scan; ``max`` and ``min`` have a second output, the index."""

    def lower(sig: Any, tier: str) -> list[Lowered]:
        x, dim = sig.types[0], sig.attrs[0]
        if not x.numel:
            return []
        shape = x.shape or (1,)
        every = [x.strides or (0,), *(t.strides or (0,) for t in sig.outs)]
        lines = [d for d in range(len(shape)) if d != dim]
        sizes, strides = collapse([shape[d] for d in lines], [[s[d] for d in lines] for s in every])
        return [_kernel(op, x.dtype.lane, sizes, strides, shape[dim], [s[dim] for s in every])]

    return lower


def _kernel(op: str, ty: str, sizes: list[int], strides: list[list[int]], length: int, along: Sequence[int]) -> Lowered:
    side = next((d for d in range(len(sizes)) if all(s[d] == 1 for s in strides)), None) if ty not in _PARTS else None
    columns = 1
    if side is not None:
        columns = sizes.pop(side)
        for s in strides:
            s.pop(side)
    k = Kernel(f"cum{op}_{ty}")
    f = k.f
    pointers = [k.pointer(n) for n in range(len(along))]
    blocks = -(-columns // LANES)
    space = k.dims([*sizes, blocks], [[*s, LANES] for s in strides])
    n, whole = k.word(length), k.word(columns)
    steps = [k.stride(a) for a in along]
    with k.each(space, len(along)) as (coords, places):
        if ty in _PARTS:
            _complex_chain(k, op, _PARTS[ty], pointers, places, steps, n)
        elif side is None:
            _chain(k, op, ty, 0, pointers, places, steps, n)
        else:
            count = k.sub(whole, k.mul(coords[-1], str(LANES)))
            full, rest, done = f.label("full"), f.label("rest"), f.label("done")
            f.branch_if(f.op(f"icmp sge i64 {count}, {LANES}"), full, rest)
            f.block(full)
            _chain(k, op, ty, LANES, pointers, places, steps, n)
            f.branch(done)
            f.block(rest)
            with f.loop("0", count) as it:
                _chain(k, op, ty, 0, pointers, [k.add(p, it.iv) for p in places], steps, n)
            f.branch(done)
            f.block(done)
    units = blocks
    for size in sizes:
        units *= size
    return k.finish(units, length * min(columns, LANES))


def _chain(k: Kernel, op: str, ty: str, lanes: int, pointers: list[str], places: Sequence[str], steps: Sequence[str | None], n: str) -> None:
    """One line, or 16 side by side."""
    f, L = k.f, LLVMLanes(k.f, lanes)
    types = ["u8" if ty == "i1" else ty, "i64"]
    bits = [int(L.element(t).removeprefix("i")) if L.element(t)[0] == "i" else {"float": 32, "double": 64}[L.element(t)] for t in types]

    def element(which: int, position: str) -> str:
        return k.at(pointers[which], k.add(places[which], k.mul(position, steps[which])), bits[max(0, which - 1)])

    start = [L.wrap(t, load(L, t, element(0, "0"))) if v is None else L.const(t, v) for t, v in _carried(op, types[0])]
    with f.loop("0", n, carried=[(L.type(s.ty), s.v) for s in start]) as it:
        state = [L.wrap(s.ty, v) for s, v in zip(start, it.vars, strict=True)]
        x = L.wrap(types[0], load(L, types[0], element(0, it.iv)))
        after = STEPS[op](L, state, x, spread(k, L, "i64", it.iv) if len(state) > 1 else x)
        store(L, types[0], L.convert(after[0], types[0]).v, element(1, it.iv))
        if len(after) > 1:
            store(L, "i64", after[1].v, element(2, it.iv))
        it.next([a.v for a in after])


def _complex_step(op: str, L: LLVMLanes, state: Complex, x: Complex) -> Complex:
    from frankentorch.lower.vmath import FUNCTIONS

    return FUNCTIONS["logaddexp"](L, state, x) if op == "logsumexp" else state + x if op == "sum" else state * x


def _complex_chain(k: Kernel, op: str, part: str, pointers: list[str], places: Sequence[str], steps: Sequence[str | None], n: str) -> None:
    """One line of complex numbers, each two parts side by side."""
    f, L = k.f, LLVMLanes(k.f, 0)
    (carried, first), = _carried(op, part)
    assert first is not None

    def address(which: int, position: str, imaginary: int) -> str:
        place = k.mul(k.add(places[which], k.mul(position, steps[which])), "2")
        return k.at(pointers[which], k.add(place, "1") if imaginary else place, BITS[part])

    start = [L.const(carried, first), L.const(carried, 0)]
    with f.loop("0", n, carried=[(L.type(carried), s.v) for s in start]) as it:
        x = Complex(*(L.convert(L.wrap(part, load(L, part, address(0, it.iv, i))), carried) for i in (0, 1)))
        after = _complex_step(op, L, Complex(*(L.wrap(carried, v) for v in it.vars)), x)
        for i, v in enumerate((after.re, after.im)):
            store(L, part, L.convert(v, part).v, address(1, it.iv, i))
        it.next([after.re.v, after.im.v])

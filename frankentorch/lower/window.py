"""Kernels of sliding windows: maxima, sums and their transpose; columns of an image and back.

Enters: a `Sig` whose tensors end in one to three spatial dimensions. Leaves: one kernel. Everything is written for three; missing ones have size one.
Units are output rows (for the transposes: planes), taken 16 channels at a time, one a lane, where channels lie side by side in memory.

Order. A window's elements are taken in (depth, height, width) order; the transposes add windows (columns: taps) in row-major order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from frankentorch.lower.kernel import Lowered
from frankentorch.lower.lanes import BITS, Lane, LLVMLanes, is_float
from frankentorch.lower.walk import LANES, Kernel, collapse, load, spread, store

RANK = 3


def _three(values: Sequence[int], fill: int) -> list[int]:
    return [fill] * (RANK - len(values)) + list(values)


@dataclass
class Windows:
    """The windows along the spatial dimensions, as words of a kernel."""

    kernel: list[str]
    stride: list[str]
    padding: list[str]
    dilation: list[str]
    big: list[str]
    small: list[str]
    adaptive: bool
    dilated: bool

    @classmethod
    def of(cls, k: Kernel, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], big: Sequence[int],
           small: Sequence[int], adaptive: bool) -> Windows:
        """`big` is the size of the input that windows are over, `small` how many windows there are."""
        def words(values: Sequence[int], fill: int) -> list[str]:
            return [k.word(v) for v in _three(values, fill)]

        return cls(words(kernel, 1), words(stride, 1), words(padding, 0), words(dilation, 1), words(big, 1), words(small, 1), adaptive,
                   any(d != 1 for d in dilation))

    def bounds(self, k: Kernel, d: int, o: str) -> tuple[str, str, str]:
        """(start, first tap, end of taps) of window `o` along dimension `d`; tap t reads start + t * dilation, inside the input."""
        f = k.f
        n = self.big[d]
        if self.adaptive:
            out = self.small[d]
            start = f.op(f"udiv i64 {k.mul(o, n)}, {out}")
            end = f.op(f"udiv i64 {k.sub(k.add(k.mul(k.add(o, '1'), n), out), '1')}, {out}")
            return start, "0", k.sub(end, start)
        start = k.sub(k.mul(o, self.stride[d]), self.padding[d])
        before, after = k.most(k.sub("0", start), "0"), k.sub(n, start)
        if self.dilated:
            step = self.dilation[d]
            before = f.op(f"sdiv i64 {k.sub(k.add(before, step), '1')}, {step}")
            after = f.op(f"sdiv i64 {k.sub(k.add(after, step), '1')}, {step}")
        return start, before, k.least(self.kernel[d], after)

    def at(self, k: Kernel, d: int, start: str, tap: str) -> str:
        return k.add(start, k.mul(tap, self.dilation[d]) if self.dilated else tap)


@dataclass
class _Planes:
    """The leading dimensions of all operands: unit space, and the one whose elements lie side by side (None: none)."""

    sizes: list[int]
    strides: list[list[int]]
    columns: int
    side: bool

    @classmethod
    def of(cls, types: Sequence[Any], spatial: int) -> _Planes:
        lead = len(types[0].shape) - spatial
        sizes, strides = collapse(types[0].shape[:lead], [t.strides[:lead] for t in types])
        side = next((d for d in range(len(sizes)) if all(s[d] == 1 for s in strides)), None)
        columns = 1
        # A plane of one element has stride one by accident; its channels then really are side by side, which is as good.
        if side is not None:
            columns = sizes.pop(side)
            for s in strides:
                s.pop(side)
        return cls(sizes, strides, columns, side is not None)

    @property
    def blocks(self) -> int:
        return -(-self.columns // LANES)

    def units(self, more: int = 1) -> int:
        total = self.blocks * more
        for n in self.sizes:
            total *= n
        return total


@contextmanager
def _taps(k: Kernel, bounds: Sequence[tuple[str, str, str]], state: Sequence[tuple[str, str]]) -> Any:
    """Three nested loops over a window's taps carrying `state`; the body must call ``.next`` on what is yielded: (taps, loop)."""
    f = k.f
    with f.loop(bounds[0][1], bounds[0][2], carried=state) as d:
        with f.loop(bounds[1][1], bounds[1][2], carried=[(t, v) for (t, _), v in zip(state, d.vars, strict=True)]) as h:
            with f.loop(bounds[2][1], bounds[2][2], carried=[(t, v) for (t, _), v in zip(state, h.vars, strict=True)]) as w:
                yield (d.iv, h.iv, w.iv), w, d
            h.next(w.results)
        d.next(h.results)


Fold = Callable[[LLVMLanes, list[Lane], Lane, Lane], list[Lane]]


def _fold_max(L: LLVMLanes, state: list[Lane], x: Lane, at: Lane) -> list[Lane]:
    take = L.cmp("gt", x, state[0])
    if is_float(x.ty):
        take = take | L.isnan(x)
    return [L.select(take, x, state[0]), L.select(take, at, state[1])]


def _fold_sum(L: LLVMLanes, state: list[Lane], x: Lane, at: Lane) -> list[Lane]:
    return [state[0] + x]


def _least(ty: str) -> float:
    if is_float(ty):
        return float("-inf")
    return 0 if ty[0] == "u" else -(1 << (BITS[ty] - 1))



def _count(k: Kernel, L: LLVMLanes, start: str, step: str) -> Lane:
    """start, start + step, ... one a lane."""
    first = spread(k, L, "i64", start)
    if not L.lanes:
        return first
    steps = spread(k, L, "i64", step)
    vector = L.type("i64")
    ramp = f"<{', '.join(f'i64 {n}' for n in range(L.lanes))}>"
    return L.wrap("i64", k.f.op(f"add {vector} {first.v}, {k.f.op(f'mul {vector} {steps.v}, {ramp}')}"))


class _Forward:
    """The body of a pooling kernel: one output row."""

    def __init__(self, sig: Any, geometry: tuple[Any, ...], maximum: bool) -> None:
        kernel, stride, padding, dilation, small, adaptive = geometry
        x = sig.types[0]
        self.spatial = len(small)
        self.ty = x.dtype.lane
        self.ty = "u8" if self.ty == "i1" else self.ty
        self.bits = x.dtype.itemsize * 8
        self.maximum, self.fold = maximum, _fold_max if maximum else _fold_sum
        self.planes = _Planes.of([x, *sig.outs], self.spatial)
        big = x.shape[x.ndim - self.spatial:]
        inner = [_three(t.strides[t.ndim - self.spatial:], 0) for t in (x, *sig.outs)]
        a, vectors, step = _whole_vectors(kernel, stride, padding, dilation, big, small, adaptive)
        self.strided = 0 if self.planes.side or not vectors or any(s[-1] != 1 for s in inner) else step
        k = self.k = Kernel(f"{'max' if maximum else 'sum'}_windows_{self.ty}")
        self.pointers = [k.pointer(i) for i in range(1 + len(sig.outs))]
        p = self.planes
        rows = _three(small, 1)
        self.space = k.dims([*p.sizes, p.blocks, rows[0], rows[1]],
                            [[*s, LANES, 0 if i == 0 else t[0], 0 if i == 0 else t[1]] for i, (s, t) in enumerate(zip(p.strides, inner, strict=True))])
        self.windows = Windows.of(k, kernel, stride, padding, dilation, big, small, adaptive)
        self.source = [k.stride(s) for s in inner[0]]
        self.targets = [k.stride(t[-1]) for t in inner[1:]]
        self.columns = k.word(p.columns)
        self.first, self.stop = (k.word(a), k.word(a + vectors * LANES)) if self.strided else ("", "")
        taps = 1
        for n in kernel:
            taps *= n
        self.units, self.work = p.units(rows[0] * rows[1]), rows[2] * min(p.columns, LANES) * max(1, taps)

    def write(self) -> Lowered:
        k, f = self.k, self.k.f
        with k.each(self.space, len(self.pointers)) as (coords, places):
            outer = [self.windows.bounds(k, 0, coords[-2]), self.windows.bounds(k, 1, coords[-1])]
            if self.planes.side:
                count = k.sub(self.columns, k.mul(coords[-3], str(LANES)))
                full, rest, done = f.label("full"), f.label("rest"), f.label("done")
                f.branch_if(f.op(f"icmp sge i64 {count}, {LANES}"), full, rest)
                f.block(full)
                self.row(LLVMLanes(f, LANES), places, outer, "0", self.windows.small[2])
                f.branch(done)
                f.block(rest)
                with f.loop("0", count) as it:
                    self.row(LLVMLanes(f, 0), [k.add(p, it.iv) for p in places], outer, "0", self.windows.small[2])
                f.branch(done)
                f.block(done)
            elif self.strided:
                self.row(LLVMLanes(f, 0), places, outer, "0", self.first)
                with f.loop(self.first, self.stop, LANES) as it:
                    start = k.sub(k.mul(it.iv, self.windows.stride[2]), self.windows.padding[2])
                    self.one(LLVMLanes(f, LANES), places, [*outer, (start, "0", self.windows.kernel[2])], it.iv)
                self.row(LLVMLanes(f, 0), places, outer, self.stop, self.windows.small[2])
            else:
                self.row(LLVMLanes(f, 0), places, outer, "0", self.windows.small[2])
        return k.finish(self.units, self.work)

    def row(self, L: LLVMLanes, places: Sequence[str], outer: list[tuple[str, str, str]], lo: str, hi: str) -> None:
        with self.k.f.loop(lo, hi) as it:
            self.one(L, places, [*outer, self.windows.bounds(self.k, 2, it.iv)], it.iv)

    def one(self, L: LLVMLanes, places: Sequence[str], bounds: Sequence[tuple[str, str, str]], ow: str) -> None:
        """One window, or 16: of neighbouring channels, or (with `strided`) of neighbouring places."""
        k, w, ty = self.k, self.windows, self.ty

        def number(taps: Sequence[str], confined: bool = False) -> str:
            d, h, i = [w.at(k, n, bounds[n][0], t) for n, t in enumerate(taps)]
            if confined:
                d, h, i = [k.least(at, k.sub(n, "1")) for at, n in zip((d, h, i), w.big, strict=True)]
            return k.add(k.mul(k.add(k.mul(d, w.big[1]), h), w.big[2]), i)

        lanes_along = bool(L.lanes) and not self.planes.side
        start = [L.const(ty, _least(ty) if self.maximum else 0)]
        if self.maximum:
            # A dilated window may fall between the elements: its index must be that of one all the same.
            first = number([b[1] for b in bounds], confined=w.dilated)
            start.append(_count(k, L, first, w.stride[2]) if lanes_along else spread(k, L, "i64", first))
        with _taps(k, bounds, [(L.type(s.ty), s.v) for s in start]) as (taps, loop, outermost):
            d, h, i = [w.at(k, n, bounds[n][0], t) for n, t in enumerate(taps)]
            offset = places[0]
            for step, at in zip(self.source, (d, h, i), strict=True):
                offset = k.add(offset, k.mul(at, step))
            address = k.at(self.pointers[0], offset, self.bits)
            x = L.wrap(ty, self.every_other(L, address) if lanes_along and self.strided == 2 else load(L, ty, address))
            state = [L.wrap(s.ty, v) for s, v in zip(start, loop.vars, strict=True)]
            place = L.wrap("i64", "0")
            if self.maximum:
                place = _count(k, L, number(taps), w.stride[2]) if lanes_along else spread(k, L, "i64", number(taps))
            loop.next([v.v for v in self.fold(L, state, x, place)])
        for result, s, pointer, base, step in zip(outermost.results, start, self.pointers[1:], places[1:], self.targets, strict=True):
            store(L, s.ty, result, k.at(pointer, k.add(base, k.mul(ow, step)), BITS[s.ty]))

    def every_other(self, L: LLVMLanes, address: str) -> str:
        """Elements 0, 2, ..., 30 of 32 adjacent ones."""
        f, vector = self.k.f, L.type(self.ty)
        low, high = load(L, self.ty, address), load(L, self.ty, self.k.at(address, str(LANES), self.bits))
        return f.op(f"shufflevector {vector} {low}, {vector} {high}, <{LANES} x i32> <{', '.join(f'i32 {2 * n}' for n in range(LANES))}>")


def _whole_vectors(kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], big: Sequence[int],
                   small: Sequence[int], adaptive: bool) -> tuple[int, int, int]:
    """(first window, number of vectors, stride): 16 windows along the width whose taps all lie inside, read by whole vectors."""
    if adaptive or stride[-1] not in (1, 2):
        return 0, 0, 0
    step, pad, reach = stride[-1], padding[-1], (kernel[-1] - 1) * dilation[-1]
    first = -(-pad // step)
    last = min((big[-1] - LANES * step - reach + pad) // step, small[-1] - LANES)
    return first, max(0, (last - first) // LANES + 1) if last >= first else 0, step


def max_windows(sig: Any, tier: str) -> list[Lowered]:
    """(values, flat indices) of the largest element of each window; of equals the first, a NaN wins."""
    return [_Forward(sig, sig.attrs, True).write()] if sig.out.numel else []


def sum_windows(sig: Any, tier: str) -> list[Lowered]:
    """The sum of each window."""
    kernel, stride, padding, small, adaptive = sig.attrs
    return [_Forward(sig, (kernel, stride, padding, (1,) * len(small), small, adaptive), False).write()] if sig.out.numel else []


# Transposes ----------------------------------------------------------------------------------------------------------------
class _Plane:
    """What the kernels that add into planes share: zeros first, then contributions in a fixed order."""

    def __init__(self, name: str, sig: Any, spatial: int, tail: int) -> None:
        g, out = sig.types[0], sig.out
        self.ty, self.bits = g.dtype.lane, g.dtype.itemsize * 8
        self.planes = _Planes.of([_leading(g, tail), _leading(out, spatial)], 0)
        self.k = Kernel(f"{name}_{self.ty}")
        self.source, self.target = self.k.pointer(0), self.k.pointer(1)
        p = self.planes
        self.space = self.k.dims([*p.sizes, p.blocks], [[*s, LANES] for s in p.strides])
        self.columns = self.k.word(p.columns)
        self.steps = [self.k.stride(s) for s in _three(out.strides[out.ndim - spatial:], 0)]
        self.sizes = [self.k.word(n) for n in _three(out.shape[out.ndim - spatial:], 1)]

    def write(self, body: Callable[[LLVMLanes, Sequence[str]], None], work: int) -> Lowered:
        k, f = self.k, self.k.f
        with k.each(self.space, 2) as (coords, places):
            if not self.planes.side:
                self.clear(LLVMLanes(f, 0), places[1])
                body(LLVMLanes(f, 0), places)
            else:
                count = k.sub(self.columns, k.mul(coords[-1], str(LANES)))
                full, rest, done = f.label("full"), f.label("rest"), f.label("done")
                f.branch_if(f.op(f"icmp sge i64 {count}, {LANES}"), full, rest)
                f.block(full)
                self.clear(LLVMLanes(f, LANES), places[1])
                body(LLVMLanes(f, LANES), places)
                f.branch(done)
                f.block(rest)
                with f.loop("0", count) as it:
                    here = [k.add(p, it.iv) for p in places]
                    self.clear(LLVMLanes(f, 0), here[1])
                    body(LLVMLanes(f, 0), here)
                f.branch(done)
                f.block(done)
        return k.finish(self.planes.units(), work * min(self.planes.columns, LANES))

    def place(self, base: str, at: Sequence[str]) -> str:
        for i, step in zip(at, self.steps, strict=True):
            base = self.k.add(base, self.k.mul(i, step))
        return base

    def clear(self, L: LLVMLanes, place: str) -> None:
        f = self.k.f
        with f.loop("0", self.sizes[0]) as d, f.loop("0", self.sizes[1]) as h, f.loop("0", self.sizes[2]) as w:
            store(L, self.ty, L.const(self.ty, 0).v, self.k.at(self.target, self.place(place, (d.iv, h.iv, w.iv)), self.bits))

    def accumulate(self, L: LLVMLanes, offset: str, value: Lane) -> None:
        address = self.k.at(self.target, offset, self.bits)
        store(L, self.ty, (L.wrap(self.ty, load(L, self.ty, address)) + value).v, address)


def _leading(t: Any, tail: int) -> Any:
    """The type of one element of each plane."""
    from frankentorch.ops.types import tensor_type

    return tensor_type(t.dtype, t.shape[: t.ndim - tail], t.strides[: t.ndim - tail])


def spread_windows(sig: Any, tier: str) -> list[Lowered]:
    """The transpose of sum_windows: every window adds its value to the elements it covers, windows in row-major order."""
    kernel, stride, padding, big, adaptive = sig.attrs
    if not sig.out.numel:
        return []
    spatial = len(big)
    g = sig.types[0]
    small = g.shape[g.ndim - spatial:]
    plane = _Plane("spread_windows", sig, spatial, spatial)
    k, f = plane.k, plane.k.f
    windows = Windows.of(k, kernel, stride, padding, (1,) * spatial, big, small, adaptive)
    steps = [k.stride(s) for s in _three(g.strides[g.ndim - spatial:], 0)]

    def body(L: LLVMLanes, places: Sequence[str]) -> None:
        with f.loop("0", windows.small[0]) as d:
            deep = windows.bounds(k, 0, d.iv)
            with f.loop("0", windows.small[1]) as h:
                high = windows.bounds(k, 1, h.iv)
                with f.loop("0", windows.small[2]) as w:
                    wide = windows.bounds(k, 2, w.iv)
                    offset = places[0]
                    for i, step in zip((d.iv, h.iv, w.iv), steps, strict=True):
                        offset = k.add(offset, k.mul(i, step))
                    value = L.wrap(plane.ty, load(L, plane.ty, k.at(plane.source, offset, plane.bits)))
                    with _taps(k, (deep, high, wide), []) as (taps, loop, _):
                        at = [windows.at(k, n, b[0], t) for n, (b, t) in enumerate(zip((deep, high, wide), taps, strict=True))]
                        plane.accumulate(L, plane.place(places[1], at), value)
                        loop.next([])

    area = 1
    for n in (*big, *(kernel if not adaptive else ())):
        area *= n
    return [plane.write(body, area)]


# Columns -------------------------------------------------------------------------------------------------------------------
def im2col(sig: Any, tier: str) -> list[Lowered]:
    """out[..., i, j, oh, ow] = x[..., oh * stride - padding + i * dilation, ...], zero outside."""
    kernel, dilation, padding, stride = sig.attrs
    x, out = sig.types[0], sig.out
    if not out.numel:
        return []
    lead = x.ndim - 2
    sizes, strides = collapse(x.shape[:lead], [x.strides[:lead], out.strides[:lead]])
    k = Kernel(f"im2col_{x.dtype.itemsize}")
    f, bits = k.f, x.dtype.itemsize * 8
    source, target = k.pointer(0), k.pointer(1)
    extra = out.shape[lead:lead + 3]
    space = k.dims([*sizes, *extra], [[*strides[0], 0, 0, 0], [*strides[1], *out.strides[lead:lead + 3]]])
    height, width, columns = k.word(x.shape[-2]), k.word(x.shape[-1]), k.word(out.shape[-1])
    row, column, step = k.stride(x.strides[-2]), k.stride(x.strides[-1]), k.stride(out.strides[-1])
    dilate, pad, stridden = [[k.word(v) for v in pair] for pair in (dilation, padding, stride)]
    with k.each(space, 2) as (coords, places):
        i, j, oh = coords[-3:]
        ih = k.add(k.sub(k.mul(oh, stridden[0]), pad[0]), k.mul(i, dilate[0]))
        inside = f.op(f"icmp ult i64 {ih}, {height}")
        shift = k.sub(k.mul(j, dilate[1]), pad[1])
        base = k.add(places[0], k.mul(ih, row))
        with f.loop("0", columns) as it:
            iw = k.add(k.mul(it.iv, stridden[1]), shift)
            good = f.op(f"and i1 {inside}, {f.op(f'icmp ult i64 {iw}, {width}')}")
            # Reading element 0 where there is none keeps the loop free of branches.
            address = k.at(source, f.op(f"select i1 {good}, i64 {k.add(base, k.mul(iw, column))}, i64 0"), bits)
            value = f.op(f"load i{bits}, ptr {address}, align {min(bits // 8, 8)}")
            value = f.op(f"select i1 {good}, i{bits} {value}, i{bits} 0")
            f.do(f"store i{bits} {value}, ptr {k.at(target, k.add(places[1], k.mul(it.iv, step)), bits)}, align {min(bits // 8, 8)}")
    units = 1
    for n in (*sizes, *extra):
        units *= n
    return [k.finish(units, out.shape[-1])]


def col2im(sig: Any, tier: str) -> list[Lowered]:
    """The transpose of im2col: taps add in (i, j) order."""
    kernel, dilation, padding, stride, _ = sig.attrs
    if not sig.out.numel:
        return []
    g = sig.types[0]
    plane = _Plane("col2im", sig, 2, 4)
    k, f = plane.k, plane.k.f
    counts = [k.word(n) for n in g.shape[-4:]]
    steps = [k.stride(s) for s in g.strides[-4:]]
    dilate, pad, stridden = [[k.word(v) for v in pair] for pair in (dilation, padding, stride)]

    def body(L: LLVMLanes, places: Sequence[str]) -> None:
        with f.loop("0", counts[0]) as i, f.loop("0", counts[1]) as j, f.loop("0", counts[2]) as oh:
            ih = k.add(k.sub(k.mul(oh.iv, stridden[0]), pad[0]), k.mul(i.iv, dilate[0]))
            shift = k.sub(k.mul(j.iv, dilate[1]), pad[1])
            base = places[0]
            for at, step in zip((i.iv, j.iv, oh.iv), steps[:3], strict=True):
                base = k.add(base, k.mul(at, step))
            with f.when(f.op(f"icmp ult i64 {ih}, {plane.sizes[1]}")), f.loop("0", counts[3]) as ow:
                iw = k.add(k.mul(ow.iv, stridden[1]), shift)
                with f.when(f.op(f"icmp ult i64 {iw}, {plane.sizes[2]}")):
                    address = k.at(plane.source, k.add(base, k.mul(ow.iv, steps[3])), plane.bits)
                    plane.accumulate(L, plane.place(places[1], ("0", ih, iw)), L.wrap(plane.ty, load(L, plane.ty, address)))

    taps = kernel[0] * kernel[1]
    return [plane.write(body, taps * g.shape[-1] * g.shape[-2])]

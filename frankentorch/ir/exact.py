"""What the rows that fix an order of arithmetic mean, to the bit, in numpy: docs/contract.md as code.

Enters: a `Sig` and its operands' arrays. Leaves: the results' arrays. Registered in `interp.EXACT`. Pointwise rows run their lane function on
`NumpyLanes`, which rounds as compiled code does; reductions take the tree, contractions the chains. Nothing here is fast.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..ops.record import Sig
from .interp import EXACT, Exact

CHUNK, GROUP = 384, 32
PARTS = {"c64": "f32", "c128": "f64"}


def exact(*keys: str) -> Callable[[Exact], Exact]:
    """Register a reference for rows with one of these traits or kinds."""

    def register(fn: Exact) -> Exact:
        EXACT.update(dict.fromkeys(keys, fn))
        return fn

    return register


# Arrays as lanes -----------------------------------------------------------------------------------------------------------------
def to_lane(x: Any) -> Any:
    """An array as a lane of the evaluator: complex ones as pairs, 16-bit floats as their patterns."""
    from ..lower.lanes import Complex, NumpyLanes

    L, ty = NumpyLanes(), dtypes.from_numpy_dtype(x.dtype).lane
    if ty in PARTS:
        return Complex(L.wrap(PARTS[ty], x.real), L.wrap(PARTS[ty], x.imag))
    return L.wrap(ty, x.view(np.uint16) if ty in ("f16", "bf16") else x)


def from_lane(value: Any, dtype: Any) -> Any:
    """The array of a lane of `dtype`."""
    if dtype.is_complex:
        out = np.empty(np.broadcast(value.re.v, value.im.v).shape, dtype.np)
        out.real, out.imag = value.re.v, value.im.v
        return out
    return np.asarray(value.v).view(dtype.np) if dtype.lane in ("f16", "bf16") else np.asarray(value.v, dtype.np)


def computed(x: Any) -> Any:
    """Stored elements in the type that arithmetic is done in."""
    return x.astype(np.float32) if dtypes.from_numpy_dtype(x.dtype).lane in ("f16", "bf16") else x


# Pointwise -----------------------------------------------------------------------------------------------------------------------
@exact("pointwise")
def pointwise(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """The lane function, in float32 for 16-bit floats, and one rounding to the result's type."""
    from ..lower.lanes import NumpyLanes
    from ..lower.translate import as_dtype, widened
    from ..lower.vmath import FUNCTIONS

    L, lane, out = NumpyLanes(), sig.row.lane, sig.outs[0].dtype
    args = [to_lane(a) for a in arrays]
    with np.errstate(all="ignore"):
        if sig.row.traits & {"convert", "copy"}:
            value = args[0]
        else:
            value = (FUNCTIONS[lane] if isinstance(lane, str) else lane)(L, *(widened(L, a) for a in args))  # type: ignore[misc]
        return (from_lane(as_dtype(L, value, out.lane), out),)


@exact("fill")
def fill(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    return (arrays[0],)


# Reductions ----------------------------------------------------------------------------------------------------------------------
@exact("reduce")
def reduction(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """The tree over the reduced axes, flattened in logical order."""
    from ..lower.lanes import Complex, NumpyLanes
    from ..lower.nest_reference import reduce_tree
    from ..lower.translate import as_dtype
    from ..lower.translate_reduce import accumulator_types

    L, x, out = NumpyLanes(), arrays[0], sig.outs[0]
    kind = next(t for t in sig.row.traits if t.startswith("reduce:"))[7:]
    dims, kept = sig.attrs[0], [d for d in range(x.ndim) if d not in sig.attrs[0]]
    n = int(np.prod([x.shape[d] for d in dims], dtype=np.int64))
    arg = to_lane(np.ascontiguousarray(x.transpose(*kept, *dims)).reshape(out.numel, n))
    parts = [arg.re, arg.im] if isinstance(arg, Complex) else [arg]
    with np.errstate(all="ignore"):
        types = accumulator_types(kind, parts[0].ty, out.dtype.lane)
        xs = [L.convert(p, ty) for p, ty in zip(parts, types, strict=False)]
        if kind.startswith("arg"):
            xs.append(L.wrap("i64", np.broadcast_to(np.arange(n), xs[0].v.shape)))
        got = reduce_tree(L, kind, xs)
        value = Complex(got[0], got[1]) if out.dtype.is_complex else got[-1]
        return (from_lane(as_dtype(L, value, out.dtype.lane), out.dtype).reshape(out.shape),)


# Contractions --------------------------------------------------------------------------------------------------------------------
def fma(a: Any, b: Any, c: Any) -> Any:
    """a * b + c with one rounding (floats), or wrapping (integers)."""
    if c.dtype.kind in "iu":
        return a * b + c
    from ..lower.lanes_numpy import fma32, fma64

    if c.dtype == np.float64:
        return fma64(a, b, c)
    wide = a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)
    # The product is exact, so rounding the sum twice errs only where the first lands half way between two floats, or below them.
    doubt = ((wide.view(np.int64) & 0x1FFFFFFF) == 0x10000000) | ((np.abs(wide) < 2.0**-125) & (wide != 0))
    return fma32(a, b, c) if doubt.any() else wide.astype(np.float32)


def fold(sums: Sequence[Any]) -> Any:
    """Chunk sums added left to right in groups, groups left to right."""
    groups = []
    for g in range(0, len(sums), GROUP):
        total = sums[g]
        for s in sums[g + 1:g + GROUP]:
            total = total + s
        groups.append(total)
    total = groups[0]
    for g in groups[1:]:
        total = total + g
    return total


def chains(steps: Iterable[tuple[Any, Any, Any]], shape: Sequence[int], dtype: Any) -> Any:
    """The sum over k of a(k) * b(k). `steps` gives (a, b, where it happens) for each position of k; None: everywhere."""
    sums: list[Any] = []
    acc = np.zeros(shape, dtype)
    with np.errstate(all="ignore"):
        for k, (a, b, taken) in enumerate(steps):
            if k and k % CHUNK == 0:
                sums.append(acc)
                acc = np.zeros(shape, dtype)
            new = fma(a, b, acc)
            acc = new if taken is None else np.where(taken, new, acc)
        return fold([*sums, acc])


@exact("contract")
def matmul(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """(..., m, k) times (..., k, n)."""
    a, b = map(computed, arrays)
    return (chains(((a[..., :, k, None], b[..., k, None, :], None) for k in range(a.shape[-1])), sig.outs[0].shape, a.dtype),)


def picked(x: Any, axes: Sequence[Any]) -> tuple[Any, Any]:
    """x[..., positions of each trailing axis] and which of them lie inside; those outside hold anything."""
    inside: Any = np.ones((), bool)
    lead = x.ndim - len(axes)
    for d, at in enumerate(axes):
        size = x.shape[lead + d]
        inside = inside[..., None] & ((at >= 0) & (at < size))
        x = np.take(x, np.clip(at, 0, max(size - 1, 0)), axis=lead + d) if size else np.zeros((*x.shape[:lead + d], len(at), *x.shape[lead + d + 1:]), x.dtype)
    return x, inside


def _grouped(x: Any, groups: int, axis: int) -> Any:
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1:])


@exact("conv:forward")
def convolution(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """k: tap (d, h, w), then input channel within the group. Taps in the padding are skipped."""
    stride, padding, dilation, groups = sig.attrs
    x, w = _grouped(computed(arrays[0]), groups, 1), _grouped(computed(arrays[1]), groups, 0)
    out = sig.outs[0].shape
    spread = (..., *(None for _ in stride))

    def steps() -> Any:
        for tap in itertools.product(*map(range, w.shape[3:])):
            at, inside = picked(x, [np.arange(n) * s - p + t * d for n, s, p, t, d in zip(out[2:], stride, padding, tap, dilation, strict=True)])
            for c in range(x.shape[2]):
                yield at[:, :, c, None], w[(slice(None), slice(None), c, *tap)][spread], inside

    return (chains(steps(), (out[0], groups, out[1] // groups, *out[2:]), x.dtype).reshape(out),)


@exact("conv:input_grad")
def convolution_input(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """k: tap, then output channel within the group. Positions between the steps of the stride are skipped."""
    _, stride, padding, dilation, groups = sig.attrs
    g, w = _grouped(computed(arrays[0]), groups, 1), _grouped(computed(arrays[1]), groups, 0)
    out = sig.outs[0].shape
    spread = (..., *(None for _ in stride))

    def steps() -> Any:
        for tap in itertools.product(*map(range, w.shape[3:])):
            from_ = [np.arange(n) + p - t * d for n, p, t, d in zip(out[2:], padding, tap, dilation, strict=True)]
            at, inside = picked(g, [np.where(i % s == 0, i // s, -1) for i, s in zip(from_, stride, strict=True)])
            for c in range(g.shape[2]):
                yield at[:, :, c, None], w[(slice(None), c, slice(None), *tap)][spread], inside

    return (chains(steps(), (out[0], groups, out[1] // groups, *out[2:]), g.dtype).reshape(out),)


@exact("conv:weight_grad")
def convolution_weight(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """k: image, then output pixel (d, h, w)."""
    _, stride, padding, dilation, groups = sig.attrs
    x, g = (_grouped(computed(a), groups, 1) for a in arrays)
    out = sig.outs[0].shape
    spread = (..., None, *(None for _ in stride))

    def steps() -> Any:
        for image, o in itertools.product(range(g.shape[0]), itertools.product(*map(range, g.shape[3:]))):
            at, inside = picked(x[image], [i * s - p + np.arange(n) * d for i, s, p, n, d in zip(o, stride, padding, out[2:], dilation, strict=True)])
            yield at[:, None], g[(image, slice(None), slice(None), *o)][spread], inside

    return (chains(steps(), (groups, out[0] // groups, *out[1:]), x.dtype).reshape(out),)


# Scans, scatters, draws ----------------------------------------------------------------------------------------------------------
@exact("template:logcumsumexp")
def logcumsumexp(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """One chain of logaddexp from -inf along each line."""
    from ..lower.lanes import NumpyLanes
    from ..lower.vmath import FUNCTIONS

    L, (dim,) = NumpyLanes(), sig.attrs
    lines = np.moveaxis(np.atleast_1d(computed(arrays[0])), dim, 0)
    out = np.empty_like(lines)
    carry = to_lane(np.full(lines.shape[1:], -np.inf, lines.dtype))
    with np.errstate(all="ignore"):
        for i, x in enumerate(lines):
            carry = FUNCTIONS["logaddexp"](L, carry, to_lane(np.asarray(x)))
            out[i] = from_lane(carry, sig.outs[0].dtype if np.iscomplexobj(lines) else dtypes.from_numpy_dtype(lines.dtype))
    return (np.moveaxis(out, 0, dim).reshape(sig.outs[0].shape),)


@exact("template:scatter_reduce")
def scatter_reduce(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """Each source element combined into its destination, in row-major order of the index."""
    from ..lower.lanes import NumpyLanes
    from ..lower.scatter import combine

    x, index, src = (np.atleast_1d(a) for a in arrays)
    dim, op = sig.attrs
    out = computed(np.array(x))
    src = computed(src)
    L = NumpyLanes()
    with np.errstate(all="ignore"):
        for place in np.ndindex(index.shape):
            to = (*place[:dim], int(index[place]), *place[dim + 1:])
            out[to] = combine(L, op,  # type: ignore[arg-type]
                               to_lane(out[to][None]), to_lane(src[place][None])).v[0] if not np.iscomplexobj(out) else out[to] + src[place]
    return (out.reshape(sig.outs[0].shape),)


@exact("random")
def draw(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """A draw of the reference stream; the generator's state moves on."""
    from ..ops.rand import GENERATORS
    from ..runtime import random as streams

    kind, size, dtype, p_dtype = sig.attrs
    out = sig.outs[0]
    if out.numel == 0:
        return (np.empty(out.shape, dtype.np),)
    generator = GENERATORS[int(arrays[0])]
    stream = generator.reference_now()
    params = [(int(p) if p.dtype.kind in "iu" else float(p)) if t.scalar else p if kind == "multinomial" else p.reshape(-1)
              for p, t in zip(arrays[1:], sig.types[1:], strict=True)]
    raw = np.asarray(stream.draw(kind, dtype.lane, out.numel, *params, p_dtype=p_dtype))
    streams.Generator.set_state(generator, stream.state())
    return ((raw.view(dtype.np) if raw.dtype.itemsize == dtype.itemsize else raw).reshape(size),)

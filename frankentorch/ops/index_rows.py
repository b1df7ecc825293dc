"""Rows that read or write through index tensors, their gradients and their meaning in numpy.

Enters: tensors and in-range indices: the torch functions (`ops.index`, `ops.masked`) check them, gradient rules make none of
their own. Leaves: recorded tensors. Writing rows update operand 0 (trait ``updates:0``); contributions to one destination are taken in
source order, and of plain writes the last one stays (docs/contract.md, Scatter and gather).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from . import call
from .create import full_of
from .define import LOW, primitive
from .movement import constant_pad_nd, expand_row, slice_row, sum_to
from .pointwise import where
from .record import emit
from .table import Kind, NoGrad, Row
from .types import broadcast_shapes, dense_type, tensor_type

_MASK = NoGrad("positions of true elements")


def zeros_for(g: Any, shape: Sequence[int]) -> Any:
    return full_of(tuple(shape), 0, g.dtype)


def constant(value: Any, like: Any, shape: Sequence[int]) -> Any:
    """One number read as a tensor of `shape` (stride 0 throughout)."""
    return emit(expand_row, (full_of((), value, like.dtype),), (tuple(shape),))


def accumulated(row: Row, x: Any, others: Sequence[Any], attrs: tuple[Any, ...]) -> Any:
    """Record a row that sums into `x`: bfloat16 and float16 are summed in float32 and rounded once."""
    dtype = x.dtype
    if dtype in LOW:
        widened = [call.cast(t, dtypes.float32) if t.dtype is dtype else t for t in (x, *others)]
        return call.cast(emit(row, widened, attrs), dtype)
    return emit(row, (x, *others), attrs)


# Reading -------------------------------------------------------------------------------------------------------------------
def _infer_index_select(types: Any, attrs: Any) -> Any:
    x, index = types
    (dim,) = attrs
    if not x.ndim:
        return (tensor_type(x.dtype, ()),)
    return (tensor_type(x.dtype, (*x.shape[:dim], index.numel, *x.shape[dim + 1:])),)


def _ref_index_select(x: Any, index: Any, dim: int) -> Any:
    return np.take(x, np.reshape(index, -1), axis=dim) if x.ndim else x


def _index_select_vjp(g: Any, x: Any, index: Any, out: Any, dim: Any) -> Any:
    return accumulated(index_add_row, zeros_for(g, x.shape), (index, g), (dim,)), None


index_select_row = primitive(
    "index_select(Tensor input, Tensor index, int dim) -> Tensor", Kind.GATHER, doc="Whole slices along a dimension, by number.",
    infer=_infer_index_select, ref=_ref_index_select, vjp=_index_select_vjp, attrs=("dim",), traits=("template:index_select",))


def _grid(shape: Sequence[int], index: Any, dim: int) -> tuple[Any, ...]:
    """numpy's advanced index for the places ``p`` of `shape` with coordinate `dim` replaced by index[p]."""
    grid = list(np.indices(shape, sparse=True))
    if grid:
        grid[dim] = np.asarray(index)
    return tuple(grid)


def _infer_gather(types: Any, attrs: Any) -> Any:
    return (tensor_type(types[0].dtype, types[1].shape),)


def _ref_gather(x: Any, index: Any, dim: int) -> Any:
    if not x.ndim or not index.ndim:
        return np.broadcast_to(np.reshape(x, -1)[np.reshape(index, -1)] if x.ndim else np.reshape(x, ()), index.shape).copy()
    return x[_grid(index.shape, index, dim)]


def _gather_vjp(g: Any, x: Any, index: Any, out: Any, dim: Any) -> Any:
    return accumulated(scatter_reduce_row, zeros_for(g, x.shape), (index, g), (dim, "add")), None


gather_row = primitive(
    "gather(Tensor input, Tensor index, int dim) -> Tensor", Kind.GATHER, doc="out[p] = input[p with its coordinate along dim replaced by index[p]].",
    infer=_infer_gather, ref=_ref_gather, vjp=_gather_vjp, attrs=("dim",), traits=("template:gather",))


def index_shape(shape: Sequence[int], dims: Sequence[int], wide: Sequence[int]) -> tuple[int, ...]:
    """The shape of advanced indexing: index dimensions in place of adjacent indexed ones, in front otherwise."""
    adjacent = all(b == a + 1 for a, b in zip(dims, dims[1:], strict=False))
    kept = [d for d in range(len(shape)) if d not in dims]
    at = dims[0] if adjacent and dims else 0
    return (*(shape[d] for d in kept[:at]), *wide, *(shape[d] for d in kept[at:]))


def _infer_index(types: Any, attrs: Any) -> Any:
    x, *indices = types
    return (tensor_type(x.dtype, index_shape(x.shape, attrs[0], broadcast_shapes([t.shape for t in indices]))),)


def _numpy_index(x: Any, indices: Sequence[Any], dims: Sequence[int]) -> tuple[Any, ...]:
    key: list[Any] = [slice(None)] * x.ndim
    for t, d in zip(indices, dims, strict=True):
        key[d] = np.asarray(t)
    return tuple(key)


def _ref_index(x: Any, *indices: Any, dims: Any) -> Any:
    return x[_numpy_index(x, indices, dims)]


def _index_vjp(g: Any, x: Any, *indices: Any, out: Any, dims: Any) -> Any:
    return (accumulated(index_put_row, zeros_for(g, x.shape), (g, *indices), (dims, True)), *(None for _ in indices))


index_row = primitive(
    "index(Tensor input, Tensor[] indices, int[] dims) -> Tensor", Kind.GATHER, doc="Advanced indexing; a negative index counts from the end.",
    infer=_infer_index, ref=_ref_index, vjp=_index_vjp, attrs=("dims",), traits=("template:index",))
index_row.grad_name = "IndexBackward0"

compact_row = primitive(
    "compact(Tensor mask, int count) -> Tensor", Kind.GATHER, doc="The row-major numbers of the true elements, of which there are `count`.",
    infer=lambda types, attrs: (tensor_type(dtypes.int64, (attrs[0],)),), ref=lambda mask, count: np.flatnonzero(mask)[:count], vjp=_MASK,
    attrs=("count",), traits=("template:compact",))


# Writing -------------------------------------------------------------------------------------------------------------------
def _infer_update(types: Any, attrs: Any) -> Any:
    x = types[0]
    return (tensor_type(x.dtype, x.shape, dense_type(x).strides),)


def _places(x: Any, index: Any, src: Any, dim: int) -> tuple[Any, Any, Any]:
    """(a copy of x that numpy can index, where, what) of a scatter."""
    out = np.array(x)
    if not x.ndim or not index.ndim:
        count = index.size
        return out.reshape(-1), np.zeros(count, np.int64) if not x.ndim else np.reshape(index, -1), np.broadcast_to(np.reshape(src, -1)[:count], (count,))
    return out, _grid(index.shape, index, dim), src[tuple(slice(n) for n in index.shape)]


def _ref_scatter(x: Any, index: Any, src: Any, dim: int) -> Any:
    out, where_, what = _places(x, index, src, dim)
    for place, value in zip(zip(*(np.broadcast_to(w, index.shape or (index.size,)).reshape(-1) for w in _tuple(where_)), strict=True),
                            np.broadcast_to(what, index.shape or (index.size,)).reshape(-1), strict=True):
        out[place] = value
    return out.reshape(x.shape)


def _tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def source_gradient(g: Any, index: Any, src: Any, dim: int) -> Any:
    """What a scatter's source receives: its places' gradients, and zeros beyond the shape of `index`."""
    return _padded(emit(gather_row, (g, index), (dim,)), src.shape)


def _padded(x: Any, shape: Sequence[int]) -> Any:
    """`x` with zeros behind it up to `shape`."""
    if tuple(x.shape) == tuple(shape):
        return x
    return constant_pad_nd(x, [n for a, b in zip(reversed(shape), reversed(x.shape), strict=True) for n in (0, a - b)])


def _scatter_vjp(g: Any, x: Any, index: Any, src: Any, out: Any, dim: Any) -> Any:
    return emit(scatter_row, (g, index, constant(0, g, index.shape)), (dim,)), None, source_gradient(g, index, src, dim)


scatter_row = primitive(
    "scatter(Tensor input, Tensor index, Tensor src, int dim) -> Tensor", Kind.SCATTER,
    doc="input with out[p with its coordinate along dim replaced by index[p]] = src[p]; the last write stays.", infer=_infer_update, ref=_ref_scatter,
    vjp=_scatter_vjp, attrs=("dim",), traits=("template:scatter", "updates:0"))

_AT = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _ref_scatter_reduce(x: Any, index: Any, src: Any, dim: int, op: str) -> Any:
    out, where_, what = _places(x, index, src, dim)
    with np.errstate(all="ignore"):
        _AT[op].at(out, where_, what)
    return out.reshape(x.shape)


def _scatter_reduce_vjp(g: Any, x: Any, index: Any, src: Any, out: Any, dim: Any, op: Any) -> Any:
    if op == "add":
        return g, None, source_gradient(g, index, src, dim)

    def read(t: Any) -> Any:
        return emit(gather_row, (t, index), (dim,))

    def total(base: Any, of: Any) -> Any:
        return accumulated(scatter_reduce_row, base, (index, of), (dim, "add"))

    whole = tuple(src.shape)
    for d in range(x.ndim):
        if src.shape[d] != index.shape[d]:
            src = emit(slice_row, (src,), (d, 0, index.shape[d], 1))
    if op in ("max", "min"):
        mine, theirs = call.cast(x == out, g.dtype), call.cast(src == read(out), g.dtype)
        share = g / total(mine, theirs)
        return share * mine, None, _padded(read(share) * theirs, whole)
    # A product's gradient is the product of the others; exact with zeros, which are counted apart.
    ones = accumulated(scatter_reduce_row, full_of(tuple(x.shape), 1, x.dtype), (index, src), (dim, "mul"))
    solid = accumulated(scatter_reduce_row, where(x == 0, 1, x), (index, where(src == 0, 1, src)), (dim, "mul"))
    zeros = read(total(call.cast(x == 0, g.dtype), call.cast(src == 0, g.dtype)))
    others = where(src == 0, where(zeros == 1, read(solid), 0), where(zeros == 0, read(solid) / where(src == 0, 1, src), 0))
    return g * ones, None, _padded(read(g) * others, whole)


scatter_reduce_row = primitive(
    "scatter_reduce(Tensor input, Tensor index, Tensor src, int dim, str op) -> Tensor", Kind.SCATTER,
    doc="input with each src[p] combined (add, mul, max, min) into its destination, in source order.", infer=_infer_update,
    ref=_ref_scatter_reduce, vjp=_scatter_reduce_vjp, attrs=("dim", "op"), traits=("template:scatter_reduce", "updates:0"))


def _ref_index_rows(accumulates: bool) -> Any:
    def ref(x: Any, index: Any, src: Any, dim: int) -> Any:
        out = np.array(x)
        flat = out.reshape(-1) if not x.ndim else out
        moved = np.moveaxis(flat, dim, 0)
        rows = np.moveaxis(np.reshape(src, -1) if not src.ndim else src, dim if x.ndim else 0, 0)
        for j, at in enumerate(np.reshape(index, -1)):
            moved[at] = moved[at] + rows[j] if accumulates else rows[j]
        return out

    return ref


def _index_add_vjp(g: Any, x: Any, index: Any, src: Any, out: Any, dim: Any) -> Any:
    return g, None, emit(index_select_row, (g, index), (dim,)).reshape(src.shape)


index_add_row = primitive(
    "index_add(Tensor input, Tensor index, Tensor source, int dim) -> Tensor", Kind.SCATTER,
    doc="input with slice j of source added to slice index[j], in order.", infer=_infer_update, ref=_ref_index_rows(True), vjp=_index_add_vjp,
    attrs=("dim",), traits=("template:index_add", "updates:0"))


def _index_copy_vjp(g: Any, x: Any, index: Any, src: Any, out: Any, dim: Any) -> Any:
    gx = emit(index_copy_row, (g, index, constant(0, g, src.shape)), (dim,))
    return gx, None, emit(index_select_row, (g, index), (dim,)).reshape(src.shape)


index_copy_row = primitive(
    "index_copy(Tensor input, Tensor index, Tensor source, int dim) -> Tensor", Kind.SCATTER,
    doc="input with slice index[j] replaced by slice j of source; the last write stays.", infer=_infer_update, ref=_ref_index_rows(False),
    vjp=_index_copy_vjp, attrs=("dim",), traits=("template:index_copy", "updates:0"))


def _ref_index_put(x: Any, values: Any, *indices: Any, dims: Any, accumulate: bool) -> Any:
    out = np.array(x, order="C")
    key = _numpy_index(x, indices, dims)
    shape = out[key].shape
    if accumulate:
        np.add.at(out, key, np.broadcast_to(values, shape))
        return out
    numbers = np.arange(out.size).reshape(out.shape)[key]
    flat = out.reshape(-1)
    for n, value in zip(numbers.reshape(-1), np.broadcast_to(values, shape).reshape(-1), strict=True):
        flat[n] = value
    return out


def _index_put_vjp(g: Any, x: Any, values: Any, *indices: Any, out: Any, dims: Any, accumulate: Any) -> Any:
    gx = g if accumulate else emit(index_put_row, (g, constant(0, g, values.shape), *indices), (dims, False))
    return (gx, sum_to(emit(index_row, (g, *indices), (dims,)), values.shape), *(None for _ in indices))


index_put_row = primitive(
    "index_put(Tensor input, Tensor values, Tensor[] indices, int[] dims, bool accumulate) -> Tensor", Kind.SCATTER,
    doc="Advanced indexing on the left: values replace (or are added to) the indexed elements.", infer=_infer_update, ref=_ref_index_put,
    vjp=_index_put_vjp, attrs=("dims", "accumulate"), traits=("template:index_put", "updates:0"))

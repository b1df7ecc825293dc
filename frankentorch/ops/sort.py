"""Ordering: sort, the k best, order statistics, binary search.

Sorts are stable, ties keep the lowest index first, a NaN is above infinity and -0 equals 0 (docs/contract.md, Sorting). Order statistics
read a sorted copy; their gradient goes to the element that was picked.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..return_types import ALL as NAMED
from . import call
from .call import is_tensor, wrap_dim
from .create import full_of, iota
from .define import LOW, api, composite, primitive
from .index_rows import gather_row, scatter_row, zeros_for
from .pointwise import isnan, where
from .record import emit
from .reduce import sum_row
from .scan import cummax_row
from .table import Kind, NoGrad
from .types import tensor_type
from .unsupported import need


# Rows ----------------------------------------------------------------------------------------------------------------------
def _keys(x: Any) -> Any:
    """Numbers that numpy orders as torch does: -0 as 0 (numpy puts NaN last already)."""
    if x.dtype.kind not in "biu":
        x = x.astype(np.float64) + 0.0
    return x


def _ordered(x: Any, dim: int, descending: bool, limit: int | None) -> tuple[Any, Any]:
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    keys = _keys(x)
    if descending:  # ranks, so that ties stay in order when negated
        flat = np.unique(keys, return_inverse=True)[1].reshape(keys.shape)
        keys = -flat.astype(np.int64)
    order = np.argsort(keys, axis=dim, kind="stable")
    if limit is not None:
        order = np.take(order, range(limit), dim)
    return np.take_along_axis(x, order, dim), order.astype(np.int64)


def _infer_sort(types: Any, attrs: Any) -> Any:
    return tensor_type(types[0].dtype, types[0].shape), tensor_type(dtypes.int64, types[0].shape)


def _picked_vjp(g: Any, x: Any, out: Any, dim: int) -> Any:
    if g[0] is None:
        return (None,)
    return (emit(scatter_row, (zeros_for(g[0], x.shape), out[1], g[0]), (dim,)),)


sort_row = primitive(
    "sort(Tensor input, int dim, bool descending) -> (Tensor, Tensor)", Kind.SORT, doc="Lines in order, and where each element was.",
    infer=_infer_sort, ref=lambda x, dim, descending: _ordered(x, dim, descending, None), nout=2, attrs=("dim", "descending"),
    vjp=lambda g, x, out, dim, descending: _picked_vjp(g, x, out, dim), traits=("template:sort",))


def _infer_topk(types: Any, attrs: Any) -> Any:
    k, dim, _ = attrs
    shape = list(types[0].shape)
    if shape:
        shape[dim] = k
    return tensor_type(types[0].dtype, shape), tensor_type(dtypes.int64, shape)


topk_row = primitive(
    "topk(Tensor input, int k, int dim, bool largest) -> (Tensor, Tensor)", Kind.SORT, doc="The k best of each line, best first.",
    infer=_infer_topk, ref=lambda x, k, dim, largest: _ordered(x, dim, largest, k), nout=2, attrs=("k", "dim", "largest"),
    vjp=lambda g, x, out, k, dim, largest: _picked_vjp(g, x, out, dim), traits=("template:topk",))


def _ref_searchsorted(sequence: Any, values: Any, right: bool, out_int32: bool) -> Any:
    side: Any = "right" if right else "left"
    if sequence.ndim == 1:
        return np.searchsorted(sequence, values, side)
    out = np.empty(values.shape, np.int64)
    for place in np.ndindex(values.shape[:-1]):
        out[place] = np.searchsorted(sequence[place], values[place], side)
    return out


searchsorted_row = primitive(
    "searchsorted(Tensor sorted_sequence, Tensor input, bool right, bool out_int32) -> Tensor", Kind.SORT,
    doc="Where each value would go in its sorted line.", ref=_ref_searchsorted, vjp=NoGrad("an index"), attrs=("right", "out_int32"),
    infer=lambda types, attrs: (tensor_type(dtypes.int32 if attrs[1] else dtypes.int64, types[1].shape),), traits=("template:searchsorted",))


# Sorting -------------------------------------------------------------------------------------------------------------------
Sorted, TopK, KthValue, Median, NanMedian, Mode = (NAMED[n] for n in ("sort", "topk", "kthvalue", "median", "nanmedian", "mode"))


@api("sort(Tensor input, int dim=-1, bool descending=False, bool stable=False) -> (Tensor, Tensor)")
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool | None = False) -> Any:
    """(values, indices) along `dim`; always stable, NaN last in ascending order."""
    if input.dtype.is_complex:
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    return Sorted(*emit(sort_row, (input,), (wrap_dim(dim, input.ndim), bool(descending))))


@api("argsort(Tensor input, int dim=-1, bool descending=False, bool stable=False) -> Tensor", out=False)
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The indices of `sort`."""
    return sort(input, dim, descending).indices


@api("msort(Tensor input) -> Tensor")
def msort(input: Any) -> Any:
    """sort along the first dimension, values only."""
    return sort(input, 0).values


@api("topk(Tensor input, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor, Tensor)")
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The k largest (or smallest) of each line, best first; ties take the lowest index."""
    d = wrap_dim(dim, input.ndim)
    if not 0 <= k <= (input.shape[d] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if input.dtype is dtypes.bool_:
        raise RuntimeError("topk does not support bool dtypes on CPU")
    if input.dtype.is_complex:
        raise RuntimeError("topk does not support complex dtypes on CPU")
    return TopK(*emit(topk_row, (input,), (int(k), d, bool(largest))))


# Order statistics ------------------------------------------------------------------------------------------------------------
def _take_vjp(g: Any, input: Any, out: Any, dim: Any, keepdim: Any) -> Any:
    """The gradient goes to the element that was picked."""
    value = g[0]
    if value is None:
        return (None,)
    d, index = wrap_dim(dim, input.ndim), out[1]
    if not keepdim and input.ndim:
        value, index = value.unsqueeze(d), index.unsqueeze(d)
    return (emit(scatter_row, (zeros_for(value, input.shape), index, value), (d,)),)


def _pick(ordered: tuple[Any, Any], at: Any, d: int, keepdim: bool) -> tuple[Any, Any]:
    """One place of each sorted line; `at` has size one along `d`."""
    values, indices = [emit(gather_row, (t, at), (d,)) for t in ordered]
    return (values, indices) if keepdim or not values.ndim else (values.squeeze(d), indices.squeeze(d))


def _line(input: Any, name: str, dim: int) -> tuple[int, int]:
    """(dimension, its length), which must not be 0."""
    d = wrap_dim(dim, input.ndim)
    n = input.shape[d] if input.ndim else 1
    if n == 0:
        raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")
    return d, n


def _columns(input: Any, d: int, value: int) -> Any:
    return full_of([1 if k == d else n for k, n in enumerate(input.shape)], value, dtypes.int64)


@composite("kthvalue_dim(Tensor input, int k, int dim, bool keepdim) -> (Tensor, Tensor)", opmath=False, public=False, method=False, out=False,
           vjp=lambda g, input, out, dim, keepdim: _take_vjp(g, input, out, dim, keepdim))
def _kthvalue(input: Any, k: int, dim: int, keepdim: bool) -> Any:
    return _pick(emit(sort_row, (input,), (dim, False)), _columns(input, dim, k - 1), dim, keepdim)


_kthvalue.row.grad_name = "KthvalueBackward0"


@api("kthvalue(Tensor input, int k, int dim=-1, bool keepdim=False) -> (Tensor, Tensor)")
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest of each line, counting from one, and the index of one such element."""
    d = wrap_dim(dim, input.ndim)
    if not 1 <= k <= (input.shape[d] if input.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}")
    need("kthvalue_cpu", input, "int", "float")
    return KthValue(*_kthvalue(input, int(k), d, bool(keepdim)))


def _nans(x: Any, d: int) -> Any:
    """How many NaNs each line has (keepdim, int64)."""
    return emit(sum_row, (call.cast(isnan(x), dtypes.int64),), ((d,) if x.ndim else (), True))


@composite("median_dim(Tensor input, int dim, bool keepdim, bool ignore_nan) -> (Tensor, Tensor)", opmath=False, public=False, method=False, out=False,
           vjp=lambda g, input, out, dim, keepdim: _take_vjp(g, input, out, dim, keepdim))
def _median(input: Any, dim: int, keepdim: bool, ignore_nan: bool) -> Any:
    n = input.shape[dim] if input.ndim else 1
    at = _columns(input, dim, (n - 1) // 2)
    if input.dtype.is_floating_point:
        bad = _nans(input, dim)
        if ignore_nan:
            half = (n - bad - 1) // 2
            at = where(half < 0, 0, half)
        else:  # the first NaN in the order is the first in the line
            at = where(bad > 0, n - bad, at)
    return _pick(emit(sort_row, (input,), (dim, False)), at, dim, keepdim)


_median.row.grad_name = "MedianBackward1"


def _share_vjp(g: Any, input: Any, out: Any, ignore_nan: Any = None) -> Any:
    """Spread evenly over the elements equal to the result."""
    hit = call.cast((input == out) | (isnan(input) & isnan(out)), g.dtype)
    return (hit * (g / hit.sum()),)


@composite("median_all(Tensor input, bool ignore_nan) -> Tensor", opmath=False, public=False, method=False, out=False, vjp=_share_vjp)
def _median_all(input: Any, ignore_nan: bool) -> Any:
    return _median(input.reshape(-1), 0, False, ignore_nan)[0]


_median_all.row.grad_name = "MedianBackward0"


def _median_of(name: str, pair: Any, ignore_nan: bool) -> Any:
    @api(f"{name}(Tensor input, int? dim=None, bool keepdim=False) -> Tensor")
    def function(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if input.dtype.is_complex or input.dtype is dtypes.bool_:
            raise NotImplementedError(f"\"{name}_{'cpu' if dim is None else 'out'}\" not implemented for '{input.dtype.scalar_name}'")
        if dim is not None:
            return pair(*_median(input, _line(input, name, dim)[0], bool(keepdim), ignore_nan))
        if input.numel() == 0:
            if not input.dtype.is_floating_point:
                return full_of((), dtypes.iinfo(input.dtype).min, input.dtype)
            return full_of((), float("nan"), input.dtype)
        return _median_all(input, ignore_nan)

    function.__doc__ = f"The lower median{' of what is not NaN' if ignore_nan else '; a NaN wins'}; with `dim`, (values, indices)."
    return function


median = _median_of("median", Median, False)
nanmedian = _median_of("nanmedian", NanMedian, True)


@composite("mode_dim(Tensor input, int dim, bool keepdim) -> (Tensor, Tensor)", opmath=False, public=False, method=False, out=False,
           vjp=lambda g, input, out, dim, keepdim: _take_vjp(g, input, out, dim, keepdim))
def _mode(input: Any, dim: int, keepdim: bool) -> Any:
    from .movement import cat
    from .reduce import argmax_row

    n = input.shape[dim] if input.ndim else 1
    ordered = emit(sort_row, (input,), (dim, False))
    if n == 1:
        return _pick(ordered, _columns(input, dim, 0), dim, keepdim)
    values = ordered[0]
    place = iota(tuple(input.shape), dim, dtypes.int64)
    shifted = cat([values.narrow(dim, 0, 1), values.narrow(dim, 0, n - 1)], dim)
    begins = emit(cummax_row, (where((values != shifted) | (place == 0), place, 0),), (dim,))[0]
    # Runs grow one by one, so the first longest ends where the length is first reached.
    return _pick(ordered, emit(argmax_row, (place - begins,), ((dim,), True)), dim, keepdim)


_mode.row.grad_name = "ModeBackward0"


@api("mode(Tensor input, int dim=-1, bool keepdim=False) -> (Tensor, Tensor)")
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent value of each line (the smallest of several), and the last index at which it occurs."""
    need("mode_cpu", input, "bool", "int", "float")
    return Mode(*_mode(input, _line(input, "mode", dim)[0], bool(keepdim)))


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(name: str, input: Any, q: Any, dim: Any, keepdim: bool, interpolation: str, ignore_nan: bool) -> Any:
    if input.numel() == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if is_tensor(q):
        if q.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q.dtype is not input.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
        a = q._forced()
        if a.size and not ((a >= 0) & (a <= 1)).all():
            raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    elif not 0 <= q <= 1:
        raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q:g}")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}")
    points = q.reshape(-1) if is_tensor(q) else full_of((1,), q, input.dtype)
    if dim is None:
        x, d = input.reshape(-1), 0
    else:
        d = wrap_dim(dim, input.ndim)
        x = input.movedim(d, -1) if input.ndim else input.reshape(1)
    out = _quantiles(x, points, interpolation, ignore_nan)
    out = out.movedim(-1, 0)
    if keepdim:
        out = out.reshape(out.shape[0], *(1 for _ in input.shape)) if dim is None else out.unsqueeze(d + 1) if input.ndim else out
    return out if is_tensor(q) and q.ndim else out.reshape(out.shape[1:])


def _quantiles(x: Any, points: Any, interpolation: str, ignore_nan: bool) -> Any:
    """Quantiles of the last dimension: (..., len(points))."""
    last, n = x.ndim - 1, x.shape[-1]
    values = emit(sort_row, (x,), (last, False))[0]
    bad = _nans(x.detach(), last)
    if ignore_nan:
        top = call.cast(n - bad - 1, x.dtype)
        ranks = points * where(top < 0, 0, top)
    else:
        ranks = where(bad > 0, n - 1, points * (n - 1))
    if interpolation in ("lower", "higher", "nearest"):
        ranks = {"lower": ranks.floor, "higher": ranks.ceil, "nearest": ranks.round}[interpolation]()
    below = call.cast(ranks, dtypes.int64)
    low = emit(gather_row, (values, below), (last,))
    if interpolation in ("linear", "midpoint"):
        high = emit(gather_row, (values, call.cast(ranks.ceil(), dtypes.int64)), (last,))
        w = full_of((), 0.5, x.dtype) if interpolation == "midpoint" else ranks - call.cast(below, x.dtype)
        low = where(w < 0.5, low + w * (high - low), high - (high - low) * (1 - w))
    return low


@api("quantile(Tensor input, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation='linear') -> Tensor")
def quantile(input: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear") -> Any:
    """The q-th quantiles along `dim`; a NaN in a line wins."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@api("nanquantile(Tensor input, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation='linear') -> Tensor")
def nanquantile(input: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear") -> Any:
    """quantile of what is not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# Binary search ---------------------------------------------------------------------------------------------------------------
@api("searchsorted(Tensor sorted_sequence, Tensor input, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None) -> Tensor",
     method=False)
def searchsorted(sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False, side: Any = None, sorter: Any = None) -> Any:
    """For each value where it would go in its sorted line: before its equals, or after them with `right`."""
    name = "torch.searchsorted()"
    if side not in (None, "left", "right"):
        raise RuntimeError(f"{name}: side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(f"{name}: side and right can't be set to opposites, got side of left while right was True")
    values = input if is_tensor(input) else full_of((), input, sorted_sequence.dtype if isinstance(input, int) else dtypes.get_default_dtype())
    if sorted_sequence.ndim == 0:
        raise RuntimeError(f"{name}: boundaries tensor should have positive dimension, but got 0 dimension")
    if sorted_sequence.ndim != 1 and (not is_tensor(input) or sorted_sequence.shape[:-1] != values.shape[:-1] or not values.ndim):
        raise RuntimeError(f"{name}: boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor "
                           f"must match, but we got boundaries tensor {list(sorted_sequence.shape)} and input value tensor {list(values.shape)}")
    if sorter is not None:
        from .index import gather, outside

        if sorter.shape != sorted_sequence.shape:
            raise RuntimeError(f"{name}: boundary and sorter must have the same size, but got boundary tensor {list(sorted_sequence.shape)}and got "
                               f"sorter tensor {list(sorter.shape)}")
        if sorter.dtype is not dtypes.int64:
            raise RuntimeError(f"{name}: sorter must be a tensor of long dtype but got dtype {sorter.dtype.scalar_name}")
        if outside(sorter, 0, sorted_sequence.shape[-1]) is not None:
            raise RuntimeError(f"{name}: sorter index out of range")
        sorted_sequence = gather(sorted_sequence, -1, sorter)
    dtype = dtypes.promote_types(sorted_sequence.dtype, values.dtype)
    need("searchsorted_out_cpu", sorted_sequence if dtype is sorted_sequence.dtype else values, "int", "float")
    dtype = dtypes.float32 if dtype in LOW else dtype
    return emit(searchsorted_row, (call.cast(sorted_sequence, dtype), call.cast(values, dtype)), (bool(right) or side == "right", bool(out_int32)))


@api("bucketize(Tensor input, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor", method=False)
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """searchsorted in one vector of boundaries."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)



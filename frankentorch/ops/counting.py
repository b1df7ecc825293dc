"""Counting and grouping: histograms, distinct values, repetition. The sizes of most results depend on data and are observed."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from ..return_types import ALL as NAMED
from . import call
from .call import is_tensor, wrap_dim
from .create import full_of, iota
from .define import LOW, api
from .index import outside, positions
from .index_rows import gather_row, index_add_row, index_select_row, scatter_row
from .movement import cat
from .pointwise import where
from .record import emit
from .scan import cumsum_row
from .sort import searchsorted_row, sort_row
from .unsupported import need


@api("bincount(Tensor input, Tensor? weights=None, int minlength=0) -> Tensor")
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often (or with what total weight) each number from 0 to the largest occurs."""
    if input.dtype.category != dtypes.INT:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{input.dtype.scalar_name}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.ndim == 1 and input.numel() == 0:
        return full_of((minlength,), 0, dtypes.int64)
    if input.ndim != 1 or outside(input, 0, 1 << 62) is not None:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and (weights.ndim != 1 or weights.shape[0] != input.shape[0]):
        raise RuntimeError("weights should be 1-d and have the same length as input")
    bins = max(minlength, int(input._forced().max()) + 1)
    if weights is None:
        weights = full_of(input.shape, 1, dtypes.int64)
    elif weights.dtype is not dtypes.float32:
        weights = call.cast(weights, dtypes.float64)
    index = input if input.dtype in (dtypes.int32, dtypes.int64) else call.cast(input, dtypes.int64)
    return emit(index_add_row, (full_of((bins,), 0, weights.dtype), index, weights), (0,))


def _edges(name: str, input: Any, lo: float, hi: float) -> tuple[float, float]:
    if lo == hi and input.numel():
        lo, hi = float(input.min().item()), float(input.max().item())
    if not (math.isfinite(lo) and math.isfinite(hi)):
        raise RuntimeError(f"{name}: range of [{lo:g}, {hi:g}] is not finite")
    if lo > hi:
        raise RuntimeError(f"{name}: max must be larger than min")
    return (lo - 1, hi + 1) if lo == hi else (lo, hi)


@api("histc(Tensor input, int bins=100, Scalar min=0, Scalar max=0) -> Tensor")
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """Counts in even bins between min and max (of the data where both are equal); elements outside are left out."""
    if input.dtype.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{input.dtype.scalar_name}'")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    dtype, x = input.dtype, input.reshape(-1).detach()
    lo, hi = _edges("torch.histc", x, float(min), float(max))
    x = call.cast(x, dtypes.float32) if dtype in LOW else x
    inside = (x >= lo) & (x <= hi)
    place = call.cast((where(inside, x, lo) - lo) * bins / (hi - lo), dtypes.int64)
    place = where(inside, where(place >= bins, bins - 1, place), bins)
    counts = emit(index_add_row, (full_of((bins + 1,), 0, dtypes.float64), place, full_of(x.shape, 1, dtypes.float64)), (0,))
    return call.cast(counts.narrow(0, 0, bins), dtype)


@api("histogram(Tensor input, Tensor bins, *, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor, Tensor)", out=False)
def histogram(input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """(counts or total weights, edges) of bins that hold their lower edge; the last holds both. `density` makes the area one."""
    from .create import linspace

    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{input.dtype.scalar_name}'")
    x = input.reshape(-1).detach()
    if is_tensor(bins):
        edges = bins
    else:
        if bins <= 0:
            raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
        lo, hi = _edges("torch.histogram()", x, *(range or (0.0, 0.0))) if x.numel() or range else (0.0, 1.0)
        edges = linspace(lo, hi, bins + 1, dtype=input.dtype)
    count = edges.shape[0] - 1
    at = emit(searchsorted_row, (edges, x), (True, False)) - 1
    inside = (x >= edges[0]) & (x <= edges[-1])
    place = where(inside, where(at >= count, count - 1, at), count)
    shares = full_of(x.shape, 1, input.dtype) if weight is None else weight.reshape(-1)
    hist = emit(index_add_row, (full_of((count + 1,), 0, input.dtype), place, shares), (0,)).narrow(0, 0, count)
    if density:
        hist = hist / (edges.narrow(0, 1, count) - edges.narrow(0, 0, count)) / hist.sum()
    return NAMED["histogram"](hist, edges)


# Distinct values ---------------------------------------------------------------------------------------------------------------
def _result(values: Any, inverse: Any, counts: Any, return_inverse: bool, return_counts: bool) -> Any:
    out = (values, *([inverse] if return_inverse else []), *([counts] if return_counts else []))
    return out if len(out) > 1 else values


def _runs(begins: Any) -> tuple[Any, Any, Any]:
    """(numbers of the first elements of runs, the run of each element, run lengths) from a vector of flags."""
    starts = positions(begins)
    group = emit(cumsum_row, (call.cast(begins, dtypes.int64),), (0,)) - 1
    ends = cat([starts.narrow(0, 1, starts.shape[0] - 1), full_of((1,), begins.shape[0], dtypes.int64)], 0)
    return starts, group, ends - starts


def _changes(values: Any) -> Any:
    """For each row of `values` whether it differs from the one before (the first does)."""
    n = values.shape[0]
    step = values.narrow(0, 1, n - 1) != values.narrow(0, 0, n - 1)
    if step.ndim > 1:
        step = step.reshape(n - 1, -1).any(1)
    return cat([full_of((1,), True, dtypes.bool_), step], 0)


def _distinct(rows: Any, order: Any, return_inverse: bool, return_counts: bool) -> tuple[Any, Any, Any]:
    """Groups of equal neighbours among `rows` (already ordered; `order` says where each came from, None: here)."""
    if rows.shape[0] == 0:
        empty = full_of((0,), 0, dtypes.int64)
        return rows, empty, empty
    starts, group, counts = _runs(_changes(rows))
    values = emit(index_select_row, (rows, starts), (0,))
    inverse = group if order is None else emit(scatter_row, (full_of(group.shape, 0, dtypes.int64), order, group), (0,))
    return values, inverse, counts


def _lexicographic(rows: Any) -> Any:
    """The stable order of rows, the first column counting most: one sort a column, from the last."""
    order = iota((rows.shape[0],), 0, dtypes.int64)
    for column in range(rows.shape[1] - 1, -1, -1):
        values = emit(index_select_row, (rows.select(1, column), order), (0,))
        order = emit(index_select_row, (order, emit(sort_row, (values,), (0, False))[1]), (0,))
    return order


def _along(input: Any, dim: int, ordered: bool, return_inverse: bool, return_counts: bool) -> Any:
    d = wrap_dim(dim, input.ndim)
    rows = input.detach().movedim(d, 0) if input.ndim else input.reshape(1)
    order = None
    if ordered and rows.shape[0]:
        order = _lexicographic(rows.reshape(rows.shape[0], -1))
        rows = emit(index_select_row, (rows, order), (0,))
    values, inverse, counts = _distinct(rows, order, return_inverse, return_counts)
    return _result(values.movedim(0, d) if input.ndim else values, inverse, counts, return_inverse, return_counts)


@api("unique(Tensor input, bool sorted=True, bool return_inverse=False, bool return_counts=False, int? dim=None) -> Tensor", out=False)
def unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: Any = None) -> Any:
    """The distinct elements (or slices along `dim`) in ascending order; each NaN is distinct."""
    if dim is not None:
        return _along(input, dim, True, return_inverse, return_counts)
    need("unique", input, "bool", "int", "float")
    values, order = emit(sort_row, (input.detach().reshape(-1),), (0, False))
    values, inverse, counts = _distinct(values, order, return_inverse, return_counts)
    return _result(values, inverse.reshape(input.shape), counts, return_inverse, return_counts)


@api("unique_consecutive(Tensor input, bool return_inverse=False, bool return_counts=False, int? dim=None) -> Tensor", out=False)
def unique_consecutive(input: Any, return_inverse: bool = False, return_counts: bool = False, dim: Any = None) -> Any:
    """Runs of equal neighbours, one element each."""
    if dim is not None:
        return _along(input, dim, False, return_inverse, return_counts)
    values, inverse, counts = _distinct(input.detach().reshape(-1), None, return_inverse, return_counts)
    return _result(values, inverse.reshape(input.shape), counts, return_inverse, return_counts)


@api("isin(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor", method=False)
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element is among the test elements."""
    if not is_tensor(elements):
        elements = full_of((), elements, test_elements.dtype)
    if not is_tensor(test_elements):
        test_elements = full_of((), test_elements, elements.dtype)
    dtype = dtypes.promote_types(elements.dtype, test_elements.dtype)
    if dtype is dtypes.bool_ or dtype.is_complex:
        raise RuntimeError(f"Unsupported input type encountered for isin(): {dtype.scalar_name}")
    x, tests = call.cast(elements, dtype), call.cast(test_elements, dtype).reshape(-1)
    if not tests.numel():
        return full_of(x.shape, invert, dtypes.bool_)
    if dtype in LOW:
        x, tests = call.cast(x, dtypes.float32), call.cast(tests, dtypes.float32)
    line = emit(sort_row, (tests,), (0, False))[0]
    at = emit(searchsorted_row, (line, x), (False, False))
    found = emit(gather_row, (line, where(at >= tests.numel(), 0, at).reshape(-1)), (0,)).reshape(x.shape)
    return found != x if invert else found == x


# Repetition ----------------------------------------------------------------------------------------------------------------------
@api("repeat_interleave(Tensor input, Tensor repeats, int? dim=None, *, int? output_size=None) -> Tensor", out=False)
def repeat_interleave(input: Any, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Any:
    """Each slice along `dim` repeated; with one tensor of counts, the numbers of its elements repeated."""
    if repeats is None:
        return _repeated(input, output_size)
    x, d = (input.reshape(-1), 0) if dim is None else (input, wrap_dim(dim, input.ndim))
    n = x.shape[d] if x.ndim else 1
    if isinstance(repeats, int) or is_tensor(repeats) and repeats.numel() == 1:
        count = repeats if isinstance(repeats, int) else int(repeats.item())
        if is_tensor(repeats):
            _check_counts(repeats)
        if count < 0:
            raise RuntimeError("Repeats must be non-negative" if isinstance(repeats, int) else "repeats can not be negative")
        shape = list(x.shape)
        wide = x.unsqueeze(d + 1).expand(*shape[:d + 1], count, *shape[d + 1:])
        return wide.reshape(*shape[:d], n * count, *shape[d + 1:])
    if repeats.ndim != 1 or repeats.shape[0] != n:
        raise RuntimeError(f"repeats must have the same size as input along dim, but got repeats.size(0) = {repeats.shape[0] if repeats.ndim else 1} "
                           f"and input.size({d}) = {n}")
    return emit(index_select_row, (x, _repeated(repeats, output_size)), (d,))


def _check_counts(repeats: Any) -> None:
    if repeats.dtype not in (dtypes.int32, dtypes.int64):
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{repeats.dtype.scalar_name}'")
    if repeats.numel() and int(repeats._forced().min()) < 0:
        raise RuntimeError("repeats can not be negative")


def _repeated(repeats: Any, total: Any) -> Any:
    """0, 0, 1, 2, 2, ...: each number as often as its count says."""
    if repeats.ndim != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    _check_counts(repeats)
    if not repeats.numel():
        return full_of((0,), 0, repeats.dtype)
    ends = emit(cumsum_row, (call.cast(repeats, dtypes.int64),), (0,))
    total = int(ends[-1].item()) if total is None else int(total)
    return call.cast(emit(searchsorted_row, (ends, iota((total,), 0, dtypes.int64)), (True, False)), repeats.dtype)



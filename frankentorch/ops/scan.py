"""Scans: running sums, products, extremes and logsumexps along a dimension.

A line is one chain in source order (docs/contract.md, Scans). bfloat16 and float16 are scanned in float32, each result rounded once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..return_types import ALL as NAMED
from . import call
from .call import wrap_dim
from .define import LOW, api, primitive
from .index_rows import accumulated, scatter_reduce_row, zeros_for
from .movement import flip_row
from .pointwise import abs_, clone_row, conj, exp, log, where
from .record import emit
from .reduce import check_tensor
from .table import Kind, Row
from .types import contiguous_strides, tensor_type
from .unsupported import need


def _infer(types: Any, attrs: Any) -> Any:
    return (tensor_type(types[0].dtype, types[0].shape),)


def _infer_pair(types: Any, attrs: Any) -> Any:
    return tensor_type(types[0].dtype, types[0].shape), tensor_type(dtypes.int64, types[0].shape)


def backwards(row: Row, x: Any, dim: int) -> Any:
    """A scan from the end of each line."""
    if not x.ndim:
        return emit(row, (x,), (dim,))
    back = emit(flip_row, (emit(row, (emit(flip_row, (x,), ((dim,),)),), (dim,)),), ((dim,),))
    return emit(clone_row, (back,), (contiguous_strides(x.shape),))


def _chain_ref(f: Any, start: float) -> Any:
    """numpy's running fold, carried in float64 for float32, from `start`."""

    def ref(x: Any, dim: int) -> Any:
        wide = x.astype({"f": np.float64, "F": np.complex128}.get(x.dtype.char, x.dtype))
        with np.errstate(all="ignore"):
            first = f(np.asarray(start, wide.dtype), wide) if wide.ndim == 0 else None
            if first is not None:
                return first.astype(x.dtype)
            head = np.full_like(np.take(wide, [0], dim), start) if wide.shape[dim] else np.take(wide, [], dim)
            run = (_products if wide.dtype.kind == "c" and f is np.multiply else f.accumulate)(np.concatenate([head, wide], dim), dim)
            return np.take(run, range(1, run.shape[dim]), dim).astype(x.dtype) if wide.shape[dim] else x

    return ref


def _products(x: Any, dim: int) -> Any:
    """Running products of complex numbers, every real operation rounded."""
    out = np.array(x)
    lines = np.moveaxis(out, dim, 0)
    for i in range(1, len(lines)):
        a, b = lines[i - 1], lines[i]
        re, im = a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real
        lines.real[i], lines.imag[i] = re, im
    return out


def _row(name: str, doc: str, ref: Any, vjp: Any) -> Row:
    return primitive(f"{name}(Tensor input, int dim) -> Tensor", Kind.SCAN, doc=doc, infer=_infer, ref=ref, vjp=vjp, attrs=("dim",),
                     traits=(f"template:{name}",))


def _cumsum_vjp(g: Any, x: Any, out: Any, dim: Any) -> Any:
    return (backwards(cumsum_row, g, dim),)


def _cumprod_vjp(g: Any, x: Any, out: Any, dim: Any) -> Any:
    """Exact with zeros: before a line's first zero the sum of later terms over x; at it, the same with that zero left out; after it, 0."""
    zeros = x == 0
    seen = emit(cumsum_row, (call.cast(zeros, dtypes.int64),), (dim,))
    first = zeros & (seen == 1)
    before = backwards(cumsum_row, g * conj(out), dim) / conj(where(zeros, 1, x))
    at = backwards(cumsum_row, g * conj(emit(cumprod_row, (where(first, 1, x),), (dim,))), dim)
    return (where(seen == 0, before, where(first, at, 0)),)


def _logcumsumexp_vjp(g: Any, x: Any, out: Any, dim: Any) -> Any:
    """sum over j >= k of g_j exp(x_k - out_j), in logarithms, for the positive and the negative gradients apart."""
    if g.dtype.is_complex:
        return (conj(exp(backwards(logcumsumexp_row, log(conj(g)) - out, dim) + x)),)
    size = log(abs_(g))
    low = float("-inf")

    def part(keep: Any) -> Any:
        return exp(backwards(logcumsumexp_row, where(keep, size, low) - where(keep, out, 0), dim) + x)

    return (part(g > 0) - part(g < 0),)


def _logaddexp_ref(x: Any, dim: int) -> Any:
    with np.errstate(all="ignore"):
        return np.logaddexp.accumulate(np.reshape(x, -1) if not x.ndim else x, axis=dim).reshape(x.shape)


cumsum_row = _row("cumsum", "The running sum.", _chain_ref(np.add, 0), _cumsum_vjp)
cumprod_row = _row("cumprod", "The running product.", _chain_ref(np.multiply, 1), _cumprod_vjp)
logcumsumexp_row = _row("logcumsumexp", "The running log(sum(exp)).", _logaddexp_ref, _logcumsumexp_vjp)


def _extreme_ref(better: Any) -> Any:
    def ref(x: Any, dim: int) -> Any:
        lines = np.moveaxis(np.atleast_1d(x), dim, -1)
        values, indices = np.empty(lines.shape, x.dtype), np.empty(lines.shape, np.int64)
        for place in np.ndindex(lines.shape[:-1]):
            line, best, at = lines[place], None, 0
            for i, v in enumerate(line):
                if best is None or v != v or (best == best and better(v, best)):
                    best, at = v, i
                values[(*place, i)], indices[(*place, i)] = best, at
        return tuple(np.moveaxis(a, -1, dim).reshape(x.shape) for a in (values, indices))

    return ref


def _extreme_vjp(g: Any, x: Any, out: Any, dim: Any) -> Any:
    if g[0] is None:
        return (None,)
    return (accumulated(scatter_reduce_row, zeros_for(g[0], x.shape), (out[1], g[0]), (dim, "add")),)


def _extreme_row(name: str, doc: str, better: Any) -> Row:
    return primitive(f"{name}(Tensor input, int dim) -> (Tensor, Tensor)", Kind.SCAN, doc=doc, infer=_infer_pair, ref=_extreme_ref(better),
                     vjp=_extreme_vjp, nout=2, attrs=("dim",), traits=(f"template:{name}",))


cummax_row = _extreme_row("cummax", "The running maximum and where it was found; of equals the last; a NaN stays.", lambda v, best: v >= best)
cummin_row = _extreme_row("cummin", "The running minimum and where it was found; of equals the last; a NaN stays.", lambda v, best: v <= best)


# torch's functions ---------------------------------------------------------------------------------------------------------
def _wide(row: Row, x: Any, dim: int) -> Any:
    if x.dtype in LOW:
        return call.cast(emit(row, (call.cast(x, dtypes.float32),), (dim,)), x.dtype)
    return emit(row, (x,), (dim,))


def _summed(name: str, row: Row) -> Any:
    def function(input: Any, dim: int, *, dtype: Any = None) -> Any:
        check_tensor(name, input)
        x = input if dtype is None else call.cast(input, dtype)
        if dtype is None and x.dtype.category < dtypes.FLOAT:
            x = call.cast(x, dtypes.int64)
        d = wrap_dim(dim, x.ndim)
        if dtype is not None and x.dtype.category < dtypes.FLOAT and x.dtype is not dtypes.int64:
            return call.cast(emit(row, (call.cast(x, dtypes.int64),), (d,)), x.dtype)
        return _wide(row, x, d)

    return function


_cumsum = _summed("cumsum", cumsum_row)
_cumprod = _summed("cumprod", cumprod_row)


@api("cumsum(Tensor input, int dim, *, ScalarType? dtype=None) -> Tensor", inplace=True)
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The running sum along `dim`; integers are summed as int64."""
    return _cumsum(input, dim, dtype=dtype)


@api("cumprod(Tensor input, int dim, *, ScalarType? dtype=None) -> Tensor", inplace=True)
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The running product along `dim`; integers are multiplied as int64."""
    return _cumprod(input, dim, dtype=dtype)


def _pair(row: Row, input: Any, dim: int, kind: Any) -> Any:
    d = wrap_dim(dim, input.ndim)
    if input.dtype in LOW:
        values, indices = emit(row, (call.cast(input, dtypes.float32),), (d,))
        return kind(call.cast(values, input.dtype), indices)
    return kind(*emit(row, (input,), (d,)))


@api("cummax(Tensor input, int dim) -> (Tensor, Tensor)")
def cummax(input: Any, dim: int) -> Any:
    """The running maximum along `dim` and the index where it was found (of equals the last)."""
    return _pair(cummax_row, input, dim, NAMED["cummax"])


@api("cummin(Tensor input, int dim) -> (Tensor, Tensor)")
def cummin(input: Any, dim: int) -> Any:
    """The running minimum along `dim` and the index where it was found (of equals the last)."""
    return _pair(cummin_row, input, dim, NAMED["cummin"])


@api("logcumsumexp(Tensor input, int dim) -> Tensor")
def logcumsumexp(input: Any, dim: int) -> Any:
    """log(cumsum(exp(input))) without overflow."""
    need("logcumsumexp_out_cpu", input, "float", "complex")
    return _wide(logcumsumexp_row, input, wrap_dim(dim, input.ndim))

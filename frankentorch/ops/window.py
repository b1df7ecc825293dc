"""Sliding windows: pooling, its inverse, and columns of an image.

Enters: tensors that end in one to three spatial dimensions. Leaves: recorded tensors. bfloat16 and float16 are pooled in float32 and rounded
once. Orders of arithmetic are in docs/contract.md, Pooling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from . import call
from .call import wrap_dim
from .create import full_of, iota
from .define import LOW, api, composite, primitive
from .index_rows import scatter_reduce_row, scatter_row, zeros_for
from .pointwise import where
from .record import emit
from .reduce import sum_row
from .table import Kind, Row
from .types import TensorType, fastest_first, strides_in_order, tensor_type
from .unsupported import need

Sizes = tuple[int, ...]


# Rows ----------------------------------------------------------------------------------------------------------------------
def _layout(x: TensorType, shape: Sequence[int], dtype: Any = None) -> TensorType:
    """The type of a result that keeps the memory format of `x`."""
    if x.contiguous or not x.dense:
        return tensor_type(dtype or x.dtype, shape)
    return tensor_type(dtype or x.dtype, shape, strides_in_order(shape, fastest_first(x.shape, [x.strides])))


def _bounds(o: int, d: int, n: int, small: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, adaptive: bool) -> range:
    """The input positions of window `o` along spatial dimension `d` of size `n`."""
    if adaptive:
        return range(o * n // small[d], -(-(o + 1) * n // small[d]))
    start = o * stride[d] - padding[d]
    return range(start + dilation[d] * max(0, -(start // dilation[d])), min(n, start + kernel[d] * dilation[d]), dilation[d])


def _windows(big: Sizes, small: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, adaptive: bool) -> Any:
    """(window, its element's coordinates) in row-major order of windows, then of elements."""
    for o in np.ndindex(*small):
        ranges = [_bounds(o[d], d, big[d], small, kernel, stride, padding, dilation, adaptive) for d in range(len(big))]
        for t in np.ndindex(*(len(r) for r in ranges)):
            yield o, tuple(r[i] for r, i in zip(ranges, t, strict=True))


def _ref_max(x: Any, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, small: Sizes, adaptive: bool) -> Any:
    big = x.shape[x.ndim - len(small):]
    lead = x.shape[: x.ndim - len(small)]
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    values, indices = np.full(lead + tuple(small), least, x.dtype), np.full(lead + tuple(small), -1, np.int64)
    for o, at in _windows(big, small, kernel, stride, padding, dilation, adaptive):
        v, place, flat = x[(..., *at)], (..., *o), int(np.ravel_multi_index(at, big))
        fresh = indices[place] < 0
        take = fresh | (v > values[place]) | (v != v)
        values[place], indices[place] = np.where(take, v, values[place]), np.where(take, flat, indices[place])
    for o in np.ndindex(*small):  # windows without an element: the nearest place
        ranges = [_bounds(o[d], d, big[d], tuple(small), kernel, stride, padding, dilation, adaptive) for d in range(len(big))]
        if not all(ranges):
            indices[(..., *o)] = np.ravel_multi_index([min(r.start, n - 1) for r, n in zip(ranges, big, strict=True)], big)
    return values, indices


def _max_vjp(g: Any, x: Any, out: Any, small: Any) -> Any:
    if g[0] is None:
        return (None,)
    lead, r = tuple(x.shape[: x.ndim - len(small)]), len(small)
    zeros = zeros_for(g[0], (*lead, math.prod(x.shape[x.ndim - r:])))
    index, values = (t.reshape(*lead, math.prod(small)) for t in (out[1], g[0]))
    return (emit(scatter_reduce_row, (zeros, index, values), (len(lead), "add")).reshape(x.shape),)


max_windows_row = primitive(
    "max_windows(Tensor input, int[] kernel, int[] stride, int[] padding, int[] dilation, int[] size, bool adaptive) -> (Tensor, Tensor)",
    Kind.WINDOW, doc="(values, flat indices) of the largest element of each window; of equals the first, a NaN wins (of several the last).",
    infer=lambda types, attrs: tuple(_layout(types[0], (*types[0].shape[: types[0].ndim - len(attrs[4])], *attrs[4]), d)
                                     for d in (types[0].dtype, dtypes.int64)),
    ref=lambda x, kernel, stride, padding, dilation, size, adaptive: _ref_max(x, kernel, stride, padding, dilation, size, adaptive), nout=2,
    vjp=lambda g, x, out, size: _max_vjp(g, x, out, size), attrs=("kernel", "stride", "padding", "dilation", "size", "adaptive"),
    traits=("template:max_windows",))


def _ones(values: Sizes) -> Sizes:
    return (1,) * len(values)


def _ref_sum(x: Any, kernel: Sizes, stride: Sizes, padding: Sizes, size: Sizes, adaptive: bool) -> Any:
    big = x.shape[x.ndim - len(size):]
    out = np.zeros((*x.shape[: x.ndim - len(size)], *size), x.dtype)
    for o, at in _windows(big, size, kernel, stride, padding, _ones(size), adaptive):
        out[(..., *o)] += x[(..., *at)]
    return out


def _ref_spread(g: Any, kernel: Sizes, stride: Sizes, padding: Sizes, size: Sizes, adaptive: bool) -> Any:
    small = g.shape[g.ndim - len(size):]
    out = np.zeros((*g.shape[: g.ndim - len(size)], *size), g.dtype)
    for o, at in _windows(size, small, kernel, stride, padding, _ones(size), adaptive):
        out[(..., *at)] += g[(..., *o)]
    return out


spread_windows_row: Row
col2im_row: Row


def _infer_sum(types: Any, attrs: Any) -> Any:
    x, size = types[0], attrs[3]
    return (_layout(x, (*x.shape[: x.ndim - len(size)], *size)),)


_SUM_ATTRS = ("kernel", "stride", "padding", "size", "adaptive")
sum_windows_row = primitive(
    "sum_windows(Tensor input, int[] kernel, int[] stride, int[] padding, int[] size, bool adaptive) -> Tensor", Kind.WINDOW,
    doc="The sum of each window, in row-major order.", infer=_infer_sum, ref=_ref_sum, attrs=_SUM_ATTRS, traits=("template:sum_windows",),
    vjp=lambda g, x, out, kernel, stride, padding, size, adaptive: (
        emit(spread_windows_row, (g,), (kernel, stride, padding, tuple(x.shape[x.ndim - len(size):]), adaptive)),))
spread_windows_row = primitive(
    "spread_windows(Tensor input, int[] kernel, int[] stride, int[] padding, int[] size, bool adaptive) -> Tensor", Kind.WINDOW,
    doc="Each window's value added to the elements it covers: the transpose of sum_windows.", infer=_infer_sum, ref=_ref_spread, attrs=_SUM_ATTRS,
    traits=("template:spread_windows",),
    vjp=lambda g, x, out, kernel, stride, padding, size, adaptive: (
        emit(sum_windows_row, (g,), (kernel, stride, padding, tuple(x.shape[x.ndim - len(size):]), adaptive)),))


def blocks(size: int, k: int, d: int, p: int, s: int) -> int:
    return (size + 2 * p - d * (k - 1) - 1) // s + 1


def _infer_im2col(types: Any, attrs: Any) -> Any:
    kernel, dilation, padding, stride = attrs
    x = types[0]
    counts = [blocks(n, *v) for n, v in zip(x.shape[-2:], zip(kernel, dilation, padding, stride, strict=True), strict=True)]
    return (tensor_type(x.dtype, (*x.shape[:-2], *kernel, *counts)),)


def _taps(kernel: Any, dilation: Any, padding: Any, stride: Any, counts: Any, size: Any) -> Any:
    for i, j, oh, ow in np.ndindex(*kernel, *counts):
        h, w = oh * stride[0] - padding[0] + i * dilation[0], ow * stride[1] - padding[1] + j * dilation[1]
        if 0 <= h < size[0] and 0 <= w < size[1]:
            yield (i, j, oh, ow), (h, w)


def _ref_im2col(x: Any, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Any:
    counts = [blocks(n, *v) for n, v in zip(x.shape[-2:], zip(kernel, dilation, padding, stride, strict=True), strict=True)]
    out = np.zeros((*x.shape[:-2], *kernel, *counts), x.dtype)
    for place, at in _taps(kernel, dilation, padding, stride, counts, x.shape[-2:]):
        out[(..., *place)] = x[(..., *at)]
    return out


def _ref_col2im(x: Any, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes, size: Sizes) -> Any:
    out = np.zeros((*x.shape[:-4], *size), x.dtype)
    for place, at in _taps(kernel, dilation, padding, stride, x.shape[-2:], size):
        out[(..., *at)] += x[(..., *place)]
    return out


im2col_row = primitive(
    "im2col_blocks(Tensor input, int[] kernel, int[] dilation, int[] padding, int[] stride) -> Tensor", Kind.WINDOW,
    doc="(..., H, W) to (..., kh, kw, oh, ow): every sliding block; zero outside.", infer=_infer_im2col, ref=_ref_im2col,
    attrs=("kernel", "dilation", "padding", "stride"), traits=("template:im2col",),
    vjp=lambda g, x, out, kernel, dilation, padding, stride: (emit(col2im_row, (g,), (kernel, dilation, padding, stride, tuple(x.shape[-2:]))),))
col2im_row = primitive(
    "col2im_blocks(Tensor input, int[] kernel, int[] dilation, int[] padding, int[] stride, int[] size) -> Tensor", Kind.WINDOW,
    doc="The transpose of im2col_blocks: blocks added into an image, taps in order.", ref=_ref_col2im,
    infer=lambda types, attrs: (tensor_type(types[0].dtype, (*types[0].shape[:-4], *attrs[4])),),
    attrs=("kernel", "dilation", "padding", "stride", "size"), traits=("template:col2im",),
    vjp=lambda g, x, out, kernel, dilation, padding, stride, size: (emit(im2col_row, (g,), (kernel, dilation, padding, stride)),))


# Pooling -------------------------------------------------------------------------------------------------------------------
def _ints(name: str, what: str, value: Any, n: int) -> Sizes:
    values = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    if len(values) not in (1, n):
        if name == "avg_pool1d":
            raise RuntimeError(f"{name}() argument '{what}' should contain one int (got {len(values)})")
        if n == 1:
            raise RuntimeError(f"{name}() {what} must be an int, list of ints or tuple of ints of size 1 but got size {len(values)}")
        lead = "be omitted, " if what == "stride" else "be "
        if name != "avg_pool3d":
            lead = lead.replace("be ", "either be ", 1)
        raise RuntimeError(f"{name}: {what} must {lead}a single int, or a tuple of {'two' if n == 2 else 'three'} ints")
    return values * n if len(values) == 1 else values


def out_size(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    """How many windows; in ceil mode the last one must begin inside the input or its left padding."""
    out = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
    return out - 1 if ceil_mode and (out - 1) * s >= n + p else out


def _geometry(name: str, r: int, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> tuple[Sizes, ...]:
    """(kernel, stride, padding, dilation, output size), checked."""
    k = _ints(name, "kernel_size", kernel, r)
    s = k if stride is None or not isinstance(stride, int) and not len(stride) else _ints(name, "stride", stride, r)
    p, d = _ints(name, "padding", padding, r), _ints(name, "dilation", dilation, r)
    if name == "max_pool1d":
        _check_max_pool1d(x, k[0], s[0], p[0], d[0])
    if name == "avg_pool1d" and x.ndim not in (2, 3):
        raise RuntimeError(f"Expected 2 to 3 dimensions, but got {x.ndim}-dimensional tensor for argument #1 'self' (while checking arguments for {name})")
    if 0 in s:
        raise RuntimeError("stride should not be zero")
    if x.ndim not in (r + 1, r + 2):
        raise RuntimeError(f"non-empty {r + 1}D or {r + 2}D (batch mode) tensor expected for input")
    if 0 in x.shape[x.ndim - r - 1:]:
        raise RuntimeError(f"Expected {r + 1}D or {r + 2}D (batch mode) tensor with optional 0 dim batch size for input, but got:{list(x.shape)}")
    for values, what, letter in ((k, "kernel size", "k"), (s, "stride", "d"), (d, "dilation", "dilation")):
        if min(values) <= 0:
            named = " ".join(f"{letter}{axis}: {v}" for axis, v in zip("THW"[3 - r:], values, strict=True))
            raise RuntimeError(f"{what} should be greater than zero, but got {named}")
    for kk, pp, dd in zip(k, p, d, strict=True):
        if pp < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {pp}")
        if pp > ((kk - 1) * dd + 1) // 2:
            raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={pp}, kernel_size={kk} and dilation={dd}")
    size = tuple(out_size(*v, ceil_mode) for v in zip(x.shape[x.ndim - r:], k, s, p, d, strict=True))
    if min(size) < 1:
        if name == "max_pool1d":
            raise RuntimeError(f"max_pool1d() Invalid computed output size: {size[0]}")
        lead = (x.shape[x.ndim - r - 1], *((1,) if r == 1 else ()))  # torch pools one dimension as two
        before, after = ("x".join(map(str, (*lead, *v))) for v in (x.shape[x.ndim - r:], size))
        raise RuntimeError(f"Given input size: ({before}). Calculated output size: ({after}). Output size is too small")
    return k, s, p, d, size


def _check_max_pool1d(x: Any, k: int, s: int, p: int, d: int) -> None:
    if x.ndim not in (2, 3) or 0 in x.shape[x.ndim - 2:]:
        raise RuntimeError(f"max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:{list(x.shape)}")
    for value, what in ((k, "kernel_size"), (s, "stride"), (d, "dilation")):
        if value <= 0:
            raise RuntimeError(f"max_pool1d() {what} must be greater than zero, but got {value}")
    if p < 0:
        raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {p}")
    if p > k // 2:
        raise RuntimeError(f"max_pool1d() padding should be at most half of kernel size, but got padding={p} and kernel_size={k}")


def _max(x: Any, attrs: tuple[Any, ...]) -> tuple[Any, Any]:
    if x.dtype in LOW:
        values, indices = emit(max_windows_row, (call.cast(x, dtypes.float32),), attrs)
        return call.cast(values, x.dtype), indices
    return emit(max_windows_row, (x,), attrs)


def _need(name: str, x: Any, integers: bool) -> None:
    if x.dtype.is_complex or x.dtype is dtypes.bool_ or x.dtype.category < dtypes.FLOAT and not integers:
        raise NotImplementedError(f"\"{name}\" not implemented for '{x.dtype.scalar_name}'")


def _rename(out: Any, name: str) -> Any:
    call.named(out[0] if isinstance(out, tuple) else out, name)
    return out


def _node_name(r: int, name: str) -> str:
    """What torch calls the gradient node: its pools of one dimension are those of two, squeezed."""
    return "SqueezeBackward1" if r == 1 else name + "Backward0"


def _max_pool(r: int) -> tuple[Any, Any]:
    name = f"max_pool{r}d"

    @api(f"{name}_with_indices(Tensor input, int[] kernel_size, int[] stride=[], int[] padding=0, int[] dilation=1, bool ceil_mode=False) -> "
         "(Tensor, Tensor)", method=False, out=False, public=r == 1)
    def with_indices(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Any:
        _need(name, input, True)
        geometry = _geometry(name, r, input, kernel_size, stride, padding, dilation, bool(ceil_mode))
        return _rename(_max(input, (*geometry, False)), _node_name(r, f"MaxPool{r}DWithIndices"))

    @api(f"{name}(Tensor input, int[] kernel_size, int[] stride=[], int[] padding=0, int[] dilation=1, bool ceil_mode=False) -> Tensor",
         method=False, out=False)
    def pool(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Any:
        if r == 1:
            need("max_pool1d_impl", input, "float")
        return with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)[0]

    with_indices.__doc__ = f"(values, flat indices) of the maxima of {r}-dimensional windows."
    pool.__doc__ = f"The maxima of {r}-dimensional windows."
    return pool, with_indices


max_pool1d, max_pool1d_with_indices = _max_pool(1)
max_pool2d, max_pool2d_with_indices = _max_pool(2)
max_pool3d, max_pool3d_with_indices = _max_pool(3)


def _counts(n: int, size: int, k: int, s: int, p: int, include_pad: bool) -> tuple[int, Any]:
    """How many elements each window of one dimension divides by: one number, or a small float32 vector."""
    per = []
    for o in (0, size - 1):
        start = o * s - p
        end = min(start + k, n + p)
        per.append(end - start if include_pad else min(end, n) - max(start, 0))
    if per == [k, k]:
        return k, None
    start = iota((size,), 0, dtypes.int64) * s - p
    end = start + k
    end = where(end > n + p, n + p, end)
    if not include_pad:
        end, start = where(end > n, n, end), where(start < 0, 0, start)
    return 1, end - start


def _divided(total: Any, counts: Sequence[tuple[int, Any]]) -> Any:
    """The sums over the product of the counts along each spatial dimension: one division."""
    scale, divisor = 1, None
    for d, (number, vector) in enumerate(counts):
        scale *= number
        if vector is not None:
            vector = vector.reshape([-1] + [1] * (len(counts) - 1 - d))
            divisor = vector if divisor is None else divisor * vector
    if divisor is None:
        return total / scale
    return total / call.cast(divisor if scale == 1 else divisor * scale, total.dtype)


def _avg_pool(r: int) -> Any:
    name = f"avg_pool{r}d"
    extra = "" if r == 1 else ", int? divisor_override=None"

    @composite(f"{name}(Tensor input, int[] kernel_size, int[] stride=[], int[] padding=0, bool ceil_mode=False, bool count_include_pad=True{extra}) "
               "-> Tensor", method=False, out=False, public=r == 1)
    def pool(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
             divisor_override: Any = None) -> Any:
        k, s, p, _, size = _geometry(name, r, input, kernel_size, stride, padding, 1, bool(ceil_mode))
        if divisor_override == 0:
            raise RuntimeError("divisor must be not zero")
        if input.dtype is not dtypes.int64:
            need("avg_pool2d", input, "float")
        total = emit(sum_windows_row, (input,), (k, s, p, size, False))
        if divisor_override is not None:
            counts: list[tuple[int, Any]] = [(divisor_override, None)]
        else:
            counts = [_counts(*v, bool(count_include_pad)) for v in zip(input.shape[input.ndim - r:], size, k, s, p, strict=True)]
        if not input.dtype.is_floating_point:
            return call.cast(_divided(call.cast(total, dtypes.float64), counts), input.dtype)
        return _divided(total, counts)

    pool.__doc__ = f"The means of {r}-dimensional windows: the sum in row-major order, divided once."
    pool.row.grad_name = _node_name(r, f"AvgPool{r}D")
    return pool


avg_pool1d, avg_pool2d, avg_pool3d = map(_avg_pool, (1, 2, 3))


# Adaptive pooling ------------------------------------------------------------------------------------------------------------
def _adaptive_size(name: str, r: int, x: Any, output_size: Any) -> Sizes:
    if x.ndim not in (r + 1, r + 2):
        if r == 1:
            raise RuntimeError(f"Expected 2 to 3 dimensions, but got {x.ndim}-dimensional tensor for argument #1 'self' (while checking arguments for {name})")
        raise RuntimeError(f"{name}(): Expected {r + 1}D or {r + 2}D tensor, but {'got: ' if 'max' in name else 'got '}{list(x.shape)}")
    wanted = (output_size,) if output_size is None or isinstance(output_size, int) else tuple(output_size)
    if len(wanted) not in (1, r):
        raise RuntimeError(f"{name}(): internal error: output_size.size() must be {r}" if "max" in name else f"{name}: output_size must be {r}")
    wanted = wanted * r if len(wanted) == 1 else wanted
    size = tuple(n if v is None else int(v) for n, v in zip(x.shape[x.ndim - r:], wanted, strict=True))
    if min(size) < 0:
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0 but received {{{', '.join(map(str, size))}}}")
    for d in range(x.ndim - r, x.ndim):
        if x.shape[d] == 0:
            raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {list(x.shape)} with "
                               f"dimension {d} being empty")
    return size


def _even(x: Any, size: Sizes) -> tuple[Sizes, Sizes, Sizes, Sizes, bool]:
    """(kernel, stride, padding, size, adaptive): plain windows where they all have one size."""
    big = tuple(x.shape[x.ndim - len(size):])
    if all(m and n % m == 0 for n, m in zip(big, size, strict=True)):
        k = tuple(n // m for n, m in zip(big, size, strict=True))
        return k, k, (0,) * len(size), size, False
    return _ones(size), _ones(size), (0,) * len(size), size, True


def _adaptive_counts(n: int, m: int) -> tuple[int, Any]:
    if m == 0 or n % m == 0:
        return n // max(m, 1), None
    o = iota((m,), 0, dtypes.int64)
    return 1, ((o + 1) * n + (m - 1)) // m - o * n // m


def _whole_mean(x: Any, r: int) -> Any:
    dims = tuple(range(x.ndim - r, x.ndim))
    return emit(sum_row, (x,), (dims, True)) / math.prod(x.shape[d] for d in dims)


def _adaptive(r: int) -> tuple[Any, Any]:
    name = f"adaptive_avg_pool{r}d"

    @composite(f"{name}(Tensor input, int[] output_size) -> Tensor", method=False, out=False, public=r == 1)
    def avg(input: Any, output_size: Any) -> Any:
        size = _adaptive_size(name, r, input, output_size)
        _need(name, input, False)
        if all(m == 1 for m in size):  # torch takes the mean here
            return _whole_mean(input, r)
        total = emit(sum_windows_row, (input,), _even(input, size))
        return _divided(total, [_adaptive_counts(n, m) for n, m in zip(input.shape[input.ndim - r:], size, strict=True)])

    @api(f"adaptive_max_pool{r}d(Tensor input, int[] output_size) -> (Tensor, Tensor)", method=False, out=False, public=r == 1)
    def maximum(input: Any, output_size: Any) -> Any:
        size = _adaptive_size(f"adaptive_max_pool{r}d", r, input, output_size)
        _need(f"adaptive_max_pool{r}d", input, False)
        k, s, p, size, uneven = _even(input, size)
        return _rename(_max(input, (k, s, p, _ones(size), size, uneven)), _node_name(r, f"AdaptiveMaxPool{r}D"))

    avg.__doc__ = f"Means of {r}-dimensional windows that divide the input into `output_size` parts."
    maximum.__doc__ = "(values, flat indices) of the maxima of windows that divide the input into `output_size` parts."
    avg.row.grad_name = _node_name(r, f"AdaptiveAvgPool{r}D")
    return avg, maximum


adaptive_avg_pool1d, adaptive_max_pool1d = _adaptive(1)
adaptive_avg_pool2d, adaptive_max_pool2d = _adaptive(2)
adaptive_avg_pool3d, adaptive_max_pool3d = _adaptive(3)


# The inverse of max pooling, and columns ----------------------------------------------------------------------------------------
def _max_unpool(r: int) -> Any:
    @api(f"max_unpool{r}d(Tensor input, Tensor indices, int[] output_size) -> Tensor", method=False, out=False, public=False)
    def unpool(input: Any, indices: Any, output_size: Any, *ignored: Any) -> Any:
        from .index import outside

        if indices.dtype is not dtypes.int64:
            raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype.scalar_name}")
        size = tuple(int(v) for v in output_size)
        if len(size) != r:
            raise RuntimeError(f"There should be exactly {('one', 'two', 'three')[r - 1]} elements {('(width)', '(height, width)', '(depth, height, width)')[r - 1]}"
                               f" in output_size, but got {len(size)} elements.")
        if tuple(indices.shape) != tuple(input.shape):
            raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) but got indices tensor with "
                               f"shape: {list(indices.shape)}")
        bad = outside(indices, 0, math.prod(size))
        if bad is not None:
            raise RuntimeError(f"Found an invalid max index: {bad} (output volumes are of size {'x'.join(map(str, (*size, 1) if r == 1 else size))})")
        lead = tuple(input.shape[: input.ndim - r])
        flat = full_of((*lead, math.prod(size)), 0, input.dtype)
        index, values = (t.reshape(*lead, math.prod(t.shape[t.ndim - r:])) for t in (indices, input))
        out = emit(scatter_row, (flat, index, values), (len(lead),)).reshape(*lead, *size)
        return _rename(out, f"MaxUnpool{r}DBackward0")

    unpool.__doc__ = "Each value at its index in a plane of zeros; of duplicates the last stays."
    return unpool


max_unpool1d, max_unpool2d, max_unpool3d = map(_max_unpool, (1, 2, 3))


_SHORT = {"kernel_size": ("kernel size", "kernel"), "dilation": ("dilation", "dilation"), "stride": ("stride", "stride")}


def _block_sizes(**values: Any) -> list[Sizes]:
    """Each argument as (height, width), checked."""
    pairs: dict[str, Sizes] = {}
    for key, value in values.items():
        pair = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
        if len(pair) not in (1, 2):
            raise RuntimeError(f"It is expected {key} equals to 2, but got size {len(pair)}")
        pairs[key] = pair * 2 if len(pair) == 1 else pair
    for key, (long, short) in _SHORT.items():
        h, w = pairs[key]
        if h <= 0 or w <= 0:
            raise RuntimeError(f"{long} should be greater than zero, but got {short}_height: {h} {short}_width: {w}")
    h, w = pairs["padding"]
    if h < 0 or w < 0:
        raise RuntimeError(f"padding should be non-negative, but got pad_height: {h} pad_width: {w}")
    return list(pairs.values())


@composite("im2col(Tensor input, int[] kernel_size, int[] dilation, int[] padding, int[] stride) -> Tensor", opmath=False, method=False, out=False,
           public=False)
def im2col(input: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """Every sliding block of (N, C, H, W) as a column: (N, C * kh * kw, blocks)."""
    kernel, dilation, padding, stride = _block_sizes(kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)
    if input.ndim < 3:
        wrap_dim(input.ndim, input.ndim)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: "
                           f"{list(input.shape)}")
    size = tuple(input.shape[-2:])
    counts = tuple(blocks(*v) for v in zip(size, kernel, dilation, padding, stride, strict=True))
    if min(counts) < 1:
        raise RuntimeError(f"Given input with spatial size {size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, calculated shape of the "
                           f"array of sliding blocks as {counts}, but its components must be at least one.")
    out = emit(im2col_row, (input,), (kernel, dilation, padding, stride))
    return out.reshape(*input.shape[:-3], input.shape[-3] * math.prod(kernel), math.prod(counts))


@composite("col2im(Tensor input, int[] output_size, int[] kernel_size, int[] dilation, int[] padding, int[] stride) -> Tensor", method=False,
           out=False, public=False)
def col2im(input: Any, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """Columns (N, C * kh * kw, blocks) added into an image (N, C, H, W)."""
    size, kernel, dilation, padding, stride = _block_sizes(output_size=output_size, kernel_size=kernel_size, dilation=dilation, padding=padding,
                                                           stride=stride)
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but got: "
                           f"{list(input.shape)}")
    features, given = input.shape[-2:]
    if features % math.prod(kernel):
        raise RuntimeError(f"Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)={features} and "
                           f"kernel_size={kernel}.")
    counts = tuple(blocks(*v) for v in zip(size, kernel, dilation, padding, stride, strict=True))
    if given != math.prod(counts) or min(counts) < 1:
        raise RuntimeError(f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, stride={stride}, expected size of "
                           f"input's dimension 2 to match the calculated number of sliding blocks {counts[0]} * {counts[1]} = {math.prod(counts)}, but got "
                           f"input.size(2)={given}.")
    x = input.reshape(*input.shape[:-2], features // math.prod(kernel), *kernel, *counts)
    return emit(col2im_row, (x,), (kernel, dilation, padding, stride, size))


im2col.row.grad_name, col2im.row.grad_name = "Im2ColBackward0", "Col2ImBackward0"

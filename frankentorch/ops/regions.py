"""Tensors with a region replaced, diagonals, rotations: all movement and one strided write."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from . import call, movement
from .call import named, wrap_dim
from .create import full_of
from .define import api
from .movement import as_strided_scatter_row, flip
from .record import emit
from .types import dense_type, tensor_type


def _replaced(x: Any, src: Any, rule: Any, *attrs: Any) -> Any:
    """`x` with the region that a view rule gives replaced by `src`."""
    layout = tensor_type(x.dtype, x.shape, dense_type(x._value.type).strides)
    size, strides, offset = rule(layout, *attrs)
    if tuple(src.shape) != tuple(size):
        raise RuntimeError("expected src to have a size equal to the slice of self. src size = "
                           f"{list(src.shape)}, slice size = {list(size)}")
    return emit(as_strided_scatter_row, (x, call.cast(src, x.dtype)), (tuple(size), tuple(strides), offset))


@api("select_scatter(Tensor input, Tensor src, int dim, int index) -> Tensor")
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """`input` with one index of a dimension replaced by `src`."""
    d = wrap_dim(dim, input.ndim)
    n = input.shape[d]
    if not -n <= index < n:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {d}")
    return named(_replaced(input, src, movement._select, d, index % n), "SelectScatterBackward0")


@api("slice_scatter(Tensor input, Tensor src, int dim=0, int? start=None, int? end=None, int step=1) -> Tensor")
def slice_scatter(input: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    """`input` with a slice of a dimension replaced by `src`."""
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    d = wrap_dim(dim, input.ndim)
    start, stop, step = slice(start, end, step).indices(input.shape[d])
    return named(_replaced(input, src, movement._slice, d, start, max(0, -(-(stop - start) // step)), step), "SliceScatterBackward0")


@api("diagonal_scatter(Tensor input, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor")
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """`input` with a diagonal replaced by `src`."""
    return named(_replaced(input, src, movement._diagonal, offset, wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)), "DiagonalScatterBackward0")


@api("diag_embed(Tensor input, int offset=0, int dim1=-2, int dim2=-1) -> Tensor")
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices of zeros whose diagonals are the last dimension of `input`."""
    rank = input.ndim + 1
    a, b = wrap_dim(dim1, rank), wrap_dim(dim2, rank)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    side = input.shape[-1] + abs(offset)
    lead = iter(input.shape[:-1])
    zeros = full_of([side if d in (a, b) else next(lead) for d in range(rank)], 0, input.dtype)
    return named(_replaced(zeros, input, movement._diagonal, offset, a, b), "DiagEmbedBackward0")


@api("diag(Tensor input, int diagonal=0) -> Tensor")
def diag(input: Any, diagonal: int = 0) -> Any:
    """The diagonal of a matrix (copied), or the matrix with a given diagonal."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return diag_embed(input, diagonal) if input.ndim == 1 else movement.diagonal(input, diagonal, 0, 1).clone()


@api("diagflat(Tensor input, int offset=0) -> Tensor", out=False)
def diagflat(input: Any, offset: int = 0) -> Any:
    """The matrix whose diagonal is the flattened input."""
    return diag_embed(input.reshape(-1), offset)


@api("rot90(Tensor input, int k=1, int[] dims=[0, 1]) -> Tensor", out=False)
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """A rotation by k quarter turns, from the first of `dims` towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = wrap_dim(dims[0], input.ndim), wrap_dim(dims[1], input.ndim)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    turns = k % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return flip(input, (a, b))
    return flip(input, (b,)).transpose(a, b) if turns == 1 else flip(input, (a,)).transpose(a, b)


@api("unravel_index(Tensor indices, int[] shape) -> Tensor[]", method=False, out=False)
def unravel_index(indices: Any, shape: Any) -> Any:
    """The coordinates of flat indices in a shape."""
    if indices.dtype.category != dtypes.INT:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    sizes = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    columns = []
    for n in reversed(sizes):
        columns.append(indices % n)
        indices = indices // n
    return tuple(columns[::-1])


# Differences and areas -------------------------------------------------------------------------------------------------------
@api("diff(Tensor input, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor")
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The n-th difference of neighbours along `dim`."""
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    d = wrap_dim(dim, input.ndim)
    parts = [t for t in (prepend, input, append) if t is not None]
    for t in parts:
        if t.ndim != input.ndim:
            raise RuntimeError("diff expects prepend or append to be the same dimension as input")
        for k in range(input.ndim):
            if k != d and t.shape[k] != input.shape[k]:
                raise RuntimeError("diff expects the shape of tensor to prepend or append to match that of input except along the differencing "
                                   f"dimension; input.size({k}) = {input.shape[k]}, but got tensor.size({k}) = {t.shape[k]}")
    x = movement.cat(parts, d) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[d])):
        m = x.shape[d]
        after, before = x.narrow(d, 1, m - 1), x.narrow(d, 0, m - 1)
        x = after != before if x.dtype is dtypes.bool_ else after - before
    return x if n else x.clone()


def _steps(y: Any, x: Any, d: int) -> Any:
    """The distances between sample points, shaped to multiply pairs of neighbours."""
    if x.ndim == 1:
        if x.shape[0] != y.shape[d]:
            raise RuntimeError("trapezoid: There must be one `x` value for each sample point")
        x = x.reshape([-1 if k == d else 1 for k in range(y.ndim)])
    elif x.ndim < y.ndim:
        x = x.reshape((1,) * (y.ndim - x.ndim) + tuple(x.shape))
    return x.narrow(d, 1, x.shape[d] - 1) - x.narrow(d, 0, x.shape[d] - 1)


def _areas(name: str, total: Any) -> Any:
    def function(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
        if any(v is not None and v.dtype is dtypes.bool_ for v in (y, x)):
            raise RuntimeError(f"{name}: received a bool input for `{'y' if y.dtype is dtypes.bool_ else 'x'}`, but bool is not supported")
        if not y.ndim:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        d = wrap_dim(dim, y.ndim)
        n = y.shape[d]
        if n == 0:
            shape = [k for i, k in enumerate(y.shape) if i != d]
            return full_of(shape, 0, y.dtype) if total is _sum else y.narrow(d, 0, 0).clone()
        pairs = y.narrow(d, 0, n - 1) + y.narrow(d, 1, n - 1)
        if x is None:
            return total(pairs, d) * (dx / 2.0)
        return total(pairs * _steps(y, x, d), d) / 2.0

    function.__doc__ = f"The {'running ' if total is not _sum else ''}area under `y` by the trapezoidal rule."
    return api(f"{name}(Tensor y, Tensor? x=None, *, Scalar dx=1, int dim=-1) -> Tensor", method=False, out=False,
               aliases=("trapz",) if name == "trapezoid" else ())(function)


def _sum(t: Any, d: int) -> Any:
    return t.sum(d)


def _cumsum(t: Any, d: int) -> Any:
    return t.cumsum(d)


trapezoid = _areas("trapezoid", _sum)
cumulative_trapezoid = _areas("cumulative_trapezoid", _cumsum)

"""torch's functions that read and write through index tensors.

Enters: what the user passed. Leaves: recorded rows of `ops.index_rows`. Whether an index is in range depends on data, so it is looked at
when the call is made: an index that is pending runs first. Nothing is written before every check has passed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from .. import dtypes
from ..errors import NotImplementedYet
from . import call
from .bounds import data_inside, proved
from .call import is_tensor, named, wrap_dim
from .create import full_of
from .define import api, composite
from .index_rows import (
    accumulated,
    compact_row,
    constant,
    gather_row,
    index_add_row,
    index_copy_row,
    index_put_row,
    index_row,
    index_select_row,
    index_shape,
    scatter_reduce_row,
    scatter_row,
    zeros_for,
)
from .pointwise import ne, where
from .record import emit, state
from .reduce import sum_row
from .types import broadcast_shapes
from .unsupported import need

WORDS = (dtypes.int32, dtypes.int64)


def outside(index: Any, low: int, high: int) -> int | None:
    """The first element of an index tensor that is not in low <= i < high; None where all are.

    Gradient rules and meta tensors hold no data: there the indices were checked when the op was called.
    """
    if index._meta or not state.trace.can_cut:
        return None
    if proved(index, low, high):
        return None
    a = index._forced()
    if data_inside(a, low, high):
        return None
    flat = a.reshape(-1)
    return int(flat[((flat < low) | (flat >= high)).argmax()])


def in_bounds(index: Any, size: int, dim: int, kind: type[Exception] = RuntimeError, prefix: str = "", wraps: bool = False) -> None:
    bad = outside(index, -size if wraps else 0, size)
    if bad is not None and size == 0 and wraps:
        raise kind("index is out of bounds for dimension with size 0")
    if bad is not None:
        raise kind(f"{prefix}index {bad} is out of bounds for dimension {dim} with size {size}")


def _rank(shape: Sequence[int]) -> int:
    return max(1, len(shape))


# Reading -------------------------------------------------------------------------------------------------------------------
@api("index_select(Tensor input, int dim, Tensor index) -> Tensor")
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices of `input` along `dim` that `index` (one dimension, int32 or int64) numbers."""
    d = wrap_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype not in WORDS:
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if not input.ndim and index.numel() != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {index.numel()} value(s)")
    if outside(index, 0, input.shape[d] if input.ndim else 1) is not None:
        raise IndexError("index out of range in self")
    return emit(index_select_row, (input, index), (d,))


@api("gather(Tensor input, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor")
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """out[p] = input[p with its coordinate along `dim` replaced by index[p]]; the result has the shape of `index`."""
    d = wrap_dim(dim, input.ndim)
    if index.dtype not in WORDS:
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    if index.numel() == 0:
        return input.reshape(-1).narrow(0, 0, 0).reshape(index.shape)
    if _rank(input.shape) != _rank(index.shape):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for k in range(min(input.ndim, index.ndim)):
        if k != d and index.shape[k] > input.shape[k]:
            raise RuntimeError(f"Size does not match at dimension {k} expected index {list(index.shape)} to be no larger than self "
                               f"{list(input.shape)} apart from dimension {d}")
    in_bounds(index, input.shape[d] if input.ndim else 1, d)
    return emit(gather_row, (input, index), (d,))


@api("take(Tensor input, Tensor index) -> Tensor")
def take(input: Any, index: Any) -> Any:
    """Elements of the flattened tensor by number."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype.scalar_name}")
    n = input.numel()
    if n == 0 and index.numel():
        raise IndexError("take(): tried to take from an empty tensor")
    bad = outside(index, -n, n)
    if bad is not None:
        raise IndexError(f"out of range: tried to access index {bad} on a tensor of {n} elements.")
    return emit(index_row, (input.reshape(-1), index), ((0,),))


@api("take_along_dim(Tensor input, Tensor indices, int? dim=None) -> Tensor")
def take_along_dim(input: Any, indices: Any, dim: Any = None) -> Any:
    """gather, with the other dimensions of input and indices broadcast to each other."""
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype.scalar_name}")
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    d = wrap_dim(dim, input.ndim)
    if input.ndim != indices.ndim:
        raise RuntimeError(f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got {input.ndim} dimensions "
                           f"for input, and {indices.ndim} dimensions for indices")
    a, b = list(input.shape), list(indices.shape)
    a[d], b[d] = b[d], a[d]
    return gather(input.expand(broadcast_shapes([tuple(input.shape), tuple(b)])), d, indices.expand(broadcast_shapes([tuple(indices.shape), tuple(a)])))


# Advanced indexing -----------------------------------------------------------------------------------------------------------
def positions(mask: Any) -> Any:
    """The row-major numbers of the true elements; their count is observed, since it is the shape of the result."""
    flag = mask if mask.dtype is dtypes.bool_ else ne(mask, 0)
    if flag.numel() == 0:
        return full_of((0,), 0, dtypes.int64)
    words = call.cast(flag, dtypes.int64)
    count = int(emit(sum_row, (words,), (tuple(range(flag.ndim)), False)).item())
    return emit(compact_row, (flag,), (count,))


def coordinates(mask: Any) -> list[Any]:
    """One int64 vector a dimension: where the mask is true, in row-major order."""
    rest, columns = positions(mask), []
    for n in reversed(mask.shape):
        columns.append(rest % max(n, 1))
        rest = rest // max(n, 1)
    return columns[::-1]


def _tensors(x: Any, indices: Sequence[Any]) -> tuple[Any, list[int], list[Any]]:
    """(x, indexed dimensions, int tensors of torch's advanced index): masks become coordinates, None skips a dimension."""
    dims: list[int] = []
    tensors: list[Any] = []
    d = 0
    for t in indices:
        if t is None:
            d += 1
            continue
        if t.dtype in (dtypes.bool_, dtypes.uint8):
            if t.dtype is dtypes.uint8:
                warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.", stacklevel=4)
            if t.ndim == 0:
                x, t = x.unsqueeze(d), t.reshape(1)
            for k in range(t.ndim):
                if d + k >= x.ndim or t.shape[k] != x.shape[d + k]:
                    raise IndexError(f"The shape of the mask {list(t.shape)} at index {k} does not match the shape of the indexed tensor "
                                     f"{list(x.shape)} at index {d + k}")
            for column in coordinates(t):
                dims.append(d)
                tensors.append(column)
                d += 1
            continue
        if t.dtype not in WORDS:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        dims.append(d)
        tensors.append(t)
        d += 1
    if d > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    _check_advanced(x, dims, tensors)
    return x, dims, tensors


def _check_advanced(x: Any, dims: Sequence[int], tensors: Sequence[Any]) -> None:
    try:
        broadcast_shapes([tuple(t.shape) for t in tensors])
    except RuntimeError:
        raise IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                         + ", ".join(str(list(t.shape)) for t in tensors)) from None
    if any(size == 0 for k, size in enumerate(x.shape) if k not in dims):
        return  # nothing is read, so torch does not look
    for n, (t, k) in enumerate(zip(tensors, dims, strict=True)):  # torch counts the index tensors here, not the dimensions
        in_bounds(t, x.shape[k], n, IndexError, wraps=True)


def _sole_mask(indices: Sequence[Any]) -> Any:
    """The mask of ``x[mask]``; None for any other index."""
    given = [t for t in indices if t is not None]
    leading = bool(indices) and indices[0] is not None
    return given[0] if leading and len(given) == 1 and given[0].dtype is dtypes.bool_ and given[0].ndim else None


@api("index(Tensor input, Tensor?[] indices) -> Tensor", method=False, public=False, out=False)
def index(input: Any, indices: Sequence[Any]) -> Any:
    """``input[indices]`` for tensors and None: torch's advanced indexing. Result dimensions stand in place of adjacent indexed ones."""
    mask = _sole_mask(indices)
    if mask is not None and tuple(mask.shape) == tuple(input.shape[: mask.ndim]):
        flat = input.reshape(mask.numel(), *input.shape[mask.ndim:])
        return named(emit(index_select_row, (flat, positions(mask)), (0,)), "IndexBackward0")
    x, dims, tensors = _tensors(input, indices)
    if not dims:
        return input.clone()
    return emit(index_row, (x, *tensors), (tuple(dims),))


@api("index_put(Tensor input, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor", inplace=True, out=False)
def index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """`input` with ``input[indices]`` replaced by `values` (or with them added, in source order)."""
    if values.dtype is not input.dtype:
        if values.ndim:
            raise RuntimeError(f"Index put requires the source and destination dtypes match, got {input.dtype.scalar_name} for the destination and "
                               f"{values.dtype.scalar_name} for the source.")
        values = call.cast(values, input.dtype)
    mask = _sole_mask(indices)
    if mask is not None and not accumulate and values.numel() == 1 and tuple(mask.shape) == tuple(input.shape[: mask.ndim]):
        spread = mask.reshape(*mask.shape, *(1 for _ in range(input.ndim - mask.ndim)))
        return named(where(spread, values.reshape(()), input), "IndexPutBackward0")
    x, dims, tensors = _tensors(input, indices)
    if not dims:
        return input + values if accumulate else where(full_of((), True, dtypes.bool_), values, input)
    shape = index_shape(x.shape, dims, broadcast_shapes([tuple(t.shape) for t in tensors]))
    if values.ndim > len(shape) or any(a not in (1, b) for a, b in zip(reversed(values.shape), reversed(shape), strict=False)):
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing result of shape {list(shape)}")
    if accumulate:
        out = accumulated(index_put_row, x, (values, *tensors), (tuple(dims), True))
    else:
        out = emit(index_put_row, (x, values, *tensors), (tuple(dims), False))
    return out if x is input else out.reshape(input.shape)


@api("put(Tensor input, Tensor index, Tensor source, bool accumulate=False) -> Tensor", inplace=True, out=False)
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """index_put on the flattened tensor."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype.scalar_name}")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"put_(): self and source expected to have the same dtype, but got self.dtype = {input.dtype.scalar_name} and "
                           f"source.dtype = {source.dtype.scalar_name}")
    if index.numel() != source.numel():
        raise RuntimeError(f"put_(): Expected source and index to have the same number of elements, but got source.numel() = {source.numel()}, "
                           f"index.numel() = {index.numel()}")
    return index_put(input.reshape(-1), (index.reshape(-1),), source.reshape(-1), accumulate).reshape(input.shape)


# Scatter -------------------------------------------------------------------------------------------------------------------
def _check_scatter(name: str, x: Any, d: int, index: Any, src: Any) -> None:
    if index.dtype not in WORDS:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    if src is not None and src.dtype is not x.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if index.numel() == 0:
        return
    if _rank(x.shape) != _rank(index.shape):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if src is not None and _rank(src.shape) != _rank(index.shape):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    mine, theirs = [tuple(t.shape) or (1,) for t in (x, index)]
    more = src is not None and any(a > b for a, b in zip(theirs, tuple(src.shape) or (1,), strict=True))
    if more or any(k != d and a > b for k, (a, b) in enumerate(zip(theirs, mine, strict=True))):
        tail = f" and to be no larger size than src {list(src.shape)}" if src is not None else ""
        raise RuntimeError(f"Expected index {list(index.shape)} to be no larger than self {list(x.shape)} apart from dimension {d}{tail}")
    in_bounds(index, mine[d], d)


_OPS = {"sum": "add", "prod": "mul", "amax": "max", "amin": "min", "add": "add", "multiply": "mul"}


@api("scatter(Tensor input, int dim, Tensor index, Tensor src, *, str? reduce=None) -> Tensor", inplace=True)
def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None) -> Any:
    """`input` with out[p with its coordinate along `dim` replaced by index[p]] = src[p] (or one number); the last write stays."""
    src = value if src is None else src
    d = wrap_dim(dim, input.ndim)
    if reduce is not None and reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    _check_scatter("scatter", input, d, index, src if is_tensor(src) else None)
    if index.numel() == 0:
        return input.clone()
    if not is_tensor(src):
        src = constant(call.convert_number(src, input.dtype), input, index.shape)
    if reduce is not None:
        return accumulated(scatter_reduce_row, input, (index, src), (d, _OPS[reduce]))
    return emit(scatter_row, (input, index, src), (d,))


@api("scatter_add(Tensor input, int dim, Tensor index, Tensor src) -> Tensor", inplace=True)
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """scatter that adds; contributions to one place are added in source order."""
    d = wrap_dim(dim, input.ndim)
    _check_scatter("scatter", input, d, index, src)
    if index.numel() == 0:
        return input.clone()
    return named(accumulated(scatter_reduce_row, input, (index, src), (d, "add")), "ScatterAddBackward0")


@api("scatter_reduce(Tensor input, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) -> Tensor", inplace=True)
def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """scatter that combines: sum, prod, mean, amax or amin; without `include_self` the written places start afresh."""
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    d = wrap_dim(dim, input.ndim)
    _check_scatter("scatter", input, d, index, src)
    if index.numel() == 0:
        return input.clone()
    if reduce in ("amax", "amin"):
        need(f"scatter_gather_tensor_cpu_reduce_{reduce}", input, "bool", "int", "float")
    if input.dtype.is_complex and reduce != "sum":
        raise NotImplementedYet(f"torch.scatter_reduce({reduce!r}) of complex numbers is not there yet")
    x = input
    if not include_self:
        x = emit(scatter_row, (x, index, constant(_identity(reduce, x.dtype), x, index.shape)), (d,))
    out = accumulated(scatter_reduce_row, x, (index, src), (d, _OPS.get(reduce, "add")))
    if reduce == "mean":
        count = full_of(tuple(x.shape), 1, x.dtype)
        if not include_self:
            count = emit(scatter_row, (count, index, constant(0, count, index.shape)), (d,))
        count = accumulated(scatter_reduce_row, count, (index, constant(1, count, index.shape)), (d, "add"))
        out = out / count if x.dtype.is_floating_point else out // count
    return named(out, "ScatterReduceBackward0")


def _identity(reduce: str, dtype: Any) -> Any:
    if reduce in ("sum", "mean", "prod"):
        return int(reduce == "prod")
    if dtype.is_floating_point:
        return float("-inf" if reduce == "amax" else "inf")
    if dtype is dtypes.bool_:
        return reduce == "amin"
    info = dtypes.iinfo(dtype)
    return info.min if reduce == "amax" else info.max


# Slices by number ------------------------------------------------------------------------------------------------------------
@api("index_add(Tensor input, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor", inplace=True)
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """`input` with slice j of alpha * source added to slice index[j], in order."""
    d = wrap_dim(dim, input.ndim)
    n = source.shape[d] if source.ndim > d else 1
    if index.ndim > 1:
        raise IndexError(f"index_add_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: {index.dtype.scalar_name} and size: "
                         f"{list(index.shape)}")
    if index.dtype not in WORDS:
        raise RuntimeError(f"index_add_(): Expected dtype int32/int64 for index but got: {index.dtype.scalar_name}")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"index_add_(): self ({input.dtype.scalar_name}) and source ({source.dtype.scalar_name}) must have the same scalar type")
    if input.ndim and input.ndim == source.ndim and any(k != d and a != b for k, (a, b) in enumerate(zip(input.shape, source.shape, strict=True))) \
            or not input.ndim and source.numel() != 1:
        raise RuntimeError("source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
                           f"{list(input.shape)} source.shape = {list(source.shape)}")
    if index.numel() != n:
        raise RuntimeError(f"index_add_(): Number of indices ({index.numel()}) should be equal to source.size(dim): ({n}), for dim: {d}")
    in_bounds(index, input.shape[d] if input.ndim else 1, d)
    return accumulated(index_add_row, input, (index, source if alpha == 1 else source * alpha), (d,))


@api("index_reduce(Tensor input, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True) -> Tensor", inplace=True)
def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """`input` with slice j of source combined into slice index[j]: prod, mean, amax or amin."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    d = wrap_dim(dim, input.ndim)
    n = source.shape[d] if source.ndim > d else 1
    if index.numel() != n:
        raise RuntimeError(f"index_reduce_(): Number of indices ({index.numel()}) should be equal to source.size(dim): ({n}), for dim: {d}")
    spread = index.reshape([-1 if k == d else 1 for k in range(source.ndim)]).expand(source.shape)
    return named(scatter_reduce(input, d, spread, source, reduce, include_self=include_self), "IndexReduceBackward0")


@api("index_copy(Tensor input, int dim, Tensor index, Tensor source) -> Tensor", inplace=True)
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """`input` with slice index[j] replaced by slice j of source."""
    d = wrap_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index.ndim})")
    if source.ndim and input.ndim and source.ndim != input.ndim:
        raise IndexError("index_copy_(): When source and destination are not scalars, their dimensionality must match. Source dimensionality "
                         f"({source.ndim}), destination dimensionality ({input.ndim})")
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {index.dtype.scalar_name}")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"index_copy_(): self and source expected to have the same dtype, but got (self) {input.dtype.scalar_name} and (source) "
                           f"{source.dtype.scalar_name}")
    slices = [list(t.shape[:d]) + list(t.shape[d + 1:]) for t in (input, source)]
    if slices[0] != slices[1]:
        raise RuntimeError("index_copy_(): Source/destination tensor must have same slice shapes. Destination slice shape: "
                           f"{' '.join(map(str, slices[0]))} at dimension {d} and source slice shape: {' '.join(map(str, slices[1]))} at dimension 0.")
    n = source.shape[d] if source.ndim else 1
    if index.numel() != n:
        raise IndexError(f"index_copy_(): Number of indices ({index.numel()}) should be equal to source.size(dim) ({n})")
    in_bounds(index, input.shape[d] if input.ndim else 1, d, IndexError, "index_copy_(): ")
    return emit(index_copy_row, (input, index, source), (d,))


@api("index_fill(Tensor input, int dim, Tensor index, Scalar value) -> Tensor", inplace=True, out=False)
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """`input` with the slices numbered by `index` set to one number."""
    d = wrap_dim(dim, input.ndim)
    if index.dtype not in WORDS:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if is_tensor(value) and value.ndim:
        raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
    n = input.shape[d] if input.ndim else 1
    in_bounds(index, n, d, IndexError, wraps=True)
    index = where(index < 0, index + n, index).reshape(-1)
    shape = (*input.shape[:d], index.numel(), *input.shape[d + 1:]) if input.ndim else (index.numel(),)
    if is_tensor(value):
        source = call.cast(value, input.dtype).expand(shape)
    else:
        source = constant(call.convert_number(int(value) if not input.dtype.is_floating_point and not input.dtype.is_complex else value, input.dtype),
                          input, shape)
    if not input.ndim:
        return index_copy_of_number(input, source) if index.numel() else input.clone()
    return named(emit(index_copy_row, (input, index, source), (d,)), "IndexFillBackward0")


def index_copy_of_number(input: Any, source: Any) -> Any:
    return where(full_of((), True, dtypes.bool_), source.reshape(-1)[0], input)


# Tables ----------------------------------------------------------------------------------------------------------------------
def _embedding_vjp(g: Any, weight: Any, indices: Any, out: Any, padding_idx: Any, scale_grad_by_freq: Any) -> Any:
    flat, rows = indices.reshape(-1), g.reshape(-1, weight.shape[1])
    zeros = zeros_for(g, weight.shape)
    if scale_grad_by_freq:
        ones = full_of((flat.shape[0],), 1, dtypes.float32)
        counts = emit(index_add_row, (full_of((weight.shape[0],), 0, dtypes.float32), flat, ones), (0,))
        rows = rows / call.cast(emit(index_select_row, (counts, flat), (0,)), rows.dtype).unsqueeze(1)
    total = accumulated(index_add_row, zeros, (flat, rows), (0,))
    if padding_idx is not None and padding_idx >= 0:
        total = emit(index_copy_row, (total, full_of((1,), padding_idx, dtypes.int64), zeros_for(g, (1, weight.shape[1]))), (0,))
    return total, None


@composite("embedding(Tensor weight, Tensor indices, int padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor",
           vjp=_embedding_vjp, opmath=False, method=False, out=False)
def embedding(weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False) -> Any:
    """Rows of `weight`; the gradient sums them by row in source order, and row `padding_idx` gets none."""
    if sparse:
        raise NotImplementedYet("torch.embedding(sparse=True) is not there yet")
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if indices.dtype not in WORDS:
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
                           f"{indices.type()} instead (while checking arguments for embedding)")
    if outside(indices, 0, weight.shape[0]) is not None:
        raise IndexError("index out of range in self")
    return emit(index_select_row, (weight, indices.reshape(-1)), (0,)).reshape(*indices.shape, weight.shape[1])


from . import counting, grids, masked, regions  # noqa: E402, F401 (their functions register themselves)

"""Movement rows: views. They compute nothing; a result is strided access to the operand's memory.

Each row's `view` gives (sizes, strides, offset in elements) from the operand's type; gradients are movement again, or a
sum where a view reads an element twice. What needs a copy (reshape of an incompatible layout, flip, cat) records one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..errors import NotImplementedYet
from . import call
from .call import is_tensor, named, wrap_dim
from .define import api, composite, primitive
from .pointwise import clone_row
from .record import emit
from .reduce import sum_row
from .table import Kind, Row
from .types import TensorType, contiguous_strides, dense_type, strides_in_order, tensor_type

View = tuple[tuple[int, ...], tuple[int, ...], int]


def movement(schema: str, doc: str, view: Any, vjp: Any, grad_name: str = "") -> Row:
    def ref(x: Any, *args: Any) -> Any:
        raise AssertionError("movement is strided access; the interpreter applies `view`")

    row = primitive(schema, Kind.MOVEMENT, doc=doc, infer=lambda t, a: (), ref=ref, vjp=vjp, view=view)
    if grad_name:
        row.grad_name = grad_name
    return row


# Rules: (type, attrs) -> (sizes, strides, offset) ------------------------------------------------------------------------
def _permute(t: TensorType, dims: tuple[int, ...]) -> View:
    return tuple(t.shape[d] for d in dims), tuple(t.strides[d] for d in dims), 0


def _expand(t: TensorType, shape: tuple[int, ...]) -> View:
    lead = len(shape) - t.ndim
    strides = [0] * len(shape)
    for i in range(len(shape) - 1, -1, -1):
        if i >= lead:
            strides[i] = t.strides[i - lead] if t.shape[i - lead] == shape[i] else 0
        elif shape[i] == 1 and t.ndim:  # torch lets a new dimension of size one span what follows it
            strides[i] = shape[i + 1] * strides[i + 1] if i + 1 < len(shape) else 1
    return shape, tuple(strides), 0


def _slice(t: TensorType, dim: int, start: int, length: int, step: int) -> View:
    shape, strides = list(t.shape), list(t.strides)
    offset = start * strides[dim] if length or t.shape[dim] else 0
    shape[dim], strides[dim] = length, strides[dim] * step
    return tuple(shape), tuple(strides), offset


def _select(t: TensorType, dim: int, index: int) -> View:
    return t.shape[:dim] + t.shape[dim + 1:], t.strides[:dim] + t.strides[dim + 1:], index * t.strides[dim]


def _unsqueeze(t: TensorType, dim: int) -> View:
    stride = t.shape[dim] * t.strides[dim] if dim < t.ndim else 1
    return (*t.shape[:dim], 1, *t.shape[dim:]), (*t.strides[:dim], stride, *t.strides[dim:]), 0


def _squeeze(t: TensorType, dims: tuple[int, ...]) -> View:
    keep = [i for i in range(t.ndim) if i not in dims]
    return tuple(t.shape[i] for i in keep), tuple(t.strides[i] for i in keep), 0


def view_strides(t: TensorType, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Strides that read `t` as `shape` without a copy; None where there are none.

    Old dimensions are grouped into runs that step evenly through memory; each run must split exactly into new dimensions.
    """
    if t.numel == 0:
        return t.strides if tuple(shape) == t.shape else contiguous_strides(shape)
    strides = [0] * len(shape)
    new = len(shape) - 1
    run, base = 1, (t.strides[-1] if t.ndim else 1)
    for old in range(t.ndim - 1, -1, -1):
        run *= t.shape[old]
        broken = old == 0 or (t.shape[old - 1] != 1 and t.strides[old - 1] != run * base)
        if broken:
            part = 1
            while new >= 0 and (part < run or shape[new] == 1):
                strides[new] = part * base
                part *= shape[new]
                new -= 1
            if part != run:
                return None
            if old > 0:
                run, base = 1, t.strides[old - 1]
    while new >= 0 and t.ndim == 0:
        strides[new] = 1
        new -= 1
    return None if new >= 0 else tuple(strides)


def _view(t: TensorType, shape: tuple[int, ...]) -> View:
    strides = view_strides(t, shape)
    if strides is None:
        raise RuntimeError("view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
                           "contiguous subspaces). Use .reshape(...) instead.")
    return shape, strides, 0


def _as_strided(t: TensorType, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> View:
    return shape, strides, offset


def _diagonal(t: TensorType, offset: int, d1: int, d2: int) -> View:
    n, m = t.shape[d1], t.shape[d2]
    length = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    start = (offset * t.strides[d2] if offset >= 0 else -offset * t.strides[d1]) if length else 0
    keep = [i for i in range(t.ndim) if i not in (d1, d2)]
    return ((*(t.shape[i] for i in keep), length), (*(t.strides[i] for i in keep), t.strides[d1] + t.strides[d2]), start)


def _unfold(t: TensorType, dim: int, size: int, step: int) -> View:
    shape, strides = list(t.shape), list(t.strides)
    if not t.ndim:
        return (size,), (1,), 0
    shape[dim] = (t.shape[dim] - size) // step + 1
    strides[dim] *= step
    return (*shape, size), (*strides, t.strides[dim]), 0


def _flip(t: TensorType, dims: tuple[int, ...]) -> View:
    offset = sum((t.shape[d] - 1) * t.strides[d] for d in dims) if t.numel else 0
    return t.shape, tuple(-s if i in dims else s for i, s in enumerate(t.strides)), offset


def _real_view(t: TensorType) -> View:
    return (*t.shape, 2), (*(2 * s for s in t.strides), 1), 0


# Gradients ------------------------------------------------------------------------------------------------------------------
def _permute_vjp(g: Any, x: Any, out: Any, dims: Any) -> Any:
    return (emit(permute_row, (g,), (tuple(sorted(range(len(dims)), key=dims.__getitem__)),)),)


def sum_to(g: Any, shape: Sequence[int]) -> Any:
    """`g` summed over the dimensions along which `shape` was broadcast."""
    shape = tuple(shape)
    if tuple(g.shape) == shape:
        return g
    lead = g.ndim - len(shape)
    dims = tuple(i for i in range(g.ndim) if i < lead or (shape[i - lead] == 1 and g.shape[i] != 1))
    out = emit(sum_row, (g,), (dims, True)) if dims else g
    return emit(view_row, (out,), (shape,)) if lead else out


def zeros_of(g: Any, shape: Sequence[int]) -> Any:
    from .create import full_of

    return full_of(tuple(shape), 0, g.dtype)


def _slice_vjp(g: Any, x: Any, out: Any, dim: Any, start: Any, length: Any, step: Any) -> Any:
    zero = zeros_of(g, x.shape)
    shape, strides, offset = _slice(zero._value.type, dim, start, length, step)
    return (emit(as_strided_scatter_row, (zero, g), (shape, strides, offset)),)


def _select_vjp(g: Any, x: Any, out: Any, dim: Any, index: Any) -> Any:
    zero = zeros_of(g, x.shape)
    shape, strides, offset = _select(zero._value.type, dim, index)
    return (emit(as_strided_scatter_row, (zero, g), (shape, strides, offset)),)


def _diagonal_vjp(g: Any, x: Any, out: Any, offset: Any, dim1: Any, dim2: Any) -> Any:
    zero = zeros_of(g, x.shape)
    shape, strides, start = _diagonal(zero._value.type, offset, dim1, dim2)
    return (emit(as_strided_scatter_row, (zero, g), (shape, strides, start)),)


def reshape_like(g: Any, shape: Sequence[int]) -> Any:
    """`g` in another shape of as many elements, copied when no view will do."""
    shape = tuple(shape)
    t = g._value.type
    if view_strides(t, shape) is None:
        g = emit(clone_row, (g,), (contiguous_strides(t.shape),))
    return emit(view_row, (g,), (shape,))


def _overlaps(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether strided access may touch an element twice (exact for the nested layouts views make)."""
    step = 0
    for stride, size in sorted((abs(st), n) for st, n in zip(strides, shape, strict=True) if n > 1):
        if stride <= step:
            return True
        step += stride * (size - 1)
    return False


def _as_strided_vjp(g: Any, x: Any, out: Any, size: Any, stride: Any, offset: Any) -> Any:
    """Each read of an element adds: scatter in source order over the flat memory when the view overlaps."""
    if x.numel() == 0:
        return (zeros_of(g, x.shape),)
    memory = tensor_type(g.dtype, x.shape, dense_type(x._value.type).strides)
    zero = emit(clone_row, (zeros_of(g, x.shape),), (memory.strides,))
    if not _overlaps(size, stride):
        return (emit(as_strided_scatter_row, (zero, g), (size, stride, offset)),)
    flat = zeros_of(g, (x.numel(),))
    index = zeros_of(g, size).to(dtypes.int64) + offset
    from .create import iota

    for d, s in enumerate(stride):
        if s:
            index = index + iota(size, d, dtypes.int64) * s
    flat = flat.index_put((index.reshape(-1),), g.reshape(-1), accumulate=True)
    return (emit(as_strided_row, (flat,), (memory.shape, memory.strides, 0)),)


def _unfold_vjp(g: Any, x: Any, out: Any, dim: Any, size: Any, step: Any) -> Any:
    t = tensor_type(g.dtype, x.shape)
    shape, strides, offset = _unfold(t, dim, size, step)
    return _as_strided_vjp(g, zeros_of(g, x.shape), out, shape, strides, offset)


permute_row = movement("permute(Tensor input, int[] dims) -> Tensor", "Reorder dimensions.", _permute, _permute_vjp)
expand_row = movement("expand(Tensor input, int[] size) -> Tensor", "Repeat dimensions of size one without copying.", _expand,
                      lambda g, x, out, size: (sum_to(g, x.shape),))
slice_row = movement("slice(Tensor input, int dim, int start, int length, int step) -> Tensor", "Every step-th index of a dimension.", _slice,
                     _slice_vjp)
select_row = movement("select(Tensor input, int dim, int index) -> Tensor", "One index of a dimension.", _select, _select_vjp)
unsqueeze_row: Row = movement("unsqueeze(Tensor input, int dim) -> Tensor", "A new dimension of size one.", _unsqueeze,
                         lambda g, x, out, dim: (emit(squeeze_row, (g,), ((dim,),)),))
squeeze_row: Row = movement("squeeze(Tensor input, int[] dims) -> Tensor", "Drop dimensions of size one.", _squeeze,
                       lambda g, x, out, dims: (reshape_like(g, x.shape),))
view_row = movement("view(Tensor input, int[] size) -> Tensor", "The same memory in another shape.", _view,
                    lambda g, x, out, size: (reshape_like(g, x.shape),))
as_strided_row = movement("as_strided(Tensor input, int[] size, int[] stride, int offset) -> Tensor", "Strided access to the operand's memory.",
                          _as_strided, _as_strided_vjp)
diagonal_row = movement("diagonal(Tensor input, int offset, int dim1, int dim2) -> Tensor", "A diagonal as the last dimension.", _diagonal,
                        _diagonal_vjp)
unfold_row = movement("unfold(Tensor input, int dim, int size, int step) -> Tensor", "Sliding windows of a dimension.", _unfold, _unfold_vjp)
flip_row: Row = movement("flip_view(Tensor input, int[] dims) -> Tensor", "Reversed dimensions, by negative strides (inside only).", _flip,
                    lambda g, x, out, dims: (emit(clone_row, (emit(flip_row, (g,), (dims,)),), (dense_type(x._value.type).strides,)),), "FlipBackward0")


def _infer_scatter(types: Any, attrs: Any) -> Any:
    base = types[0]
    return (tensor_type(base.dtype, base.shape, dense_type(base).strides),)


def _ref_scatter(base: Any, src: Any, size: Any, stride: Any, offset: Any) -> Any:
    out = base.copy(order="K")
    item = out.itemsize
    if out.size and src.size:
        memory = np.lib.stride_tricks.as_strided(out, (out.size,), (item,))
        np.lib.stride_tricks.as_strided(memory[offset:], size, [s * item for s in stride])[...] = src
    return out


def _scatter_vjp(g: Any, base: Any, src: Any, out: Any, size: Any, stride: Any, offset: Any) -> Any:
    layout = out._value.type.strides
    if g._value.type.strides != layout:
        g = emit(clone_row, (g,), (layout,))
    zero = zeros_of(g, src.shape)
    return emit(as_strided_scatter_row, (g, zero), (size, stride, offset)), emit(as_strided_row, (g,), (size, stride, offset))


as_strided_scatter_row = primitive(
    "as_strided_scatter(Tensor input, Tensor src, int[] size, int[] stride, int offset) -> Tensor", Kind.SCATTER,
    doc="input with the strided region replaced by src; in place when input is not needed any more.", infer=_infer_scatter, ref=_ref_scatter,
    vjp=_scatter_vjp, traits=("updates:0", "copies"), samples=None)


# torch's functions -------------------------------------------------------------------------------------------------------------
def int_args(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(args) == 1 and not isinstance(args[0], int) and hasattr(args[0], "__iter__"):
        args = tuple(args[0])
    return tuple(int(a) for a in args)


@api("permute(Tensor input, int[] dims) -> Tensor", out=False)
def permute(input: Any, *dims: Any) -> Any:
    """Reorder dimensions; a view."""
    order = int_args(dims)
    if len(order) != input.ndim:
        raise RuntimeError(f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of "
                           f"dimensions i.e. input.dim() = {input.ndim} is not equal to len(dims) = {len(order)}")
    order = tuple(wrap_dim(d, input.ndim) for d in order)
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return input._view_of(permute_row, (order,))


@api("transpose(Tensor input, int dim0, int dim1) -> Tensor", aliases=("swapaxes", "swapdims"), out=False)
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Exchange two dimensions; a view."""
    a, b = wrap_dim(dim0, input.ndim), wrap_dim(dim1, input.ndim)
    order = list(range(input.ndim))
    if order:
        order[a], order[b] = order[b], order[a]
    return named(input._view_of(permute_row, (tuple(order),)), "TransposeBackward0")


@api("t(Tensor input) -> Tensor", out=False)
def t(input: Any) -> Any:
    """The transpose of a matrix; vectors and numbers are themselves."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return named(input._view_of(permute_row, (tuple(range(input.ndim))[::-1],)), "TBackward0")


@api("movedim(Tensor input, int[] source, int[] destination) -> Tensor", aliases=("moveaxis",), out=False)
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Move dimensions to new places."""
    src = [wrap_dim(d, input.ndim) for d in ((source,) if isinstance(source, int) else source)]
    dst = [wrap_dim(d, input.ndim) for d in ((destination,) if isinstance(destination, int) else destination)]
    rest = iter(d for d in range(input.ndim) if d not in src)
    order = [src[dst.index(i)] if i in dst else next(rest) for i in range(input.ndim)]
    return permute(input, order)


@api("expand(Tensor input, int[] size) -> Tensor", out=False)
def expand(input: Any, *size: Any, implicit: bool = False) -> Any:
    """Repeat dimensions of size one without copying; -1 keeps a size."""
    if not size:
        raise TypeError('expand() missing 1 required positional arguments: "size"')
    shape = list(int_args(size))
    lead = len(shape) - input.ndim
    if lead < 0:
        raise RuntimeError(f"expand({input.type()}{{{list(input.shape)}}}, size={shape}): the number of sizes provided ({len(shape)}) must be "
                           f"greater or equal to the number of dimensions in the tensor ({input.ndim})")
    for i, n in enumerate(shape):
        if i < lead:
            if n < 0:
                raise RuntimeError(f"The expanded size of the tensor ({n}) isn't allowed in a leading, non-existing dimension {i}")
        elif n == -1:
            shape[i] = input.shape[i - lead]
        elif input.shape[i - lead] not in (1, n):
            raise RuntimeError(f"The expanded size of the tensor ({n}) must match the existing size ({input.shape[i - lead]}) at non-singleton "
                               f"dimension {i}.  Target sizes: {shape}.  Tensor sizes: {list(input.shape)}")
    return input._view_of(expand_row, (tuple(shape),))


@api("expand_as(Tensor input, Tensor other) -> Tensor", out=False)
def expand_as(input: Any, other: Any) -> Any:
    """expand(other.shape)"""
    return expand(input, other.shape)


@api("broadcast_to(Tensor input, int[] size) -> Tensor", out=False)
def broadcast_to(input: Any, size: Any) -> Any:
    """expand by another name."""
    return expand(input, size)


@api("broadcast_tensors(Tensor[] tensors) -> Tensor[]", method=False, out=False)
def broadcast_tensors(*tensors: Any) -> Any:
    """All tensors expanded to their common shape."""
    from .types import broadcast_shapes

    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    shape = broadcast_shapes([tuple(x.shape) for x in tensors])
    return tuple(expand(x, shape) for x in tensors)


def resolve_shape(shape: Sequence[int], numel: int) -> tuple[int, ...]:
    """A shape with its -1 filled in; torch's errors where it cannot be."""
    shape = tuple(shape)
    if -1 in shape:
        known = math.prod(n for n in shape if n != -1)
        if shape.count(-1) > 1:
            raise RuntimeError("only one dimension can be inferred")
        if known == 0:
            raise RuntimeError(f"cannot reshape tensor of {numel} elements into shape {list(shape)} because the unspecified dimension size -1 can "
                               "be any value and is ambiguous")
        if numel % known:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
        return tuple(numel // known if n == -1 else n for n in shape)
    for n in shape:
        if n < 0:
            raise RuntimeError(f"invalid shape dimension {n} at index {shape.index(n)} of shape {list(shape)}")
    if math.prod(shape) != numel:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    return shape


@api("view(Tensor input, int[] size) -> Tensor", out=False)
def view(input: Any, *size: Any) -> Any:
    """The same memory in another shape (or, given a dtype, its bytes as another type); RuntimeError where it needs a copy."""
    if len(size) == 1 and isinstance(size[0], dtypes.dtype):
        return view_dtype(input, size[0])
    return input._view_of(view_row, (resolve_shape(int_args(size), input.numel()),))


def view_dtype(input: Any, dtype: Any) -> Any:
    if dtype is input.dtype:
        return view(input, input.shape)
    return input._reinterpret(dtype)


@api("view_as(Tensor input, Tensor other) -> Tensor", out=False)
def view_as(input: Any, other: Any) -> Any:
    """view(other.shape)"""
    return view(input, other.shape)


def row_major(x: Any) -> Any:
    """`x` with row-major strides to the letter, sizes of one included."""
    strides = contiguous_strides(x.shape)
    return x if x._value.type.strides == strides else emit(clone_row, (x,), (strides,))


def disown(result: Any) -> Any:
    """A view of all of a fresh result, as a tensor that owns its storage: nothing else can write to it."""
    result._root = None
    return result


@api("reshape(Tensor input, int[] shape) -> Tensor", out=False)
def reshape(input: Any, *shape: Any) -> Any:
    """A view where the layout allows, else a copy."""
    target = resolve_shape(int_args(shape), input.numel())
    source = input._value.type
    if view_strides(source, target) is None:
        copy = emit(clone_row, (input,), (contiguous_strides(source.shape),))
        return named(disown(copy._view_of(view_row, (target,))), "UnsafeViewBackward0")
    return input._view_of(view_row, (target,))


@api("reshape_as(Tensor input, Tensor other) -> Tensor", out=False)
def reshape_as(input: Any, other: Any) -> Any:
    """reshape(other.shape)"""
    return reshape(input, other.shape)


@api("flatten(Tensor input, int start_dim=0, int end_dim=-1) -> Tensor", out=False)
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Merge a range of dimensions into one."""
    if input.ndim == 0:
        return reshape(input, (1,))
    a, b = wrap_dim(start_dim, input.ndim), wrap_dim(end_dim, input.ndim)
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if a == b:
        return input
    return reshape(input, (*input.shape[:a], math.prod(input.shape[a:b + 1]), *input.shape[b + 1:]))


@api("ravel(Tensor input) -> Tensor", out=False)
def ravel(input: Any) -> Any:
    """A contiguous one-dimensional tensor."""
    return input.contiguous().view(-1)


@api("unflatten(Tensor input, int dim, int[] sizes) -> Tensor", out=False)
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """Split a dimension into several."""
    d = wrap_dim(dim, input.ndim)
    sizes = tuple(sizes)
    if -1 in sizes:
        known = math.prod(n for n in sizes if n != -1)
        sizes = tuple(input.shape[d] // known if n == -1 else n for n in sizes)
    if math.prod(sizes) != input.shape[d]:
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d} ({input.shape[d]}) in the input tensor")
    return view(input, (*input.shape[:d], *sizes, *input.shape[d + 1:]))


@api("unsqueeze(Tensor input, int dim) -> Tensor", inplace=True, out=False)
def unsqueeze(input: Any, dim: int) -> Any:
    """A new dimension of size one."""
    return input._view_of(unsqueeze_row, (wrap_dim(dim, input.ndim + 1),))


@api("squeeze(Tensor input, int[]? dim=None) -> Tensor", inplace=True, out=False)
def squeeze(input: Any, dim: Any = None) -> Any:
    """Drop dimensions of size one (all, or those named that have size one)."""
    if dim is None:
        dims = range(input.ndim)
    else:
        dims = [wrap_dim(d, input.ndim) for d in ((dim,) if isinstance(dim, int) else dim)]  # type: ignore[assignment]
    out = input._view_of(squeeze_row, (tuple(d for d in dims if d < input.ndim and input.shape[d] == 1),))
    return named(out, "SqueezeBackward0" if dim is None else "SqueezeBackward1" if isinstance(dim, int) else "SqueezeBackward2")


@api("select(Tensor input, int dim, int index) -> Tensor", out=False)
def select(input: Any, dim: int, index: int) -> Any:
    """One index of a dimension; a view without it."""
    if input.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, input.ndim)
    n = input.shape[d]
    if not -n <= index < n:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {d}")
    return input._view_of(select_row, (d, index + n if index < 0 else index))


def slice_dim(input: Any, dim: int, start: Any, stop: Any, step: Any) -> Any:
    """``input[..., start:stop:step]`` along `dim`, with Python's clamping."""
    step = 1 if step is None else int(step)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, step = slice(start, stop, step).indices(input.shape[dim])
    length = max(0, -(-(stop - start) // step))
    if start == 0 and length == input.shape[dim] and step == 1:
        return input._view_of(slice_row, (dim, 0, length, 1))
    return input._view_of(slice_row, (dim, start, length, step))


@api("narrow(Tensor input, int dim, int start, int length) -> Tensor", out=False)
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """`length` indices of a dimension from `start`."""
    if input.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, input.ndim)
    n = input.shape[d]
    start = int(start)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return input._view_of(slice_row, (d, start, length, 1))


@api("diagonal(Tensor input, int offset=0, int dim1=0, int dim2=1) -> Tensor", out=False)
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A diagonal as the last dimension; a view."""
    a, b = wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return input._view_of(diagonal_row, (offset, a, b))


@api("unfold(Tensor input, int dimension, int size, int step) -> Tensor", out=False)
def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """Sliding windows of `size` every `step` along a dimension, as a new last dimension; a view."""
    d = wrap_dim(dimension, input.ndim)
    n = input.shape[d] if input.ndim else 1
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return input._view_of(unfold_row, (d, size, step))


@api("as_strided(Tensor input, int[] size, int[] stride, int? storage_offset=None) -> Tensor", out=False)
def as_strided(input: Any, size: Any, stride: Any, storage_offset: Any = None) -> Any:
    """Strided access to the storage of `input`."""
    return input._as_strided(tuple(size), tuple(stride), storage_offset)


# Copies --------------------------------------------------------------------------------------------------------------------------
def channels_last_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides with the channel dimension (1) fastest."""
    order = [1, *range(len(shape) - 1, 1, -1), 0]
    return strides_in_order(shape, order)


def format_strides(t: TensorType, memory_format: Any) -> tuple[int, ...]:
    """The strides of a copy of `t` in a memory format."""
    from ..memory_format import channels_last, contiguous_format, preserve_format

    if memory_format is None or memory_format is preserve_format:
        return dense_type(t).strides
    if memory_format is contiguous_format:
        return contiguous_strides(t.shape)
    need = 4 if memory_format is channels_last else 5
    if t.ndim != need:
        raise RuntimeError(f"required rank {need} tensor to use channels_last{'_3d' if need == 5 else ''} format")
    return channels_last_strides(t.shape)


@api("clone(Tensor input, *, MemoryFormat? memory_format=None) -> Tensor", out=False)
def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy in its own storage."""
    return emit(clone_row, (input,), (format_strides(input._value.type, memory_format),))


@api("contiguous(Tensor input, *, MemoryFormat memory_format=contiguous_format) -> Tensor", out=False)
def contiguous(input: Any, memory_format: Any = None) -> Any:
    """Itself when laid out so already, else a copy."""
    t = input._value.type
    if memory_format is None:
        return input if t.contiguous else emit(clone_row, (input,), (contiguous_strides(t.shape),))
    return input if input.is_contiguous(memory_format=memory_format) else clone(input, memory_format=memory_format)


@api("flip(Tensor input, int[] dims) -> Tensor", out=False)
def flip(input: Any, *dims: Any) -> Any:
    """Reverse dimensions; a copy."""
    axes = tuple(sorted({wrap_dim(d, input.ndim) for d in int_args(dims)})) if input.ndim else ()
    return named(emit(clone_row, (emit(flip_row, (input,), (axes,)),), (dense_type(input._value.type).strides,)), "FlipBackward0")


@api("fliplr(Tensor input) -> Tensor", out=False)
def fliplr(input: Any) -> Any:
    """Reverse dimension 1."""
    return flip(input, 1)


@api("flipud(Tensor input) -> Tensor", out=False)
def flipud(input: Any) -> Any:
    """Reverse dimension 0."""
    return flip(input, 0)


def _cat_infer(types: Any, attrs: Any) -> Any:
    (dim,) = attrs
    shape = list(types[0].shape)
    shape[dim] = sum(t.shape[dim] for t in types)
    if len(shape) in (4, 5) and all(not t.contiguous and t.strides == channels_last_strides(t.shape) for t in types):
        return (tensor_type(types[0].dtype, shape, channels_last_strides(shape)),)
    return (tensor_type(types[0].dtype, shape),)


def _cat_vjp(g: Any, *args: Any, out: Any, dim: Any) -> Any:
    grads, at = [], 0
    for x in args:
        grads.append(emit(slice_row, (g,), (dim, at, x.shape[dim], 1)))
        at += x.shape[dim]
    return tuple(grads)


cat_row = primitive("cat(Tensor[] tensors, int dim) -> Tensor", Kind.SCATTER, doc="Tensors one after the other along a dimension.", infer=_cat_infer,
                    ref=lambda *xs, dim: np.concatenate(xs, axis=dim), vjp=_cat_vjp, traits=("concatenates", "copies"), attrs=("dim",))


@api("cat(Tensor[] tensors, int dim=0) -> Tensor", aliases=("concat", "concatenate"), method=False)
def cat(tensors: Any, dim: int = 0) -> Any:
    """Join tensors along an existing dimension."""
    if is_tensor(tensors):
        raise TypeError("cat(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    tensors = list(tensors)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if not is_tensor(x):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
        if x.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    full = tensors
    if any(x.ndim != 1 for x in tensors):  # a vector without elements goes with any rank
        full = [x for x in tensors if not (x.ndim == 1 and x.shape[0] == 0)] or tensors[:1]
    first = full[0]
    d = wrap_dim(dim, first.ndim)
    for i, x in enumerate(full):
        if x.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {x.ndim}")
        for k in range(first.ndim):
            if k != d and x.shape[k] != first.shape[k]:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {d}. Expected size {first.shape[k]} but got size {x.shape[k]} "
                                   f"for tensor number {i} in the list.")
    dt = dtypes.result_type_of([(x.dtype, False, False) for x in tensors])
    full = [call.cast(x, dt) for x in full]
    return emit(cat_row, full, (d,))


@api("stack(Tensor[] tensors, int dim=0) -> Tensor", method=False)
def stack(tensors: Any, dim: int = 0) -> Any:
    """Join tensors of one shape along a new dimension."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    for i, x in enumerate(tensors):
        if tuple(x.shape) != tuple(tensors[0].shape):
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 and {list(x.shape)} at entry {i}")
    d = wrap_dim(dim, tensors[0].ndim + 1)
    return named(cat([unsqueeze(x, d) for x in tensors], d), "StackBackward0")


@composite("roll(Tensor input, int[] shifts, int[] dims=()) -> Tensor", opmath=False)
def roll(input: Any, shifts: Any, dims: Any = ()) -> Any:
    """Shift elements along dimensions, what falls off coming back at the other end."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if not dims:
        return roll(flatten(input), shifts, (0,)).view(input.shape) if input.ndim != 1 else roll(input, shifts, (0,))
    out = input
    for s, d in zip(shifts, dims, strict=True):
        d = wrap_dim(d, input.ndim)
        n = input.shape[d]
        k = s % n if n else 0
        out = cat([narrow(out, d, n - k, k), narrow(out, d, 0, n - k)], d) if n else clone(out)
    return out


@composite("repeat(Tensor input, int[] repeats) -> Tensor", opmath=False, out=False)
def repeat(input: Any, repeats: Any = ()) -> Any:
    """Tile a tensor, copying."""
    lead = len(repeats) - input.ndim
    if lead < 0:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    shape = (1,) * lead + tuple(input.shape)
    x = reshape(input, shape)
    for d in range(len(shape)):
        x = unsqueeze(x, 2 * d)
    big = [n for r, s in zip(repeats, shape, strict=True) for n in (r, s)]
    return reshape(clone(expand(x, big), memory_format=None), [r * s for r, s in zip(repeats, shape, strict=True)])


@api("tile(Tensor input, int[] dims) -> Tensor", out=False)
def tile(input: Any, *dims: Any) -> Any:
    """repeat, with missing leading repeats taken as one."""
    reps = int_args(dims)
    reps = (1,) * (input.ndim - len(reps)) + reps
    return repeat(input, reps)


@api("constant_pad_nd(Tensor input, int[] pad, Scalar value=0) -> Tensor", method=False, out=False)
def constant_pad_nd(input: Any, pad: Any, value: Any = 0) -> Any:
    """Widen (or, with negative pads, narrow) dimensions from the last backwards."""
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    x = input
    shape = list(input.shape)
    starts = [0] * input.ndim
    for i in range(len(pad) // 2):
        d = input.ndim - 1 - i
        before, after = pad[2 * i], pad[2 * i + 1]
        new = input.shape[d] + before + after
        if new < 0:
            raise RuntimeError(f"The input size {input.shape[d]}, plus negative padding {before} and {after}, resulted in a negative output size, which "
                               f"is invalid. Check dimension {d} of your input.")
        shape[d] = new
        lo, hi = max(0, -before), input.shape[d] - max(0, -after)
        x = slice_dim(x, d, lo, hi, 1)
        starts[d] = max(before, 0)
    from .create import full_of

    base = full_of(tuple(shape), value, input.dtype)
    strides = base._value.type.strides
    offset = sum(a * s for a, s in zip(starts, strides, strict=True))
    return named(emit(as_strided_scatter_row, (base, x), (tuple(x.shape), strides, offset)), "ConstantPadNdBackward0")


def missing(name: str) -> NotImplementedYet:
    return NotImplementedYet(f"torch.{name} is not there yet")

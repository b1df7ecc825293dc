"""Several views of one tensor: split, chunk, unbind, tensor_split.

Enters: a tensor. Leaves: views that share one node on the tape, whose gradient is written once: the parts joined again, rather than a sum
of tensors of zeros around each part.
"""

from __future__ import annotations

import itertools
from typing import Any

from .. import dtypes
from . import record
from .call import is_tensor, wrap_dim
from .define import api, composite
from .movement import cat_row, expand_row, narrow, select, slice_dim, unsqueeze_row, zeros_of
from .record import emit, grad_mode, state
from .table import Row


def _joined(g: Any, out: Any) -> list[Any]:
    """The gradient of each part; zeros, read as a tensor of stride 0, where there is none."""
    like = next(t for t in g if t is not None)
    return [emit(expand_row, (zeros_of(like, ()),), (tuple(o.shape),)) if t is None else t for t, o in zip(g, out, strict=True)]


def _split_vjp(g: Any, input: Any, out: Any, sizes: Any, dim: Any) -> Any:
    return (emit(cat_row, _joined(g, out), (dim,)) if isinstance(g, tuple) else g,)


def _unbind_vjp(g: Any, input: Any, out: Any, dim: Any) -> Any:
    g, out = (g, out) if isinstance(g, tuple) else ((g,), (out,))
    return (emit(cat_row, [emit(unsqueeze_row, (t,), (dim,)) for t in _joined(g, out)], (dim,)),)


@composite("_split(Tensor input, int[] sizes, int dim) -> Tensor[]", vjp=_split_vjp, opmath=False, method=False, public=False, out=False)
def _split(input: Any, sizes: Any, dim: int) -> Any:
    """Views of consecutive sizes along a dimension; the gradient joins those of the parts."""
    starts = itertools.accumulate((0, *sizes))
    return tuple([narrow(input, dim, at, n) for at, n in zip(starts, sizes, strict=False)])


@composite("_unbind(Tensor input, int dim) -> Tensor[]", vjp=_unbind_vjp, opmath=False, method=False, public=False, out=False)
def _unbind(input: Any, dim: int) -> Any:
    """Every slice along a dimension, as views; the gradient stacks those of the slices."""
    return tuple([select(input, dim, i) for i in range(input.shape[dim])])


for _row in (_split.row, _unbind.row):
    _row.traits = frozenset(("copy",))


def _parts(row: Row, name: str, input: Any, attrs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Several views of one tensor, with one node on the tape."""
    taped = state.grad and input._node is not None and input.dtype.category >= dtypes.FLOAT
    body = row.function.__wrapped__  # type: ignore[union-attr]
    if not taped:
        return body(input, *attrs)  # type: ignore[no-any-return]
    with grad_mode(False):
        out: tuple[Any, ...] = body(input, *attrs)
    if not out:
        return out
    value = input._value if input._root is None else input._fresh()
    statics = (*attrs, (False,))
    key = (row, statics, value.type)
    sig = record.SIGS.get(key)
    if sig is None:
        sig = record.SIGS[key] = record.Sig(row, (value.type,), statics, tuple([o._value.type for o in out]))
    record._attach(sig, (input,), (value,), out)
    out[0]._node.name = name
    return out


@api("chunk(Tensor input, int chunks, int dim=0) -> Tensor[]", out=False)
def chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """At most `chunks` views of even size along a dimension."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    d = wrap_dim(dim, input.ndim)
    size = -(-input.shape[d] // chunks)
    if size == 0:
        return tuple(narrow(input, d, 0, 0) for _ in range(chunks))
    return split(input, size, d)


@api("split(Tensor input, int[] split_size_or_sections, int dim=0) -> Tensor[]", aliases=("split_with_sizes",), out=False)
def split(input: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
    """Views of the given sizes along a dimension."""
    d = wrap_dim(dim, input.ndim)
    n = input.shape[d]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0:
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
        if size == 0:
            if n:
                raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
            return (narrow(input, d, 0, 0),)
        sizes = [min(size, n - i) for i in range(0, n, size)] or [0]
    else:
        sizes = [int(s) for s in split_size_or_sections]
        if sum(sizes) != n:
            raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {d}), but got "
                               f"split_sizes={sizes}")
    name = "SplitBackward0" if isinstance(split_size_or_sections, int) else "SplitWithSizesBackward0"
    return _parts(_split.row, name, input, (tuple(sizes), d))


@api("tensor_split(Tensor input, int[] indices_or_sections, int dim=0) -> Tensor[]", out=False)
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> Any:
    """numpy's array_split: views at the given indices, or in so many near-even parts."""
    d = wrap_dim(dim, input.ndim)
    n = input.shape[d]
    if is_tensor(indices_or_sections):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        if k <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {k}")
        sizes = [n // k + (i < n % k) for i in range(k)]
        ends = [sum(sizes[: i + 1]) for i in range(k - 1)]
    else:
        ends = [int(i) for i in indices_or_sections]
    starts, stops = [None, *ends], [*ends, None]
    return tuple(slice_dim(input, d, a, b, 1) for a, b in zip(starts, stops, strict=True))


@api("unbind(Tensor input, int dim=0) -> Tensor[]", out=False)
def unbind(input: Any, dim: int = 0) -> Any:
    """All slices along a dimension."""
    d = wrap_dim(dim, input.ndim)
    return _parts(_unbind.row, "UnbindBackward0", input, (d,))

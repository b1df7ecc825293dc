"""Joining and splitting along a fixed dimension, and products over several: compositions of views, cat and matmul.

Enters: tensors. Leaves: tensors; views where nothing is joined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .call import is_tensor, wrap_dim
from .contract import dot, matmul
from .define import api
from .movement import cat, int_args, sum_to
from .pointwise import conj, isnan, where
from .reduce import mean, sum
from .split import tensor_split


def _listed(name: str, tensors: tuple[Any, ...]) -> list[Any]:
    if len(tensors) == 1 and not is_tensor(tensors[0]):
        tensors = tuple(tensors[0])
    for i, t in enumerate(tensors):
        if not is_tensor(t):
            raise TypeError(f"{name}(): expected Tensor as element {i} in argument 0, but got {type(t).__name__}")
    return list(tensors)


def _raised(t: Any, rank: int) -> Any:
    if t.ndim >= rank:
        return t
    shape = {1: (1,), 2: (1, *t.shape)[-2:] if t.ndim else (1, 1), 3: (1, *t.shape, 1) if t.ndim == 1 else (*t.shape, 1) if t.ndim == 2 else (1, 1, 1)}
    return t.reshape(shape[rank])


def _atleast(rank: int) -> Any:
    @api(f"atleast_{rank}d(Tensor[] tensors) -> Tensor[]", method=False, out=False)
    def function(*tensors: Any) -> Any:
        if len(tensors) == 1 and is_tensor(tensors[0]):
            return _raised(tensors[0], rank)
        return tuple(_raised(t, rank) for t in _listed(f"atleast_{rank}d", tensors))

    function.__doc__ = f"Tensors with {rank} dimensions at least."
    return function


atleast_1d, atleast_2d, atleast_3d = (_atleast(n) for n in (1, 2, 3))


def _nonempty(name: str, tensors: Sequence[Any]) -> list[Any]:
    found = _listed(name, (tensors,))
    if not found:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return found


@api("hstack(Tensor[] tensors) -> Tensor", method=False)
def hstack(tensors: Any) -> Any:
    """Join along the second dimension (the first of vectors)."""
    raised = [_raised(t, 1) for t in _nonempty("hstack", tensors)]
    return cat(raised, 0 if raised[0].ndim == 1 else 1)


@api("vstack(Tensor[] tensors) -> Tensor", method=False, aliases=("row_stack",))
def vstack(tensors: Any) -> Any:
    """Join along the first dimension, vectors being rows."""
    return cat([_raised(t, 2) for t in _nonempty("vstack", tensors)], 0)


@api("dstack(Tensor[] tensors) -> Tensor", method=False)
def dstack(tensors: Any) -> Any:
    """Join along the third dimension."""
    return cat([_raised(t, 3) for t in _nonempty("dstack", tensors)], 2)


@api("column_stack(Tensor[] tensors) -> Tensor", method=False)
def column_stack(tensors: Any) -> Any:
    """Join along the second dimension, vectors being columns."""
    return cat([t.reshape(t.numel(), 1) if t.ndim <= 1 else t for t in _nonempty("column_stack", tensors)], 1)


def _splitter(name: str, least: int, dim: int) -> Any:
    @api(f"{name}(Tensor input, int[] indices_or_sections) -> Tensor[]", out=False)
    def function(input: Any, *indices_or_sections: Any) -> Any:
        where_ = indices_or_sections[0] if len(indices_or_sections) == 1 else indices_or_sections
        if input.ndim < least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension{'s' * (least > 1)}, but got a tensor with {input.ndim} "
                               "dimensions!")
        along = 0 if name == "hsplit" and input.ndim == 1 else dim
        if isinstance(where_, int) and (where_ == 0 or input.shape[along] % where_):
            raise RuntimeError(f"torch.{name} attempted to split along dimension {along}, but the size of the dimension {input.shape[along]} is not divisible "
                               f"by the split_size {where_}!")
        return tensor_split(input, where_, along)

    function.__doc__ = f"Split along dimension {dim} into equal parts, or at the given indices."
    return function


hsplit, vsplit, dsplit = _splitter("hsplit", 1, 1), _splitter("vsplit", 2, 0), _splitter("dsplit", 3, 2)


@api("tensordot(Tensor a, Tensor b, int[][] dims=2) -> Tensor", method=False)
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """The sum of products over `dims`: a number (the last of `a` with the first of `b`), or a pair of lists."""
    if is_tensor(dims):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        left, right = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    left, right = [wrap_dim(d, a.ndim) for d in left], [wrap_dim(d, b.ndim) for d in right]
    for p, q in zip(left, right, strict=True):
        if a.shape[p] != b.shape[q] and 1 not in (a.shape[p], b.shape[q]):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {a.shape[p]} in dim {p} and second has size {b.shape[q]} in dim {q}")
        a = a.sum(p, True) if a.shape[p] != b.shape[q] and b.shape[q] == 1 else a
        b = b.sum(q, True) if a.shape[p] != b.shape[q] and a.shape[p] == 1 else b
    keep_a, keep_b = [d for d in range(a.ndim) if d not in left], [d for d in range(b.ndim) if d not in right]
    size = math.prod(a.shape[d] for d in left)
    shape_a, shape_b = [a.shape[d] for d in keep_a], [b.shape[d] for d in keep_b]
    x = a.permute(*keep_a, *left).reshape(math.prod(shape_a), size)
    y = b.permute(*right, *keep_b).reshape(size, math.prod(shape_b))
    return matmul(x, y).reshape(*shape_a, *shape_b)


@api("vdot(Tensor input, Tensor other) -> Tensor")
def vdot(input: Any, other: Any) -> Any:
    """dot with the first vector conjugated."""
    return dot(conj(input), other)


@api("adjoint(Tensor input) -> Tensor", out=False)
def adjoint(input: Any) -> Any:
    """The conjugate transpose of the last two dimensions."""
    if input.ndim < 2:
        raise RuntimeError(f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {input.ndim}-D tensor.")
    return conj(input.transpose(-2, -1))


@api("nansum(Tensor input, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor")
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum, in which NaN counts as zero."""
    if input.dtype.is_complex:
        raise RuntimeError("nansum does not support complex inputs")
    return sum(where(isnan(input), 0, input) if input.dtype.is_floating_point else input, dim, keepdim, dtype=dtype)


@api("nanmean(Tensor input, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor")
def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean of what is not NaN."""
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {input.dtype.scalar_name}")
    count = sum(~isnan(input.detach()), dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / count


@api("cov(Tensor input, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor", out=False)
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariances of the rows."""
    if input.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions")
    x = input.reshape(1, -1) if input.ndim < 2 else input
    weights = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    if weights is None:
        centred, norm = x - mean(x, 1, True), max(x.shape[1] - correction, 0)
    else:
        total = sum(weights)
        centred = x - sum(x * weights, 1, True) / total
        norm = total - correction if aweights is None else total - correction * sum(weights * aweights) / total
        norm = where(norm > 0, norm, 0)
    right = conj(centred if weights is None else centred * weights).t()
    out = matmul(centred, right)
    return (out / norm if is_tensor(norm) or norm else out / 0.0).squeeze()


@api("corrcoef(Tensor input) -> Tensor", out=False)
def corrcoef(input: Any) -> Any:
    """The correlation coefficients of the rows."""
    if input.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions")
    c = cov(input)
    if c.ndim == 0:
        return c / c
    scale = c.diagonal().sqrt()
    out = c / scale.unsqueeze(1) / scale.unsqueeze(0)
    return out if out.dtype.is_complex else out.clamp(-1, 1)


@api("sum_to_size(Tensor input, int[] size) -> Tensor", out=False)
def sum_to_size(input: Any, *size: Any) -> Any:
    """Sum what was broadcast from `size`."""
    target = int_args(size)
    lead = input.ndim - len(target)
    if lead < 0 or any(n not in (1, input.shape[lead + i]) for i, n in enumerate(target)):
        raise RuntimeError(f"size {{{list(target)}}} is not expandable to size {{{list(input.shape)}}}.")
    return sum_to(input, target)


"""Index grids made of movement and comparison: meshgrid, triangles of a matrix, combinations, products."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from . import call
from .create import full_of, iota
from .define import api
from .index_rows import compact_row, index_select_row
from .movement import cat, stack
from .record import emit


def _flatten(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors


@api("meshgrid(Tensor[] tensors, *, str? indexing=None) -> Tensor[]", method=False, out=False)
def meshgrid(*tensors: Any, indexing: Any = None) -> Any:
    """Each vector spread over the grid of all of them (views)."""
    import warnings

    tensors = _flatten(tensors)
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing is None:
        warnings.warn("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.", stacklevel=2)
        indexing = "ij"
    if indexing not in ("xy", "ij"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for t in tensors:
        if t.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {t}")
    swap = indexing == "xy" and len(tensors) > 1
    if swap:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = [t.numel() for t in tensors]
    grids = [t.reshape([-1 if i == k else 1 for i in range(len(shape))]).expand(shape) for k, t in enumerate(tensors)]
    if swap:
        grids[:2] = grids[1::-1]
    return tuple(grids)


@api("cartesian_prod(Tensor[] tensors) -> Tensor", method=False, out=False)
def cartesian_prod(*tensors: Any) -> Any:
    """All tuples with one element from each vector."""
    tensors = _flatten(tensors)
    for t in tensors:
        if t.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors, indexing="ij")], 1)


def _selected(flags: Any, count: int) -> Any:
    """The row-major numbers of the `count` true elements."""
    return emit(compact_row, (flags,), (count,)) if count else full_of((0,), 0, dtypes.int64)


def _triangle(name: str, lower: bool) -> Any:
    @api(f"{name}(int row, int col, int offset=0, *, ScalarType? dtype=None) -> Tensor", method=False, out=False)
    def indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None) -> Any:
        if row < 0 or col < 0:
            raise RuntimeError(f"{'row' if row < 0 else 'col'} must be non-negative, got{min(row, col)}")
        dtype = dtype or dtypes.int64
        kept = [max(0, min(col, r + offset + 1)) if lower else max(0, min(col, col - r - offset)) for r in range(row)]
        if not row or not col:
            return full_of((2, 0), 0, dtype)
        r, c = iota((row, col), 0, dtypes.int64), iota((row, col), 1, dtypes.int64)
        flat = _selected(c - r <= offset if lower else c - r >= offset, sum(kept))
        return call.cast(stack([flat // col, flat % col], 0), dtype)

    indices.__doc__ = f"Coordinates of the {'lower' if lower else 'upper'} triangle, row by row."
    return indices


tril_indices = _triangle("tril_indices", True)
triu_indices = _triangle("triu_indices", False)


@api("combinations(Tensor input, int r=2, bool with_replacement=False) -> Tensor", method=False, out=False)
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All r-element subsets of a vector, in lexicographic order of positions."""
    import itertools

    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return full_of((0,), 0, input.dtype)
    n = input.shape[0]
    if n == 0:
        return full_of((0, r), 0, input.dtype)
    grids = meshgrid(*[iota((n,), 0, dtypes.int64)] * r, indexing="ij")
    flags = None
    for a, b in itertools.pairwise(grids):
        step = a <= b if with_replacement else a < b
        flags = step if flags is None else flags & step
    if flags is None:
        return input.reshape(n, 1)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    flat = _selected(flags, sum(1 for _ in choose(range(n), r)))
    columns = []
    for _ in range(r):
        columns.append(emit(index_select_row, (input, flat % n), (0,)))
        flat = flat // n
    return stack(columns[::-1], 1)


@api("block_diag(Tensor[] tensors) -> Tensor", method=False, out=False)
def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal of a zero matrix."""
    rows = [t.reshape(1, -1) if t.ndim < 2 else t for t in _flatten(tensors)]
    width, at, parts = sum(t.shape[1] for t in rows), 0, []
    from .movement import constant_pad_nd

    for t in rows:
        parts.append(constant_pad_nd(t, (at, width - at - t.shape[1])))
        at += t.shape[1]
    return cat(parts, 0)



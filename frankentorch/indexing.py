"""``x[...]`` and ``x[...] = v`` with ints, slices, None, Ellipsis, bool masks and integer tensors, as torch.

Basic indices are views; tensors and sequences among them gather (`index`) or scatter (`index_put`) on that view.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from . import dtypes
from .ops import call, movement
from .ops.call import is_tensor
from .ops.define import API


def _as_index(k: Any) -> Any:
    """Lists, ranges and arrays are index tensors."""
    if isinstance(k, (list, range, np.ndarray)) and not isinstance(k, tuple):
        from .construct import construct

        t = construct(list(k) if isinstance(k, range) else k)
        return t.to(dtypes.int64) if t.numel() == 0 and not isinstance(k, np.ndarray) else t
    return k


def _spread(key: Any) -> list[Any]:
    """A list that holds tensors, sequences, slices, None or Ellipsis stands for a tuple, with torch's warning; other keys for themselves."""
    if not isinstance(key, list) or len(key) >= 32 or not any(
            k is None or k is Ellipsis or isinstance(k, (slice, list, tuple, range, np.ndarray)) or is_tensor(k) for k in key):
        return [key]
    warnings.warn("Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; use x[tuple(seq)] instead of "
                  "x[seq]. In pytorch 2.9 this will be interpreted as tensor index, x[torch.tensor(seq)], which will result either in an error or a "
                  "different result", stacklevel=4)
    return list(key)


def parse(x: Any, key: Any) -> tuple[Any, list[Any]]:
    """(view after basic indices, index tensors a dimension or None)."""
    keys = list(key) if isinstance(key, tuple) else _spread(key)
    keys = [_as_index(k) for k in keys]
    used = 0
    for k in keys:
        if k is None or k is Ellipsis or isinstance(k, bool):
            continue
        used += k.ndim if is_tensor(k) and k.dtype in (dtypes.bool_, dtypes.uint8) and k.ndim else 1 if not (
            is_tensor(k) and k.dtype in (dtypes.bool_, dtypes.uint8)) else 0
    if not x.ndim and len(keys) == 1 and hasattr(keys[0], "__index__") and not isinstance(keys[0], bool) and not is_tensor(keys[0]):
        raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number")
    if not x.ndim and len(keys) == 1 and isinstance(keys[0], slice):
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if used > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    view = x
    dim = 0
    picks: list[Any] = []
    seen = False
    for k in keys:
        if k is Ellipsis:
            if seen:
                continue
            seen = True
            rest = x.ndim - used
            dim += rest
            picks.extend([None] * rest)
        elif k is None:
            view = movement.unsqueeze(view, dim)
            dim += 1
            picks.append(None)
        elif isinstance(k, bool):
            view = movement.unsqueeze(view, dim)
            picks.append(_flag(k))
            dim += 1
        elif isinstance(k, slice):
            view = movement.slice_dim(view, dim, _bound(k.start), _bound(k.stop), _bound(k.step))
            dim += 1
            picks.append(None)
        elif is_tensor(k):
            if k.ndim == 0 and k.dtype.category == dtypes.INT:
                view = _select(view, dim, int(k.item()))
            elif k.ndim == 0 and k.dtype is dtypes.bool_:
                view = movement.unsqueeze(view, dim)
                picks.append(_flag(bool(k.item())))
                dim += 1
            elif k.dtype in (dtypes.bool_, dtypes.uint8):
                for i, n in enumerate(k.shape):
                    if view.shape[dim + i] != n:
                        raise IndexError(f"The shape of the mask {list(k.shape)} at index {i} does not match the shape of the indexed tensor "
                                         f"{list(view.shape)} at index {dim + i}")
                hits = API["nonzero"].function(k)
                for i in range(k.ndim):
                    picks.append(hits.select(1, i))
                dim += k.ndim
            else:
                if k.dtype.category != dtypes.INT:
                    raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
                picks.append(k if k.dtype is dtypes.int64 else k.to(dtypes.int64))
                dim += 1
        elif isinstance(k, str):
            raise TypeError("new(): invalid data type 'str'")
        elif isinstance(k, (float, complex)) or not hasattr(k, "__index__"):
            raise IndexError(f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {type(k).__name__})")
        else:
            view = _select(view, dim, k.__index__())
    return view, picks


def _bound(v: Any) -> Any:
    return v if v is None else int(v.item()) if is_tensor(v) else v.__index__()


def _select(view: Any, dim: int, i: int) -> Any:
    n = view.shape[dim]
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for dimension {dim} with size {n}")
    return movement.select(view, dim, i)


def _flag(k: bool) -> Any:
    from .construct import construct

    return construct([0] if k else [], dtypes.int64)


def getitem(x: Any, key: Any) -> Any:
    """Indexing: a view for basic indices, a gather where tensors are among them."""
    view, picks = parse(x, key)
    if all(p is None for p in picks):
        return view._view_of(movement.slice_row, (0, 0, view.shape[0], 1)) if view is x and x.ndim else (view if view is not x else movement.view(x, ()))
    return API["index"].function(view, picks)


def _is_whole(key: Any) -> bool:
    """Whether a key selects everything as it stands, so that it is the tensor itself that is written."""
    keys = key if isinstance(key, tuple) else (key,)
    return all(k is Ellipsis or isinstance(k, slice) and k == slice(None) for k in keys)


def setitem(x: Any, key: Any, value: Any) -> None:
    """Assignment through the view that `key` selects."""
    from .construct import construct

    given = value
    if isinstance(key, tuple) and len(key) == 0:
        key = (Ellipsis,)
    view, picks = parse(x, key)
    if not is_tensor(value):
        if type(value) in call.NUMBERS:
            if all(p is None for p in picks):
                call.check_writable(x if view is x or _is_whole(key) else view, "setitem")
                view.fill_(value)
                return
            value = construct(value, dtypes.scalar_dtype(value)).to(x.dtype) if not isinstance(value, complex) or x.dtype.is_complex else construct(value)
        else:
            kind = type(value)
            name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
            raise TypeError(f"can't assign a {name} to a torch.{x.dtype.scalar_name}Tensor")
    whole = all(p is None for p in picks) and view is not x and not _is_whole(key)
    call.check_writable(view if whole else x, "setitem")
    if value.dtype is not x.dtype:
        masked = is_tensor(key) and key.dtype is dtypes.bool_ and value.numel() == 1
        if not masked and any(p is not None for p in picks) and is_tensor(given):
            raise RuntimeError(f"Index put requires the source and destination dtypes match, got {x.dtype.scalar_name} for the destination and "
                               f"{value.dtype.scalar_name} for the source.")
        value = call.cast(value, x.dtype)
    if all(p is None for p in picks):
        target = view
        while value.ndim > target.ndim and value.shape[0] == 1:
            value = value.squeeze(0)
        if value.ndim > target.ndim or any(a not in (1, b) for a, b in zip(reversed(value.shape), reversed(target.shape))):
            raise RuntimeError(f"The expanded size of the tensor ({target.shape[-1] if target.ndim else 0}) must match the existing size "
                               f"({value.shape[-1]}) at non-singleton dimension {max(target.ndim - 1, 0)}.  Target sizes: {list(target.shape)}.  Tensor sizes: "
                               f"{list(value.shape)}")
        target.copy_(value)
        return
    view.index_put_(picks, value)

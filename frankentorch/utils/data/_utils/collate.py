"""From a list of samples to one batch of the same structure.

Enters: samples of tensors, numpy arrays, numbers, strings, and containers of them. Leaves: the container of one sample with a
batch at each leaf: tensors stacked along a new first axis, numbers made a tensor, strings listed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

import frankentorch as torch

CollateMap = dict[Any, Callable[..., Any]]

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def _holds_text(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "SUO"


def _same_mapping(like: Any, values: dict[Any, Any]) -> Any:
    """The values in a mapping like `like`, with its extra attributes; a dict where its class will not be made again."""
    try:
        if isinstance(like, MutableMapping):
            made = copy.copy(like)
            made.update(values)
            return made
        return type(like)(values)
    except TypeError:
        return values


def _same_sequence(like: Any, values: list[Any]) -> Any:
    """The values in a sequence like `like`; a list where its class will not be made again."""
    try:
        if isinstance(like, MutableSequence):
            made = copy.copy(like)
            for i, value in enumerate(values):
                made[i] = value
            return made
        return type(like)(values)
    except TypeError:
        return values


def default_convert(data: Any) -> Any:
    """Numpy arrays and scalars inside `data` as tensors; all else as it is. Plain tuples become lists, as in torch."""
    if isinstance(data, torch.Tensor):
        return data
    kind = type(data)
    if kind.__module__ == "numpy" and kind.__name__ not in ("str_", "string_"):
        if isinstance(data, np.ndarray) and _holds_text(data.dtype):
            return data
        return torch.as_tensor(data)
    if isinstance(data, Mapping):
        return _same_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return kind(*(default_convert(value) for value in data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _same_sequence(data, [default_convert(value) for value in data])
    return data


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Collate by the first sample's type: its entry in the map, that of a base class, or its elements in turn.

    Functions in the map are called as `fn(batch, collate_fn_map=...)`. Raises TypeError for a type that is neither in the map
    nor a container, RuntimeError for lists of unequal length.
    """
    elem = batch[0]
    for kind, fn in (collate_fn_map or {}).items():
        if type(elem) is kind:
            return fn(batch, collate_fn_map=collate_fn_map)
    for kind, fn in (collate_fn_map or {}).items():
        if isinstance(elem, kind):
            return fn(batch, collate_fn_map=collate_fn_map)
    if isinstance(elem, Mapping):
        columns = {key: collate([d[key] for d in batch], collate_fn_map=collate_fn_map) for key in elem}
        return _same_mapping(elem, columns)
    if not isinstance(elem, Sequence):
        raise TypeError(default_collate_err_msg_format.format(type(elem)))
    named = isinstance(elem, tuple) and hasattr(elem, "_fields")
    if not named and any(len(other) != len(elem) for other in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    values = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch)]
    if named:
        return type(elem)(*values)
    return values if isinstance(elem, tuple) else _same_sequence(elem, values)


def collate_tensor_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    return torch.stack(list(batch), 0)


def collate_numpy_array_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    if _holds_text(batch[0].dtype):
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return collate([torch.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    return torch.as_tensor(np.array(batch))


def collate_float_fn(batch: Sequence[float], *, collate_fn_map: CollateMap | None = None) -> Any:
    return torch.tensor(batch, dtype=torch.float64)


def collate_int_fn(batch: Sequence[int], *, collate_fn_map: CollateMap | None = None) -> Any:
    return torch.tensor(batch)


def collate_str_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    return batch


default_collate_fn_map: CollateMap = {
    torch.Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch: Sequence[Any]) -> Any:
    """Collate with torch's rules for tensors, numpy, numbers and strings."""
    return collate(batch, collate_fn_map=default_collate_fn_map)

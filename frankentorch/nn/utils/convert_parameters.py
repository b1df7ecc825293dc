"""All parameters as one vector, and back.

Enters: an iterable of tensors. Leaves: their elements concatenated, or the tensors' data replaced by slices of a vector.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import frankentorch as torch

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """The elements of every parameter, one after another."""
    return torch.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Give every parameter its slice of `vec` as data."""
    if not isinstance(vec, torch.Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {torch.typename(vec)}")
    start = 0
    for p in parameters:
        size = p.numel()
        p.data = vec[start:start + size].reshape(p.shape).data
        start += size

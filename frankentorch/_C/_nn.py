"""torch._C._nn: neural-network functions by their native names."""

from __future__ import annotations

from typing import Any

from ..ops.define import API


def __getattr__(name: str) -> Any:
    entry = API.get(name)
    if entry is None and name.endswith("_") and not name.startswith("_") and name[:-1] in API and API[name[:-1]].inplace:
        from ..tensor import Tensor

        return getattr(Tensor, name)
    if entry is None:
        raise AttributeError(f"module 'torch._C._nn' has no attribute '{name}'")
    return entry.function

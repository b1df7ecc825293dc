"""torch.types: the names used in annotations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any

from .device import device as _device
from .dtypes import dtype as _dtype  # noqa: F401 (torch.types has these three names)
from .memory_format import layout as _layout  # noqa: F401
from .size import Size
from .tensor import Tensor

__all__ = ["Device", "FileLike", "Number"]

Number = int | float | bool
Device = _device | str | int | None
FileLike = str | os.PathLike[str] | IO[bytes]
_TensorOrTensors = Tensor | Sequence[Tensor]
_size = Size | list[int] | tuple[int, ...]
_int, _float, _bool, _complex = int, float, bool, complex


def __getattr__(name: str) -> Any:
    if name == "Storage":
        from .storage import UntypedStorage

        return UntypedStorage
    raise AttributeError(f"module 'torch.types' has no attribute '{name}'")

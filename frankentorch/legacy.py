"""torch.FloatTensor and its kin: the constructors from before dtypes had names.

Enters: sizes, or data. Leaves: plain tensors of the class's dtype; ``isinstance`` asks for a tensor of that dtype.
"""

from __future__ import annotations

from typing import Any

from . import dtypes
from .construct import construct
from .ops.create import full_of
from .size import Size
from .tensor import Tensor


class _Legacy(type):
    """Classes that make tensors of one dtype and count them as instances."""

    dtype: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __call__(cls, *args: Any, device: Any = None) -> Any:
        if len(args) == 1 and not isinstance(args[0], int):
            given = args[0]
            if isinstance(given, Size):
                return full_of(tuple(given), 0, cls.dtype)
            if isinstance(given, Tensor) and given.dtype is not cls.dtype:
                raise TypeError(f"expected {cls.__name__} (got {given.type()})")
            return construct(given, cls.dtype)
        return full_of(tuple(args) or (0,), 0, cls.dtype)


TYPES = {
    f"{d.scalar_name}Tensor": _Legacy(f"{d.scalar_name}Tensor", (), {"dtype": d, "__module__": "torch", "__doc__": f"Makes tensors of {d}."})
    for d in (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16, dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64, dtypes.bool_)
}
globals().update(TYPES)

"""Tensors from data: numbers and nested sequences, numpy arrays, buffers, DLPack, and memory that somebody else owns.

Enters: foreign data. Leaves: tensors with a copy of it (`tensor`, `construct`, `from_array`) or on its very memory, which is then exposed
(`from_numpy`, `from_dlpack`, `frombuffer`, `from_memory`). Dtypes are inferred as torch does.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any

from . import device as devices
from . import dtypes
from .ops.record import Value, state, wrap
from .ops.types import TensorType, tensor_type
from .runtime.memory import Buffer
from .tensor import Tensor

if TYPE_CHECKING:
    import numpy as np


def from_memory(buf: Any, offset: int, type_: TensorType) -> Tensor:
    """A tensor on foreign memory; strides other than a dense layout make it a view of a flat root over the same memory."""
    if type_.dense:
        return wrap(Value(type_, None, -1, buf, offset))
    last = sum((n - 1) * s for n, s in zip(type_.shape, type_.strides, strict=True) if s > 0)
    first = sum((n - 1) * s for n, s in zip(type_.shape, type_.strides, strict=True) if s < 0)
    size = type_.dtype.itemsize
    root = wrap(Value(tensor_type(type_.dtype, (last - first + 1,)), None, -1, buf, offset + first * size))
    return root._as_strided(type_.shape, type_.strides, -first)


def from_array(a: Any, dtype: Any = None) -> Tensor:
    """A tensor with a copy of a numpy array's values."""
    import numpy as np

    dt = dtypes.from_numpy_dtype(a.dtype) if dtype is None else dtype
    c = np.array(a, dtype=dt.np, order="C", copy=True)
    buf = Buffer(max(c.nbytes, 1))
    ctypes.memmove(buf.ptr, c.ctypes.data, c.nbytes)
    if state.region is not None:
        state.region.constants.append(buf)
    return wrap(Value(tensor_type(dt, c.shape), None, -1, buf, 0))


def construct(data: Any, dtype: Any = None) -> Tensor:
    """A tensor from nested sequences, numbers, numpy arrays or tensors, with torch's inference of dtypes."""
    import numpy as np

    if isinstance(data, Tensor):
        t = data.detach().clone()
        return t if dtype is None else t.to(dtype)
    if isinstance(data, (np.ndarray, np.generic)):
        return from_array(np.asarray(data), dtype)
    shape, flat, found = _flatten(data)
    if dtype is None:
        dtype = _infer_dtype(found)
    if dtype.category == dtypes.INT:
        return from_array(np.array([_whole(x, dtype) for x in flat], dtype=dtype.np).reshape(shape), dtype)
    if dtype.is_floating_point and any(isinstance(x, complex) for x in flat):
        raise TypeError("must be real number, not complex")
    with np.errstate(over="ignore"):
        if dtype in (dtypes.float16, dtypes.bfloat16):
            return from_array(np.array(flat, dtype=np.float64).reshape(shape).astype(dtype.np), dtype)
        return from_array(np.array(flat, dtype=dtype.np).reshape(shape), dtype)


def _whole(x: Any, dtype: Any) -> int:
    """A number as an element of an integer dtype; negative numbers wrap in unsigned ones."""
    if isinstance(x, complex):
        raise TypeError("'complex' object cannot be interpreted as an integer")
    bits = dtype.itemsize * 8
    if isinstance(x, float) and not abs(x) < 2.0**63:
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")
    n = int(x)
    if not -(1 << 63) <= n < 1 << (63 if dtype.is_signed else 64):
        raise ValueError("Overflow when unpacking long long")
    if dtype.is_signed and not -(1 << bits - 1) <= n < 1 << bits - 1 or not -(1 << bits) < n < 1 << bits:
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")
    return n & ((1 << bits) - 1) if not dtype.is_signed else n


def _sizes_of(data: Any) -> list[int]:
    """The sizes along the first elements."""
    sizes: list[int] = []
    while True:
        if isinstance(data, Tensor) or hasattr(data, "__array_interface__"):
            return [*sizes, *data.shape]
        if isinstance(data, str):
            raise ValueError("too many dimensions 'str'") if sizes else TypeError("new(): invalid data type 'str'")
        if isinstance(data, dict) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
            return sizes
        sizes.append(len(data))
        if not len(data):
            return sizes
        data = data[0]


def _flatten(data: Any) -> tuple[tuple[int, ...], list[Any], set[Any]]:
    """The shape, the elements in order, the kinds of the numbers and the dtypes of the arrays and tensors among them."""
    sizes = tuple(_sizes_of(data))
    flat: list[Any] = []
    found: set[Any] = set()
    _collect(data, sizes, 0, flat, found)
    return sizes, flat, found


def _collect(data: Any, sizes: tuple[int, ...], depth: int, flat: list[Any], found: set[Any]) -> None:
    """Append the elements of `data`, checking that every level has the size of the first."""
    if depth == len(sizes):
        flat.append(_element(data, found))
        return
    if isinstance(data, Tensor) or hasattr(data, "__array_interface__"):
        found.add(data.dtype if isinstance(data, Tensor) else dtypes.from_numpy_dtype(data.dtype))
        if depth and data.ndim and data.ndim + depth > len(sizes):
            raise ValueError("only one element tensors can be converted to Python scalars")
        if tuple(data.shape) == sizes[depth:]:
            flat.extend(data.reshape(-1).tolist())
            return
    if isinstance(data, str) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise TypeError("not a sequence")
    if len(data) != sizes[depth]:
        raise ValueError(f"expected sequence of length {sizes[depth]} at dim {depth} (got {len(data)})")
    if depth == len(sizes) - 1 and type(data) in (list, tuple):
        kinds = set(map(type, data))
        if kinds <= _PLAIN:
            flat.extend(data)
            found |= kinds
            return
    for i in range(len(data)):
        _collect(data[i], sizes, depth + 1, flat, found)


_PLAIN = {bool, int, float, complex}


def _element(x: Any, found: set[Any]) -> Any:
    """A number; torch's errors for what is none."""
    if type(x) in _PLAIN:
        found.add(type(x))
        return x
    if isinstance(x, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(x, Tensor) or hasattr(x, "__array_interface__"):
        if x.ndim:
            raise ValueError("only one element tensors can be converted to Python scalars")
        found.add(x.dtype if isinstance(x, Tensor) else dtypes.from_numpy_dtype(x.dtype))
        return x.item()
    for kind in (int, float, complex):
        if isinstance(x, kind):
            found.add(kind)
            return kind(x)  # type: ignore[arg-type]
    if isinstance(x, (list, tuple)):
        raise TypeError(f"must be real number, not {type(x).__name__}")
    raise RuntimeError(f"Could not infer dtype of {type(x).__name__}")


def _infer_dtype(found: set[Any]) -> Any:
    """The dtype that all elements promote to: Python numbers count as torch's defaults for them."""
    if not found:
        return dtypes.get_default_dtype()
    plain = {bool: dtypes.bool_, int: dtypes.int64, float: dtypes.get_default_dtype(), complex: dtypes.get_default_complex_dtype()}
    return functools.reduce(dtypes.promote_types, sorted((plain.get(k, k) for k in found), key=str))


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new tensor with a copy of `data` (numbers, nested sequences, numpy arrays)."""
    if isinstance(data, Tensor):
        import warnings

        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).", stacklevel=2)
    t = construct(data, dtype)
    target = devices.get_default_device() if device is None else devices.device(device)
    if target.type != "cpu":
        t = t._to_device(target)
    return t._from_birth() if requires_grad else t


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor on `data`'s memory where it can be (tensors, numpy arrays), else a copy."""
    import numpy as np

    if isinstance(data, Tensor):
        return data if dtype is None or dtype is data.dtype else data.to(dtype)
    if isinstance(data, np.ndarray) and (dtype is None or dtypes.from_numpy_dtype(data.dtype) is dtype) and data.flags.writeable:
        return from_numpy(data)
    return construct(data, dtype)


def from_numpy(a: np.ndarray) -> Tensor:
    """A tensor sharing a numpy array's memory."""
    import numpy as np

    if not isinstance(a, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(a).__name__})")
    dt = dtypes.from_numpy_dtype(a.dtype)
    if not a.flags.writeable:
        import warnings

        warnings.warn("The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means writing to this tensor will "
                      "result in undefined behavior. You may want to copy the array to protect its data or make it writable before converting it to a "
                      "tensor. This type of warning will be suppressed for the rest of this program.", stacklevel=2)
    if any(s < 0 for s in a.strides):
        raise ValueError("At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. (You "
                         "can probably work around this by making a copy of your array  with array.copy().) ")
    if any(s % a.itemsize for s in a.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory.")
    strides = tuple(s // a.itemsize for s in a.strides)
    extent = (sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True)) + a.itemsize) if a.size else 0
    buf = Buffer.from_foreign(a.__array_interface__["data"][0], extent, a)
    buf.exposed = 1
    return from_memory(buf, 0, tensor_type(dt, a.shape, strides if a.size else None))


def from_dlpack(ext: Any, **kwargs: Any) -> Tensor:
    """A tensor sharing memory with any object that speaks DLPack."""
    import numpy as np

    if isinstance(ext, Tensor):
        return ext.detach()
    a = np.from_dlpack(ext)
    if not a.flags.writeable:
        a = np.lib.stride_tricks.as_strided(a, writeable=False)
        buf = Buffer.from_foreign(a.__array_interface__["data"][0], max(a.nbytes, 1), a)
        buf.exposed = 1
        return from_memory(buf, 0, tensor_type(dtypes.from_numpy_dtype(a.dtype), a.shape, tuple(s // a.itemsize for s in a.strides)))
    return from_numpy(a)


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A one-dimensional tensor on an object that has the buffer protocol."""
    import numpy as np

    t = from_numpy(np.frombuffer(buffer, dtype=dtype.np, count=count, offset=offset))
    return t.requires_grad_(requires_grad)

"""What the file formats need of a tensor library, and that for any module with torch's public API.

Enters: tensors to describe; bytes, sizes and strides to make tensors of. Leaves: descriptions; tensors. Nothing here knows a format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from frankentorch.interop.pt_pickle import TorchGlobal

ITEMSIZE = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "uint8": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8,
    "bool": 1, "complex64": 8, "complex128": 16, "uint16": 2, "uint32": 4, "uint64": 8, "complex32": 4,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1,
}  # fmt: skip
_CARRIER = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


@dataclass(frozen=True)
class Described:
    """A tensor as a file holds it. `storage` names its memory; `data()` gives all of that memory's bytes."""

    storage: Any
    nbytes: int
    data: Callable[[], bytes]
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    is_parameter: bool


class TensorAccess(Protocol):
    """What the format needs of a tensor library."""

    def is_tensor(self, obj: Any) -> bool: ...
    def describe(self, tensor: Any) -> Described: ...
    def make_storage(self, data: bytearray) -> Any: ...
    def make_tensor(
        self, storage: Any, dtype: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...], requires_grad: bool
    ) -> Any: ...
    def make_parameter(self, tensor: Any, requires_grad: bool) -> Any: ...
    def named(self) -> dict[str, Any]: ...
    def name_of(self, obj: Any) -> Any: ...


class _Memory:
    """A loaded storage: its bytes until the first tensor over it, that tensor's root afterwards."""

    __slots__ = ("data", "nbytes", "root")

    def __init__(self, data: bytearray) -> None:
        self.data: bytearray | None = data
        self.nbytes = len(data)
        self.root: Any = None


class TorchLike:
    """`TensorAccess` for a module with torch's public API: FrankenTorch itself, or torch in tests."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def is_tensor(self, obj: Any) -> bool:
        return isinstance(obj, self.module.Tensor)

    def _flat_bytes(self, flat: Any) -> bytes:
        """The bytes of a contiguous one-axis tensor."""
        try:
            array = flat.numpy()
        except TypeError:
            # Of a copy: seen as another dtype, memory counts as exposed.
            array = flat.clone().view(getattr(self.module, _CARRIER[flat.element_size()])).numpy()
        return bytes(np.ascontiguousarray(array).tobytes())

    def describe(self, tensor: Any) -> Described:
        plain = tensor.detach()
        if plain.is_complex():
            plain = plain.resolve_conj()
        plain = plain.resolve_neg() if hasattr(plain, "resolve_neg") else plain
        memory = plain.untyped_storage()
        nbytes = memory.nbytes()
        count = nbytes // plain.element_size()
        return Described(
            # The storage's identity, not its address: asking for an address lets foreign code at the memory.
            storage=memory._cdata,
            nbytes=nbytes,
            # Holds the tensor, so that no other storage gets its identity before the bytes are written.
            data=lambda: self._flat_bytes(plain.as_strided((count,), (1,), 0)),
            dtype=str(plain.dtype).removeprefix("torch."),
            offset=int(plain.storage_offset()),
            size=tuple(int(n) for n in plain.shape),
            stride=tuple(int(n) for n in plain.stride()),
            requires_grad=bool(tensor.requires_grad),
            is_parameter=isinstance(tensor, self.module.nn.Parameter),
        )

    def make_storage(self, data: bytearray) -> _Memory:
        return _Memory(data)

    def _fresh(self, data: bytearray, dtype: str, shape: tuple[int, ...]) -> Any:
        """A new tensor that owns a copy of `data`."""
        torch = self.module
        try:
            return torch.tensor(np.frombuffer(data, np.dtype(dtype)).reshape(shape))
        except TypeError:
            carrier = _CARRIER[ITEMSIZE[dtype]]
            flat = torch.tensor(np.frombuffer(data, np.dtype(carrier)).reshape(shape))
            return flat.view(getattr(torch, dtype))

    def make_tensor(
        self, storage: _Memory, dtype: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...], requires_grad: bool
    ) -> Any:
        count = storage.nbytes // ITEMSIZE[dtype]
        whole = offset == 0 and stride == _contiguous(size) and int(np.prod(size, dtype=np.int64)) == count
        if storage.root is None:
            assert storage.data is not None
            # A tensor that is all of its storage, the usual case, becomes the root and is no view of anything.
            storage.root = self._fresh(storage.data, dtype, size if whole else (count,))
            storage.data = None
            tensor = storage.root if whole else storage.root.as_strided(size, stride, offset)
        else:
            root = storage.root
            if root.dtype != getattr(self.module, dtype):
                root = root.reshape(-1).view(getattr(self.module, dtype))
            tensor = root.as_strided(size, stride, offset)
        return tensor.requires_grad_() if requires_grad else tensor

    def make_parameter(self, tensor: Any, requires_grad: bool) -> Any:
        return self.module.nn.Parameter(tensor, requires_grad=requires_grad)

    def named(self) -> dict[str, Any]:
        """Globals of files that are values: dtypes, device, Size."""
        torch = self.module
        names = {f"torch.{name}": getattr(torch, name) for name in ITEMSIZE if hasattr(torch, name)}
        return {**names, "torch.device": torch.device, "torch.Size": torch.Size}

    def name_of(self, obj: Any) -> Any:
        """How a dtype, device or Size is written; NotImplemented for anything else."""
        torch = self.module
        if isinstance(obj, torch.dtype):
            return TorchGlobal("torch", str(obj).removeprefix("torch."))
        if isinstance(obj, torch.Size):
            return TorchGlobal("torch", "Size"), (tuple(obj),)
        if isinstance(obj, torch.device):
            return TorchGlobal("torch", "device"), (obj.type,) if obj.index is None else (obj.type, obj.index)
        return NotImplemented


def _contiguous(size: Iterable[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(tuple(size)):
        strides.append(step)
        step *= max(int(n), 1)
    return tuple(reversed(strides))

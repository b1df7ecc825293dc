"""Storages: the memory behind tensors, seen as bytes or as elements, and how tensors are pickled.

Enters: the tensor that holds a memory's current value (`Tensor._home`). Leaves: `UntypedStorage` and `TypedStorage`. Equal memory is
one `UntypedStorage` object for as long as anything refers to it, so that a pickle holds it once and its tensors share it again.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

from . import dtypes
from .device import CPU, META
from .ops.record import Value, grad_mode, wrap
from .ops.types import dense_type, tensor_type
from .runtime.memory import Buffer
from .tensor import Tensor

__all__ = ["TypedStorage", "UntypedStorage", "rebuild", "rebuild_storage"]

_KNOWN: WeakValueDictionary[int, UntypedStorage] = WeakValueDictionary()


def _tensor_of_bytes(data: Any, dtype: Any) -> Tensor:
    """A one-dimensional tensor that owns a copy of `data`."""
    buf = Buffer(max(len(data), 1))
    ctypes.memmove(buf.ptr, bytes(data), len(data))
    return wrap(Value(tensor_type(dtype, (len(data) // dtype.itemsize,)), None, -1, buf, 0))


class UntypedStorage:
    """The bytes of a tensor's memory. Made from a number of bytes, from a sequence of them, or by `Tensor.untyped_storage`."""

    __slots__ = ("__weakref__", "_counter", "_owner")
    is_sparse = is_sparse_csr = is_cuda = is_hpu = False
    _owner: Tensor
    _counter: Any

    def __new__(cls, *args: Any, device: Any = None) -> UntypedStorage:
        if len(args) == 1 and isinstance(args[0], Tensor):
            return cls._of(args[0])
        if len(args) > 1:
            raise TypeError(f"UntypedStorage() takes at most 1 positional argument ({len(args)} given)")
        given = args[0] if args else 0
        data = bytes(given) if isinstance(given, int) else bytes(int(b) & 255 for b in given)
        return cls._of(_tensor_of_bytes(data, dtypes.uint8))

    @classmethod
    def _of(cls, home: Tensor) -> UntypedStorage:
        counter = home._storage_counter()
        found = _KNOWN.get(id(counter))
        if found is None:
            found = object.__new__(cls)
            found._owner, found._counter = home, counter
            _KNOWN[id(counter)] = found
        return found

    def _home(self) -> Tensor:
        """The tensor that holds the memory now: the handle it was asked from may have moved to another."""
        home = self._owner
        while home._moved is not None:
            home = home._moved
        self._owner = home
        return home

    def _flat(self) -> Tensor:
        """All elements in the order of memory, as the dtype the memory was made with."""
        home = self._home()
        with grad_mode(False):
            return home._as_strided((home.numel(),), (1,), 0).detach()

    def _tensor_view(self, dtype: Any) -> Tensor:
        """All elements as `dtype`, sharing this memory."""
        flat = self._flat()
        return flat if dtype is flat.dtype else flat._reinterpret(dtype)

    def _bytes(self) -> bytes:
        if not self.nbytes():
            return b""
        return ctypes.string_at(self._home()._materialise().address, self.nbytes())

    def _replace(self, data: bytes) -> None:
        flat = self._flat()
        with grad_mode(False):
            flat.copy_(_tensor_of_bytes(data, flat.dtype))

    @property
    def _cdata(self) -> int:
        """A number that is this memory's alone while it lives."""
        return id(self._counter)

    @property
    def device(self) -> Any:
        return META if self._home()._meta else CPU

    def nbytes(self) -> int:
        """How many bytes there are."""
        return dense_type(self._home()._value.type).nbytes

    size = __len__ = nbytes

    def element_size(self) -> int:
        """1."""
        return 1

    def get_device(self) -> int:
        return -1

    def data_ptr(self) -> int:
        """The memory's address; it stays there from now on."""
        return self._home().data_ptr()

    def is_shared(self) -> bool:
        return self._home().is_shared()

    def is_pinned(self, device: Any = None) -> bool:
        return False

    def resizable(self) -> bool:
        return True

    def tolist(self) -> list[int]:
        """The bytes as ints."""
        return list(self._bytes())

    def __iter__(self) -> Iterator[int]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return UntypedStorage(self._bytes()[index])
        return self._bytes()[_position(index, self.nbytes())]

    def __setitem__(self, index: Any, value: Any) -> None:
        data = bytearray(self._bytes())
        if isinstance(index, slice):
            for i in range(*index.indices(len(data))):
                data[i] = int(value) & 255
        else:
            data[_position(index, len(data))] = int(value) & 255
        self._replace(bytes(data))

    def fill_(self, value: int) -> UntypedStorage:
        """Set every byte."""
        self._replace(bytes([int(value) & 255]) * self.nbytes())
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> UntypedStorage:
        """Copy the bytes of a storage of the same size."""
        if source.nbytes() != self.nbytes():
            raise RuntimeError(f"size does not match, self was {self.nbytes()} bytes but src was {source.nbytes()} bytes")
        self._replace(source._bytes())
        return self

    def clone(self) -> UntypedStorage:
        """A storage of its own with the same bytes."""
        return UntypedStorage._of(_tensor_of_bytes(self._bytes(), self._home().dtype))

    def resize_(self, size: int) -> UntypedStorage:
        """Change the number of bytes; those kept keep their values, and new ones are zero. Tensors on it keep their sizes."""
        home = self._home()
        item = home.dtype.itemsize
        if size < 0 or size % item:
            raise RuntimeError(f"a storage of {home.dtype} elements cannot be resized to {size} bytes")
        home._settle()
        home = self._home()
        data = self._bytes()[:size]
        home._value = _tensor_of_bytes(data + bytes(size - len(data)), home.dtype)._value
        home._count_write()
        return self

    def new(self) -> UntypedStorage:
        return UntypedStorage(0)

    def cpu(self) -> UntypedStorage:
        return self

    def untyped(self) -> UntypedStorage:
        return self

    def share_memory_(self) -> UntypedStorage:
        """Move the bytes to memory that forked processes share."""
        self._home().share_memory_()
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> UntypedStorage:
        if id(self) not in memo:
            memo[id(self)] = self.clone()
        return memo[id(self)]  # type: ignore[no-any-return]

    def __copy__(self) -> UntypedStorage:
        return self.clone()

    def __reduce__(self) -> Any:
        return rebuild_storage, (self._bytes(), self._home().dtype)

    def __repr__(self) -> str:
        lines = "".join(f" {b}\n" for b in self._bytes())
        return f"{lines}[torch.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"


def _position(index: Any, n: int) -> int:
    if not hasattr(index, "__index__"):
        raise TypeError(f"can't index a torch.UntypedStorage with {type(index).__name__}")
    i = index.__index__()
    if not -n <= i < n:
        raise IndexError(f"index {i} out of range for storage of size {n}")
    return i % n  # type: ignore[no-any-return]


_DEPRECATED = ("TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage class. This should only matter "
               "to you if you are using storages directly.  To access UntypedStorage directly, use tensor.untyped_storage() instead of "
               "tensor.storage()")


class TypedStorage:
    """A storage seen as elements of one dtype (the old kind of storage)."""

    __slots__ = ("_untyped_storage", "dtype")
    is_sparse = is_cuda = is_hpu = False

    def __init__(self, *args: Any, wrap_storage: UntypedStorage | None = None, dtype: Any = None, device: Any = None, _internal: bool = False) -> None:
        if not _internal:
            warnings.warn(_DEPRECATED, UserWarning, stacklevel=2)
        fixed = getattr(type(self), "_dtype", None)
        self.dtype = dtype or fixed or dtypes.get_default_dtype()
        if wrap_storage is not None:
            self._untyped_storage = wrap_storage
        elif len(args) == 1 and isinstance(args[0], Tensor):
            self._untyped_storage = UntypedStorage._of(args[0])
            self.dtype = dtype or args[0].dtype
        elif args and not isinstance(args[0], int):
            from .construct import construct

            self._untyped_storage = UntypedStorage._of(construct(list(args[0]), self.dtype))
        else:
            self._untyped_storage = UntypedStorage._of(_tensor_of_bytes(bytes((args[0] if args else 0) * self.dtype.itemsize), self.dtype))

    def _elements(self) -> Tensor:
        return self._untyped_storage._tensor_view(self.dtype)

    def _tensor_view(self, dtype: Any) -> Tensor:
        return self._untyped_storage._tensor_view(dtype)

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return self._untyped_storage

    @property
    def device(self) -> Any:
        return self._untyped_storage.device

    @property
    def _cdata(self) -> int:
        return self._untyped_storage._cdata

    def nbytes(self) -> int:
        return self._untyped_storage.nbytes()

    def element_size(self) -> int:
        return int(self.dtype.itemsize)

    def size(self) -> int:
        """How many elements there are."""
        return self.nbytes() // self.element_size()

    __len__ = size

    def data_ptr(self) -> int:
        return self._untyped_storage.data_ptr()

    def tolist(self) -> list[Any]:
        """The elements as Python numbers."""
        return self._elements().tolist()  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        return self._elements()[_position(index, self.size())].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        with grad_mode(False):
            self._elements()[index] = value

    def fill_(self, value: Any) -> TypedStorage:
        with grad_mode(False):
            self._elements().fill_(value)
        return self

    def copy_(self, source: Any, non_blocking: bool | None = None) -> TypedStorage:
        with grad_mode(False):
            self._elements().copy_(source._elements())
        return self

    def clone(self) -> TypedStorage:
        return type(self)(wrap_storage=self._untyped_storage.clone(), dtype=self.dtype, _internal=True)

    def resize_(self, size: int) -> None:
        """Change the number of elements."""
        self._untyped_storage.resize_(size * self.element_size())

    def cpu(self) -> TypedStorage:
        return self

    def is_shared(self) -> bool:
        return self._untyped_storage.is_shared()

    def share_memory_(self) -> TypedStorage:
        self._untyped_storage.share_memory_()
        return self

    def pickle_storage_type(self) -> str:
        return self.dtype.scalar_name + "Storage"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypedStorage) and self._cdata == other._cdata and self.dtype is other.dtype

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return _rebuild_typed, (self._untyped_storage, self.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> TypedStorage:
        return type(self)(wrap_storage=self._untyped_storage.__deepcopy__(memo), dtype=self.dtype, _internal=True)

    def __repr__(self) -> str:
        lines = "".join(f" {x}\n" for x in self.tolist())
        return f"{lines}[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {self.size()}]"


def _legacy(dtype: Any) -> type[TypedStorage]:
    return type(f"{dtype.scalar_name}Storage", (TypedStorage,), {"__slots__": (), "__module__": "torch", "_dtype": dtype,
                                                                  "__doc__": f"A storage of {dtype} elements."})


globals().update({c.__name__: c for c in map(_legacy, (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16, dtypes.uint8, dtypes.int8, dtypes.int16,
                                                           dtypes.int32, dtypes.int64, dtypes.bool_, dtypes.complex64, dtypes.complex128))})


# Pickling ------------------------------------------------------------------------------------------------------------------------
def rebuild_storage(data: bytes, dtype: Any) -> UntypedStorage:
    """A storage from its bytes."""
    return UntypedStorage._of(_tensor_of_bytes(data, dtype))


def _rebuild_typed(untyped: UntypedStorage, dtype: Any) -> TypedStorage:
    return TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)


def rebuild(cls: type | None, storage: UntypedStorage, offset: int, size: Sequence[int], stride: Sequence[int], requires_grad: bool,
            attributes: dict[str, Any]) -> Tensor:
    """A tensor on a storage, as `Tensor.__reduce_ex__` describes it; `cls` None is Tensor itself."""
    home = storage._home()
    t = home._as_strided(tuple(size), tuple(stride), offset).detach()
    if cls is not None:
        t = t.as_subclass(cls)
    if requires_grad:
        t.requires_grad_(True)
    t.__dict__.update(attributes)
    return t


def rebuild_meta(cls: type | None, dtype: Any, size: Sequence[int], stride: Sequence[int], requires_grad: bool, attributes: dict[str, Any]) -> Tensor:
    """A tensor without data."""
    from .ops.define import API

    t = API["empty_strided"].function(tuple(size), tuple(stride), dtype=dtype, device="meta")
    if cls is not None:
        t = t.as_subclass(cls)
    if requires_grad:
        t.requires_grad_(True)
    t.__dict__.update(attributes)
    return t  # type: ignore[no-any-return]


def reduce(t: Any) -> Any:
    """What a tensor's pickle calls: `rebuild` over its storage, which a pickle holds once."""
    cls = None if type(t) is Tensor else type(t)
    attributes = {k: v for k, v in t.__dict__.items() if not k.startswith("_")}
    for flag in ("_is_param", "_is_buffer"):
        if t.__dict__.get(flag):
            attributes[flag] = True
    plain = t.detach()
    size, stride = tuple(plain.shape), plain.stride()
    if t._meta:
        return rebuild_meta, (cls, t.dtype, size, stride, t.requires_grad, attributes)
    return rebuild, (cls, plain.untyped_storage(), plain.storage_offset(), size, stride, t.requires_grad, attributes)

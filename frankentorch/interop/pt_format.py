"""torch's file format (a zip of one pickle and one record a storage), read and written without torch.

Enters (`save`): an object with tensors in it, and a path or file. Enters (`load`): such a file, from torch or from here.
Leaves: the file; the object. Tensors that share a storage share it again. Loading is restricted whatever `weights_only` says:
a file can make tensors and plain containers and call nothing else. Every record's CRC-32 is checked, which torch does not do.

Layout: NAME/data.pkl, NAME/byteorder, NAME/data/KEY (raw little-endian elements, aligned to 64 bytes), NAME/version and three
records about the format itself. Inside the pickle a storage is the persistent id ("storage", type, KEY, location, elements).
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from frankentorch.interop.pt_pickle import CorruptFileError, TorchGlobal, UnsafeGlobalError, dumps, loads, their_module
from frankentorch.interop.tensor_access import ITEMSIZE, Described, TensorAccess, TorchLike

__all__ = [
    "CorruptFileError",
    "TorchLike",
    "UnsafeGlobalError",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]

# Dtypes that have a storage class of their own in files; others go through UntypedStorage with the dtype beside it.
_STORAGE_OF = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "uint8": "ByteStorage", "int8": "CharStorage", "int16": "ShortStorage", "int32": "IntStorage", "int64": "LongStorage",
    "bool": "BoolStorage", "complex64": "ComplexFloatStorage", "complex128": "ComplexDoubleStorage",
}  # fmt: skip
_ALIGN = 64
_ZIP64_EXTRA = 20


def _own_access() -> TensorAccess:
    import frankentorch

    return TorchLike(frankentorch)


# -- names a user trusts -------------------------------------------------------------------------------------------------------

_user_globals: list[Any] = []


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let files name these classes or functions: objects, or pairs of an object and the full name files give it."""
    _user_globals.extend(entry for entry in safe_globals if entry not in _user_globals)


def get_safe_globals() -> list[Any]:
    """What has been added."""
    return list(_user_globals)


def clear_safe_globals() -> None:
    """Trust none again."""
    _user_globals.clear()


@contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """Trust these inside the context."""
    before = list(_user_globals)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _user_globals[:] = before


def _user_table() -> dict[str, Any]:
    """Full names to objects. A class of this package also answers to its name in torch."""
    table: dict[str, Any] = {}
    for entry in _user_globals:
        if isinstance(entry, tuple):
            if len(entry) != 2 or not isinstance(entry[1], str):
                raise ValueError(f"Expected a pair of a global and its full name, but got: {entry}")
            table[entry[1]] = entry[0]
            continue
        table[f"{entry.__module__}.{entry.__qualname__}"] = entry
        table[f"{their_module(entry.__module__)}.{entry.__qualname__}"] = entry
    return table


# -- saving --------------------------------------------------------------------------------------------------------------------


class _StorageRef:
    """Stands in the pickle for a storage."""

    __slots__ = ("pid",)

    def __init__(self, pid: tuple[Any, ...]) -> None:
        self.pid = pid


class _Saver:
    """Turns tensors into calls of torch's rebuilding functions, and numbers their storages."""

    def __init__(self, access: TensorAccess) -> None:
        self.access = access
        self.keys: dict[Any, str] = {}
        self.records: list[Described] = []

    def reduce(self, obj: Any) -> Any:
        return self.tensor(self.access.describe(obj)) if self.access.is_tensor(obj) else self.access.name_of(obj)

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, _StorageRef) else None

    def tensor(self, t: Described) -> Any:
        key = self.keys.setdefault(t.storage, str(len(self.keys)))
        if int(key) == len(self.records):
            self.records.append(t)
        elif self.records[int(key)].dtype != t.dtype:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types")
        untyped = t.dtype not in _STORAGE_OF
        kind = TorchGlobal("torch.storage", "UntypedStorage") if untyped else TorchGlobal("torch", _STORAGE_OF[t.dtype])
        count = t.nbytes if untyped else t.nbytes // ITEMSIZE[t.dtype]
        storage = _StorageRef(("storage", kind, key, "cpu", count))
        grad = t.requires_grad
        args: tuple[Any, ...] = (storage, t.offset, t.size, t.stride, grad and not t.is_parameter, OrderedDict())
        if untyped:
            args = (*args, TorchGlobal("torch", t.dtype))
        function = TorchGlobal("torch._utils", "_rebuild_tensor_v3" if untyped else "_rebuild_tensor_v2")
        if not t.is_parameter:
            return function, args
        return TorchGlobal("torch._utils", "_rebuild_parameter"), (_Call(function, args), grad, OrderedDict())


class _Call:
    """A call that is an argument of another."""

    __slots__ = ("args", "function")

    def __init__(self, function: TorchGlobal, args: tuple[Any, ...]) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> Any:
        return self.function, self.args


class _Archive:
    """The zip being written. Data starts at multiples of 64 bytes; times are fixed, so equal contents give equal files."""

    def __init__(self, file: Any, name: str) -> None:
        self.zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self.name = name
        self.digest = hashlib.sha256()

    def write(self, record: str, data: bytes) -> None:
        info = zipfile.ZipInfo(f"{self.name}/{record}")
        wide = len(data) * 1.05 > zipfile.ZIP64_LIMIT
        start = self.zip.start_dir + 30 + len(info.filename.encode()) + (_ZIP64_EXTRA if wide else 0)
        # An extra field takes four bytes at least.
        gap = (-(start + 4)) % _ALIGN
        info.extra = b"FB" + gap.to_bytes(2, "little") + b"Z" * gap
        self.zip.writestr(info, data)
        self.digest.update(f"{record}\n{len(data)}\n".encode() + info.CRC.to_bytes(4, "little"))

    def close(self) -> None:
        number = int.from_bytes(self.digest.digest(), "big") % 10**40
        self.write(".data/serialization_id", f"{number:040d}".encode())
        self.zip.close()


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
    *,
    access: TensorAccess | None = None,
) -> None:
    """Write `obj` to a path or a writable binary file, as `torch.save` would; `torch.load(weights_only=True)` reads it."""
    if not _use_new_zipfile_serialization:
        raise NotImplementedError("torch.save: the format from before torch 1.6 is not written; leave the zip format on")
    if not (isinstance(f, (str, os.PathLike)) or hasattr(f, "write")):
        raise AttributeError(f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, but got {type(f)}")
    saver = _Saver(access or _own_access())
    body = dumps(obj, saver.reduce, saver.persistent_id)
    is_path = isinstance(f, (str, os.PathLike))
    name = os.path.splitext(os.path.basename(os.fspath(f)))[0] if is_path else "archive"
    with open(f, "wb") if is_path else _left_open(f) as file:
        archive = _Archive(file, name or "archive")
        archive.write("data.pkl", body)
        archive.write(".format_version", b"1")
        archive.write(".storage_alignment", str(_ALIGN).encode())
        if not _disable_byteorder_record:
            archive.write("byteorder", sys.byteorder.encode())
        for key, record in enumerate(saver.records):
            archive.write(f"data/{key}", record.data())
        archive.write("version", b"3\n")
        archive.close()


@contextmanager
def _left_open(f: Any) -> Iterator[Any]:
    yield f


# -- loading -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _StorageType:
    """A storage class named in a file: its dtype, or None for bytes."""

    dtype: str | None


@dataclass(frozen=True)
class _Storage:
    memory: Any
    nbytes: int
    dtype: str | None


_BROKEN = (
    "PytorchStreamReader failed reading zip archive: {}. The file is corrupted: it may not have been saved completely, "
    "or have been changed on its way here."
)


def _open(f: Any) -> Any:
    """A seekable binary file over `f`, at its start."""
    if isinstance(f, (str, os.PathLike)):
        return open(f, "rb")
    if not hasattr(f, "read"):
        raise AttributeError(f"'{type(f).__name__}' object has no attribute 'read'. You can only torch.load from a file that is seekable.")
    return io.BytesIO(f.read())


class _Records:
    """The records of an archive, each checked against its CRC-32 when it is read."""

    def __init__(self, file: Any) -> None:
        head = file.read(4)
        file.seek(0)
        if not head:
            raise EOFError
        if head[:1] == b"\x80":
            raise NotImplementedError("torch.load: files from before torch 1.6 are not read; load and save the file again with torch")
        try:
            self.zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise CorruptFileError(_BROKEN.format(f"failed finding central directory ({error})")) from error
        names = self.zip.namelist()
        if len(set(names)) != len(names):
            raise CorruptFileError(_BROKEN.format("it holds two records of one name"))
        pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CorruptFileError(_BROKEN.format("it has no record data.pkl, so it is no file of torch.save"))
        self.prefix = pickles[0].removesuffix("data.pkl")
        if self.prefix + "constants.pkl" in names:
            raise NotImplementedError("torch.load: this is a TorchScript archive; only files of torch.save are read")

    def has(self, name: str) -> bool:
        return self.prefix + name in self.zip.NameToInfo

    def read(self, name: str) -> bytes:
        info = self.zip.NameToInfo.get(self.prefix + name)
        if info is None:
            raise CorruptFileError(_BROKEN.format(f"record {name} is missing"))
        if info.compress_type != zipfile.ZIP_STORED:
            raise CorruptFileError(_BROKEN.format(f"record {name} is compressed, which torch never does"))
        try:
            data = self.zip.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise CorruptFileError(_BROKEN.format(f"record {name}: {error}")) from error
        if len(data) != info.file_size:
            raise CorruptFileError(_BROKEN.format(f"record {name} is cut short"))
        return data


def _check_location(location: Any, asked: bool) -> None:
    """Only the CPU holds storages here."""
    where = str(location).split(":")[0]
    if where == "cpu":
        return
    if asked:
        raise RuntimeError(f"torch.load: map_location names {location}, but only the CPU is available")
    raise RuntimeError(
        f"Attempting to deserialize object on a {where.upper()} device but torch.{where}.is_available() is False. If you are "
        "running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your storages to the CPU."
    )


class _Loader:
    """Makes tensors from the pickle's calls, after checking every number against the storage it speaks of."""

    def __init__(self, records: _Records, access: TensorAccess, map_location: Any) -> None:
        self.records, self.access, self.map_location = records, access, map_location
        order = records.read("byteorder").decode() if records.has("byteorder") else "little"
        if order not in ("little", "big"):
            raise CorruptFileError(f"record byteorder says {order!r}")
        self.swap = order != sys.byteorder
        self.storages: dict[str, _Storage] = {}

    def table(self) -> dict[str, Any]:
        return {
            **self.access.named(),
            **{f"torch.{name}": _StorageType(dtype) for dtype, name in _STORAGE_OF.items()},
            "torch.storage.UntypedStorage": _StorageType(None),
            "torch._utils._rebuild_tensor": lambda *args: self.tensor(*args[:4]),
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_tensor_v3": self.tensor_v3,
            "torch._utils._rebuild_parameter": self.parameter,
            "torch._utils._rebuild_parameter_with_state": self.parameter_with_state,
            "torch._tensor._rebuild_from_type_v2": self.from_type,
            # Named by tensors that carry attributes; never called.
            "torch.Tensor": _StorageType(None),
            "torch.nn.parameter.Parameter": self.parameter,
            "collections.OrderedDict": OrderedDict,
            "collections.Counter": Counter,
            "builtins.set": set,
            "builtins.frozenset": frozenset,
            "builtins.complex": complex,
            "builtins.bytearray": bytearray,
            "builtins.bytes": _no_bytes,
            "_codecs.encode": _latin1_bytes,
        }

    def persistent(self, pid: Any) -> _Storage:
        """The storage a persistent id speaks of, read once."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and isinstance(pid[1], _StorageType)):
            raise CorruptFileError("the pickle's persistent id is not a storage")
        _, kind, key, location, count = pid
        if not (isinstance(key, str) and key.replace("_", "").isalnum()):
            raise CorruptFileError(f"the pickle names a storage {key!r}")
        if key not in self.storages:
            self.storages[key] = self.read_storage(key, kind, location)
        storage = self.storages[key]
        if not isinstance(count, int) or count * (ITEMSIZE[kind.dtype] if kind.dtype else 1) != storage.nbytes:
            raise CorruptFileError(f"record data/{key} holds {storage.nbytes} bytes, not the {count} elements the pickle says")
        return _Storage(storage.memory, storage.nbytes, kind.dtype)

    def read_storage(self, key: str, kind: _StorageType, location: Any) -> _Storage:
        where, given = self.map_location, self.map_location is not None
        if isinstance(where, dict):
            where, given = where.get(location, location), location in where
        if not callable(where):
            _check_location(location if where is None else where, asked=given)
        data = bytearray(self.records.read(f"data/{key}"))
        if self.swap:
            data = _swapped(data, kind.dtype, key)
        memory = self.access.make_storage(data)
        if callable(where) and where(memory, location) is None:
            _check_location(location, asked=False)
        return _Storage(memory, len(data), kind.dtype)

    def tensor(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any = False,
        backward_hooks: Any = None,
        metadata: Any = None,
        *,
        dtype: str | None = None,
    ) -> Any:
        if not isinstance(storage, _Storage):
            raise CorruptFileError("the pickle makes a tensor of something that is no storage")
        dtype = dtype or storage.dtype
        if dtype is None:
            raise CorruptFileError("the pickle makes a tensor of bytes without a dtype")
        numbers = [offset, *size, *stride]
        if len(size) != len(stride) or not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise CorruptFileError(f"the pickle makes a tensor of size {tuple(size)} and stride {tuple(stride)} at {offset}")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride)) if 0 not in size else offset - 1
        if (last + 1) * ITEMSIZE[dtype] > storage.nbytes:
            raise CorruptFileError(
                f"a tensor of size {tuple(size)} and stride {tuple(stride)} at offset {offset} reaches past its storage"
            )
        tensor = self.access.make_tensor(storage.memory, dtype, offset, tuple(size), tuple(stride), requires_grad is True)
        if metadata:
            tensor = _with_bits(tensor, metadata)
        return tensor

    def tensor_v3(
        self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
    ) -> Any:
        name = str(dtype).removeprefix("torch.")
        if name not in ITEMSIZE:
            raise CorruptFileError(f"the pickle makes a tensor of dtype {dtype!r}")
        return self.tensor(storage, offset, size, stride, requires_grad, hooks, metadata, dtype=name)

    def parameter(self, data: Any, requires_grad: Any = True, hooks: Any = None) -> Any:
        if not self.access.is_tensor(data):
            raise CorruptFileError("the pickle makes a Parameter of something that is no tensor")
        return self.access.make_parameter(data, bool(requires_grad))

    def parameter_with_state(self, data: Any, requires_grad: Any, hooks: Any, state: Any) -> Any:
        return _with_attributes(self.parameter(data, requires_grad, hooks), state)

    def from_type(self, function: Any, kind: Any, args: Any, state: Any) -> Any:
        """A tensor with attributes. Its class is a plain tensor's; the function has to be one of those above."""
        made = {self.tensor, self.tensor_v3, self.parameter, self.parameter_with_state}
        if function not in made or not isinstance(args, tuple):
            raise UnsafeGlobalError("Weights only load failed. The file rebuilds a tensor with a function that is not allowed.")
        return _with_attributes(function(*args), state)


def _latin1_bytes(text: Any, encoding: Any) -> bytes:
    """How protocol 2 spells bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise CorruptFileError("the pickle encodes text other than as latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How protocol 2 spells empty bytes."""
    return b""


def _with_bits(tensor: Any, metadata: Any) -> Any:
    """Apply the conjugate and negative bits; their values are what matters, not that they are pending."""
    if not isinstance(metadata, dict) or not set(metadata) <= {"conj", "neg"}:
        raise CorruptFileError(f"the pickle gives a tensor the metadata {metadata!r}")
    if metadata.get("conj"):
        tensor = tensor.conj()
    return tensor.neg() if metadata.get("neg") else tensor


def _with_attributes(tensor: Any, state: Any) -> Any:
    """Set the attributes a saved tensor had; never a special name."""
    attributes = state[0] if isinstance(state, tuple) and len(state) == 2 else state
    if attributes is not None and not isinstance(attributes, dict):
        raise CorruptFileError("the pickle gives a tensor a state that is no dict")
    for key, value in (attributes or {}).items():
        if not isinstance(key, str) or key.startswith("__") or hasattr(type(tensor), key):
            raise UnsafeGlobalError(f"Weights only load failed. The file sets the attribute {key!r} of a tensor.")
        setattr(tensor, key, value)
    return tensor


def _swapped(data: bytearray, dtype: str | None, key: str) -> bytearray:
    """The bytes in this machine's order."""
    if dtype is None:
        raise NotImplementedError(f"torch.load: record data/{key} has another byte order and no dtype to tell its elements")
    width = ITEMSIZE[dtype] // (2 if dtype.startswith("complex") else 1)
    return bytearray(np.frombuffer(data, f"u{width}").byteswap().tobytes())


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    access: TensorAccess | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read a file of `torch.save`'s.

    `map_location` may be None, "cpu", a device, a dict or a function; everything lands on the CPU. `weights_only=False` is accepted
    and changes nothing: names outside the allowed list are refused with UnsafeGlobalError until `add_safe_globals` lists them.
    `mmap` is accepted. A path that ends in .safetensors is read as such. Raises CorruptFileError, EOFError for an empty file, NotImplementedError for older formats.
    """
    if isinstance(f, (str, os.PathLike)) and os.fspath(f).endswith(".safetensors"):
        from frankentorch.interop import safetensors

        return safetensors.load_file(f, "cpu" if map_location is None else map_location, module=getattr(access, "module", None))
    if pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    with _open(f) as file:
        loader = _Loader(_Records(file), access or _own_access(), map_location)
        user = _user_table()
        classes = frozenset(value for value in user.values() if isinstance(value, type))
        return loads(loader.records.read("data.pkl"), {**user, **loader.table()}, loader.persistent, classes)

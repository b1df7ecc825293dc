"""The safetensors format, through the safetensors package's byte-level API.

Enters: a dict of tensors, and optional text metadata. Leaves: the file's bytes or the file; or the dict again. All dtypes both sides
know, bfloat16 and float8 included; values are copied, strides and sharing are not kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from frankentorch.interop.pt_pickle import CorruptFileError
from frankentorch.interop.tensor_access import TorchLike

# The format's names for torch's dtypes.
_CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int16": "I16",
    "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL", "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_DTYPES = {code: dtype for dtype, code in _CODES.items()}


def _package() -> Any:
    try:
        import safetensors
    except ImportError as error:
        raise ImportError("reading and writing safetensors needs the package: pip install safetensors") from error
    return safetensors


def _access(module: Any) -> TorchLike:
    if module is None:
        import frankentorch as module
    return TorchLike(module)


def _views(tensors: Mapping[str, Any], access: TorchLike) -> dict[str, dict[str, Any]]:
    if not isinstance(tensors, Mapping):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    views = {}
    for name, tensor in tensors.items():
        if not access.is_tensor(tensor):
            raise ValueError(f"Key `{name}` is invalid, expected torch.Tensor but received {type(tensor)}")
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in _CODES:
            raise ValueError(f"Key `{name}` has dtype {dtype}, which safetensors does not hold")
        flat = tensor.detach().contiguous().reshape(-1)
        # The package knows dtypes by torch's names.
        views[name] = {"dtype": dtype, "shape": [int(n) for n in tensor.shape], "data": access._flat_bytes(flat)}
    return views


def _entries(package: Any, views: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The views as this version of the package wants them: since 0.8 an object with an address, before that the dict."""
    spec = getattr(package, "TensorSpec", None)
    if spec is None:
        return views
    return {
        name: spec(
            dtype=view["dtype"],
            shape=view["shape"],
            data_ptr=np.frombuffer(view["data"], np.uint8).ctypes.data,
            data_len=len(view["data"]),
        )
        for name, view in views.items()
    }


def save(tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None, *, module: Any = None) -> bytes:
    """The bytes of a safetensors file."""
    package = _package()
    # The views own the memory that the entries point to.
    views = _views(tensors, _access(module))
    made: bytes = package.serialize(_entries(package, views), metadata=None if metadata is None else dict(metadata))
    return made


def save_file(
    tensors: Mapping[str, Any], filename: str | os.PathLike[str], metadata: Mapping[str, str] | None = None, *, module: Any = None
) -> None:
    """Write a safetensors file."""
    with open(filename, "wb") as file:
        file.write(save(tensors, metadata, module=module))


def load(data: bytes, *, module: Any = None) -> dict[str, Any]:
    """The tensors in a file's bytes, in the file's order. CorruptFileError when they are no sound file."""
    package, access = _package(), _access(module)
    try:
        entries = package.deserialize(data)
    except package.SafetensorError as error:
        raise CorruptFileError(f"not a sound safetensors file: {error}") from error
    tensors = {}
    for name, view in entries:
        dtype = _DTYPES.get(view["dtype"])
        if dtype is None:
            raise CorruptFileError(f"tensor {name!r} has the dtype {view['dtype']}, which is not known here")
        tensors[name] = access._fresh(bytearray(view["data"]), dtype, tuple(view["shape"]))
    return tensors


def load_file(filename: str | os.PathLike[str], device: Any = "cpu", *, module: Any = None) -> dict[str, Any]:
    """The tensors in a file. `device` can only be the CPU."""
    if str(device).split(":")[0] != "cpu":
        raise RuntimeError(f"load_file: only the CPU is available, not {device}")
    with open(filename, "rb") as file:
        return load(file.read(), module=module)

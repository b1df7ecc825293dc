"""How objects that hold tensors and arrays travel from a worker to the loader.

Enters: any picklable object and a connection. Leaves: an equal object on the other side. Tensor data goes beside the pickle: small
data through the pipe, large data through a file in shared memory, which the receiver maps, copies from and removes. Equal
tensors sent once stay one tensor; requires_grad and Parameter are kept; strides are not.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

import frankentorch as torch

# Below this many bytes a tensor's data stays inside the pickle; above the second, a message's data goes through a file.
_IN_BAND = 1 << 10
_THROUGH_FILE = 1 << 16
_ALIGN = 64
_CARRIERS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


def shared_directory() -> str:
    """A new directory for the files of one loader, in memory where the system has such a place."""
    memory = "/dev/shm"
    where = memory if os.path.isdir(memory) and os.access(memory, os.W_OK) else None
    return tempfile.mkdtemp(prefix="torch_data_", dir=where)


def _as_array(tensor: Any) -> tuple[np.ndarray[Any, Any], str | None]:
    """A contiguous array of the tensor's values, and the tensor's dtype where numpy has to carry it as integers."""
    plain = tensor.detach().resolve_conj() if tensor.is_complex() else tensor.detach()
    plain = plain.contiguous()
    try:
        return np.asarray(plain.numpy()), None
    except TypeError:
        carrier = getattr(torch, _CARRIERS[plain.element_size()])
        # Of a copy: seen as another dtype, memory counts as exposed.
        return np.asarray(plain.clone().view(carrier).numpy()), str(plain.dtype).removeprefix("torch.")


def _rebuild_tensor(data: Any, numpy_dtype: str, shape: tuple[int, ...], carried: str | None, grad: bool, leaf: bool) -> Any:
    array = np.frombuffer(data, dtype=numpy_dtype).reshape(shape)
    # torch.tensor copies, so the result owns its memory and the message can go.
    tensor = torch.tensor(array)
    if carried is not None:
        tensor = tensor.view(getattr(torch, carried))
    if leaf:
        return torch.nn.Parameter(tensor, requires_grad=grad)
    return tensor.requires_grad_() if grad else tensor


class _Pickler(ForkingPickler):
    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, torch.Tensor):
            return NotImplemented
        if obj.requires_grad and not obj.is_leaf:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support crossing "
                "process boundaries.  If you just want to transfer the data, call detach() on the tensor before serializing "
                "(e.g., putting it on the queue)."
            )
        array, carried = _as_array(obj)
        flat: Any = array.reshape(-1).view(np.uint8)
        data: Any = flat.tobytes() if flat.nbytes < _IN_BAND else pickle.PickleBuffer(flat)
        is_parameter = isinstance(obj, torch.nn.Parameter)
        return _rebuild_tensor, (data, array.dtype.str, array.shape, carried, bool(obj.requires_grad), is_parameter)


def pack(obj: Any) -> tuple[bytes, list[memoryview]]:
    """The pickle, and the data that goes beside it."""
    beside: list[memoryview] = []
    out = io.BytesIO()
    _Pickler(out, 5, True, lambda buffer: beside.append(buffer.raw())).dump(obj)
    return out.getvalue(), beside


def _round_up(n: int) -> int:
    return -(-n // _ALIGN) * _ALIGN


def _write_file(parts: Sequence[memoryview], directory: str) -> str:
    handle, path = tempfile.mkstemp(dir=directory)
    with os.fdopen(handle, "wb") as file:
        for part in parts:
            file.write(part)
            file.write(bytes(_round_up(part.nbytes) - part.nbytes))
    return path


def send(connection: Connection, packed: tuple[bytes, list[memoryview]], directory: str) -> None:
    """Send what `pack` made."""
    body, parts = packed
    sizes = [part.nbytes for part in parts]
    path = _write_file(parts, directory) if sum(sizes) >= _THROUGH_FILE else None
    connection.send_bytes(pickle.dumps((body, sizes, path), 5))
    if path is None:
        for part in parts:
            connection.send_bytes(part)


def _read_file(path: str, sizes: Sequence[int]) -> list[Any]:
    with open(path, "rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    os.unlink(path)
    parts, at = [], 0
    for size in sizes:
        parts.append(whole[at : at + size])
        at += _round_up(size)
    return parts


def receive(connection: Connection) -> Any:
    """The next object. EOFError when the other side has closed."""
    body, sizes, path = pickle.loads(connection.recv_bytes())
    parts: list[Any]
    if path is not None:
        parts = _read_file(path, sizes)
    else:
        parts = [bytearray(connection.recv_bytes()) for _ in sizes]
    return pickle.loads(body, buffers=parts)

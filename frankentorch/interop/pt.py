"""torch.save and torch.load of this package's tensors.

Enters: objects and files. Leaves: files and objects, by `pt_format`, whose view of a tensor library is bound to this package here.
"""

from __future__ import annotations

from typing import Any

import frankentorch

from . import pt_format
from .pt_format import CorruptFileError, UnsafeGlobalError
from .tensor_access import TorchLike

__all__ = ["ACCESS", "CorruptFileError", "UnsafeGlobalError", "load", "save"]

ACCESS = TorchLike(frankentorch)


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2, _use_new_zipfile_serialization: bool = True,
         _disable_byteorder_record: bool = False) -> None:
    """Write `obj` to a path or binary file in torch's zip format."""
    pt_format.save(obj, f, pickle_module, pickle_protocol, _use_new_zipfile_serialization, _disable_byteorder_record, access=ACCESS)


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None,
         **pickle_load_args: Any) -> Any:
    """Read torch's zip format, through a restricted unpickler whatever `weights_only` says."""
    return pt_format.load(f, map_location, pickle_module, weights_only=weights_only, mmap=mmap, access=ACCESS, **pickle_load_args)

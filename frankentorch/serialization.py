"""torch.serialization: save and load, and which names a file may use.

Enters: objects and files. Leaves: files and objects (see `interop.pt_format`).
"""

from __future__ import annotations

from typing import Any

from .interop.pt import load, save
from .interop.pt_format import CorruptFileError, UnsafeGlobalError, add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals

__all__ = ["CorruptFileError", "SourceChangeWarning", "UnsafeGlobalError", "add_safe_globals", "clear_safe_globals", "get_crc32_options",
           "get_default_load_endianness", "get_default_mmap_options", "get_safe_globals", "load", "location_tag", "safe_globals", "save",
           "set_default_load_endianness"]


class SourceChangeWarning(Warning):
    """The source of a pickled class changed (never given: classes are not pickled with their source)."""


def get_default_load_endianness() -> Any:
    """None: a file's own byte order is used."""
    return None


def set_default_load_endianness(endianness: Any) -> None:
    """Only None is accepted: files say their own byte order."""
    if endianness is not None:
        from .errors import NotImplementedYet

        raise NotImplementedYet("torch.serialization.set_default_load_endianness: files say their own byte order")


def get_crc32_options() -> bool:
    """True: records are always written with their CRC-32."""
    return True


def get_default_mmap_options() -> int:
    """MAP_PRIVATE."""
    import mmap

    return getattr(mmap, "MAP_PRIVATE", 2)


def location_tag(storage: Any) -> str:
    """Where a storage lives: "cpu"."""
    return str(storage.device)

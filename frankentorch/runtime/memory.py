"""Memory for tensors: 64-byte-aligned buffers from a caching allocator.

Enters: a number of bytes, or memory that somebody else owns. Leaves: `Buffer`, whose memory returns to the cache when the last
reference goes. Sizes recur from step to step, so a request is nearly always one dictionary look-up and one list pop; the rest come
from the C library, or from mmap where they are large. The cache of free memory is bounded.

Statistics count memory handed out, as rounded up (by a sixteenth at most, above 1 KiB). A forked child keeps what it has, as any memory.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

ALIGNMENT = 64
_MAPPED_FROM = 1 << 20
_HUGE_FROM = 4 << 20
_PAGE = mmap.PAGESIZE
_MAX = (1 << 63) - 1
_POSIX = sys.platform != "win32"


class Stats(NamedTuple):
    """Bytes handed out now, and at most since `reset_peak`; bytes held free; how often the system was asked for a block."""

    in_use: int
    peak: int
    cached: int
    fresh: int


class _Class:
    """The free blocks of one size class; every request that rounds up to ``size`` shares it."""

    __slots__ = ("free", "mapped", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.free: list[int] = []
        self.mapped = _POSIX and size >= _MAPPED_FROM


_classes: dict[int, _Class] = {}
_class_of: dict[int, _Class] = {}
_in_use = 0
_peak = 0
_reserved = 0
_fresh = 0
_limit = 1 << 30
_floor = -_limit  # _reserved - _limit: with less than this in use, the cache holds more than its limit


class Buffer:
    """``nbytes`` of memory at ``ptr``. ``owner`` is what keeps foreign memory alive, or None for memory of our own.

    An empty buffer has ``ptr`` 0. The memory is not cleared. Compare buffers by identity. `exposed` counts the foreign objects
    that were given this memory: while it is not zero, the memory's contents may change without a word.
    """

    __slots__ = ("__weakref__", "_home", "exposed", "nbytes", "owner", "ptr")

    ptr: int
    nbytes: int
    owner: Any
    exposed: int
    _home: _Class | None

    def __init__(self, nbytes: int) -> None:
        """Reserve memory; raises `MemoryError`, naming the size, where there is none."""
        global _in_use, _peak
        self._home = self.owner = None
        self.exposed = 0
        home = _class_of.get(nbytes)
        if home is None:
            home = _classify(nbytes)
            if home is None:
                self.ptr = self.nbytes = 0
                return
        free = home.free
        # Checking first would be a race between Python threads, and `try` is free where nothing is raised.
        try:
            self.ptr = free.pop()
        except IndexError:
            self.ptr = _fetch(home, nbytes)
        self.nbytes = nbytes
        self._home = home
        _in_use = used = _in_use + home.size
        if used > _peak:  # noqa: PLR1730 - max() is a call
            _peak = used

    def __del__(self) -> None:
        global _in_use
        home = self._home
        if home is not None:
            _in_use = used = _in_use - home.size
            if used < _floor:
                _release(home, self.ptr)
            else:
                home.free.append(self.ptr)

    @classmethod
    def from_foreign(cls, ptr: int, nbytes: int, owner: Any) -> Buffer:
        """Memory that ``owner`` keeps alive, such as a NumPy array's."""
        self = cls.__new__(cls)
        self._home = None
        self.exposed = 0
        self.ptr = ptr
        self.nbytes = nbytes
        self.owner = owner
        return self

    def as_numpy(self, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...] | None = None, offset: int = 0,
                 writable: bool = True) -> np.ndarray:
        """A NumPy array over this memory, which keeps the buffer alive.

        ``strides`` are in elements (None: contiguous), ``offset`` in bytes. Raises `ValueError` where it would reach outside.
        """
        return _as_numpy(self, dtype, shape, strides, offset, writable)

    def __repr__(self) -> str:
        whose = "" if self.owner is None else f" of a {type(self.owner).__name__}"
        return f"<Buffer: {self.nbytes} bytes at {self.ptr:#x}{whose}>"


def _classify(nbytes: int) -> _Class | None:
    """The class of a size seen for the first time; None for 0.

    Sizes go in sixteenths of a power of two, of at least one alignment unit and, where they are mapped, of a page.
    """
    if not isinstance(nbytes, int) or isinstance(nbytes, bool):
        raise TypeError(f"a buffer's size is an int, not {type(nbytes).__name__}")
    if nbytes < 0:
        raise ValueError(f"a buffer cannot have {nbytes} bytes")
    if nbytes == 0:
        return None
    if nbytes > _MAX:
        raise _out_of_memory(nbytes)
    step = max(ALIGNMENT, 1 << max((nbytes - 1).bit_length() - 5, 0))
    if nbytes >= _MAPPED_FROM:
        step = max(step, _PAGE)
    size = -(-nbytes // step) * step
    found = _classes.get(size)
    if found is None:
        found = _classes[size] = _Class(size)
    if len(_class_of) > 1 << 16:
        _class_of.clear()
    _class_of[nbytes] = found
    return found


def _out_of_memory(nbytes: int) -> MemoryError:
    return MemoryError(f"cannot reserve {nbytes:,} bytes: {_in_use:,} bytes are in use by tensors already")


# The system's memory --------------------------------------------------------------------------------------------
class _System:
    """The C library's allocation functions, bound on first use."""

    def __init__(self) -> None:
        if not _POSIX:
            self._bind_windows()
            return
        libc = ctypes.CDLL(None, use_errno=True)
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        libc.aligned_alloc.restype, libc.aligned_alloc.argtypes = pointer, (size, size)
        libc.free.restype, libc.free.argtypes = None, (pointer,)
        self.aligned_alloc: Any = libc.aligned_alloc
        self.free: Any = libc.free
        self.mmap = libc.mmap
        self.mmap.restype = pointer
        self.mmap.argtypes = (pointer, size, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
        self.munmap = libc.munmap
        self.munmap.argtypes = (pointer, size)
        self.madvise = libc.madvise
        self.madvise.argtypes = (pointer, size, ctypes.c_int)

    def _bind_windows(self) -> None:
        runtime = ctypes.CDLL("ucrtbase")
        runtime._aligned_malloc.restype = ctypes.c_void_p
        runtime._aligned_malloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
        runtime._aligned_free.argtypes = (ctypes.c_void_p,)
        self.aligned_alloc = lambda alignment, size: runtime._aligned_malloc(size, alignment)
        self.free = runtime._aligned_free


_system: _System | None = None
_HUGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)


def _fetch(home: _Class, nbytes: int) -> int:
    """A block from the system; where it refuses, once more after the cache is given up."""
    global _fresh, _reserved, _floor
    block = _reserve(home)
    if not block:
        empty_cache()
        block = _reserve(home)
    if not block:
        raise _out_of_memory(nbytes)
    _fresh += 1
    _reserved += home.size
    _floor = _reserved - _limit
    return block


def _reserve(home: _Class) -> int:
    global _system
    if _system is None:
        _system = _System()
    if not home.mapped:
        return int(_system.aligned_alloc(ALIGNMENT, home.size) or 0)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    block = _system.mmap(None, home.size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    if block is None or block == ctypes.c_void_p(-1).value:
        return 0
    if _HUGE_PAGES is not None and home.size >= _HUGE_FROM:
        _system.madvise(block, home.size, _HUGE_PAGES)
    return int(block)


def _release(home: _Class, block: int) -> None:
    global _reserved, _floor
    assert _system is not None
    _reserved -= home.size
    _floor = _reserved - _limit
    if not home.mapped:
        _system.free(block)
    elif _system.munmap(block, home.size) != 0:
        raise OSError(ctypes.get_errno(), f"munmap: {errno.errorcode.get(ctypes.get_errno(), '')} {os.strerror(ctypes.get_errno())}")


# Control --------------------------------------------------------------------------------------------------------
def empty_cache() -> int:
    """Give all free blocks back to the system; returns how many bytes that was."""
    freed = 0
    for home in list(_classes.values()):
        while home.free:
            try:
                block = home.free.pop()
            except IndexError:  # another thread took it
                break
            freed += home.size
            _release(home, block)
    return freed


def set_cache_limit(nbytes: int) -> None:
    """Bound the bytes kept free for reuse (1 GiB at first); what is over it goes back to the system now."""
    global _limit, _floor
    if nbytes < 0:
        raise ValueError(f"the cache cannot hold {nbytes} bytes")
    _limit = nbytes
    _floor = _reserved - nbytes
    if _reserved - _in_use > nbytes:
        empty_cache()


def stats() -> Stats:
    """The counts so far."""
    return Stats(_in_use, _peak, _reserved - _in_use, _fresh)


def reset_peak() -> None:
    """Let the peak begin again from what is in use now."""
    global _peak
    _peak = _in_use


# NumPy ----------------------------------------------------------------------------------------------------------
class _Holder:
    """What a NumPy array's ``base`` refers to, and so what keeps the buffer alive."""

    __slots__ = ("__array_interface__", "buffer")

    def __init__(self, buffer: Buffer, interface: dict[str, Any]) -> None:
        self.buffer = buffer
        self.__array_interface__ = interface


def _as_numpy(buffer: Buffer, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...] | None, offset: int,
              writable: bool) -> np.ndarray:
    import numpy as np

    dtype = np.dtype(dtype)
    steps = _contiguous(shape) if strides is None else strides
    if len(steps) != len(shape):
        raise ValueError(f"{len(steps)} strides for {len(shape)} axes")
    if 0 in shape:
        array = np.empty(shape, dtype)
        array.flags.writeable = writable
        return array
    lowest = offset + dtype.itemsize * sum((n - 1) * s for n, s in zip(shape, steps, strict=True) if s < 0)
    highest = offset + dtype.itemsize * (1 + sum((n - 1) * s for n, s in zip(shape, steps, strict=True) if s > 0))
    if lowest < 0 or highest > buffer.nbytes:
        raise ValueError(f"an array over bytes {lowest} to {highest} reaches outside a buffer of {buffer.nbytes} bytes")
    # Types NumPy cannot name in a type string (bfloat16) travel as raw integers and are renamed afterwards.
    plain = dtype if dtype.kind in "biufc" else np.dtype(f"u{dtype.itemsize}")
    interface = {"version": 3, "data": (buffer.ptr + offset, not writable), "typestr": plain.str, "shape": tuple(shape),
                 "strides": tuple(s * dtype.itemsize for s in steps)}
    array = np.asarray(_Holder(buffer, interface))
    return array if plain is dtype else array.view(dtype)


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    steps, step = [], 1
    for n in reversed(shape):
        steps.append(step)
        step *= max(n, 1)
    return tuple(reversed(steps))

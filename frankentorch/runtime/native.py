"""The native runner: programs as memory, the builtin that runs one, and the thread pool under it.

Enters: addresses of compiled kernels with their argument words. Leaves: `Program`, and `run(address, *args)`, one native call that
patches the arguments in and runs every entry, sharing out units over the pool. The IR is in runtime/native_ir.py; it is
compiled (or loaded from the object cache) on first use, so importing this module is cheap.

Results cannot depend on the number of threads: a kernel's units are independent. Kernels run with the default floating-point
environment (nearest rounding, no flush to zero) whatever the caller's is, and the caller's is put back.
"""

from __future__ import annotations

import ctypes
import os
import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from frankentorch.knobs import knobs
from frankentorch.runtime import jit, objects
from frankentorch.runtime import native_ir as ir

UNITS = ir.ENTRY_UNITS - ir.ENTRY_HEADER
"""As a patch's word index: the entry's number of units rather than one of its argument words."""

_SYS_FUTEX = {"x86_64": 202, "aarch64": 98}
_API_FUNCTIONS = ("PyLong_AsLongLong", "PyErr_Occurred", "PyErr_NoMemory", "PyErr_Format", "PyEval_SaveThread",
                  "PyEval_RestoreThread", "Py_IncRef")
_WORD = 1 << 64


class Program:
    """A bound program: memory the runner reads, owned by this object, at `address`.

    ``entries`` are (kernel address, argument words, units, grain): the kernel does ``units`` units, and fewer than ``grain`` of them
    are not worth another thread. ``patches[i]`` lists where argument i goes: (entry, word index, addend), the word being an
    argument word or `UNITS`. ``scratch_bytes`` is what each thread's kernels may scribble on. ``release_gil`` None means: where an
    entry has enough units to share. ``keep`` is held for as long as the program lives (buffers whose addresses are words).

    Words are 64 bits, signed or not. The program must outlive every run of it. Several Python threads may run one program: a run
    that finds it in use works on a copy.
    """

    __slots__ = ("__weakref__", "_keep", "_memory", "address", "n_args")

    def __init__(self, entries: Sequence[tuple[int, Sequence[int], int, int]],
                 patches: Sequence[Sequence[tuple[int, int, int]]], n_args: int,
                 scratch_bytes: int = 0, release_gil: bool | None = None, keep: Any = None) -> None:
        if len(patches) != n_args:
            raise ValueError(f"a program of {n_args} arguments needs as many lists of patches, not {len(patches)}")
        if release_gil is None:
            release_gil = any(units > max(grain, 1) for _, _, units, grain in entries)
        body, starts = _entry_words(entries)
        flags = ir.RELEASE_GIL * release_gil + ir.SHARED * _no_gil()
        table = _patch_words(patches, starts, entries)
        header = [0] * ir.HEADER
        header[ir.MAGIC_WORD] = ir.MAGIC
        header[ir.SIZE] = ir.HEADER + len(body) + len(table)
        header[ir.FLAGS] = flags
        header[ir.SCRATCH] = scratch_bytes
        header[ir.ENTRIES] = len(entries)
        header[ir.ARGUMENTS] = n_args
        header[ir.PATCHES] = ir.HEADER + len(body)
        self._memory = array("q", (_signed(word) for word in (*header, *body, *table)))
        self._keep = keep
        self.address = self._memory.buffer_info()[0]
        self.n_args = n_args

    def __call__(self, *args: float) -> None:
        """Run it. Where time matters, call ``run(program.address, ...)`` instead."""
        runner()(self.address, *args)

    @property
    def words(self) -> list[int]:
        """The program's memory as it is now (for dumps and tests)."""
        return self._memory.tolist()


def _signed(word: int) -> int:
    return word - _WORD if word >= _WORD >> 1 else word


def _entry_words(entries: Sequence[tuple[int, Sequence[int], int, int]]) -> tuple[list[int], list[int]]:
    """The entries one after another, and where each one's argument words begin, counted from the program's start."""
    body: list[int] = []
    starts = []
    for function, words, units, grain in entries:
        head = [0] * ir.ENTRY_HEADER
        head[ir.ENTRY_FN] = function
        head[ir.ENTRY_UNITS] = units
        head[ir.ENTRY_GRAIN] = max(grain, 1)
        head[ir.ENTRY_WORDS] = len(words)
        body += head
        starts.append(ir.HEADER + len(body))
        body += words
    return body, starts


def _patch_words(patches: Sequence[Sequence[tuple[int, int, int]]], starts: Sequence[int],
                 entries: Sequence[tuple[int, Sequence[int], int, int]]) -> list[int]:
    """For each argument the number of its patches, then (target, addend) pairs; targets count words from the start."""
    table: list[int] = []
    for places in patches:
        table.append(len(places))
        for entry, index, addend in places:
            if index != UNITS and not 0 <= index < len(entries[entry][1]):
                raise ValueError(f"entry {entry} has {len(entries[entry][1])} argument words, so none is number {index}")
            table += (starts[entry] + index, addend)
    return table


# The module -----------------------------------------------------------------------------------------------------
class _MethodDef(ctypes.Structure):
    _fields_ = [("ml_name", ctypes.c_char_p), ("ml_meth", ctypes.c_void_p), ("ml_flags", ctypes.c_int), ("ml_doc", ctypes.c_char_p)]


_METH_FASTCALL = 0x0080
_DOC = (b"run(program_address, *args)\n--\n\nRun a bound program. Integers and floats fill its argument words. Raises TypeError, "
        b"with nothing run, where an argument is neither.")


class _Pool:
    """The loaded module: its builtin, and its pool's controls. There is one a process."""

    def __init__(self) -> None:
        text = ir.module_text(_host())
        imports = _python_symbols()

        def bind(symbol: str, result: Any, *params: Any) -> Any:
            return ctypes.CFUNCTYPE(result, *params)(objects.get(text, symbol, imports))

        self.definition = _MethodDef(b"run", objects.get(text, "run", imports), _METH_FASTCALL, _DOC)
        self.resize = bind("pool_resize", None, ctypes.c_int, ctypes.c_int)
        self.forked = bind("pool_forked", None)
        self.started = bind("pool_started", ctypes.c_int)
        create = ctypes.pythonapi.PyCFunction_NewEx
        create.restype = ctypes.py_object
        create.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        self.run: Callable[..., None] = create(ctypes.addressof(self.definition), None, None)


def _host() -> ir.Host:
    machine = jit.machine_name()
    header = object.__basicsize__  # the type is the header's last word, in builds with and without the GIL
    return ir.Host(x86=machine == "x86_64", futexes=sys.platform == "linux" and machine in _SYS_FUTEX,
                   sys_futex=_SYS_FUTEX.get(machine, 0), ob_type_offset=header - 8, ob_fval_offset=header)


def _python_symbols() -> dict[str, int]:
    """Addresses of the C API: the interpreter need not export its symbols to the whole process."""
    api = ctypes.pythonapi
    found: dict[str, int] = {}
    for name in _API_FUNCTIONS:
        found[name] = ctypes.cast(getattr(api, name), ctypes.c_void_p).value or 0
    found["PyExc_TypeError"] = ctypes.addressof(ctypes.c_void_p.in_dll(api, "PyExc_TypeError"))
    found["PyFloat_Type"] = id(float)
    found["_Py_NoneStruct"] = id(None)
    return found


def _no_gil() -> bool:
    enabled = getattr(sys, "_is_gil_enabled", None)
    return enabled is not None and not enabled()


_pool: _Pool | None = None
_threads = 0


def runner() -> Callable[..., None]:
    """The builtin ``run(program_address, *args)``. Also this module's attribute ``run``."""
    return _loaded().run


def _loaded() -> _Pool:
    global _pool
    if _pool is None:
        pool = _Pool()
        _size(pool, get_num_threads())
        _pool = pool
    return _pool


def __getattr__(name: str) -> Any:
    if name == "run":
        value = globals()["run"] = runner()
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Threads --------------------------------------------------------------------------------------------------------
_SPINS = 200  # about 10 us: less than a wake-up costs, little enough to be good company


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _size(pool: _Pool, threads: int) -> None:
    # A thread that spins while another has no core only keeps it from finishing.
    pool.resize(threads, _SPINS if threads <= _cores() else 0)


def get_num_threads() -> int:
    """How many threads share the units of a large kernel, the caller included."""
    return _threads or min(knobs.num_threads or _cores(), ir.MAX_THREADS)


def set_num_threads(threads: int) -> None:
    """Set it, from 1 to 256; more than there are cores is allowed. Waits for a program that another Python thread is running."""
    global _threads
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(threads).__name__}")
    if not 1 <= threads <= ir.MAX_THREADS:
        raise RuntimeError(f"set_num_threads expects 1 to {ir.MAX_THREADS} threads, not {threads}")
    _threads = threads
    if _pool is not None:
        _size(_pool, threads)


def workers_started() -> int:
    """How many threads the pool has now, besides the caller; they start when first needed, again so in a forked child."""
    return _pool.started() if _pool is not None else 0


def _after_fork() -> None:
    if _pool is not None:
        _pool.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

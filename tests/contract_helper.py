"""Compile and run lowered contractions, and what they must equal to the bit: the chains of `frankentorch.ir.exact`."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence

import llvmlite.binding as llvm
import numpy as np

from frankentorch.ir import exact
from frankentorch.ir.exact import fma, fold
from frankentorch.lower.contract_micro import FEATURES, compute_type
from frankentorch.lower.kernel import Lowered, Ptr
from frankentorch.lower.lanes import numpy_type
from frankentorch.lower.lanes_numpy import NumpyLanes

__all__ = ["Bound", "chains", "emit_object", "fma", "fold", "guarded", "host_tiers", "load", "narrow", "run", "widen"]
_machines: dict[str, llvm.TargetMachine] = {}
_loaded: dict[tuple[str, str], tuple[object, int]] = {}
_jit: list[llvm.LLJIT] = []


def host_tiers() -> list[str]:
    """The tiers this host can run."""
    with open("/proc/cpuinfo") as f:
        flags = f.read()
    tiers = ["sse4.2"]
    if "avx2" in flags and "fma" in flags:
        tiers.append("avx2")
    if "avx512vl" in flags:
        tiers.append("avx512")
    return tiers


def emit_object(text: str, tier: str, opt: int = 2) -> bytes:
    if tier not in _machines:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_triple(llvm.get_process_triple())
        _machines[tier] = target.create_target_machine(cpu="x86-64", features=FEATURES[tier], opt=opt, reloc="pic", jit=True)
    return bytes(_machines[tier].emit_object(llvm.parse_assembly(text)))


def load(lowered: Lowered, tier: str) -> int:
    """The address of the compiled kernel."""
    key = (lowered.symbol, tier)
    if key not in _loaded:
        obj = emit_object(lowered.text, tier)
        if not _jit:
            _jit.append(llvm.create_lljit_compiler())
        builder = llvm.JITLibraryBuilder().add_object_img(obj).add_current_process().export_symbol(lowered.symbol)
        library = builder.link(_jit[0], f"{lowered.symbol}_{tier}")
        _loaded[key] = (library, library[lowered.symbol])
    return _loaded[key][1]


class Bound:
    """A kernel bound to numpy operands; call it with a range of units, or with none for all."""

    def __init__(self, lowered: Lowered, operands: Sequence[np.ndarray], tier: str) -> None:
        self.address = load(lowered, tier)
        self.units = lowered.units
        words = [operands[w.operand].ctypes.data + w.byte_offset if isinstance(w, Ptr) else w for w in lowered.args]
        self.words = (ctypes.c_int64 * len(words))(*words)
        self.keep = operands
        raw = np.full(lowered.scratch + 64, 0xA5, np.uint8)
        self.scratch = raw
        self.scratch_at = -(-raw.ctypes.data // 64) * 64
        self.fn = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(self.address)

    def __call__(self, lo: int = 0, hi: int | None = None) -> None:
        self.fn(ctypes.addressof(self.words), lo, self.units if hi is None else hi, self.scratch_at)


def run(calls: Sequence[Lowered], operands: Sequence[np.ndarray], tier: str, cuts: int = 1) -> None:
    """Run every kernel, its units split in `cuts` parts which run last part first."""
    for lowered in calls:
        bound = Bound(lowered, operands, tier)
        edges = [lowered.units * i // cuts for i in range(cuts + 1)]
        for lo, hi in reversed(list(zip(edges, edges[1:], strict=False))):
            bound(lo, hi)


def widen(x: np.ndarray, dtype: str) -> np.ndarray:
    """Stored elements as the compute type."""
    if dtype in ("bf16", "f16"):
        L = NumpyLanes()
        return np.asarray(L.convert(L.wrap(dtype, x), "f32").v)
    return x.astype(numpy_type(compute_type(dtype)))


def narrow(x: np.ndarray, dtype: str, compute: str) -> np.ndarray:
    """Compute elements rounded to the stored type."""
    if dtype == compute:
        return x
    L = NumpyLanes()
    return np.asarray(L.convert(L.wrap(compute, x), dtype).v)


def chains(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The contract for compute-type matrices (..., m, k) and (..., k, n)."""
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    return np.asarray(exact.chains(((a[..., :, k, None], b[..., k, None, :], None) for k in range(a.shape[-1])), shape, a.dtype))


def guarded(x: np.ndarray) -> np.ndarray:
    """A copy of a dense array, in its own memory order, that ends where unreadable memory begins: a stray read or write is a crash."""
    page = mmap.PAGESIZE
    order = np.argsort([-s for s in x.strides], kind="stable")
    dense = np.ascontiguousarray(x.transpose(order))
    room = -(-dense.nbytes // page) * page
    memory = mmap.mmap(-1, room + page)
    whole = np.frombuffer(memory, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(whole.ctypes.data + room), ctypes.c_size_t(page), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    view = whole[room - dense.nbytes:room].view(dense.dtype).reshape(dense.shape)
    view[...] = dense
    return view.transpose(np.argsort(order))

"""Compile and run lowered contractions, and the slow exact reference they must equal to the bit.

The reference is the contract itself in numpy: one fma at a time. f32 fma is done in f64 with rounding to odd (the product of two
floats is exact in a double, and 53 bits rounded to odd keep a later rounding to 24 honest); f64 fma is libm's.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
from collections.abc import Sequence

import llvmlite.binding as llvm
import numpy as np

from frankentorch.lower.contract_micro import CHUNK, FEATURES, GROUP, compute_type
from frankentorch.lower.kernel import Lowered, Ptr
from frankentorch.lower.lanes import numpy_type
from frankentorch.lower.lanes_numpy import NumpyLanes

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


_libm_fma = ctypes.CDLL(ctypes.util.find_library("m")).fma
_libm_fma.restype, _libm_fma.argtypes = ctypes.c_double, [ctypes.c_double] * 3
_fma_f64 = np.frompyfunc(_libm_fma, 3, 1)


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c rounded once (floats), or wrapping (integers)."""
    if c.dtype.kind in "iu":
        return a * b + c
    if c.dtype == np.float64:
        return _fma_f64(a, b, c).astype(np.float64)
    product, addend = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    total = product + addend
    back = total - product
    error = (product - (total - back)) + (addend - back)
    bits = total.view(np.int64)
    # Rounded to odd: where inexact and even, the neighbour on the side of the error.
    nudge = np.where((error > 0) == (total > 0), 1, -1)
    odd = np.where((error != 0) & (bits & 1 == 0) & np.isfinite(total), bits + nudge, bits).view(np.float64)
    return odd.astype(np.float32)


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


def fold(sums: list[np.ndarray]) -> np.ndarray:
    """Chunk sums folded left to right in groups, groups left to right."""
    groups = []
    for g in range(0, len(sums), GROUP):
        s = sums[g]
        for x in sums[g + 1:g + GROUP]:
            s = s + x
        groups.append(s)
    total = groups[0]
    for g in groups[1:]:
        total = total + g
    return total


def chains(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The contract for compute-type matrices (..., m, k) and (..., k, n)."""
    k = a.shape[-1]
    sums = []
    with np.errstate(all="ignore"):
        for start in range(0, max(k, 1), CHUNK):
            acc = np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), a.dtype)
            for i in range(start, min(k, start + CHUNK)):
                acc = fma(a[..., :, i, None], b[..., i, None, :], acc)
            sums.append(acc)
        return fold(sums)


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

"""Compile one lane function to a loop over arrays: for tests and the accuracy bench, not for programs.

Enters: a lane function, its argument types, and a tier of CPU features. Leaves: a Python callable on numpy arrays whose length
is any multiple of 16.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from frankentorch.lower.lanes import BITS, Lane, LLVMLanes, numpy_type
from frankentorch.lower.llvmtext import Function, module

#: What each tier tells LLVM: a CPU name and feature switches.
TIERS = {
    "host": None,
    "avx512": ("x86-64-v4", ""),
    "avx2": ("x86-64-v3", ""),
    "sse4.2": ("x86-64-v2", "-avx,-fma,-f16c"),
}
_names = itertools.count()


def kernel_text(name: str, function: Callable[..., Any], types: Sequence[str], lanes: int = 16) -> tuple[str, str]:
    """LLVM IR (and result type) of ``void name(ptr out, ptr a, ..., i64 n)``: the function over n elements, `lanes` at a time."""
    fn = Function(name, [("ptr", "out"), *(("ptr", f"a{k}") for k in range(len(types))), ("i64", "n")])
    L = LLVMLanes(fn, lanes)
    with fn.loop("0", "%n", max(lanes, 1)) as loop:
        values = []
        for k, ty in enumerate(types):
            at = fn.op(f"getelementptr inbounds {L.element(ty)}, ptr %a{k}, i64 {loop.iv}")
            values.append(L.wrap(ty, fn.op(f"load {L.type(ty)}, ptr {at}, align {max(BITS[ty] // 8, 1)}")))
        out: Lane = function(L, *values)
        if out.ty == "i1":
            out = L.convert(out, "u8")
        at = fn.op(f"getelementptr inbounds {L.element(out.ty)}, ptr %out, i64 {loop.iv}")
        fn.do(f"store {L.type(out.ty)} {out.v}, ptr {at}, align {max(BITS[out.ty] // 8, 1)}")
    return module([fn], fn.declares), out.ty


def compile_lanes(function: Callable[..., Any], types: Sequence[str], tier: str = "host", lanes: int = 16,
                  name: str = "") -> Callable[..., Any]:
    """The function compiled for `tier`; called with arrays (f16 and bf16 as uint16 patterns) it returns a new array."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    symbol = f"{name or 'kernel'}_{next(_names)}"
    text, result = kernel_text(symbol, function, types, lanes)
    target = llvm.Target.from_default_triple()
    if (chosen := TIERS[tier]) is None:
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    else:
        cpu, features = chosen
    machine = target.create_target_machine(cpu=cpu, features=features, opt=2, jit=True)
    engine = llvm.create_lljit_compiler(machine)
    library = llvm.JITLibraryBuilder().add_ir(text).export_symbol(symbol).add_current_process().link(engine, symbol)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (1 + len(types)), ctypes.c_int64)(library[symbol])

    def run(*arrays: Any, out: Any = None) -> Any:
        inputs = [np.ascontiguousarray(a, numpy_type(ty)) for a, ty in zip(arrays, types, strict=True)]
        n = inputs[0].size
        if n % 16 or any(a.size != n for a in inputs):
            raise ValueError("arrays must have one length, a multiple of 16")
        out = np.empty(n, numpy_type(result)) if out is None else out
        call(out.ctypes.data, *(a.ctypes.data for a in inputs), n)
        return out

    run.keep = (library, engine, machine)  # type: ignore[attr-defined]
    run.text = text  # type: ignore[attr-defined]
    return run

"""The lane language: scalar numeric code, written once in Python, evaluated in numpy or emitted as LLVM vectors.

Enters: a *lane function*, plain Python over a builder ``L`` and `Lane` values, for instance
``def sigmoid(L, x): return 1.0 / (1.0 + exp(L, -x))``. Leaves: numpy arrays (`lanes_numpy.NumpyLanes`: the
meaning, exact to the bit) or LLVM text on vectors (`LLVMLanes`: the kernel). Both give the same bits, on every CPU, except the sign and
payload of NaNs that bare arithmetic makes; `Lanes.canonical` fixes those.

Rules. Every float ``+ - * /`` is one IEEE-754 rounding to nearest even; fma happens only where `Lanes.fma` is written.
Integers wrap. Nothing traps: a division by zero gives quotient x and remainder 0; over-wide shifts give 0 (`ashr`: the
sign). float -> integer truncates; out of range (and for NaN) it gives the least value of i32 or i64; narrower types go
through i32 and u32 through i64, keeping the low bits. f16 and bf16 lanes are held as 16-bit patterns: they can be
converted, moved and selected, but arithmetic is done in f32 and rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from frankentorch.lower.lanes_base import BITS, SMALL_FLOATS, UNSIGNED, Complex, Lane, Lanes, is_float, is_unsigned, llvm_type, numpy_type
from frankentorch.lower.lanes_llvm import LLVMLanes

if TYPE_CHECKING:
    from frankentorch.lower.lanes_numpy import NumpyLanes, evaluate

__all__ = ["BITS", "SMALL_FLOATS", "UNSIGNED", "Complex", "LLVMLanes", "Lane", "Lanes", "NumpyLanes", "evaluate", "is_float", "is_unsigned",
           "llvm_type", "numpy_type"]


def __getattr__(name: str) -> Any:
    # The evaluator needs numpy, which emitting does not.
    if name in ("NumpyLanes", "evaluate"):
        from frankentorch.lower import lanes_numpy

        return getattr(lanes_numpy, name)
    raise AttributeError(name)

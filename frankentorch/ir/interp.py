"""The reference interpreter: what a list of instructions means, exact to the bit, one instruction at a time.

Enters: instructions ``(sig, slots)`` and the memory or numbers of their leaves. Leaves: the memory of every slot. Slow and simple by
design. `EXACT` holds the references that fix an order of arithmetic (`ir.exact`, docs/contract.md), by a row's trait or kind; every
other row moves elements or picks them, and is evaluated by its `ref`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..ops.record import Sig
from ..ops.table import Kind
from ..ops.types import TensorType

Exact = Callable[[Sig, Sequence[Any]], Sequence[Any]]
EXACT: dict[str, Exact] = {}
"""(sig, operand arrays) -> result arrays of the sig's shapes, by trait (``conv:forward``, ...) or kind (``reduce``, ...)."""


class Memory:
    """An array in its own flat memory, so that views are strided access to it, as at run time."""

    __slots__ = ("flat", "offset", "type")

    def __init__(self, flat: Any, offset: int, type_: TensorType) -> None:
        self.flat, self.offset, self.type = flat, offset, type_

    @property
    def array(self) -> Any:
        t = self.type
        if t.numel == 0:
            return np.empty(t.shape, self.flat.dtype)
        item = self.flat.dtype.itemsize
        return np.lib.stride_tricks.as_strided(self.flat[self.offset:], t.shape, [s * item for s in t.strides])


def store(array: Any, t: TensorType) -> Memory:
    """A computed array laid out in memory as its type says."""
    extent = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.strides, strict=True)) if t.numel else 0
    m = Memory(np.empty(extent, t.dtype.np), 0, t)
    if t.numel:
        m.array[...] = convert(array, t.dtype)
    return m


def convert(x: Any, dtype: dtypes.dtype) -> Any:
    """Values in another dtype, by the contract's conversions (float to int truncates)."""
    x = np.asarray(x)
    if x.dtype == dtype.np:
        return x
    from ..lower.translate import as_dtype
    from .exact import from_lane, to_lane

    lane = to_lane(x)
    return from_lane(as_dtype(lane.L, lane, dtype.lane), dtype)


def number_array(num: Any, t: TensorType) -> Any:
    """A run-time number as its operand: it arrives as a float64 (an int64, a complex128) and is converted once."""
    wide = np.complex128 if isinstance(num, complex) else np.float64 if t.dtype.category >= dtypes.FLOAT else np.int64
    value = np.array(num, np.uint64).view(np.int64) if wide is np.int64 and num > (1 << 63) - 1 else np.array(num, wide)
    return convert(value, t.dtype)


def evaluate(sig: Sig, arrays: Sequence[Any]) -> Sequence[Any]:
    """The results of one instruction."""
    from . import exact  # noqa: F401 (fills EXACT)

    row = sig.row
    for key in (*sorted(row.traits), row.kind.value):
        if key in EXACT:
            return EXACT[key](sig, arrays)
    with np.errstate(all="ignore"):
        got = row.ref(*arrays, **dict(zip(row.attrs, sig.attrs, strict=True)))  # type: ignore[misc]
    return got if isinstance(got, tuple) else (got,)


def interpret(instrs: Sequence[tuple[Sig, tuple[int, ...]]], leaves: Sequence[Any]) -> list[Memory]:
    """Run instructions. `leaves` gives, for each leaf in order, a `Memory` or a Python number."""
    slots: list[Memory] = []
    given = iter(leaves)
    for sig, args in instrs:
        row = sig.row
        if row.kind is Kind.LEAF:
            leaf = next(given)
            assert sig.out is not None
            slots.append(leaf if isinstance(leaf, Memory) else Memory(number_array(leaf, sig.out).reshape(1), 0, sig.out))
            continue
        if row.view is not None:
            base = slots[args[0]]
            assert sig.out is not None
            slots.append(Memory(base.flat, base.offset + sig.delta, sig.out))
            continue
        for r, t in zip(evaluate(sig, [slots[a].array for a in args]), sig.outs, strict=True):
            slots.append(store(np.broadcast_to(r, t.shape), t))
    return slots

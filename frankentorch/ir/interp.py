"""The reference interpreter: what a list of instructions means, one instruction at a time, in numpy.

Enters: instructions ``(sig, slots)`` and the arrays of their leaves. Leaves: arrays. Slow and simple by design. Pointwise rows
are evaluated by their lane functions (`NumpyLanes`), so that every rounding is the one that compiled code makes; other rows by their
`exact` reference where the contract fixes an order, else by `ref`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..ops.record import Sig
from ..ops.table import Kind, Row
from ..ops.types import TensorType

LOW = (dtypes.bfloat16, dtypes.float16)
EXACT: dict[str, Callable[..., Any]] = {}
"""Exact references by trait (``reduce:sum``, ...), filled by the rooms that fix an order of arithmetic."""


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
    """Values in another dtype, with torch's conversions (float to int truncates)."""
    x = np.asarray(x)
    if x.dtype == dtype.np:
        return x
    with np.errstate(all="ignore"):
        if np.iscomplexobj(x) and not dtype.is_complex and dtype is not dtypes.bool_:
            x = x.real
        if dtype is dtypes.bool_:
            return x != 0
        return x.astype(dtype.np)


def lane_function(row: Row) -> Callable[..., Any]:
    """A row's lane function, found in `lower.vmath` when the row names it."""
    if isinstance(row.lane, str):
        from ..lower.vmath import FUNCTIONS

        return FUNCTIONS[row.lane]
    assert row.lane is not None
    return row.lane


def _lanes(row: Row, arrays: Sequence[Any], attrs: tuple[Any, ...], out: TensorType) -> Any:
    """Evaluate a pointwise row exactly."""
    from ..lower.lanes import Lane, NumpyLanes, evaluate  # noqa: F401

    L = NumpyLanes()
    lanes = []
    for a in np.broadcast_arrays(*arrays):
        d = dtypes.from_numpy_dtype(a.dtype)
        lanes.append(L.wrap(d.lane, np.ascontiguousarray(a)))
    with np.errstate(all="ignore"):
        r = lane_function(row)(L, *lanes, *[x.lane for x in attrs if isinstance(x, dtypes.dtype)])
    return r.v


def evaluate_sig(sig: Sig, arrays: Sequence[Any], exact: bool) -> Sequence[Any]:
    """The results of one instruction."""
    row = sig.row
    attrs = dict(zip(row.attrs, sig.attrs, strict=True))
    low = any(t.dtype in LOW for t in sig.types)
    if low and row.kind in (Kind.POINTWISE, Kind.REDUCE, Kind.CONTRACT, Kind.SCAN, Kind.WINDOW):
        arrays = [a.astype(np.float32) if dtypes.from_numpy_dtype(a.dtype) in LOW else a for a in arrays]
    if exact:
        for trait in row.traits:
            if trait in EXACT:
                got = EXACT[trait](*arrays, **attrs)
                return got if isinstance(got, tuple) else (got,)
        complex_ = any(t.dtype.is_complex for t in (*sig.types, *sig.outs))
        if row.kind is Kind.POINTWISE and "copy" not in row.traits and not complex_ and arrays and sig.out is not None:
            if row.attrs == ("dtype",):
                return (convert(arrays[0], sig.out.dtype),)
            return (_lanes(row, arrays, sig.attrs, sig.out),)
    with np.errstate(all="ignore"):
        got = row.ref(*arrays, **attrs)  # type: ignore[misc]
    return got if isinstance(got, tuple) else (got,)


def number_array(num: Any, t: TensorType) -> Any:
    return np.asarray(num).astype(t.dtype.np) if t.dtype not in LOW else np.asarray(num, dtype=np.float32)


def interpret(instrs: Sequence[tuple[Sig, tuple[int, ...]]], leaves: Sequence[Any], exact: bool = False) -> list[Memory]:
    """Run instructions. `leaves` gives, for each leaf in order, a `Memory` or a Python number."""
    slots: list[Any] = []
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
            slots.append(Memory(base.flat, base.offset + sig.delta, sig.out))
            continue
        results = evaluate_sig(sig, [slots[a].array for a in args], exact)
        for r, t in zip(results, sig.outs, strict=True):
            slots.append(store(np.broadcast_to(np.asarray(r), t.shape), t))
    return slots

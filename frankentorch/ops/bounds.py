"""Bounds of index data, checked before an op is recorded.

Enters: an index tensor and its bounds. Leaves: whether every element is known to lie inside, found without running pending work: a
pending index is followed through what cannot leave the bounds of its sources (movements, conversions between wide integers, `where`)
down to concrete data and numbers. A compiled call notes what was read, so that a replay reads it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import dtypes
from .pointwise import where_row
from .record import Scalar, Value, state
from .table import Kind

_WIDE = (dtypes.int32, dtypes.int64)
_STEPS = 24


def data_inside(array: Any, low: int, high: int, exempt: int | None = None) -> bool:
    """Whether low <= i < high for all of a numpy array, elements equal to `exempt` aside."""
    if not array.size:
        return True
    if low == 0 and array.dtype.kind in "iu":  # seen as unsigned, what is below 0 is above everything: one pass
        good = array.view(f"u{array.itemsize}").max() < high
    else:
        good = array.min() >= low and array.max() < high
    if not good and exempt is not None:
        return bool((((array >= low) & (array < high)) | (array == exempt)).all())
    return bool(good)


def memory_inside(buf: Any, offset: int, type_: Any, low: int, high: int, exempt: int | None = None) -> bool:
    """The same of memory that a value of this type lies in."""
    return data_inside(buf.as_numpy(type_.dtype.np, type_.shape, type_.strides, offset), low, high, exempt)


def proved(index: Any, low: int, high: int, exempt: int | None = None) -> bool:
    """Whether an index tensor's elements are known to lie inside (or to equal `exempt`) without running anything."""
    sources: list[Value] = []
    if not _proved(index._value if index._root is None else index._fresh(), low, high, exempt, sources):
        return False
    if state.region is not None:
        state.region.checks.extend((v, low, high, exempt) for v in sources)
    return True


def _proved(index: Value, low: int, high: int, exempt: int | None, sources: list[Value]) -> bool:
    trace = index.trace
    if index.buf is not None:
        sources.append(index)
        return memory_inside(index.buf, index.offset, index.type, low, high, exempt)
    if trace is not state.trace:
        return False
    made_by, leaf_of = _makers(trace.instrs)
    stack = [index.slot]
    seen: set[int] = set()
    while stack:
        slot = stack.pop()
        if slot in seen:
            continue
        seen.add(slot)
        k = made_by.get(slot)
        if k is None or len(seen) > _STEPS:
            return False
        sig, args = trace.instrs[k]
        row = sig.row
        if row.kind is Kind.LEAF:
            leaf = trace.leaves[leaf_of[k]]
            if isinstance(leaf, Scalar):
                if not low <= leaf.num < high and leaf.num != exempt:
                    return False
                continue
            if leaf.buf is None or leaf.buf.exposed or not memory_inside(leaf.buf, leaf.offset, leaf.type, low, high, exempt):
                return False
            sources.append(leaf)
        elif "index" in row.traits:
            size, dim = sig.attrs[:2]
            if low > 0 or size[dim] > high:
                return False
        elif row is where_row:
            stack.extend(args[1:])
        elif row.view is not None or "copy" in row.traits or "convert" in row.traits and sig.types[0].dtype in _WIDE and sig.outs[0].dtype in _WIDE:
            stack.append(args[0])
        else:
            return False
    return True


def _makers(instrs: Sequence[Any]) -> tuple[dict[int, int], dict[int, int]]:
    """Which instruction made each slot, and each leaf instruction's place among the leaves."""
    made_by: dict[int, int] = {}
    leaf_of: dict[int, int] = {}
    at = 0
    for k, (sig, _) in enumerate(instrs):
        if sig.row.kind is Kind.LEAF:
            leaf_of[k] = len(leaf_of)
        for _ in sig.outs:
            made_by[at] = k
            at += 1
    return made_by, leaf_of

"""Programs: a window's instructions compiled, bound to memory, and run.

Enters: a cut window. Leaves: concrete values for every slot that something refers to.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ..ops.record import Scalar, Sig, Value
from .memory import Buffer


def resolve_view(instrs: Any, starts: list[int], made_by: list[int], slot: int) -> tuple[int, int]:
    """The (slot, byte offset) whose memory a movement's result lies in."""
    offset = 0
    while True:
        sig, args = instrs[made_by[slot]]
        if sig.row.view is None:
            return slot, offset
        offset += sig.delta * sig.out.dtype.itemsize
        slot = args[0]


def slot_makers(instrs: list[tuple[Sig, tuple[int, ...]]]) -> list[int]:
    """For each slot, the instruction that makes it."""
    made_by: list[int] = []
    for k, (sig, _) in enumerate(instrs):
        made_by.extend([k] * len(sig.outs))
    return made_by


def execute(window: Any, reason: str) -> None:
    """Run a cut window."""
    instrs = window.instrs
    live = [(slot, v) for slot, r in enumerate(window.refs) if r is not None and (v := r()) is not None and v.buf is None]
    if not live:
        return
    interpret_window(window, live)


def interpret_window(window: Any, live: list[tuple[int, Value]]) -> None:
    """Run by the reference interpreter (FT_INTERP, and tests)."""
    from ..ir.interp import Memory, interpret

    instrs = window.instrs
    made_by = slot_makers(instrs)
    leaves: list[Any] = []
    for v in window.leaves:
        if isinstance(v, Scalar):
            leaves.append(v.num)
            continue
        t = v.type
        extent = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.strides, strict=True)) if t.numel else 0
        flat = v.buf.as_numpy(t.dtype.np, ((v.buf.nbytes - v.offset) // t.dtype.itemsize if extent else 0,), None, v.offset)
        leaves.append(Memory(flat, 0, t))
    slots = interpret(instrs, leaves)
    leaf_of = {}
    it = iter(window.leaves)
    for k, (sig, _) in enumerate(instrs):
        if sig.row.name == "leaf":
            leaf_of[k] = next(it)
    made: dict[int, Buffer] = {}
    for slot, v in live:
        base, offset = resolve_view(instrs, [], made_by, slot)
        leaf = leaf_of.get(made_by[base])
        if leaf is not None:
            v.buf, v.offset = leaf.buf, leaf.offset + offset
            v.trace = None
            continue
        buf = made.get(base)
        if buf is None:
            flat = slots[base].flat
            buf = made[base] = Buffer(max(flat.nbytes, 1))
            if flat.nbytes:
                ctypes.memmove(buf.ptr, flat.ctypes.data, flat.nbytes)
        v.buf, v.offset = buf, offset
        v.trace = None

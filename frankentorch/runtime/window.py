"""The window: the trace of pending work of one thread, and the cut that runs it.

Enters: instructions as they are recorded. Leaves: concrete values. A cut finds which slots something still refers to, looks the
window up by its instructions and those slots, compiles it when it is new, and runs it as one native call.
"""

from __future__ import annotations

import random
import threading
import weakref
from typing import Any

from ..knobs import knobs
from ..ops import record
from ..ops.record import Scalar, Sig, Trace, Value
from .memory import Buffer

LIMIT = 4000
SNAPSHOT = 1 << 16
_lock = threading.RLock()


class Window(Trace):
    """A trace that can be cut."""

    __slots__ = ("updates", "done", "rng")
    can_cut = True

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[tuple[int, Value]] = []
        self.done = False
        self.flush = knobs.eager or bool(knobs.cut)

    def enter(self, v: Value | Scalar) -> int:
        """The slot of a value from outside this window."""
        if isinstance(v, Scalar):
            return self.add_leaf(v)
        buf = v.buf
        if buf is None:
            other = v.trace
            if other is None or not other.can_cut:
                return self.outer(v)
            other.cut("another thread")
            buf = v.buf
            assert buf is not None
        if buf.exposed:
            return self._snapshot(v)
        slot = self.add_leaf(v)
        v.trace, v.slot = self, slot
        return slot

    def _snapshot(self, v: Any) -> int:
        """A leaf on memory that foreign code may change: small ones are copied now, large ones are read before the call returns."""
        t = v.type
        if t.nbytes <= SNAPSHOT and t.dense:
            import ctypes

            copy = Buffer(max(t.nbytes, 1))
            ctypes.memmove(copy.ptr, v.address, t.nbytes)
            v = Value(t, None, -1, copy, 0)
        else:
            self.flush = True
        slot = self.add_leaf(v)
        v_trace = Value(t, self, slot, v.buf, v.offset)
        self.leaves[-1] = v_trace
        return slot

    def note_update(self, new: Value, old: Value) -> None:
        """`new` replaces `old` in its tensor: when nothing else needs `old`, its memory can be written in place."""
        if new.trace is self and new.buf is None:
            self.updates.append((new.slot, old))

    def full(self) -> None:
        """After an instruction under FT_EAGER, FT_CUT, or with a leaf on exposed memory."""
        mode = knobs.cut
        if mode.startswith("random") and not knobs.eager:
            if _rng(mode).random() < 0.3:
                self.cut("random")
            return
        self.cut("exposed memory" if not knobs.eager else "eager")

    def cut(self, reason: str = "") -> None:
        """Run everything pending here."""
        if self.done:
            return
        with _lock:
            if self.done:
                return
            self.done = True
            if record.state.trace is self:
                record.state.trace = Window()
            from . import program

            try:
                program.execute(self, reason)
            finally:
                self.instrs = []
                self.leaves = []
                self.refs = []
                self.external = {}
                self.updates = []


_random: dict[str, random.Random] = {}


def _rng(mode: str) -> random.Random:
    found = _random.get(mode)
    if found is None:
        found = _random[mode] = random.Random(int(mode.split(":")[1]) if ":" in mode else 0)
    return found


def cut_here(reason: str) -> None:
    """End the thread's window."""
    trace = record.state.trace
    if trace.can_cut and trace.instrs:
        trace.cut(reason)


_ = (Sig, weakref)

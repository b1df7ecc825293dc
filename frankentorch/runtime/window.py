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
from ..ops.record import Scalar, Trace, Value
from ..ops.table import Kind
from .memory import Buffer

LIMIT = 4000
MIN_LEFT = 16
SNAPSHOT = 1 << 16
_lock = threading.RLock()


class Window(Trace):
    """A trace that can be cut."""

    __slots__ = ("failed", "updates", "done", "bound", "urgent")
    can_cut = True

    def __init__(self) -> None:
        super().__init__()
        self.failed: BaseException | None = None
        self.updates: list[tuple[int, Value | int]] = []
        self.done = False
        self.bound: Any = None  # the program that ran it, once cut
        self.flush = knobs.eager or bool(knobs.cut)
        self.urgent = False

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
            self.flush = self.urgent = True
        slot = self.add_leaf(v)
        v_trace = Value(t, self, slot, v.buf, v.offset)
        self.leaves[-1] = v_trace
        return slot

    def note_update(self, new: Value, old: Value) -> None:
        """`new` replaces `old` in its tensor: when nothing else needs `old`, its memory can be written in place."""
        if new.trace is self and new.buf is None:
            if old.buf is not None:
                self.updates.append((new.slot, old))
            elif old.trace is self:  # by number: a reference would keep a dead value
                self.updates.append((new.slot, old.slot))

    def full(self) -> None:
        """After an instruction under FT_EAGER, FT_CUT, or with a leaf on exposed memory."""
        mode = knobs.cut
        if mode.startswith("random") and not knobs.eager and not self.urgent:
            if _rng(mode).random() < 0.3:
                self.cut("random")
            return
        if mode.isdigit() and not knobs.eager and not self.urgent and len(self.instrs) < int(mode):
            return
        self.cut("exposed memory" if not knobs.eager else "eager")

    def force(self, value: Value, reason: str = "check") -> None:
        """Run what one value needs (and the draws before it, whose order is an effect); the rest stays pending in a new window."""
        with _lock:
            if self.done or value.buf is not None:
                return
            instrs = self.instrs
            made_by = [k for k, (sig, _) in enumerate(instrs) for _ in sig.outs]
            starts: list[int] = []
            at = 0
            for sig, _ in instrs:
                starts.append(at)
                at += len(sig.outs)
            first: set[int] = set()
            stack = [made_by[value.slot]]
            while stack:
                k = stack.pop()
                if k in first:
                    continue
                first.add(k)
                sig, args = instrs[k]
                stack.extend(made_by[a] for a in args)
                if sig.row.kind is Kind.RANDOM:
                    stack.extend(j for j in range(k) if instrs[j][0].row.kind is Kind.RANDOM)
            later = [k for k in range(len(instrs)) if k not in first and instrs[k][0].row.kind is not Kind.LEAF]
            if len(later) < MIN_LEFT or any(o is not None for o in self.external.values()):
                self.cut(reason)
                return
            if record.state.region is not None:
                record.state.region.on_cut(reason)
            self.done = True
            leaf_at = {k: i for i, k in enumerate(k for k, (sig, _) in enumerate(instrs) if sig.row.kind is Kind.LEAF)}
            used_later = {a for k in later for a in instrs[k][1]}
            values: dict[int, Value] = {}
            for slot, r in enumerate(self.refs):
                v = r() if r is not None else None
                if v is None and slot in used_later and made_by[slot] in first and instrs[made_by[slot]][0].row.kind is not Kind.LEAF:
                    v = Value(instrs[made_by[slot]][0].outs[slot - starts[made_by[slot]]], self, slot)
                if v is not None:
                    values[slot] = v
            now, rest = Window(), Window()
            now.flush = rest.flush = False
            number: dict[int, int] = {}
            for k in sorted(first):
                now.append_from(self, k, starts[k], number, leaf_at, values)
            left: dict[int, int] = {}
            if record.state.trace is self:
                record.state.trace = rest
            from . import program

            program.execute(now, reason)
            for k in later:
                for a in instrs[k][1]:
                    if a not in left and (made_by[a] in first or instrs[made_by[a]][0].row.kind is Kind.LEAF):
                        maker = made_by[a]
                        if instrs[maker][0].row.kind is Kind.LEAF:
                            rest.append_from(self, maker, a, left, leaf_at, values)
                        else:
                            left[a] = rest.enter(values[a])
                rest.append_from(self, k, starts[k], left, leaf_at, values)
            rest.updates = [(left[slot], left.get(old, -1) if isinstance(old, int) else old) for slot, old in self.updates if slot in left]
            rest.flush = self.flush
            self._clear()

    def append_from(self, other: Window, k: int, start: int, number: dict[int, int], leaf_at: dict[int, int], values: dict[int, Value]) -> None:
        """Take over one instruction of another window; values that live move along."""
        sig, args = other.instrs[k]
        if sig.row.kind is Kind.LEAF:
            leaf = other.leaves[leaf_at[k]]
            number[start] = self.add_leaf(leaf)
            if not isinstance(leaf, Scalar):
                leaf.trace, leaf.slot = self, number[start]
            return
        base = len(self.refs)
        self.instrs.append((sig, tuple([number[a] for a in args])))
        for j in range(len(sig.outs)):
            v = values.get(start + j)
            if v is None:
                self.refs.append(_dead)
            else:
                v.trace, v.slot = self, base + j
                self.refs.append(weakref.ref(v))
            number[start + j] = base + j

    def _clear(self) -> None:
        self.instrs = []
        self.leaves = []
        self.refs = []
        self.external = {}
        self.updates = []

    def cut(self, reason: str = "") -> None:
        """Run everything pending here. What a failed run left without a value says so, with that run's error."""
        if self.failed is not None:
            raise RuntimeError(f"this tensor has no value: the program that was to compute it failed with {type(self.failed).__name__}: {self.failed}"
                               ) from self.failed
        if self.done:
            return
        region = record.state.region
        if region is not None and self.instrs:
            region.on_cut(reason)
        with _lock:
            if self.done:
                return
            self.done = True
            if record.state.trace is self:
                record.state.trace = Window()
            from . import program

            try:
                program.execute(self, reason)
            except BaseException as error:
                self.failed = error
                raise
            finally:
                self._clear()


_random: dict[str, random.Random] = {}


def _rng(mode: str) -> random.Random:
    found = _random.get(mode)
    if found is None:
        found = _random[mode] = random.Random(int(mode.split(":")[1]) if ":" in mode else 0)
    return found


def cut_here(reason: str) -> None:
    """End the thread's window, unless a compiled call is being recorded: that is one window."""
    if record.state.region is not None:
        return
    trace = record.state.trace
    if trace.can_cut and trace.instrs:
        trace.cut(reason)


def _dead() -> None:
    """The reference of a slot that nothing refers to."""

"""Programs: a window's instructions compiled, bound to memory, and run.

Enters: a cut window. Leaves: concrete values for every slot that something refers to. A program is looked up by the window's
instructions and the slots to store; running one is a single native call.
"""

from __future__ import annotations

import ctypes
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from ..knobs import knobs
from ..ops.record import Scalar, Sig, Value
from ..ops.table import Kind
from .memory import Buffer

OBSERVERS: list[Callable[[Any, tuple[int, ...], dict[int, int]], None]] = []
"""Called with the instructions, stored slots and donors of every program that is new to this process (``ft dump``)."""
STATS = {"runs": 0, "builds": 0, "resized": 0, "plans_loaded": 0, "extern": 0, "numpy": 0, "build_seconds": 0.0}


class Bound:
    """A program with its kernels loaded: what a run fills in."""

    __slots__ = ("run", "address", "program", "out_bytes", "arena", "outputs", "leaf_views", "leaf_args", "donated", "plan")

    def __init__(self, plan: Any, kernels: list[int]) -> None:
        from . import native

        leaves: dict[Any, int] = {}
        patches: list[list[tuple[int, int, int]]] = []
        entries = []

        def arg(key: Any) -> int:
            if key not in leaves:
                leaves[key] = len(patches)
                patches.append([])
            return leaves[key]

        self.plan = plan
        n_outs = len(plan.out_bytes)
        for e, (entry, fn) in enumerate(zip(plan.entries, kernels, strict=True)):
            words = []
            for w, word in enumerate(entry.words):
                if isinstance(word, int):
                    words.append(word)
                    continue
                words.append(0)
                if word[0] == "scalar":
                    patches[arg(("leaf", word[1]))].append((e, w, 0))
                    continue
                place = plan.places[word[0]]
                if place.kind == "leaf":
                    patches[arg(("leaf", place.index))].append((e, w, word[1]))
                elif place.kind == "out":
                    patches[arg(("out", place.index))].append((e, w, word[1]))
                else:
                    patches[arg(("arena", 0))].append((e, w, place.index + word[1]))
            entries.append((fn, words, entry.units, entry.grain))
        order = [("leaf", k[1]) for k in leaves if k[0] == "leaf"]
        order += [("out", i) for i in range(n_outs) if ("out", i) in leaves]
        if ("arena", 0) in leaves:
            order.append(("arena", 0))
        self.leaf_args = [k[1] for k in order if k[0] == "leaf"]
        unused = [i for i in range(n_outs) if ("out", i) not in leaves]
        final = [patches[leaves[("leaf", i)]] for i in self.leaf_args]
        final += [[] if i in unused else patches[leaves[("out", i)]] for i in range(n_outs)]
        if plan.arena:
            final.append(patches[leaves[("arena", 0)]] if ("arena", 0) in leaves else [])
        self.program = native.Program(entries, final, len(final), max([e.scratch for e in plan.entries], default=0))
        self.run = native.runner()
        self.address = self.program.address
        self.out_bytes = plan.out_bytes
        self.arena = plan.arena
        self.outputs = plan.outputs
        self.leaf_views = plan.leaf_views
        self.donated = plan.donated

    def __call__(self, window: Any, refs: list[Any]) -> None:
        leaves = window.leaves
        args: list[Any] = []
        for i in self.leaf_args:
            v = leaves[i]
            buf = v.buf
            args.append(v.num if buf is None else buf.ptr + v.offset)
        outs = [Buffer(n) for n in self.out_bytes]
        for b in outs:
            args.append(b.ptr)
        arena = None
        if self.arena:
            arena = Buffer(self.arena)
            args.append(arena.ptr)
        self.run(self.address, *args)
        for slot, i, offset in self.outputs:
            v = refs[slot]()
            if v is not None:
                v.buf = outs[i]
                v.offset = offset
                v.trace = None
        for slot, i, offset in self.leaf_views:
            v = refs[slot]()
            if v is not None:
                leaf = leaves[i]
                v.buf = leaf.buf
                v.offset = leaf.offset + offset
                v.trace = None


PROGRAMS: dict[Any, Bound] = {}
PROGRAM_LIMIT = 8192
_STRUCTURES: set[Any] = set()


def structure(instrs: list[tuple[Sig, tuple[int, ...]]], live: tuple[int, ...]) -> Any:
    """A program without its sizes: rows, element types, ranks, which numbers are constants, and who reads what."""
    return live, tuple([(sig.row, tuple([(t.dtype, t.ndim, t.scalar, t.const) for t in sig.types]), slots) for sig, slots in instrs])


def execute(window: Any, reason: str) -> None:
    """Run a cut window."""
    refs = window.refs
    live = tuple([slot for slot, r in enumerate(refs) if r is not None and r() is not None])
    effects = any(sig.row.kind is Kind.RANDOM for sig, _ in window.instrs)
    if not live and not effects:
        return
    if knobs.interp:
        STATS["numpy"] += len(window.instrs)
        interpret_window(window, [(s, v) for s in live if (v := refs[s]()) is not None])
        return
    donors = _donors(window) if window.updates else {}
    key = (tuple(window.instrs), live, tuple(donors.items()), knobs.cpu)
    bound = PROGRAMS.get(key)
    if bound is None:
        if len(PROGRAMS) >= PROGRAM_LIMIT:
            del PROGRAMS[next(iter(PROGRAMS))]
        bound = PROGRAMS[key] = build(window.instrs, live, donors)
    STATS["runs"] += 1
    if knobs.debug >= 2:
        print(f"ft: run {len(window.instrs)} instructions ({reason}), {len(bound.plan.entries)} kernels", file=sys.stderr)
    window.bound = bound
    bound(window, refs)


def _donors(window: Any) -> dict[int, int]:
    """Slots that may take the memory of the leaf they replace: nothing else refers to its buffer."""
    found: dict[int, int] = {}
    updates, window.updates = window.updates[::-1], []
    while updates:  # each pair is let go of before its references are counted
        slot, old = updates.pop()
        if isinstance(old, int):  # written again: the last one takes the place
            if old in found:
                found[slot] = found.pop(old)
            continue
        if old.trace is not window or old.buf is None or old.buf.exposed or old.buf.owner is not None or old.type.nbytes == 0:
            continue
        leaf_slot = old.slot
        # references to the value: the window's list of leaves, `old`, getrefcount's argument; to its buffer: the value, and the argument
        if sys.getrefcount(old) <= 3 and sys.getrefcount(old.buf) <= 2 and old.offset == 0 and leaf_slot not in found.values():
            found[slot] = leaf_slot
    return found


def build(instrs: list[tuple[Sig, tuple[int, ...]]], live: tuple[int, ...], donors: dict[int, int]) -> Bound:
    """Bind a program: its plan from disk when it is there with all its kernels, else planned and compiled now."""
    from . import jit, native, objects, plans

    for see in OBSERVERS:
        see(instrs, live, donors)
    began = time.perf_counter()
    tier, threads = jit.current_tier(), native.get_num_threads()
    name = plans.digest(instrs, live, donors, tier, threads)
    plan = plans.load(name)
    kernels = None
    if plan is not None:
        found = [objects.get_by_key(e.key, e.symbol) for e in plan.entries]
        if None not in found:
            kernels = found
            STATS["plans_loaded"] += 1
            _STRUCTURES.add(structure(instrs, live))
    if kernels is None:
        shape = structure(instrs, live)
        resized = shape in _STRUCTURES
        if resized:
            # The same program at another size (a growing cache): planned as recorded. Kernels do not depend on sizes, so no IR is built.
            from ..lower.program import build_plan

            plan = build_plan(instrs, live, _leaf_donors(live, donors), tier, threads)
            STATS["resized"] += 1
        else:
            plan = compile_plan(instrs, live, donors, tier, threads)
            STATS["builds"] += 1
            _STRUCTURES.add(shape)
        for e in plan.entries:
            e.key = objects.key_of(e.text)
        kernels = [objects.get(e.text, e.symbol) for e in plan.entries]
        if not resized:
            plans.save(name, plan)
    assert plan is not None
    bound = Bound(plan, kernels)  # type: ignore[arg-type]
    STATS["build_seconds"] += time.perf_counter() - began
    if knobs.debug:
        print(f"ft: built a program of {len(plan.entries)} kernels from {len(instrs)} instructions in "
              f"{(time.perf_counter() - began) * 1e3:.1f} ms", file=sys.stderr)
    return bound


def compile_plan(instrs: list[tuple[Sig, tuple[int, ...]]], live: tuple[int, ...], donors: dict[int, int], tier: str, threads: int) -> Any:
    """The way down: an `ft` module, its passes, and a plan of what they leave."""
    from ..ir import build as ir_build
    from ..ir import pipeline
    from ..lower.program import build_plan

    module = ir_build.to_module(instrs, list(live))
    pipeline.optimise(module)
    recorded = ir_build.from_module(module)
    new_live = recorded.outputs
    leaf_of_slot = _leaf_numbers(instrs)
    moved = {new_live[live.index(new)]: leaf_of_slot[old] for new, old in donors.items() if new in live}
    plan = build_plan(recorded.instrs, new_live, moved, tier, threads)
    back = dict(zip(new_live, live, strict=True))
    plan.outputs = [(back[s], i, o) for s, i, o in plan.outputs]
    plan.leaf_views = [(back[s], i, o) for s, i, o in plan.leaf_views]
    plan.donated = [(back.get(s, s), i) for s, i in plan.donated]
    numbers = dict(enumerate(recorded.numbers, len(leaf_of_slot)))
    if numbers:
        for e in plan.entries:
            e.words = [_literal(numbers[w[1]]) if isinstance(w, tuple) and w[0] == "scalar" and w[1] in numbers else w for w in e.words]
    return plan


def _leaf_numbers(instrs: list[tuple[Sig, tuple[int, ...]]]) -> dict[int, int]:
    """The number of each leaf by its slot."""
    numbers: dict[int, int] = {}
    at = 0
    for sig, _ in instrs:
        if sig.row.kind is Kind.LEAF:
            numbers[at] = len(numbers)
        at += len(sig.outs)
    return numbers


def _leaf_donors(live: tuple[int, ...], donors: dict[int, int]) -> dict[int, int]:
    """Donors of stored slots only."""
    return {new: old for new, old in donors.items() if new in live}


def _literal(value: Any) -> int:
    """A number that the program brings itself, as an argument word."""
    return struct.unpack("<q", struct.pack("<d", value))[0] if isinstance(value, float) else int(value)


def resolve_view(instrs: Any, made_by: list[int], slot: int) -> tuple[int, int]:
    """The (slot, byte offset) whose memory a movement's result lies in."""
    offset = 0
    while True:
        sig, args = instrs[made_by[slot]]
        if sig.row.view is None:
            return slot, offset
        offset += sig.delta * sig.out.dtype.itemsize
        slot = args[0]


def interpret_window(window: Any, live: list[tuple[int, Value]]) -> None:
    """Run by the reference interpreter (FT_INTERP, and tests)."""
    from ..ir.interp import Memory, interpret

    instrs = window.instrs
    made_by = [k for k, (sig, _) in enumerate(instrs) for _ in sig.outs]
    leaves: list[Any] = []
    for v in window.leaves:
        if isinstance(v, Scalar):
            leaves.append(v.num)
            continue
        t = v.type
        item = t.dtype.itemsize
        before = v.offset % item  # strides may be negative, so the array is the whole buffer
        flat = v.buf.as_numpy(t.dtype.np, ((v.buf.nbytes - before) // item if t.numel else 0,), None, before)
        leaves.append(Memory(flat, v.offset // item, t))
    slots = interpret(instrs, leaves)
    leaf_of = {}
    it = iter(window.leaves)
    for k, (sig, _) in enumerate(instrs):
        if sig.row.kind is Kind.LEAF:
            leaf_of[k] = next(it)
    made: dict[int, Buffer] = {}
    for slot, v in live:
        base, offset = resolve_view(instrs, made_by, slot)
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

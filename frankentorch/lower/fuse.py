"""Fusion: which instructions share a kernel.

Enters: a program's instructions and the slots that must be stored. Leaves: groups of instruction indices, in execution order. The
rule is structural (shapes, kinds, order of recording) and never asks what is stored, so what is observed cannot change kernels.

A *nest* group is one iteration space: pointwise ops over a shape S, reductions of S over one set of axes, and pointwise ops over the
reduced (keepdim) form. An op joins the first group, from that of its latest operand on, which it fits: a producer's group, or a
later one that shares an operand with it. Every other op is a group of its own. Movement ops are in no group: they are strided access to a
stored value, so reading through one ends a group.

A contraction takes with it the pointwise ops that follow it alone, element by element (a bias, an activation): they run on each sum
before it is stored. This asks whether anything else reads the product, and so is the one place where what is stored can choose
between kernels; their bits are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..ops.record import Sig
from ..ops.table import Kind

MAX_STEPS = 48
MAX_BUFFERS = 24
MAX_TAIL = 6
NEST = (Kind.POINTWISE, Kind.REDUCE, Kind.CREATE)
Instr = tuple[Sig, tuple[int, ...]]


@dataclass(slots=True)
class Group:
    """A kernel being formed. `form[slot]` is the keepdim shape of each value it makes; `result` the last value of a contraction's tail."""

    members: list[int] = field(default_factory=list)
    nest: bool = False
    space: tuple[int, ...] = ()
    dims: tuple[int, ...] | None = None
    form: dict[int, tuple[int, ...]] = field(default_factory=dict)
    reads: set[int] = field(default_factory=set)
    result: int = -1

    def row_shape(self) -> tuple[int, ...] | None:
        if self.dims is None:
            return None
        return tuple(1 if i in self.dims else n for i, n in enumerate(self.space))


def slot_starts(instrs: Sequence[Instr]) -> list[int]:
    """The first slot of each instruction."""
    starts, at = [], 0
    for sig, _ in instrs:
        starts.append(at)
        at += len(sig.outs)
    return starts


def reduction_of(sig: Sig) -> str | None:
    """The combining operation of a reduction row."""
    for trait in sig.row.traits:
        if trait.startswith("reduce:"):
            return trait[7:]
    return None


def keepdim_shape(sig: Sig) -> tuple[int, ...]:
    dims = sig.attrs[0]
    return tuple(1 if i in dims else n for i, n in enumerate(sig.types[0].shape))


def needed(instrs: Sequence[Instr], outputs: Sequence[int]) -> set[int]:
    """Instructions that an output or an effect depends on."""
    made_by = [k for k, (sig, _) in enumerate(instrs) for _ in sig.outs]
    keep: set[int] = set()
    stack = [made_by[s] for s in outputs]
    stack += [k for k, (sig, _) in enumerate(instrs) if sig.row.kind is Kind.RANDOM]
    while stack:
        k = stack.pop()
        if k not in keep:
            keep.add(k)
            stack.extend(made_by[a] for a in instrs[k][1])
    return keep


def groups(instrs: Sequence[Instr], outputs: Sequence[int]) -> list[list[int]]:
    """Groups of instruction indices in execution order (leaves and movement ops are in none)."""
    return [g.members for g in form_groups(instrs, outputs)]


def form_groups(instrs: Sequence[Instr], outputs: Sequence[int]) -> list[Group]:
    starts = slot_starts(instrs)
    keep = needed(instrs, outputs)
    made: list[Group] = []
    home: dict[int, int] = {}
    base: dict[int, int] = {}
    uses: dict[int, int] = dict.fromkeys(outputs, 2)
    for k in keep:
        for a in instrs[k][1]:
            uses[a] = uses.get(a, 0) + 1
    for k, (sig, args) in enumerate(instrs):
        if k not in keep or sig.row.kind is Kind.LEAF:
            continue
        if sig.row.view is not None:
            base[starts[k]] = base.get(args[0], args[0])
            continue
        first = 0
        for a in args:
            root = base.get(a, a)
            g = home.get(root)
            if g is not None:
                first = max(first, g if a == root and made[g].nest else g + 1)
        group = None
        if sig.row.kind is Kind.POINTWISE:
            group = _tail(made, instrs, sig, args, home, base, uses)
            if group is not None:
                made[group].members.append(k)
                made[group].result = home_slot = starts[k]
                home[home_slot] = group
                continue
        if sig.row.kind in NEST:
            for at in range(first, len(made)):
                if _fits(made[at], instrs, k, args, at, home):
                    group = at
                    break
        if group is None:
            group = len(made)
            made.append(_open(sig))
        _join(made[group], sig, args, k, starts[k])
        if sig.row.kind is Kind.CONTRACT:
            made[group].result = starts[k]
        for j in range(len(sig.outs)):
            home[starts[k] + j] = group
    return _sink(made, instrs, starts, base)


def _tail(made: list[Group], instrs: Sequence[Instr], sig: Sig, args: Sequence[int], home: dict[int, int], base: dict[int, int],
          uses: dict[int, int]) -> int | None:
    """The contraction whose sums this op can follow: alone, element by element, with operands that are there by then."""
    out = sig.outs[0]
    if out.dtype.lane not in ("f32", "f64") or not out.numel:
        return None
    for a in args:
        at = home.get(a)
        if at is None or made[at].result != a or uses.get(a) != 1 or len(made[at].members) > MAX_TAIL:
            continue
        product = instrs[made[at].members[0]][0]
        per_channel = any(t.startswith("conv:") for t in product.row.traits)
        if product.outs[0] is not out or (per_channel and "conv:forward" not in product.row.traits):
            continue
        for b, t in zip(args, sig.types, strict=True):
            if b == a:
                continue
            if t.scalar:
                if t.const is None:
                    break
                continue
            source = home.get(base.get(b, b))
            if t.dtype is not out.dtype or source is not None and source >= at:
                break
            if per_channel and any(n != 1 for i, n in enumerate((1,) * (out.ndim - t.ndim) + t.shape) if i != 1):
                break
        else:
            return at
    return None


def _sink(made: list[Group], instrs: Sequence[Instr], starts: list[int], base: dict[int, int]) -> list[Group]:
    """Move a nest group down into the first group that reads it, where both are one iteration space.

    Joining only downwards from recording order leaves chains that begin apart (an optimizer's moments) in kernels of their own; a
    group whose readers all come later may run later. What it reads is never overwritten in between: values are functional.
    """
    owner = {starts[k] + j: g for g in made for k in g.members for j in range(len(instrs[k][0].outs))}
    place = {id(g): i for i, g in enumerate(made)}
    readers: dict[int, list[tuple[Group, bool]]] = {}
    for g in made:
        for k in g.members:
            for a in instrs[k][1]:
                maker = owner.get(base.get(a, a))
                if maker is not None and maker is not g:
                    readers.setdefault(id(maker), []).append((g, a not in base))
    for i in range(len(made) - 1, -1, -1):
        g = made[i]
        if not g.nest or not g.members:
            continue
        found = readers.get(id(g), [])
        if not found:
            continue
        first = min((r for r, _ in found), key=lambda r: place[id(r)])
        if not first.nest or not all(direct for r, direct in found if r is first) or not _mergeable(g, first, instrs):
            continue
        first.members = sorted(g.members + first.members)
        first.dims = g.dims if first.dims is None else first.dims
        first.form.update(g.form)
        first.reads |= g.reads
        g.members = []
        for k in first.members:
            for j in range(len(instrs[k][0].outs)):
                owner[starts[k] + j] = first
        merged = [(r, d) for r, d in found if r is not first] + readers.get(id(first), [])
        readers[id(first)] = merged
        for made_by, rs in readers.items():
            readers[made_by] = [(first if r is g else r, d) for r, d in rs if made_by != id(first) or r is not first]
    return [g for g in made if g.members]


def _mergeable(g: Group, into: Group, instrs: Sequence[Instr]) -> bool:
    if g.space != into.space or 0 in g.space or len(g.members) + len(into.members) > MAX_STEPS:
        return False
    if g.dims is not None and into.dims is not None and g.dims != into.dims:
        return False
    if len(g.reads | into.reads) + len(g.members) + len(into.members) > MAX_STEPS + MAX_BUFFERS:
        return False
    for k in into.members:
        sig, args = instrs[k]
        for a, t in zip(args, sig.types, strict=True):
            if a in g.form and g.form[a] != t.shape:
                return False
    return True


def _open(sig: Sig) -> Group:
    g = Group()
    if sig.row.kind in NEST:
        g.nest = True
        g.space = sig.types[0].shape if sig.row.kind is Kind.REDUCE else sig.outs[0].shape
    return g


def _join(g: Group, sig: Sig, args: Sequence[int], k: int, slot: int) -> None:
    g.members.append(k)
    g.reads.update(args)
    if sig.row.kind is Kind.REDUCE:
        g.dims = sig.attrs[0]
        g.form[slot] = keepdim_shape(sig)
    else:
        g.form[slot] = sig.outs[0].shape


def _fits(g: Group, instrs: Sequence[Instr], k: int, args: Sequence[int], at: int, home: dict[int, int]) -> bool:
    if not g.nest or len(g.members) >= MAX_STEPS:
        return False
    sig = instrs[k][0]
    inside = [a for a in args if home.get(a) == at]
    if not inside and not any(a in g.reads for a in args):
        return False
    if len(g.reads) + len(g.members) > MAX_STEPS + MAX_BUFFERS:
        return False
    if sig.row.kind is Kind.REDUCE:
        if sig.types[0].shape != g.space or 0 in g.space:
            return False
        if g.dims is not None and g.dims != sig.attrs[0]:
            return False
        if not sig.attrs[0]:
            return False
    else:
        shape = sig.outs[0].shape
        if shape != g.space and shape != g.row_shape():
            return False
    for a in inside:
        made_by_shape = g.form[a]
        operand = sig.types[list(args).index(a)]
        if operand.shape != made_by_shape:
            return False
    return True

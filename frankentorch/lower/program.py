"""From instructions to a plan: fused groups to kernels, and every value to memory.

Enters: instructions, the slots to store, and which leaves may be written over. Leaves: a `Plan`, plain data that persists: kernel calls
with their argument words, and where each buffer lives (a leaf, a result, or a place in the arena).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from ..errors import NotImplementedYet
from ..ops.record import Sig
from ..ops.table import ROWS, Kind
from ..ops.types import TensorType, broadcast_strides
from .contract_tile import Epilogue, EpilogueOperand
from .fuse import Group, Instr, form_groups, reduction_of, slot_starts
from .kernel import Lowered, Ptr, Scalar
from .plan import Entry, Place, Plan
from .spec import KernelSpec, Operand, Step

ALIGN = 64


def lane_of(op: str, attrs: dict[str, object]) -> Callable[..., Any]:
    """The lane function of a row, by name (rows may name one of `vmath`)."""
    row = ROWS[op]
    if isinstance(row.lane, str):
        from .vmath import FUNCTIONS

        return FUNCTIONS[row.lane]
    if row.lane is None:
        raise NotImplementedYet(f"{op} has no lane function")
    return row.lane


def _result(epilogue: Epilogue | None) -> Ptr:
    """The operand number of a contraction's result: after what its epilogue reads."""
    return Ptr(2 + (len(epilogue.operands) if epilogue is not None else 0))


class _Builder:
    def __init__(self, instrs: Sequence[Instr], live: Sequence[int], donors: dict[int, int], tier: str, threads: int) -> None:
        self.instrs, self.live, self.tier, self.threads = instrs, live, tier, threads
        self.donors = donors
        self.starts = slot_starts(instrs)
        self.types: list[TensorType] = [t for sig, _ in instrs for t in sig.outs]
        self.made_by = [k for k, (sig, _) in enumerate(instrs) for _ in sig.outs]
        self.leaf_number: dict[int, int] = {}
        self.view_of: dict[int, tuple[int, int]] = {}
        for k, (sig, args) in enumerate(instrs):
            slot = self.starts[k]
            if sig.row.kind is Kind.LEAF:
                self.leaf_number[slot] = len(self.leaf_number)
            elif sig.row.view is not None:
                base, offset = self.view_of.get(args[0], (args[0], 0))
                self.view_of[slot] = base, offset + sig.delta * sig.outs[0].dtype.itemsize
        self.groups = form_groups(instrs, live)
        self.buffer_of: dict[int, int] = {}
        self.sizes: list[int] = []
        self.kinds: list[tuple[str, int]] = []
        self.first: list[int] = []
        self.last: list[int] = []
        self.entries: list[Entry] = []
        self.counts: dict[str, int] = {}
        self.donated: list[tuple[int, int]] = []

    # Buffers ----------------------------------------------------------------------------------------------------------
    def new_buffer(self, nbytes: int, kind: str = "temp", index: int = -1) -> int:
        self.sizes.append(nbytes)
        self.kinds.append((kind, index))
        self.first.append(len(self.entries))
        self.last.append(len(self.entries))
        return len(self.sizes) - 1

    def base(self, slot: int) -> tuple[int, int]:
        return self.view_of.get(slot, (slot, 0))

    def buffer(self, slot: int) -> int:
        """The buffer of a stored (non-view) slot."""
        found = self.buffer_of.get(slot)
        if found is None:
            if slot in self.leaf_number:
                found = self.new_buffer(0, "leaf", self.leaf_number[slot])
            else:
                t = self.types[slot]
                if not t.dense:
                    raise AssertionError(f"{self.instrs[self.made_by[slot]][0]!r} has gaps in its result: a shape rule must give dense strides")
                found = self.new_buffer(t.nbytes)
            self.buffer_of[slot] = found
        return found

    def operand(self, slot: int) -> tuple[int, int]:
        """(buffer, byte offset) to read a slot from."""
        root, offset = self.base(slot)
        return self.buffer(root), offset

    def is_scalar(self, slot: int) -> bool:
        return self.types[slot].scalar

    def add(self, lowered: Sequence[Lowered], operands: Sequence[Any], label: str) -> None:
        """Append kernels whose operand numbers index `operands` ((buffer, offset) or ("scalar", leaf)); temporaries follow."""
        temps: dict[int, int] = {}
        for low in lowered:
            words: list[Any] = []
            at = len(self.entries)
            for w in low.args:
                if isinstance(w, Ptr):
                    if w.operand < len(operands):
                        where = operands[w.operand]
                        if where[0] == "scalar":
                            raise AssertionError("a number has no address")
                        words.append((where[0], where[1] + w.byte_offset))
                        self.last[where[0]] = at
                    else:
                        if w.operand not in temps:
                            temps[w.operand] = self.new_buffer(getattr(w, "nbytes", 0))
                        words.append((temps[w.operand], w.byte_offset))
                        self.last[temps[w.operand]] = at
                elif isinstance(w, Scalar):
                    words.append(operands[w.operand])
                else:
                    words.append(int(w))
            if low.units:
                self.entries.append(Entry(low.text, low.symbol, words, low.units, low.grain, low.scratch, label))

    # Groups -----------------------------------------------------------------------------------------------------------
    def run(self) -> Plan:
        live_roots = {self.base(s)[0] for s in self.live}
        self.uses: dict[int, int] = {}
        self.users: dict[int, list[tuple[int, bool]]] = {}
        for gi, g in enumerate(self.groups):
            for k in g.members:
                for a in self.instrs[k][1]:
                    root = self.base(a)[0]
                    self.uses[root] = gi
                    self.users.setdefault(root, []).append((k, root == a))
        self.live_roots = live_roots
        for gi, g in enumerate(self.groups):
            if g.nest:
                self.nest(gi, g)
            elif len(g.members) > 1:
                self.contract(g)
            else:
                self.single(gi, g.members[0])
        return self.finish()

    def outside(self, members: set[int]) -> set[int]:
        """Slots of a group that another group reads, or that any reads through a view."""
        return {self.starts[k] for k in members if any(user not in members or not direct for user, direct in self.users.get(self.starts[k], ()))}

    def nest(self, gi: int, g: Group) -> None:
        members = set(g.members)
        outside = self.outside(members)
        outputs = [self.starts[k] for k in g.members if self.starts[k] in self.live_roots or self.starts[k] in outside]
        if not outputs:
            return
        self.count("nest")
        operands: list[Operand] = []
        number: dict[int, int] = {}
        steps: list[Step] = []
        where: list[Any] = []
        for k in g.members:
            for a in self.instrs[k][1]:
                if a in number or self.made_by[a] in members and self.base(a)[0] == a:
                    continue
                number[a] = len(operands)
                operands.append(self.spec_operand(a, g.space))
                where.append(("scalar", self.leaf_number[a]) if self.is_scalar(a) else self.operand(a))
        n = len(operands)
        for k in g.members:
            sig, args = self.instrs[k]
            steps.append(self.step(sig, [number[a] for a in args], g))
            number[self.starts[k]] = n + len(steps) - 1
        outs = []
        pure = g.dims is None
        for slot in outputs:
            t = self.types[slot]
            sig = self.instrs[self.made_by[slot]][0]
            strides = t.strides
            if sig.row.kind is Kind.REDUCE and not sig.attrs[1]:
                rest = iter(t.strides)
                strides = tuple(0 if i in sig.attrs[0] else next(rest) for i in range(len(g.space)))
            elif len(t.shape) < len(g.space):
                strides = broadcast_strides(t.shape, t.strides, g.space)
            outs.append((number[slot], tuple(strides)))
        for slot in outputs:
            if pure:
                self.donate(slot, g, gi)
            where.append((self.buffer(slot), 0))
        spec = KernelSpec(tuple(operands), tuple(steps), tuple(outs))
        from .nest import lower_nest

        label = "+".join(dict.fromkeys(self.instrs[k][0].row.name for k in g.members))
        self.add(lower_nest(spec, lane_of, self.tier), where, label)

    def donate(self, slot: int, g: Group, gi: int) -> None:
        """Let a result take the memory of the leaf that it replaces, when every read of that leaf is done by then, element by element."""
        old = self.donors.get(slot)
        if old is None or slot in self.buffer_of or self.uses.get(old, -1) > gi or self.types[slot] is not self.types[old]:
            return
        for k in g.members:
            for a in self.instrs[k][1]:
                if self.base(a)[0] == old and (a != old or self.types[a].shape != g.space):
                    return
        if slot not in self.live_roots or old in self.live_roots:
            return
        self.buffer_of[slot] = self.buffer(old)
        self.donated.append((slot, self.leaf_number[old]))

    def spec_operand(self, slot: int, space: tuple[int, ...]) -> Operand:
        t = self.types[slot]
        if t.scalar:
            return Operand(t.dtype.lane, (1,) * len(space), (0,) * len(space), True)
        lead = (1,) * (len(space) - t.ndim)
        shape = lead + t.shape
        if shape == space:
            return Operand(t.dtype.lane, shape, broadcast_strides(t.shape, t.strides, space))
        return Operand(t.dtype.lane, space, broadcast_strides(t.shape, t.strides, space))

    def step(self, sig: Sig, args: list[int], g: Group) -> Step:
        out = sig.outs[0]
        row = sig.row
        reduction = reduction_of(sig)
        if reduction is not None:
            shape = tuple(1 if i in sig.attrs[0] else m for i, m in enumerate(g.space))
            return Step(reduction, tuple(args), (("dims", tuple(sig.attrs[0])),), out.dtype.lane, shape)
        shape = (1,) * (len(g.space) - out.ndim) + out.shape
        if "index" in row.traits:
            return Step("iota", (), (("dim", sig.attrs[1]),), out.dtype.lane, shape)
        if "fill" in row.traits:
            return Step("to", tuple(args), (), out.dtype.lane, shape)
        if "convert" in row.traits or "copy" in row.traits:
            return Step("to", tuple(args), (), out.dtype.lane, shape)
        return Step(row.name, tuple(args), (), out.dtype.lane, shape)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    # Ops that are kernels of their own -----------------------------------------------------------------------------------
    def single(self, gi: int, k: int) -> None:
        sig, args = self.instrs[k]
        slot = self.starts[k]
        row = sig.row
        self.count(row.kind.value)
        if "copies" in row.traits:
            self.copies(gi, sig, args, slot)
            return
        updates = next((t for t in row.traits if t.startswith("updates:")), None)
        if updates is not None:
            self.begin_update(gi, args[int(updates[8:])], slot)
        lowered = self.lower_single(sig)
        where: list[Any] = [("scalar", self.leaf_number[a]) if self.is_scalar(a) else self.operand(a) for a in args]
        where += [(self.buffer(slot + j), 0) for j in range(len(sig.outs))]
        self.add(lowered, where, row.name)

    def contract(self, g: Group) -> None:
        """A contraction and the pointwise ops that follow it, as its epilogue."""
        sig, args = self.instrs[g.members[0]]
        product = self.starts[g.members[0]]
        out = sig.outs[0]
        conv = any(t.startswith("conv:") for t in sig.row.traits)
        number: dict[int, int] = {}
        operands: list[EpilogueOperand] = []
        steps: list[tuple[str, tuple[Any, ...], int]] = []
        known = {product}
        for k in g.members[1:]:
            step, reads = self.instrs[k]
            refs: list[Any] = []
            for a, t in zip(reads, step.types, strict=True):
                if a in known:
                    refs.append(("value", a))
                elif t.scalar:
                    refs.append(("const", t.const))
                else:
                    if a not in number:
                        number[a] = len(operands)
                        strides = broadcast_strides(t.shape, t.strides, out.shape)
                        operands.append(EpilogueOperand(Ptr(2 + number[a]), t.dtype.lane, (strides[1],) if conv else strides))
                    refs.append(("operand", number[a]))
            steps.append((step.row.name, tuple(refs), self.starts[k]))
            known.add(self.starts[k])
        names = {product: 0, **{slot: i + 1 for i, (_, _, slot) in enumerate(steps)}}
        key = "_".join(f"{name}({','.join(kind[0] + str(names[v] if kind == 'value' else v) for kind, v in refs)})" for name, refs, _ in steps)

        def emit(L: Any, acc: Any, extra: list[Any]) -> Any:
            values = {product: acc}
            for name, refs, slot in steps:
                lanes = [values[v] if kind == "value" else L.const(acc.ty, v) if kind == "const" else extra[v] for kind, v in refs]
                values[slot] = lane_of(name, {})(L, *lanes)
            return values[steps[-1][2]]

        self.count(sig.row.kind.value)
        last = self.starts[g.members[-1]]
        digest = blake2b(f"{key}:{','.join(o.dtype for o in operands)}".encode(), digest_size=6).hexdigest()
        lowered = self.lower_single(sig, Epilogue("_".join([name for name, _, _ in steps] + [digest]), emit, tuple(operands)))
        where = [self.operand(a) for a in (*args, *number)]
        self.add(lowered, [*where, (self.buffer(last), 0)], "+".join(self.instrs[k][0].row.name for k in g.members))

    def lower_single(self, sig: Sig, epilogue: Epilogue | None = None) -> list[Lowered]:
        row = sig.row
        for trait in row.traits:
            if trait.startswith("conv:"):
                return self.lower_conv(trait[5:], sig, epilogue)
            if trait.startswith("template:"):
                from .templates import TEMPLATES

                return TEMPLATES[trait[9:]](sig, self.tier)
            if trait == "random":
                from .random_rows import lower_row

                return lower_row(sig)
        if row.kind is Kind.CONTRACT:
            from .contract import lower_matmul

            a, b = sig.types
            c = sig.outs[0]
            lane = a.dtype.lane
            if a.dtype.is_complex:
                raise NotImplementedYet(f"{row.name} of {a.dtype} is not there yet")
            return lower_matmul(lane if lane != "i1" else "u8", a.shape[:-2], a.shape[-2], b.shape[-1], a.shape[-1], a.strides, b.strides, c.strides,
                                tier=self.tier, threads=self.threads, epilogue=epilogue, c=_result(epilogue))
        raise NotImplementedYet(f"no lowering for {row.name} ({row.kind.value})")

    def lower_conv(self, kind: str, sig: Sig, epilogue: Epilogue | None) -> list[Lowered]:
        from .conv import lower_conv

        first, second, out = sig.types[0], sig.types[1], sig.outs[0]
        attrs = dict(zip(sig.row.attrs, sig.attrs, strict=True))
        x, w, y = {"forward": (first, second, out), "input_grad": (out, second, first), "weight_grad": (first, out, second)}[kind]
        if first.dtype.is_complex:
            raise NotImplementedYet(f"convolution of {first.dtype} is not there yet")
        return lower_conv(kind, first.dtype.lane, x.shape, w.shape, y.shape, x.strides, w.strides, y.strides, stride=attrs["stride"],
                          padding=attrs["padding"], dilation=attrs["dilation"], groups=attrs["groups"], tier=self.tier, threads=self.threads,
                          epilogue=epilogue, result=_result(epilogue))

    def copy_into(self, src: int, target: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, label: str) -> None:
        """One kernel that copies a slot into a strided region of a buffer."""
        t = self.types[src]
        if 0 in shape:
            return
        from .nest import lower_nest

        spec = KernelSpec((Operand(t.dtype.lane, shape, broadcast_strides(t.shape, t.strides, shape)),),
                          (Step("to", (0,), (), t.dtype.lane, shape),), ((1, strides),))
        self.add(lower_nest(spec, lane_of, self.tier), [self.operand(src), (target, offset)], label)

    def begin_update(self, gi: int, source: int, slot: int) -> None:
        """Give `slot` the contents of `source`: its memory when nobody needs it any more, else a copy."""
        root, offset = self.base(source)
        t = self.types[slot]
        dies = self.uses.get(root, -1) <= gi and root not in self.live_roots
        same = offset == 0 and self.types[root].strides == t.strides and self.types[root].shape == t.shape and source == root
        if dies and same and (root not in self.leaf_number or self.donors.get(slot) == root):
            self.buffer_of[slot] = self.buffer(root)
            if root in self.leaf_number:
                self.donated.append((slot, self.leaf_number[root]))
            return
        self.copy_into(source, self.buffer(slot), t.shape, t.strides, 0, "copy")

    def copies(self, gi: int, sig: Sig, args: tuple[int, ...], slot: int) -> None:
        """as_strided_scatter and cat: copies into strided regions of the result."""
        t = self.types[slot]
        if "concatenates" in sig.row.traits:
            (dim,) = sig.attrs
            at = 0
            target = self.buffer(slot)
            for a in args:
                shape = self.types[a].shape
                self.copy_into(a, target, shape, t.strides, at * t.strides[dim] * t.dtype.itemsize, sig.row.name)
                at += shape[dim]
            return
        base, src = args
        size, stride, offset = sig.attrs
        aliased = self.base(src)[0] == self.base(base)[0]
        if aliased:
            self.copy_into(base, self.buffer(slot), t.shape, t.strides, 0, "copy")
        else:
            self.begin_update(gi, base, slot)
        self.copy_into(src, self.buffer(slot), size, stride, offset * t.dtype.itemsize, sig.row.name)

    # Memory -----------------------------------------------------------------------------------------------------------------
    def finish(self) -> Plan:
        outs: list[int] = []
        out_of: dict[int, int] = {}
        outputs: list[tuple[int, int, int]] = []
        leaf_views: list[tuple[int, int, int]] = []
        for s in self.live:
            root, offset = self.base(s)
            if root in self.leaf_number:
                leaf_views.append((s, self.leaf_number[root], offset))
                continue
            b = self.buffer(root)
            kind, index = self.kinds[b]
            if kind == "leaf":
                leaf_views.append((s, index, offset))
                continue
            if b not in out_of:
                out_of[b] = len(outs)
                outs.append(max(self.sizes[b], self.types[root].nbytes))
            outputs.append((s, out_of[b], offset))
        places: list[Place] = []
        arena = 0
        taken: list[tuple[int, int, int]] = []
        order = sorted((b for b in range(len(self.sizes)) if b not in out_of and self.kinds[b][0] == "temp"), key=lambda b: self.first[b])
        at: dict[int, int] = {}
        for b in order:
            size = -(-max(self.sizes[b], 1) // ALIGN) * ALIGN
            busy = sorted((o, n) for o, n, end in taken if end >= self.first[b])
            spot = 0
            for o, n in busy:
                if o - spot >= size:
                    break
                spot = max(spot, o + n)
            at[b] = spot
            taken = [x for x in taken if x[2] >= self.first[b]] + [(spot, size, self.last[b])]
            arena = max(arena, spot + size)
        for b, (kind, index) in enumerate(self.kinds):
            if kind == "leaf":
                places.append(Place("leaf", index))
            elif b in out_of:
                places.append(Place("out", out_of[b]))
            else:
                places.append(Place("arena", at[b]))
        return Plan(self.entries, places, outs, arena, outputs, leaf_views, self.donated, self.counts)


def build_plan(instrs: Sequence[Instr], live: Sequence[int], donors: dict[int, int], tier: str, threads: int) -> Plan:
    """Plan the instructions so that the live slots are stored. `donors` maps a slot to the leaf slot whose memory it may take."""
    return _Builder(instrs, live, donors, tier, threads).run()

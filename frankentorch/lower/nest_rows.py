"""The row template: the reduced axis is innermost, lanes run along it.

Enters: a `Canon` with reductions. Leaves: a `Plan`. A work unit is one row (one index of the kept axes); each pass over it is a strip::

    loops.kernel
      split the unit into kept indices; loops.at
      acc = loops.strip 0 to n carry(identity) { loads, lanes, loops.combine }     one a level of reductions
      loops.fold acc; steps on the row's values
      loops.strip 0 to n { loads, lanes, loops.store }                             the full outputs
      loops.store "row"                                                            the row's outputs

Rows longer than a block fold each block apart, keep the results in scratch and reduce those in the same way. Reduced axes that do not merge
are walked in segments whose turns stay aligned to the flat index, so that lanes do not depend on the layout. With `partial`, a unit is one
block of one row, and the folded accumulators are the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.ir import SSAValue

from frankentorch.lower.kernel import Word
from frankentorch.lower.nest_canon import Canon
from frankentorch.lower.nest_phases import Sweep, accumulators, finished, full_outputs, sweeps
from frankentorch.lower.nest_plan import BLOCK, Body, Builder, Plan, item_bytes
from frankentorch.lower.nest_pointwise import access_class, buffer_dtypes, steps_key
from frankentorch.lower.nest_values import Place, needed, unroll_for
from frankentorch.lower.translate import LaneOf

Partial = Sequence[Sequence[Word]]


def plan_rows(canon: Canon, lane_of: LaneOf, pointers: Sequence[Word], partial: Partial | None = None) -> Plan:
    """Plan a kernel whose lanes run along the last reduced axis."""
    passes = sweeps(canon, lane_of, canon.n)
    if partial is not None:
        passes = passes[:1]
    rank, inner = len(canon.kept), len(canon.kept) + len(canon.reduced) - 1
    dtypes = buffer_dtypes(canon)
    roots = passes[0].reductions if partial is not None else [v for v, _ in canon.spec.outputs]
    used = needed(canon, roots, lambda v: False)
    buffers = [k for k, s in enumerate(canon.strides) if s is not None and (k in used if k < canon.inputs else partial is None)]
    stores = full_outputs(canon)
    classes = {}
    for k in buffers:
        strides = canon.strides[k] or ()
        whole = k < canon.inputs or k - canon.inputs in stores
        classes[k] = access_class(strides[inner], canon.reduced[-1]) if whole else "row"
        if k >= canon.inputs and classes[k] == "splat":
            classes[k] = "unit"
    words = _words(canon, buffers, classes, pointers, used)
    blocked = canon.n > BLOCK
    if blocked:
        words["blocks"] = -(-canon.n // BLOCK)
    for r, targets in enumerate(partial or ()):
        words |= {f"part{r}_{c}": word for c, word in enumerate(targets)}
    kept_values = [v for sweep in passes for v in sweep.keeps]
    spill = max((sum(len(accumulators(canon, v)) for v in s.reductions) for s in passes), default=0) * BLOCK * 8 if blocked else 0
    scratch = spill + canon.n * sum(item_bytes(canon.spec.dtype_of(v)) for v in kept_values) + 64
    template = _Rows(canon, passes, classes, dtypes, blocked, spill, partial is not None)
    structure = (steps_key(canon), tuple(classes.items()), tuple(dtypes), rank, len(canon.reduced), blocked, partial is not None,
                 tuple(s.key() for s in passes), tuple(s.cost for s in passes), tuple(stores))
    units = canon.rows * (words["blocks"] if partial is not None else 1)  # type: ignore[operator]
    cost = sum(max(1, s.cost // 8) for s in passes)
    grain = max(1, 32768 // max(1, min(canon.n, BLOCK if partial is not None else canon.n) * cost))
    return Plan("rows", structure, words, template.build, units, grain, scratch)


def _words(canon: Canon, buffers: Sequence[int], classes: dict[int, str], pointers: Sequence[Word], used: Sequence[int]) -> dict[str, Word]:
    rank, inner = len(canon.kept), len(canon.kept) + len(canon.reduced) - 1
    words: dict[str, Word] = {f"p{k}": pointers[k] for k in buffers}
    words |= {f"scalar{v}": pointers[v] for v in used if v < canon.inputs and canon.spec.operands[v].is_scalar}
    words |= {f"size{a}": size for a, size in enumerate(canon.kept) if a}
    words["n"], words["rows"] = canon.n, canon.rows
    if len(canon.reduced) > 1:
        words |= {f"size{rank + a}": max(size, 1) for a, size in enumerate(canon.reduced) if a}
    for k in buffers:
        strides = canon.strides[k] or ()
        words |= {f"s{k}_{a}": s for a, s in enumerate(strides) if s and (a != inner or classes[k] == "strided")}
    return words


class _Rows:
    """One build of the template."""

    def __init__(self, canon: Canon, passes: Sequence[Sweep], classes: dict[int, str], dtypes: Sequence[str], blocked: bool,
                 spill: int, partial: bool) -> None:
        self.canon, self.passes, self.classes, self.dtypes = canon, passes, classes, dtypes
        self.blocked, self.spill, self.partial = blocked, spill, partial
        self.rank, self.inner = len(canon.kept), len(canon.kept) + len(canon.reduced) - 1
        self.caches: dict[int, SSAValue] = {}

    def build(self, b: Builder) -> None:
        self.b = b
        unit: SSAValue = b.unit
        self.block: SSAValue | None = None
        if self.partial:
            unit, self.block = b.split(unit, [b.word("blocks")])
        self.row = unit
        self.indices = list(b.split(unit, [b.word(f"size{a}") for a in range(1, self.rank)])) if self.rank else []
        self.bases = {k: self._at(b.word(f"p{k}"), k, range(self.rank), self.indices) for k in self.classes}
        self.zero = b.const(0)
        self.place = Place(b, self.canon, lambda k: b.load("splat", self.dtypes[k], self.bases[k], self.zero), self._row_index)
        self._caches()
        for sweep in self.passes:
            self._prepare(sweep)
            if sweep.reductions:
                self._reduce(sweep)
            else:
                self._sweep(self.zero, b.word("n"), sweep, (), lambda place, body: ())
        if not self.partial:
            for j, (value, _) in enumerate(self.canon.spec.outputs):
                k = self.canon.inputs + j
                if self.classes[k] == "row":
                    b.store("row", self.place.value(value), self.bases[k], self.zero)

    def _at(self, base: SSAValue, k: int, axes: Sequence[int], indices: Sequence[SSAValue]) -> SSAValue:
        here = [(i, self.b.word(f"s{k}_{a}")) for a, i in zip(axes, indices, strict=True) if f"s{k}_{a}" in self.b.words]
        return self.b.at(base, [i for i, _ in here], [s for _, s in here], item_bytes(self.dtypes[k]))

    def _row_index(self, axis: int | None, dtype: str) -> SSAValue:
        return self.b.lane("full", [], dtype, [("value", 0)]) if axis is None else self.b.iota("rows", self.indices[axis], dtype)

    def _caches(self) -> None:
        at = self.b.scratch(self.spill) if any(s.keeps for s in self.passes) else None
        values = sorted({v for s in self.passes for v in s.keeps}, key=lambda v: -item_bytes(self.canon.spec.dtype_of(v)))
        for v in values:
            assert at is not None
            self.caches[v] = at
            if v != values[-1]:
                at = self.b.at(at, [self.b.word("n")], [self.b.const(1)], item_bytes(self.canon.spec.dtype_of(v)))

    def _prepare(self, sweep: Sweep) -> None:
        """Write what a pass needs of the row's own values before its loop opens."""
        for v in sweep.needs:
            operand = self.canon.spec.operands[v] if v < self.canon.inputs else None
            if not self.canon.full[v] or operand is not None and operand.is_scalar:
                self.place.value(v)

    # Loops ----------------------------------------------------------------------------------------------------
    def _sweep(self, lo: SSAValue, hi: SSAValue, sweep: Sweep, inits: Sequence[SSAValue],
               turn: Callable[[Place, Body], Sequence[SSAValue]]) -> list[SSAValue]:
        """One pass over flat indices [lo, hi); `lo` is a multiple of the block."""
        b, unroll = self.b, unroll_for(sweep.cost)
        if len(self.canon.reduced) == 1:
            with b.strip(lo, hi, unroll, inits) as body:
                body.nexts = self._turn(sweep, body, body.index, self.bases, {}, turn)
            return body.outs
        sizes = [b.word(f"size{a}") for a in range(self.rank + 1, self.inner + 1)]
        width = sizes[-1]
        first = b.split(lo, [width])[0]
        with b.for_(first, b.calc("cdiv", hi, width), inits) as segment:
            start, end = b.chunk(segment.index, width, hi)
            begin = b.calc("max", start, lo)
            outer = dict(zip(range(self.rank, self.inner), b.split(segment.index, sizes[:-1]), strict=True))
            bases = {k: self._at(self.bases[k], k, list(outer), list(outer.values())) if self.classes[k] != "row" else self.bases[k]
                     for k in self.classes}
            with b.strip(begin, end, unroll, segment.carried, aligned=True) as body:
                body.nexts = self._turn(sweep, body, b.calc("sub", body.index, start), bases, outer, turn)
            segment.nexts = body.outs
        return segment.outs

    def _turn(self, sweep: Sweep, body: Body, index: SSAValue, bases: dict[int, SSAValue], outer: dict[int, SSAValue],
              turn: Callable[[Place, Body], Sequence[SSAValue]]) -> Sequence[SSAValue]:
        b, canon = self.b, self.canon

        def stride(k: int) -> SSAValue | None:
            return b.word(f"s{k}_{self.inner}") if self.classes[k] == "strided" else None

        def iota(axis: int | None, dtype: str) -> SSAValue:
            if axis == self.inner:
                return b.iota("lanes", index, dtype)
            return b.iota("rows", outer[axis], dtype) if axis in outer else self._row_index(axis, dtype)

        def read(k: int) -> SSAValue:
            return b.load(self.classes[k], self.dtypes[k], bases[k], self.zero if self.classes[k] == "splat" else index, stride(k))

        place = Place(b, canon, read, iota, self.place)
        for v, at in self.caches.items():
            if v in sweep.needs and v not in sweep.keeps:
                place.known[v] = b.load("unit", canon.spec.dtype_of(v), at, body.index)
        nexts = turn(place, body)
        for v in sweep.keeps:
            b.store("unit", place.value(v), self.caches[v], body.index)
        values = [(canon.inputs + j, place.value(canon.spec.outputs[j][0])) for j in sweep.stores]
        for k, value in values:
            b.store(self.classes[k], value, bases[k], index, stride(k))
        return nexts

    # Reductions -----------------------------------------------------------------------------------------------
    def _reduce(self, sweep: Sweep) -> None:
        b = self.b
        if self.block is not None:
            accs = self._fold_range(sweep, *b.chunk(self.block, b.const(BLOCK), b.word("n")))
            at = b.calc("add", b.calc("mul", self.block, b.word("rows")), self.row)
            for r, acc in enumerate(accs):
                for c, part in enumerate(acc):
                    b.store("row", part, b.word(f"part{r}_{c}"), at)
            return
        accs = self._fold_blocks(sweep) if self.blocked else self._fold_range(sweep, self.zero, b.word("n"))
        for v, acc in zip(sweep.reductions, accs, strict=True):
            self.place.known[v] = finished(b, self.canon, v, acc)

    def _kinds(self, sweep: Sweep) -> list[tuple[str, list[str]]]:
        return [(self.canon.spec.steps[v - self.canon.inputs].op, accumulators(self.canon, v)) for v in sweep.reductions]

    def _start(self, kinds: Sequence[tuple[str, list[str]]]) -> list[SSAValue]:
        return [acc for kind, types in kinds for acc in self.b.identity(kind, types)]

    def _fold(self, kinds: Sequence[tuple[str, list[str]]], flat: Sequence[SSAValue]) -> list[Sequence[SSAValue]]:
        return [self.b.fold(kind, acc) for (kind, _), acc in zip(kinds, _grouped(kinds, flat), strict=True)]

    def _fold_range(self, sweep: Sweep, lo: SSAValue, hi: SSAValue) -> list[Sequence[SSAValue]]:
        """The folded accumulators of at most one block."""
        kinds = self._kinds(sweep)

        def turn(place: Place, body: Body) -> list[SSAValue]:
            nexts: list[SSAValue] = []
            for v, (kind, types), acc in zip(sweep.reductions, kinds, _grouped(kinds, body.carried), strict=True):
                args = self.canon.spec.steps[v - self.canon.inputs].args
                xs = [place.value(a) for a in args]
                if kind.startswith("arg") and len(xs) < len(types):
                    xs.append(self.b.iota("lanes", body.index, "i64"))
                nexts.extend(self.b.combine(kind, acc, xs))
            return nexts
        return self._fold(kinds, self._sweep(lo, hi, sweep, self._start(kinds), turn))

    def _fold_blocks(self, sweep: Sweep) -> list[Sequence[SSAValue]]:
        """A long row: blocks folded into scratch, then the blocks' results reduced in the same way."""
        b, kinds = self.b, self._kinds(sweep)
        flat_types = [t for _, types in kinds for t in types]
        spill = [b.scratch(k * BLOCK * 8) for k in range(len(flat_types))]
        with b.for_(self.zero, b.word("blocks")) as block:
            folded = self._fold_range(sweep, *b.chunk(block.index, b.const(BLOCK), b.word("n")))
            for at, part in zip(spill, [p for acc in folded for p in acc], strict=True):
                b.store("row", part, at, block.index)
        with b.strip(self.zero, b.word("blocks"), 1, self._start(kinds)) as body:
            xs = _grouped(kinds, [b.load("unit", t, at, body.index) for t, at in zip(flat_types, spill, strict=True)])
            groups = zip(kinds, _grouped(kinds, body.carried), xs, strict=True)
            body.nexts = [v for (kind, _), acc, x in groups for v in b.combine(kind, acc, x)]
        return self._fold(kinds, body.outs)


def _grouped(kinds: Sequence[tuple[str, list[str]]], flat: Sequence[SSAValue]) -> list[Sequence[SSAValue]]:
    out, at = [], 0
    for _, types in kinds:
        out.append(flat[at:at + len(types)])
        at += len(types)
    return out

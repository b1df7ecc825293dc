"""The column template: a kept axis is innermost, lanes run across it.

Enters: a `Canon` with reductions. Leaves: a `Plan`. A work unit is up to `WIDTH` columns. Each reduction has sixteen accumulators a
column, in scratch; row r of the reduced axes joins number r mod 16: the same arithmetic in the same order as the row template's lanes::

    loops.kernel
      for each pass
        loops.strip columns { loops.identity -> accumulators }                  sixteen rows of them
        loops.for r in 0 to n { loops.strip columns { loads, lanes, combine with accumulator r mod 16 } }
        loops.strip columns { loops.fold_rows; steps on the column's values -> scratch, outputs }
      loops.for r { loops.strip columns { ...; loops.store } }                  the full outputs

With `partial`, a unit is also one block of rows, and the folded accumulators are the outputs. With `by_lane` too, a unit is one lane of one
block: it reads every sixteenth row in long runs, and its accumulators, not yet folded, are the outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

from xdsl.ir import SSAValue

from frankentorch.lower.kernel import Word
from frankentorch.lower.nest_canon import Canon
from frankentorch.lower.nest_phases import Sweep, accumulators, finished, full_outputs, sweeps
from frankentorch.lower.nest_plan import BLOCK, LANES, Builder, Plan, item_bytes
from frankentorch.lower.nest_pointwise import access_class, buffer_dtypes, steps_key
from frankentorch.lower.nest_values import Place, needed, unroll_for
from frankentorch.lower.translate import LaneOf

WIDTH, LANE_WIDTH = 128, 1024
Partial = Sequence[Sequence[Word]]


def plan_columns(canon: Canon, lane_of: LaneOf, pointers: Sequence[Word], partial: Partial | None = None,
                 by_lane: bool = False) -> Plan:
    """Plan a kernel whose lanes run along the last kept axis."""
    passes = sweeps(canon, lane_of, canon.n * WIDTH)
    if partial is not None:
        passes = passes[:1]
    axis, dtypes = len(canon.kept) - 1, buffer_dtypes(canon)
    roots = passes[0].reductions if partial is not None else [v for v, _ in canon.spec.outputs]
    used = needed(canon, roots, lambda v: False)
    buffers = [k for k, s in enumerate(canon.strides) if s is not None and (k in used if k < canon.inputs else partial is None)]
    classes = {k: access_class((canon.strides[k] or ())[axis], canon.kept[-1]) for k in buffers}
    classes |= {k: "unit" for k in buffers if k >= canon.inputs and classes[k] == "splat"}
    words = _words(canon, buffers, classes, pointers, used, LANE_WIDTH if by_lane else unit_width(canon))
    if partial is not None:
        words["blocks"] = -(-canon.n // BLOCK)
    for r, targets in enumerate(partial or ()):
        words |= {f"part{r}_{c}": word for c, word in enumerate(targets)}
    stores = full_outputs(canon)
    template = _Columns(canon, passes, classes, dtypes, stores, partial is not None, by_lane)
    structure = (steps_key(canon), tuple(classes.items()), tuple(dtypes), len(canon.kept), len(canon.reduced), partial is not None, by_lane,
                 tuple(s.key() for s in passes), tuple(s.cost for s in passes), tuple(stores))
    width = LANE_WIDTH if by_lane else unit_width(canon)
    units = -(-canon.kept[-1] // width) * (canon.rows // canon.kept[-1]) * (-(-canon.n // BLOCK) if partial is not None else 1)
    if by_lane:
        units *= LANES
    per_unit = min(canon.n, BLOCK // LANES if by_lane else BLOCK if partial is not None else canon.n) * min(canon.kept[-1], width)
    grain = max(1, 32768 // max(1, per_unit * sum(max(1, s.cost // 8) for s in passes)))
    kept = sum(item_bytes(canon.spec.dtype_of(v)) for sweep in passes for v in sweep.keeps) * canon.n * WIDTH
    return Plan("columns", structure, words, template.build, units, grain, template.scratch + kept + 64)


def unit_width(canon: Canon) -> int:
    """Columns of a work unit: wide ones read memory in longer runs, narrow ones give more threads something to do."""
    return WIDTH if canon.rows >= 16 * WIDTH else WIDTH // 2


def _words(canon: Canon, buffers: Sequence[int], classes: dict[int, str], pointers: Sequence[Word], used: Sequence[int],
           width: int) -> dict[str, Word]:
    rank, axis = len(canon.kept), len(canon.kept) - 1
    words: dict[str, Word] = {f"p{k}": pointers[k] for k in buffers}
    words |= {f"scalar{v}": pointers[v] for v in used if v < canon.inputs and canon.spec.operands[v].is_scalar}
    words |= {f"size{a}": size for a, size in enumerate(canon.kept[:-1]) if a}
    words["columns"], words["width"], words["groups"] = canon.kept[-1], width, -(-canon.kept[-1] // width)
    words["n"], words["rows"] = canon.n, canon.rows
    words |= {f"size{rank + a}": size for a, size in enumerate(canon.reduced) if a}
    for k in buffers:
        strides = canon.strides[k] or ()
        words |= {f"s{k}_{a}": s for a, s in enumerate(strides) if s and (a != axis or classes[k] == "strided")}
    return words


class _Columns:
    """One build of the template. Column values and accumulators lie in scratch, `WIDTH` to a row."""

    def __init__(self, canon: Canon, passes: Sequence[Sweep], classes: dict[int, str], dtypes: Sequence[str], stores: Sequence[int],
                 partial: bool, by_lane: bool) -> None:
        self.canon, self.passes, self.classes, self.dtypes = canon, passes, classes, dtypes
        self.stores, self.partial, self.by_lane = stores, partial, by_lane
        self.rank, self.axis = len(canon.kept), len(canon.kept) - 1
        self.saved: dict[int, SSAValue] = {}
        self.offsets: dict[int, int] = {}
        top = max((sum(len(accumulators(canon, v)) for v in s.reductions) for s in passes), default=0) * LANES * WIDTH * 8
        for value in self._column_values():
            self.offsets[value] = top
            top += WIDTH * 16
        self.scratch = top

    def _column_values(self) -> list[int]:
        """What later loops need of the columns: values known only after a reduction, at the border to full values."""
        canon = self.canon
        found = {v for s in self.passes[1:] for v in s.needs if not canon.full[v] and canon.level[v] > 0}
        for s in self.passes:
            found |= set(s.reductions)
        return sorted(found)

    def build(self, b: Builder) -> None:
        self.b = b
        self.zero = b.const(0)
        unit: SSAValue = b.unit
        self.block: SSAValue | None = None
        if self.by_lane:
            unit, self.lane = b.split(unit, [b.const(LANES)])
        if self.partial:
            unit, self.block = b.split(unit, [b.word("blocks")])
        self.outer, group = b.split(unit, [b.word("groups")])
        self.indices = list(b.split(self.outer, [b.word(f"size{a}") for a in range(1, self.axis)])) if self.axis else []
        self.first, last = b.chunk(group, b.word("width"), b.word("columns"))
        self.width = b.calc("sub", last, self.first)
        self.bases = {}
        for k in self.classes:
            base = self._at(b.word(f"p{k}"), k, range(self.axis), self.indices)
            if self.classes[k] != "splat":
                stride = b.word(f"s{k}_{self.axis}") if self.classes[k] == "strided" else b.const(1)
                base = b.at(base, [self.first], [stride], item_bytes(self.dtypes[k]))
            self.bases[k] = base
        self.caches = self._caches()
        self.offset_values = {v: b.scratch(at) for v, at in self.offsets.items()}
        for sweep in self.passes:
            if self.by_lane:
                self._reduce_lane(sweep)
            elif sweep.reductions:
                self._reduce(sweep)
            else:
                self._store_full(sweep)
        if not self.partial:
            self._store_rows()

    def _at(self, base: SSAValue, k: int, axes: Sequence[int], indices: Sequence[SSAValue]) -> SSAValue:
        here = [(i, self.b.word(f"s{k}_{a}")) for a, i in zip(axes, indices, strict=True) if f"s{k}_{a}" in self.b.words]
        return self.b.at(base, [i for i, _ in here], [s for _, s in here], item_bytes(self.dtypes[k]))

    def _caches(self) -> dict[int, SSAValue]:
        """Where dear values are kept between passes: one row of `WIDTH` for each row of the reduced axes."""
        b = self.b
        out: dict[int, SSAValue] = {}
        last, size = 0, 0
        values = sorted({v for s in self.passes for v in s.keeps}, key=lambda v: -item_bytes(self.canon.spec.dtype_of(v)))
        for v in values:
            out[v] = b.at(out[last], [b.word("n")], [b.const(WIDTH)], size) if out else b.scratch(self.scratch)
            last, size = v, item_bytes(self.canon.spec.dtype_of(v))
        return out

    def _kept(self, sweep: Sweep, flat: SSAValue) -> dict[int, SSAValue]:
        """The rows of kept values that a pass writes or reads."""
        b, pitch = self.b, [self.b.const(WIDTH)] if self.caches else []
        return {v: b.at(at, [flat], pitch, item_bytes(self.canon.spec.dtype_of(v))) for v, at in self.caches.items() if v in sweep.needs}

    def _recall_kept(self, sweep: Sweep, kept: dict[int, SSAValue], place: Place, index: SSAValue) -> None:
        for v, at in kept.items():
            if v not in sweep.keeps:
                place.known[v] = self.b.load("unit", self.canon.spec.dtype_of(v), at, index)

    def _save_kept(self, sweep: Sweep, kept: dict[int, SSAValue], place: Place, index: SSAValue) -> None:
        for v in sweep.keeps:
            self.b.store("unit", place.value(v), kept[v], index)

    # Places ---------------------------------------------------------------------------------------------------
    def _stride(self, k: int) -> SSAValue | None:
        return self.b.word(f"s{k}_{self.axis}") if self.classes[k] == "strided" else None

    def _place(self, index: SSAValue, bases: dict[int, SSAValue], rows: Sequence[SSAValue]) -> Place:
        """Values at sixteen columns, of one row of the reduced axes or (no `rows`) of the columns themselves."""
        b = self.b

        def read(k: int) -> SSAValue:
            return b.load(self.classes[k], self.dtypes[k], bases[k], self.zero if self.classes[k] == "splat" else index, self._stride(k))

        def iota(axis: int | None, dtype: str) -> SSAValue:
            if axis is None:
                return b.lane("full", [], dtype, [("value", 0)])
            if axis == self.axis:
                return b.iota("lanes", b.calc("add", self.first, index), dtype)
            return b.iota("rows", self.indices[axis] if axis < self.axis else rows[axis - self.rank], dtype)

        return Place(b, self.canon, read, iota)

    def _recall(self, place: Place, index: SSAValue, values: Sequence[int]) -> None:
        for v in values:
            if v in self.saved:
                place.known[v] = self.b.load("unit", self.canon.spec.dtype_of(v), self.saved[v], index)

    @contextmanager
    def _rows(self, lo: SSAValue, hi: SSAValue, first: SSAValue | None = None) -> Any:
        """A loop over rows (or every sixteenth from `first`); gives the row, its indices along the reduced axes, each buffer's address."""
        b = self.b
        with b.for_(lo, hi) as row:
            flat = row.index if first is None else b.calc("add", first, b.calc("mul", row.index, b.const(LANES)))
            axes = range(self.rank, self.rank + len(self.canon.reduced))
            rows = b.split(flat, [b.word(f"size{a}") for a in axes[1:]])
            yield flat, rows, {k: self._at(base, k, axes, rows) for k, base in self.bases.items()}

    # Passes ---------------------------------------------------------------------------------------------------
    def _reduce(self, sweep: Sweep) -> None:
        b, canon = self.b, self.canon
        kinds = [(v, canon.spec.steps[v - canon.inputs], accumulators(canon, v)) for v in sweep.reductions]
        types = [t for _, _, ts in kinds for t in ts]
        accs = [b.scratch(k * LANES * WIDTH * 8) for k in range(len(types))]
        pitch = b.const(WIDTH)
        with b.for_(self.zero, b.const(LANES)) as lane:
            rows = [b.at(at, [lane.index], [pitch], item_bytes(t)) for at, t in zip(accs, types, strict=True)]
            with b.strip(self.zero, self.width, 0) as strip:
                starts = [s for _, step, ts in kinds for s in b.identity(step.op, ts)]
                for at, start in zip(rows, starts, strict=True):
                    b.store("unit", start, at, strip.index)
        lo, hi = b.chunk(self.block, b.const(BLOCK), b.word("n")) if self.block is not None else (self.zero, b.word("n"))
        with self._rows(lo, hi) as (flat, indices, bases):
            number = b.split(flat, [b.const(LANES)])[1]
            rows = [b.at(at, [number], [pitch], item_bytes(t)) for at, t in zip(accs, types, strict=True)]
            kept = self._kept(sweep, flat)
            with b.strip(self.zero, self.width, unroll_for(sweep.cost)) as strip:
                place = self._place(strip.index, bases, indices)
                self._recall(place, strip.index, sweep.needs)
                self._recall_kept(sweep, kept, place, strip.index)
                self._join(kinds, rows, place, strip.index, flat)
                self._save_kept(sweep, kept, place, strip.index)
        if self.partial:
            self._store_partial(kinds, accs)
        else:
            self._finish(sweep, kinds, accs)

    def _reduce_lane(self, sweep: Sweep) -> None:
        """Accumulate one lane of one block in the output itself."""
        b, canon = self.b, self.canon
        assert self.block is not None
        kinds = [(v, canon.spec.steps[v - canon.inputs], accumulators(canon, v)) for v in sweep.reductions]
        number = b.calc("add", b.calc("mul", self.block, b.const(LANES)), self.lane)
        start = self._partial_start(number)
        parts = [b.at(b.word(f"part{r}_{c}"), [start], [b.const(1)], item_bytes(t))
                 for r, (_, _, ts) in enumerate(kinds) for c, t in enumerate(ts)]
        with b.strip(self.zero, self.width, 0) as strip:
            starts = [s for _, step, ts in kinds for s in b.identity(step.op, ts)]
            for at, value in zip(parts, starts, strict=True):
                b.store("unit", value, at, strip.index)
        lo, hi = b.chunk(self.block, b.const(BLOCK), b.word("n"))
        first = b.calc("add", lo, self.lane)
        count = b.calc("cdiv", b.calc("sub", hi, first), b.const(LANES))
        with self._rows(self.zero, count, first) as (flat, indices, bases), b.strip(self.zero, self.width, unroll_for(sweep.cost)) as strip:
            place = self._place(strip.index, bases, indices)
            self._join(kinds, parts, place, strip.index, flat)

    def _partial_start(self, number: SSAValue) -> SSAValue:
        """Where this unit's columns begin in the outputs of row `number` of accumulators."""
        b = self.b
        return b.calc("add", b.calc("add", b.calc("mul", number, b.word("rows")), b.calc("mul", self.outer, b.word("columns"))), self.first)

    def _join(self, kinds: Sequence[Any], rows: Sequence[SSAValue], place: Place, index: SSAValue, flat: SSAValue) -> None:
        b, at = self.b, 0
        for _, step, ts in kinds:
            here = rows[at:at + len(ts)]
            at += len(ts)
            xs = [place.value(a) for a in step.args]
            if step.op.startswith("arg") and len(xs) < len(ts):
                xs.append(b.iota("rows", flat, "i64"))
            old = [b.load("unit", t, row, index) for t, row in zip(ts, here, strict=True)]
            for new, row in zip(b.combine(step.op, old, xs), here, strict=True):
                b.store("unit", new, row, index)

    def _store_partial(self, kinds: Sequence[Any], accs: Sequence[SSAValue]) -> None:
        b, at = self.b, 0
        assert self.block is not None
        start = self._partial_start(self.block)
        with b.strip(self.zero, self.width, 0) as strip:
            for r, (_, step, ts) in enumerate(kinds):
                folded = b.fold_rows(step.op, accs[at:at + len(ts)], strip.index, WIDTH, ts)
                at += len(ts)
                for c, part in enumerate(folded):
                    b.store("unit", part, b.word(f"part{r}_{c}"), b.calc("add", start, strip.index))

    def _finish(self, sweep: Sweep, kinds: Sequence[Any], accs: Sequence[SSAValue]) -> None:
        """Fold a pass's accumulators and work out the column values that are known from then on."""
        b, canon, at = self.b, self.canon, 0
        level = max(canon.level[v] for v in sweep.reductions)
        known = [v for v in self.offsets if canon.level[v] == level]
        with b.strip(self.zero, self.width, 0) as strip:
            place = self._place(strip.index, self.bases, ())
            self._recall(place, strip.index, [v for v in self.offsets if canon.level[v] < level])
            for v, step, ts in kinds:
                folded = b.fold_rows(step.op, accs[at:at + len(ts)], strip.index, WIDTH, ts)
                at += len(ts)
                place.known[v] = finished(b, canon, v, folded)
            for v in known:
                b.store("unit", place.value(v), self.offset_values[v], strip.index)
        self.saved |= {v: self.offset_values[v] for v in known}

    def _store_full(self, sweep: Sweep) -> None:
        b, canon = self.b, self.canon
        with self._rows(self.zero, b.word("n")) as (flat, indices, bases):
            kept = self._kept(sweep, flat)
            with b.strip(self.zero, self.width, unroll_for(sweep.cost)) as strip:
                place = self._place(strip.index, bases, indices)
                self._recall(place, strip.index, sweep.needs)
                self._recall_kept(sweep, kept, place, strip.index)
                values = [(canon.inputs + j, place.value(canon.spec.outputs[j][0])) for j in sweep.stores]
                for k, value in values:
                    b.store(self.classes[k], value, bases[k], strip.index, self._stride(k))

    def _store_rows(self) -> None:
        """The outputs that have one value a column."""
        b, canon = self.b, self.canon
        outputs = [j for j in range(len(canon.spec.outputs)) if j not in self.stores]
        if not outputs:
            return
        with b.strip(self.zero, self.width, 0) as strip:
            place = self._place(strip.index, self.bases, ())
            self._recall(place, strip.index, list(self.offsets))
            values = [(canon.inputs + j, place.value(canon.spec.outputs[j][0])) for j in outputs]
            for k, value in values:
                b.store(self.classes[k], value, self.bases[k], strip.index, self._stride(k))

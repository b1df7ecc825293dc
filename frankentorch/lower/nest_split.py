"""Which kernels compute a spec: the choice of template, and the splitting of long reductions over several kernels.

Enters: a `KernelSpec`. Leaves: plans in the order in which they must run. A long reduction becomes, for each level of its reductions,

    partial   [blocks, kept] accumulators, one work unit a block (rows or columns template)
    combine   the same reduction over the blocks, and the row values that follow from it
    ...
    finish    a pointwise kernel for the full outputs

with temporaries between them. Nothing here can change bits: a block is the contract's block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from frankentorch.lower.kernel import Ptr, Scalar, Word
from frankentorch.lower.nest_canon import Canon, canonicalise, classify, reorder_kept
from frankentorch.lower.nest_columns import plan_columns
from frankentorch.lower.nest_phases import accumulators, full_outputs
from frankentorch.lower.nest_plan import BLOCK, LANES, Plan, Temp, item_bytes
from frankentorch.lower.nest_pointwise import plan_pointwise
from frankentorch.lower.nest_rows import plan_rows
from frankentorch.lower.nest_values import needed
from frankentorch.lower.spec import KernelSpec, Operand, Step
from frankentorch.lower.translate import COMPLEX_PART, LaneOf

SHORT_ROW, FEW_ROWS, NARROW = 8, 8, 4
LARGE, WIDE = 1 << 20, 256


def plans_for(spec: KernelSpec, lane_of: LaneOf) -> list[Plan]:
    """The plans of a spec; none when no output has an element."""
    if all(0 in spec.shape_of(value) for value, _ in spec.outputs):
        return []
    pointers: list[Word] = [Scalar(k) if o.is_scalar else Ptr(k) for k, o in enumerate(spec.operands)]
    pointers += [Ptr(len(spec.operands) + j) for j in range(len(spec.outputs))]
    return _Planner(lane_of, len(pointers)).plans(spec, pointers)


def column_axis(canon: Canon) -> int | None:
    """The kept axis to run lanes along, or None where they should run along the last reduced axis."""
    if not canon.kept:
        return None
    full = [s for k, s in enumerate(canon.strides) if s is not None and (k >= canon.inputs or canon.full[k])]
    inner = len(canon.kept) + len(canon.reduced) - 1

    def unit(axis: int) -> int:
        return sum(s[axis] == 1 for s in full)
    best = max(range(len(canon.kept)), key=lambda a: (unit(a), canon.kept[a]))
    if canon.n <= SHORT_ROW and canon.kept[best] >= 16:
        return best
    return best if unit(best) > unit(inner) and canon.kept[best] > NARROW else None


@dataclass(slots=True)
class _Planner:
    lane_of: LaneOf
    operands: int
    out: list[Plan] = field(default_factory=list)

    def plans(self, spec: KernelSpec, pointers: Sequence[Word]) -> list[Plan]:
        self._add(spec, pointers)
        return self.out

    def _temp(self, dtype: str, elements: int) -> Temp:
        self.operands += 1
        return Temp(self.operands - 1, 0, max(elements, 1) * item_bytes(dtype))

    def _add(self, spec: KernelSpec, pointers: Sequence[Word]) -> None:
        canon = canonicalise(spec)
        if not canon.reduced:
            self.out.append(plan_pointwise(canon, self.lane_of, pointers))
            return
        axis = column_axis(canon)
        if axis is not None:
            reorder_kept(canon, [a for a in range(len(canon.kept)) if a != axis] + [axis])
        few = canon.n > BLOCK * BLOCK or canon.n > 4 * BLOCK and canon.rows < FEW_ROWS
        if few if axis is None else canon.n > BLOCK or _by_lane(canon):
            self._split(canon, pointers, columns=axis is not None)
        else:
            self.out.append((plan_rows if axis is None else plan_columns)(canon, self.lane_of, pointers))

    def _split(self, canon: Canon, pointers: Sequence[Word], columns: bool) -> None:
        """Plan a spec level by level, in its canonical form."""
        spec = canonical_spec(canon)
        kept, blocks = tuple(canon.kept), -(-canon.n // BLOCK)
        stored = full_outputs(canon)
        border = _border(canon, stored)
        have: dict[int, tuple[Operand, Word]] = {}
        levels = sorted({canon.level[v] for v in border if canon.is_reduction(v)})
        for level in levels:
            reductions = [v for v in border if canon.is_reduction(v) and canon.level[v] == level]
            by_lane = columns and _by_lane(canon)
            height = LANES * blocks if by_lane else blocks
            parts = {v: [(t, self._temp(t, height * canon.rows)) for t in accumulators(canon, v)] for v in reductions}
            sub, sub_pointers = _subspec(spec, pointers, have, reductions, [() for _ in reductions])
            part_canon = _same_axes(sub, canon)
            words = [[t for _, t in parts[v]] for v in reductions]
            if columns:
                self.out.append(plan_columns(part_canon, self.lane_of, sub_pointers, words, by_lane))
            else:
                self.out.append(plan_rows(part_canon, self.lane_of, sub_pointers, words))
            if by_lane and blocks > 1:
                parts = self._fold_lanes(canon, spec, parts, blocks)
                height = blocks
            if not stored and level == levels[-1]:
                # Nothing is read after this kernel, so even an output that shares an operand's memory may be written by it.
                finals = [(v, strides[:len(kept)], pointers[canon.inputs + j]) for j, (v, strides) in enumerate(spec.outputs)]
                self._combine(canon, spec, pointers, have, parts, finals, height)
                return
            finals = [(v, _contiguous(kept), self._temp(spec.dtype_of(v), canon.rows)) for v in border if canon.level[v] == level]
            self._combine(canon, spec, pointers, have, parts, finals, height)
            for v, strides, temp in finals:
                operand = Operand(spec.dtype_of(v), kept + (1,) * len(canon.reduced), strides + (0,) * len(canon.reduced))
                have[v] = (operand, temp)
        sub, sub_pointers = _subspec(spec, pointers, have, [spec.outputs[j][0] for j in stored], [spec.outputs[j][1] for j in stored])
        self._add(sub, [*sub_pointers, *(pointers[canon.inputs + j] for j in stored)])
        self._copy_out(canon, spec, pointers, have, [j for j in range(len(spec.outputs)) if j not in stored])

    def _fold_lanes(self, canon: Canon, spec: KernelSpec, parts: dict[int, list[tuple[str, Temp]]],
                    blocks: int) -> dict[int, list[tuple[str, Temp]]]:
        """The kernel that folds the sixteen lanes of every block: a reduction of sixteen rows puts one in each lane."""
        kept = tuple(canon.kept)
        folded: dict[int, list[tuple[str, Temp]]] = {}
        operands: list[Operand] = []
        steps: list[Step] = []
        outputs: list[tuple[int, tuple[int, ...]]] = []
        words: list[Word] = []
        row = (canon.rows, *_contiguous(kept))
        for v, [(dtype, temp)] in parts.items():
            operands.append(Operand(dtype, (blocks, LANES, *kept), (LANES * canon.rows, *row)))
            steps.append(Step(spec.steps[v - canon.inputs].op, (len(steps),), (("dims", (1,)),), dtype, (blocks, 1, *kept)))
            folded[v] = [(dtype, self._temp(dtype, blocks * canon.rows))]
            outputs.append((len(parts) + len(outputs), (row[0], 0, *row[1:])))
            words.append(temp)
        self._add(KernelSpec(tuple(operands), tuple(steps), tuple(outputs)), [*words, *(t for [(_, t)] in folded.values())])
        return folded

    def _combine(self, canon: Canon, spec: KernelSpec, pointers: Sequence[Word], have: dict[int, tuple[Operand, Word]],
                 parts: dict[int, list[tuple[str, Temp]]], finals: Sequence[tuple[int, tuple[int, ...], Word]], blocks: int) -> None:
        """The kernel that reduces one level's blocks and writes row values (`finals`: value, strides, where to)."""
        kept, inputs = tuple(canon.kept), canon.inputs
        operands: list[Operand] = []
        words: list[Word] = []
        steps: list[Step] = []
        number: dict[int, int] = {}
        chain = needed(canon, [v for v, _, _ in finals], lambda v: v in parts or v in have)
        leaves = [v for v in chain if v in have or v < inputs]
        for v in leaves:
            operand, word = have.get(v) or (spec.operands[v], pointers[v])
            strides = (0, *operand.strides[:len(kept)]) if not operand.is_scalar else (0,) * (1 + len(kept))
            operands.append(Operand(operand.dtype, (1, *kept), strides, operand.is_scalar))
            words.append(word)
            number[v] = len(operands) - 1
        first_part = {}
        for v, accs in parts.items():
            first_part[v] = len(operands)
            for dtype, temp in accs:
                operands.append(Operand(dtype, (blocks, *kept), (canon.rows, *_contiguous(kept))))
                words.append(temp)
        for v in chain:
            if v in number:
                continue
            step = spec.steps[v - inputs]
            if v in parts:
                at, types = first_part[v], accumulators(canon, v)
                # The accumulator's own dtype first: the tree goes on unrounded, and one conversion ends it.
                dtype = step.dtype if step.dtype in COMPLEX_PART else types[-1]
                steps.append(Step(step.op, tuple(range(at, at + len(types))), (("dims", (0,)),), dtype, (1, *kept)))
                number[v] = len(operands) + len(steps) - 1
                if dtype != step.dtype:
                    steps.append(Step("to", (number[v],), (), step.dtype, (1, *kept)))
                    number[v] += 1
                continue
            attrs = step.attrs
            if step.op == "iota":
                axis = canon.iota_axis[v]
                step, attrs = (replace(step, op="full"), (("value", 0),)) if axis is None else (step, (("dim", axis + 1),))
            steps.append(Step(step.op, tuple(number[a] for a in step.args), attrs, step.dtype, (1, *kept)))
            number[v] = len(operands) + len(steps) - 1
        outputs = tuple((number[v], (0, *strides)) for v, strides, _ in finals)
        self._add(KernelSpec(tuple(operands), tuple(steps), outputs), [*words, *(word for _, _, word in finals)])

    def _copy_out(self, canon: Canon, spec: KernelSpec, pointers: Sequence[Word], have: dict[int, tuple[Operand, Word]],
                  outputs: Sequence[int]) -> None:
        """Write the outputs that have one value a row."""
        if not outputs:
            return
        kept = len(canon.kept)
        sub, sub_pointers = _subspec(spec, pointers, have, [spec.outputs[j][0] for j in outputs], [spec.outputs[j][1] for j in outputs])
        trimmed = KernelSpec(tuple(replace(o, shape=o.shape[:kept], strides=o.strides[:kept]) for o in sub.operands),
                             tuple(replace(s, shape=s.shape[:kept]) for s in sub.steps),
                             tuple((v, strides[:kept]) for v, strides in sub.outputs))
        self._add(trimmed, [*sub_pointers, *(pointers[canon.inputs + j] for j in outputs)])


def _by_lane(canon: Canon) -> bool:
    """Whether a column reduction should give each lane of a block its own unit: rows so wide and many that long runs of memory matter."""
    reductions = [v for v in range(canon.inputs, canon.inputs + len(canon.spec.steps)) if canon.is_reduction(v)]
    simple = all(len(accumulators(canon, v)) == 1 and canon.level[v] == 1 for v in reductions)
    return simple and not full_outputs(canon) and canon.kept[-1] >= WIDE and canon.n >= WIDE and canon.n * canon.rows >= LARGE


def _contiguous(sizes: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(sizes):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def canonical_spec(canon: Canon) -> KernelSpec:
    """The spec over the canonical axes, in their order."""
    spec, kept, reduced = canon.spec, tuple(canon.kept), tuple(canon.reduced)
    full, row = kept + reduced, kept + (1,) * len(reduced)
    dims = tuple(range(len(kept), len(full)))
    original = spec.shape

    def shape(value: int) -> tuple[int, ...]:
        have = spec.shape_of(value)
        return full if any(have[d] != 1 for d in canon.dims) or all(original[d] == 1 for d in canon.dims) and canon.full[value] else row
    operands = tuple(Operand(o.dtype, row if o.is_scalar else full, canon.strides[k] or (0,) * len(full), o.is_scalar)
                     for k, o in enumerate(spec.operands))
    steps = []
    for k, step in enumerate(spec.steps):
        v = canon.inputs + k
        attrs, op = step.attrs, step.op
        if canon.is_reduction(v):
            attrs = (("dims", dims),)
        elif op == "iota":
            axis = canon.iota_axis[v]
            op, attrs = ("full", (("value", 0),)) if axis is None else ("iota", (("dim", axis),))
        steps.append(Step(op, step.args, attrs, step.dtype, shape(v)))
    outputs = tuple((v, canon.strides[canon.inputs + j] or ()) for j, (v, _) in enumerate(spec.outputs))
    return KernelSpec(operands, tuple(steps), outputs)


def _border(canon: Canon, stored: Sequence[int]) -> list[int]:
    """The row values to keep in memory: what full steps read, what later levels read, and every row output's reductions."""
    spec = canon.spec
    wanted = needed(canon, [v for v, _ in spec.outputs], lambda v: False)
    rows_out = {v for j, (v, _) in enumerate(spec.outputs) if j not in stored}
    found = {v for v in wanted if canon.is_reduction(v)}
    read = [a for v in wanted if canon.full[v] or canon.is_reduction(v) for a in (canon.step(v) or Step("", (), (), "", ())).args]
    found |= {a for a in [*read, *(spec.outputs[j][0] for j in stored), *rows_out] if not canon.full[a] and canon.level[a] > 0}
    return sorted(found)


def _subspec(spec: KernelSpec, pointers: Sequence[Word], have: dict[int, tuple[Operand, Word]], roots: Sequence[int],
             strides: Sequence[tuple[int, ...]]) -> tuple[KernelSpec, list[Word]]:
    """The part of a spec that computes `roots`, reading values already in memory."""
    inputs = len(spec.operands)
    seen: dict[int, None] = {}
    todo = list(roots)
    while todo:
        v = todo.pop()
        if v not in seen:
            seen[v] = None
            if v >= inputs and v not in have:
                todo.extend(spec.steps[v - inputs].args)
    leaves = [v for v in sorted(seen) if v in have or v < inputs]
    inner = [v for v in sorted(seen) if v not in have and v >= inputs]
    number = {v: k for k, v in enumerate([*leaves, *inner])}
    operands = tuple(have[v][0] if v in have else spec.operands[v] for v in leaves)
    words = [have[v][1] if v in have else pointers[v] for v in leaves]
    steps = tuple(replace(s, args=tuple(number[a] for a in s.args)) for s in (spec.steps[v - inputs] for v in inner))
    return KernelSpec(operands, steps, tuple((number[v], s) for v, s in zip(roots, strides, strict=True))), words


def _same_axes(sub: KernelSpec, canon: Canon) -> Canon:
    """The canonical form of a partial kernel, on the very axes of the whole: the temporaries' layout follows them."""
    rank = len(canon.kept) + len(canon.reduced)
    axes = canon.kept + canon.reduced
    strides = [None if o.is_scalar else tuple(s if have != 1 else 0 for have, s in zip(o.shape, o.strides, strict=True))
               for o in sub.operands]
    iotas = {len(sub.operands) + k: s.attr("dim") for k, s in enumerate(sub.steps) if s.op == "iota"}
    out = Canon(sub, axes[:len(canon.kept)], axes[len(canon.kept):], [*strides, *((0,) * rank for _ in sub.outputs)],
                iotas, tuple(range(len(canon.kept), rank)))  # type: ignore[arg-type]
    classify(out)
    return out

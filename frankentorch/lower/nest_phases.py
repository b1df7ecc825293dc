"""The passes over the reduced axes that a spec takes, for the templates that reduce.

Enters: a `Canon` with reductions. Leaves: `Sweep` values in order: each pass computes some full values, accumulates the reductions of
one level, or (the last) stores the full outputs. A dear value that a later pass needs again is kept in scratch by the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.ir import SSAValue

from frankentorch.lower.nest_canon import Canon
from frankentorch.lower.nest_plan import Builder, item_bytes
from frankentorch.lower.nest_values import needed, step_cost
from frankentorch.lower.translate import COMPLEX_PART, LaneOf
from frankentorch.lower.translate_reduce import accumulator_types

DEAR = 12
CACHE_BYTES = 1 << 19


@dataclass(slots=True)
class Sweep:
    """One pass: `reductions` (value numbers of one level) or `stores` (output numbers); values to keep, values kept earlier."""

    reductions: list[int] = field(default_factory=list)
    stores: list[int] = field(default_factory=list)
    keeps: list[int] = field(default_factory=list)
    needs: list[int] = field(default_factory=list)
    cost: int = 0

    def roots(self, canon: Canon) -> list[int]:
        args = [a for v in self.reductions for a in canon.spec.steps[v - canon.inputs].args]
        return args + [canon.spec.outputs[j][0] for j in self.stores]

    def key(self) -> tuple[object, ...]:
        return tuple(self.reductions), tuple(self.stores), tuple(self.keeps)


def full_outputs(canon: Canon) -> list[int]:
    """The outputs that are as large as the iteration space."""
    shapes = [canon.spec.shape_of(value) for value, _ in canon.spec.outputs]
    return [j for j, shape in enumerate(shapes) if any(shape[d] != 1 for d in canon.dims)]


def accumulators(canon: Canon, reduction: int) -> list[str]:
    """The lane codes of a reduction's accumulator."""
    step = canon.spec.steps[reduction - canon.inputs]
    return accumulator_types(step.op, canon.spec.dtype_of(step.args[0]), step.dtype)


def finished(b: Builder, canon: Canon, reduction: int, acc: Sequence[SSAValue]) -> SSAValue:
    """A reduction's value from its folded accumulator: the index of an argmax, two parts made complex, one rounding to its dtype."""
    types, dtype = accumulators(canon, reduction), canon.spec.dtype_of(reduction)
    if dtype in COMPLEX_PART:
        return b.lane("complex", acc, dtype)
    return acc[-1] if types[-1] == dtype else b.lane("to", [acc[-1]], dtype)


def sweeps(canon: Canon, lane_of: LaneOf, cells: int) -> list[Sweep]:
    """The passes, first to last; a dear value is kept where its `cells` elements (of one work unit) fit in scratch."""
    wanted = needed(canon, [v for v, _ in canon.spec.outputs], lambda v: False)
    reductions = [v for v in wanted if canon.is_reduction(v)]
    passes = [Sweep([v for v in reductions if canon.level[v] == level]) for level in sorted({canon.level[v] for v in reductions})]
    stores = full_outputs(canon)
    if stores:
        passes.append(Sweep(stores=stores))
    first: dict[int, Sweep] = {}
    kept: list[int] = []

    for sweep in passes:
        _keep(canon, lane_of, sweep, first, kept, cells)
        recalled = {v for v in kept if v in first and first[v] is not sweep}
        sweep.needs = needed(canon, sweep.roots(canon), lambda v, recalled=recalled: not canon.full[v] or v in recalled)  # type: ignore[misc]
        for v in sweep.needs:
            if canon.full[v] and canon.step(v) is not None:
                first.setdefault(v, sweep)
        sweep.cost = sum(step_cost(lane_of, canon, v) for v in sweep.needs if canon.full[v]) + 4 * len(sweep.reductions)
    return passes


def _keep(canon: Canon, lane_of: LaneOf, sweep: Sweep, first: dict[int, Sweep], kept: list[int], cells: int) -> None:
    """Mark dear values of this pass that an earlier one has computed."""
    def stop(v: int) -> bool:
        return not canon.full[v] or v in first
    for v in needed(canon, sweep.roots(canon), stop):
        if v not in first or v in kept:
            continue
        cost = sum(step_cost(lane_of, canon, a) for a in needed(canon, [v], lambda a: not canon.full[a] or a in kept))
        size = sum(item_bytes(canon.spec.dtype_of(k)) for k in [*kept, v])
        if cost > DEAR and size * cells <= CACHE_BYTES:
            kept.append(v)
            first[v].keeps.append(v)

"""Writing the values of a spec inside a template's loops.

Enters: a `Canon` and, from the template, how each operand is read at the current place. Leaves: SSA values, each step written at most once
a place. Places nest: a value already known in an outer place is used, never rewritten.
"""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import SSAValue

from frankentorch.lower.lanes import Complex, Lane, LLVMLanes
from frankentorch.lower.llvmtext import Function
from frankentorch.lower.nest_canon import Canon
from frankentorch.lower.nest_plan import Builder
from frankentorch.lower.translate import COMPLEX_PART, LaneOf

Read = Callable[[int], SSAValue]


class Place:
    """Values known at one point of the nest; `read` gives operands, `index` the lanes of an iota's axis."""

    def __init__(self, b: Builder, canon: Canon, read: Read, index: Callable[[int | None, str], SSAValue],
                 outer: Place | None = None) -> None:
        self.b, self.canon, self.read, self.index, self.outer = b, canon, read, index, outer
        self.known: dict[int, SSAValue] = {}

    def find(self, value: int) -> SSAValue | None:
        if value in self.known:
            return self.known[value]
        return self.outer.find(value) if self.outer is not None else None

    def value(self, number: int) -> SSAValue:
        """The value, written here if no place around knows it."""
        found = self.find(number)
        if found is None:
            found = self.known[number] = self._write(number)
        return found

    def _write(self, number: int) -> SSAValue:
        canon = self.canon
        step = canon.step(number)
        if step is None:
            operand = canon.spec.operands[number]
            if operand.is_scalar:
                return self.b.scalar(self.b.word(f"scalar{number}"), operand.dtype)
            return self.read(number)
        if step.op == "iota":
            return self.index(canon.iota_axis[number], step.dtype)
        return self.b.lane(step.op, [self.value(a) for a in step.args], step.dtype, step.attrs)


_COSTS: dict[tuple[object, ...], int] = {}


def step_cost(lane_of: LaneOf, canon: Canon, number: int) -> int:
    """About how many instructions a step's lane function prints."""
    step = canon.step(number)
    if step is None or step.op in ("iota", "to", "full") or canon.is_reduction(number):
        return 2
    dtypes = tuple(canon.spec.dtype_of(a) for a in step.args)
    key = (lane_of, step.op, step.attrs, step.dtype, dtypes)
    if key not in _COSTS:
        fn = Function("cost", [])
        L = LLVMLanes(fn)
        lane_of(step.op, dict(step.attrs))(L, *(_dummy(L, t) for t in dtypes))
        _COSTS[key] = fn.finish().count("\n") - 2
    return _COSTS[key]


def _dummy(L: LLVMLanes, dtype: str) -> Lane | Complex:
    part = COMPLEX_PART.get(dtype)
    if part is not None:
        return Complex(L.wrap(part, "%a"), L.wrap(part, "%b"))
    return L.wrap("f32" if dtype in ("f16", "bf16") else dtype, "%a")


def needed(canon: Canon, roots: list[int], stop: Callable[[int], bool]) -> list[int]:
    """The values that `roots` need, not looking behind those where `stop` holds (which are included)."""
    seen: set[int] = set()
    todo, args = list(roots), canon.args
    while todo:
        value = todo.pop()
        if value not in seen:
            seen.add(value)
            if args[value] and not stop(value):
                todo.extend(args[value])
    return sorted(seen)


def unroll_for(cost: int) -> int:
    """Turns of a strip to print side by side: cheap bodies hide the loop's own cost, dear ones are printed once (0: masked throughout)."""
    return 4 if cost <= 8 else 2 if cost <= 20 else 1 if cost <= 40 else 0

"""What a call's template must know of memory: whether an operand that it updates may be written over.

Enters: a ``call.template`` inside its program. Leaves: the plan of that one call, with the kernels that the runtime's planner makes for it:
an update copies its operand first, unless nobody reads the operand's memory afterwards.
"""

from __future__ import annotations

from typing import Any

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from ..lower.plan import Plan
from ..lower.program import build_plan
from ..ops.record import leaf_sig
from .dialect import RowOp
from .template_op import TemplateOp

DONOR = "ft.donor"
"""Result k of @main with ``{ft.donor = i}`` may take the memory of argument i, to which nothing else refers."""


def mark_donors(function: FuncOp, donors: dict[int, int]) -> None:
    """Note which results may take which arguments' memory."""
    if donors:
        results = range(len(function.function_type.outputs))
        marks = [DictionaryAttr({DONOR: IntegerAttr(donors[k], 64)} if k in donors else {}) for k in results]
        function.properties["res_attrs"] = ArrayAttr(marks)


def donors_of(function: FuncOp) -> dict[int, int]:
    """Result number -> argument number, as `mark_donors` noted them."""
    marks = function.res_attrs.data if function.res_attrs is not None else ()
    return {k: m.data[DONOR].value.data for k, m in enumerate(marks) if DONOR in m.data}  # type: ignore[attr-defined]


def template_plan(op: TemplateOp, tier: str, threads: int) -> Plan:
    """The kernels of one call, planned alone."""
    sig = op.sig
    numbers: dict[SSAValue, int] = {}
    for v in op.operands:
        numbers.setdefault(v, len(numbers))
    n = len(numbers)
    donors: dict[int, int] = {}
    updated = _updated(op)
    if updated is not None and _may_write_over(op, op.operands[updated]):
        donors[n] = numbers[op.operands[updated]]
    leaves: list[Any] = [(leaf_sig(v.type.data), ()) for v in numbers]  # type: ignore[attr-defined]
    instrs = [*leaves, (sig, tuple([numbers[v] for v in op.operands]))]
    return build_plan(instrs, list(range(n, n + len(sig.outs))), donors, tier, threads)


def _updated(op: TemplateOp) -> int | None:
    """The operand that the op returns changed; None where it makes its result from nothing."""
    traits = op.sig.row.traits
    named = next((t for t in traits if t.startswith("updates:")), None)
    if named is not None:
        return int(named[8:])
    if "copies" not in traits or "concatenates" in traits or _root(op.operands[0]) is _root(op.operands[1]):
        return None
    return 0


def _root(value: SSAValue) -> SSAValue:
    """The value whose memory a movement's result lies in."""
    while isinstance(value.owner, RowOp) and value.owner.ROW.view is not None:
        value = value.owner.operands[0]
    return value


def _may_write_over(op: TemplateOp, value: SSAValue) -> bool:
    """Whether nobody reads `value`'s memory after `op`, and it is the program's own or given to the result."""
    if _root(value) is not value or any(user is not op and _is_after(user, op) for user in _readers(value)):
        return False
    if not isinstance(value, BlockArgument):
        return True
    function = op.parent_op()
    assert isinstance(function, FuncOp)
    end = function.body.block.last_op
    assert isinstance(end, ReturnOp)
    return any(end.operands[k] is op.results[0] and argument == value.index for k, argument in donors_of(function).items())


def _readers(value: SSAValue) -> list[Operation]:
    """Ops that read a value's memory, through views as well."""
    found: list[Operation] = []
    for use in value.uses:
        user = use.operation
        if isinstance(user, RowOp) and user.ROW.view is not None:
            found.extend(_readers(user.results[0]))
        else:
            found.append(user)
    return found


def _is_after(one: Operation, other: Operation) -> bool:
    block = one.parent_block()
    assert block is not None and block is other.parent_block()
    at: Operation | None = other.next_op
    while at is not None and at is not one:
        at = at.next_op
    return at is one

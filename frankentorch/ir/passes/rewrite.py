"""What the passes share: questions about values and the few ways in which ops are replaced.

Enters: values and ops of a body. Leaves: answers, or the body changed in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation, SSAValue

from ...ops.record import Sig
from ...ops.table import Kind
from ...ops.types import TensorType
from .. import build, verify
from ..dialect import KernelOp, NumberOp, RowOp


def body(module: ModuleOp) -> Block:
    """The body of @main."""
    return verify.main(module).body.block


def type_of(value: SSAValue) -> TensorType:
    return value.type.data  # type: ignore[attr-defined, no-any-return]


def maker(value: SSAValue) -> RowOp | None:
    """The op of the table that made a value, None for arguments, numbers and results of kernels."""
    return value.owner if isinstance(value.owner, RowOp) else None


def is_effect(op: Operation) -> bool:
    """Whether an op must run, once and in its place, whoever reads it: a draw moves its generator's state."""
    if isinstance(op, KernelOp):
        return any(is_effect(inner) for inner in op.body.block.ops)
    return isinstance(op, RowOp) and op.ROW.kind is Kind.RANDOM


def is_view(op: Operation) -> bool:
    return isinstance(op, RowOp) and op.ROW.view is not None


def escapes(value: SSAValue) -> bool:
    """Whether memory of this value leaves the function, as itself or through a view of it.

    Such a value is not replaced by another that exists already: two results that torch keeps apart would share memory.
    """
    return any(isinstance(use.operation, ReturnOp) or is_view(use.operation) and escapes(use.operation.results[0]) for use in value.uses)


def replace(op: Operation, values: Sequence[SSAValue]) -> None:
    """Let every use of an op's results use `values`, and drop the op."""
    for old, new in zip(op.results, values, strict=True):
        old.replace_all_uses_with(new)
    op.detach()
    op.erase()


def before(op: Operation, sig: Sig, operands: Sequence[SSAValue]) -> Sequence[SSAValue]:
    """Insert the op of an instruction before `op`; its results."""
    block = op.parent_block()
    assert block is not None
    made = build.row_op(sig, operands)
    block.insert_op_before(made, op)
    return made.results


def number_before(op: Operation, t: TensorType, value: Any) -> SSAValue:
    """Insert a number before `op`."""
    block = op.parent_block()
    assert block is not None
    made = build.number_op(t, value)
    block.insert_op_before(made, op)
    return made.result


def erase_unused(block: Block) -> None:
    """Drop ops that nobody reads and that are no effect, last first."""
    op = block.last_op
    while op is not None:
        previous = op.prev_op
        if isinstance(op, RowOp | NumberOp | KernelOp) and all(r.first_use is None for r in op.results) and not is_effect(op):
            op.detach()
            op.erase()
        op = previous

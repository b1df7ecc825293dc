"""`ft-decompose`: composite ops into ops of primitive rows."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from ...ops.table import Kind
from ..composites import parts
from ..dialect import RowOp
from . import rewrite


@dataclass(frozen=True)
class Decompose(ModulePass):
    """Replace each composite by what it records. ::

        %y = ft.relu(%x) : !ft.tensor<[4], f32>
        // becomes
        %zero = ft.number 0.0 : !ft.scalar<f32, 0.0>
        %y = ft.maximum(%x, %zero) : !ft.tensor<[4], f32>

    Exact by definition: a composite's meaning is its parts, each rounding included. Composites are in IR only to be differentiated by their
    own rule, so this runs after `ft-grad`.
    """

    name = "ft-decompose"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for inner in list(rewrite.body(op).ops):
            if isinstance(inner, RowOp) and inner.ROW.kind is Kind.COMPOSITE:
                rewrite.replace(inner, expand(inner))


def expand(op: RowOp) -> list[SSAValue]:
    """Insert a composite's parts before it; the values that stand for its results."""
    recorded = parts(op.ROW, op.types, op.statics)
    operands, numbers = iter(op.operands), iter(recorded.numbers)
    slots: list[SSAValue] = []
    for sig, args in recorded.instrs:
        if sig.row.kind is Kind.LEAF:
            number = next(numbers)
            slots.append(next(operands) if number is None else rewrite.number_before(op, sig.outs[0], number))
        else:
            slots.extend(rewrite.before(op, sig, [slots[a] for a in args]))
    return [slots[s] for s in recorded.outputs]

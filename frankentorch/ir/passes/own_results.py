"""`ft-own-results`: every result has memory of its own."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import BlockArgument, SSAValue
from xdsl.passes import ModulePass

from ...ops.movement import contiguous_strides
from ...ops.pointwise import clone_row
from ...ops.record import make_sig
from . import rewrite


@dataclass(frozen=True)
class OwnResults(ModulePass):
    """Copy what @main returns a second time, and arguments that it returns. ::

        %y = ft.exp(%x) : !ft.tensor<[4], f32>
        func.return %y, %y
        // becomes
        %y = ft.exp(%x) : !ft.tensor<[4], f32>
        %z = ft.clone(%y) {strides = [1]} : !ft.tensor<[4], f32>
        func.return %y, %z

    Exact, since a copy has the same bits. Two tensors that torch keeps apart never share memory because equal work was merged.
    """

    name = "ft-own-results"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        end = rewrite.body(op).last_op
        assert isinstance(end, ReturnOp)
        taken: set[SSAValue] = set()
        for k, value in enumerate(end.operands):
            if value in taken or isinstance(value, BlockArgument):
                t = rewrite.type_of(value)
                sig = make_sig(clone_row, (t,), (t.strides if t.dense else contiguous_strides(t.shape),))
                value = end.operands[k] = rewrite.before(end, sig, [value])[0]
            taken.add(value)

"""`ft-own-results`: every result has memory of its own."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import BlockArgument, SSAValue
from xdsl.passes import ModulePass

from ...ops.movement import as_strided_row
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
                value = end.operands[k] = _copy(end, value)
            taken.add(value)


def _copy(end: ReturnOp, value: SSAValue) -> SSAValue:
    """A copy with the strides of `value`. Where those leave holes, a copy of the memory that it views, viewed alike; an argument's view
    stays as it is, for the argument's memory has one owner."""
    t = rewrite.type_of(value)
    if t.dense:
        return rewrite.before(end, make_sig(clone_row, (t,), (t.strides,)), [value])[0]
    root, offset = value, 0
    while (op := rewrite.maker(root)) is not None and rewrite.is_view(op):
        offset += op.sig.delta
        root = op.operands[0]
    whole = rewrite.type_of(root)
    if isinstance(root, BlockArgument) or not whole.dense:
        return value
    copy = rewrite.before(end, make_sig(clone_row, (whole,), (whole.strides,)), [root])[0]
    return rewrite.before(end, make_sig(as_strided_row, (whole,), (t.shape, t.strides, offset)), [copy])[0]

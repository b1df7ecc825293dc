"""`ft-fuse`: ops into kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass

from ...lower import fuse
from .. import build
from ..dialect import KernelOp, NumberOp, RowOp, YieldOp
from . import rewrite


@dataclass(frozen=True)
class Fuse(ModulePass):
    """Put each group that `lower.fuse.groups` forms into an ``ft.kernel``. ::

        %y = ft.exp(%x) : !ft.tensor<[4], f32>
        %z = ft.neg(%y) : !ft.tensor<[4], f32>
        func.return %z
        // becomes
        %z = ft.kernel(%x) : !ft.tensor<[4], f32> {
        ^bb0(%a: !ft.tensor<[4], f32>):
          %b = ft.exp(%a) : !ft.tensor<[4], f32>
          %c = ft.neg(%b) : !ft.tensor<[4], f32>
          ft.yield(%c)
        }
        func.return %z

    Movement ops stay outside: they are strided access. Exact, since no op changes: a kernel rounds after each op as the ops alone do. Ops that
    nobody reads are dropped, random ops excepted.
    """

    name = "ft-fuse"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = rewrite.body(op)
        rewrite.erase_unused(block)
        recorded = build.from_module(op)
        ops = [inner for inner in block.ops if isinstance(inner, RowOp)]
        first = len(recorded.leaves)
        regroup(block, [[ops[k - first] for k in group] for group in fuse.groups(recorded.instrs, recorded.outputs)])


def regroup(block: Block, groups: Sequence[Sequence[RowOp]]) -> None:
    """Rebuild a body: numbers, then each group as a kernel, each movement just before the first kernel that reads it."""
    end = block.last_op
    assert end is not None
    ops = list(block.ops)
    for op in ops:
        op.detach()
    placed: set[Operation] = set()
    for op in ops:
        if isinstance(op, NumberOp):
            block.add_op(op)
            placed.add(op)
    for group in groups:
        inside = set(group)
        for op in group:
            for v in op.operands:
                _place(block, v, inside, placed)
        block.add_op(_kernel(group))
        placed.update(group)
    for v in end.operands:
        _place(block, v, set(), placed)
    block.add_op(end)


def _place(block: Block, value: SSAValue, inside: set[RowOp], placed: set[Operation]) -> None:
    """Add the movements that lead to a value."""
    op = value.owner
    if not isinstance(op, RowOp) or op in inside or op in placed or op.parent is not None:
        return
    assert op.ROW.view is not None, f"{op.name} is in no group and is no movement"
    _place(block, op.operands[0], inside, placed)
    block.add_op(op)
    placed.add(op)


def _kernel(group: Sequence[RowOp]) -> KernelOp:
    """A kernel around ops that are in no block; what other ops read of them becomes its results."""
    inside = set(group)
    operands = list(dict.fromkeys(v for op in group for v in op.operands if v.owner not in inside))
    block = Block(arg_types=[v.type for v in operands])
    for op in group:
        block.add_op(op)
    outs = [r for op in group for r in op.results if any(use.operation not in inside for use in r.uses)]
    kernel = KernelOp.create(operands=operands, result_types=[r.type for r in outs], regions=[Region(block)])
    for outer, arg in zip(operands, block.args, strict=True):
        outer.replace_uses_with_if(arg, lambda use: use.operation in inside)
    for made, result in zip(outs, kernel.results, strict=True):
        made.replace_uses_with_if(result, lambda use: use.operation not in inside)
    block.add_op(YieldOp.create(operands=outs))
    return kernel

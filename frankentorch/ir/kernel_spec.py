"""From the body of an ``ft.kernel`` to what lowering takes: a `KernelSpec`, or an op whose template writes its kernels.

Enters: kernels. Leaves: specs for `lower.nest`, word for word those that the runtime's planner makes for the same group.
"""

from __future__ import annotations

from xdsl.ir import SSAValue

from ..lower.fuse import NEST, Group, _join, _open
from ..lower.program import _Builder
from ..lower.spec import KernelSpec
from ..ops.record import leaf_sig
from ..ops.table import Kind
from ..ops.types import broadcast_strides
from .build import Instrs
from .dialect import KernelOp, RowOp


def recorded(kernel: KernelOp) -> tuple[Instrs, list[int]]:
    """A kernel's body as instructions, its arguments first; and the slots that it yields."""
    block = kernel.body.block
    slots: dict[SSAValue, int] = {arg: k for k, arg in enumerate(block.args)}
    instrs: Instrs = [(leaf_sig(arg.type.data), ()) for arg in block.args]  # type: ignore[attr-defined]
    for op in block.ops:
        if isinstance(op, RowOp):
            instrs.append((op.sig, tuple([slots[v] for v in op.operands])))
            for r in op.results:
                slots[r] = len(slots)
    return instrs, [slots[v] for v in kernel.returned.operands]


def is_nest(kernel: KernelOp) -> bool:
    """Whether one loop nest computes the kernel (else its only op has a template)."""
    return all(op.ROW.kind in NEST for op in kernel.body.block.ops if isinstance(op, RowOp))


def spec_of(kernel: KernelOp) -> KernelSpec:
    """The description of a nest kernel: operands are the kernel's, in order, and outputs its results."""
    instrs, outputs = recorded(kernel)
    members = [k for k, (sig, _) in enumerate(instrs) if sig.row.kind is not Kind.LEAF]
    leaves = len(instrs) - len(members)
    group = _open(instrs[members[0]][0])
    for k in members:
        _join(group, instrs[k][0], instrs[k][1], k, k)
    builder = _Builder(instrs, [], {}, "", 1)
    operands = [builder.spec_operand(k, group.space) for k in range(leaves)]
    steps = [builder.step(instrs[k][0], list(instrs[k][1]), group) for k in members]
    return KernelSpec(tuple(operands), tuple(steps), tuple((slot, _out_strides(instrs, slot, group)) for slot in outputs))


def _out_strides(instrs: Instrs, slot: int, group: Group) -> tuple[int, ...]:
    """Strides of a result over the group's space: zero along axes that it lacks."""
    sig = instrs[slot][0]
    t = sig.outs[0]
    if sig.row.kind is Kind.REDUCE and not sig.attrs[1]:
        rest = iter(t.strides)
        return tuple([0 if i in sig.attrs[0] else next(rest) for i in range(len(group.space))])
    return broadcast_strides(t.shape, t.strides, group.space) if t.ndim < len(group.space) else t.strides

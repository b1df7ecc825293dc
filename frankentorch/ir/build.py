"""Between recorded instructions and IR, both ways.

Enters: instructions ``(sig, slots)`` as a trace holds them, with the slots that leave; or a module. Leaves: a module of one function
@main whose arguments are the leaves; or instructions, leaves first. A round trip only moves the leaves to the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, Builtin, DictionaryAttr, ModuleOp, UnitAttr
from xdsl.dialects.func import Func, FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue
from xdsl.parser import Parser

from ..ops.record import Sig, leaf_sig
from ..ops.table import Kind
from ..ops.types import TensorType
from . import verify
from .dialect import Ft, KernelOp, NumberOp, RowOp, attr_names, op_class, static, value_type

Instrs = list[tuple[Sig, tuple[int, ...]]]
_PROPERTIES: dict[Sig, dict[str, Any]] = {}
_RESULTS: dict[Sig, list[Any]] = {}


class Recorded(NamedTuple):
    """A program as a trace holds it: instructions (leaves first), the leaves' types, and the slots that leave.

    The last ``len(numbers)`` leaves are numbers that the program brings itself; the others are its arguments.
    """

    instrs: Instrs
    leaves: list[TensorType]
    outputs: list[int]
    numbers: list[Any]


def to_module(instrs: Sequence[tuple[Sig, Sequence[int]]], outputs: Sequence[int], requires_grad: Sequence[bool] | None = None,
              numbers: Sequence[Any] = ()) -> ModuleOp:
    """The module of a recorded program: @main takes the leaves in their order and returns the slots `outputs`.

    `requires_grad` marks, leaf by leaf, the arguments that `ft-grad` differentiates by. The last ``len(numbers)`` leaves become
    ``ft.number`` rather than arguments.
    """
    leaves = [sig.outs[0] for sig, _ in instrs if sig.row.kind is Kind.LEAF]
    block = Block(arg_types=[value_type(t) for t in leaves[:len(leaves) - len(numbers)]])
    given: list[SSAValue] = [*block.args, *[number(block, t, v) for t, v in zip(leaves[len(leaves) - len(numbers):], numbers, strict=True)]]
    args = iter(given)
    slots: list[SSAValue] = []
    for sig, operands in instrs:
        if sig.row.kind is Kind.LEAF:
            slots.append(next(args))
        else:
            op = row_op(sig, [slots[k] for k in operands])
            block.add_op(op)
            slots.extend(op.results)
    return finish(block, [slots[k] for k in outputs], requires_grad)


def finish(block: Block, results: Sequence[SSAValue], requires_grad: Sequence[bool] | None = None) -> ModuleOp:
    """A module around a finished body."""
    block.add_op(ReturnOp(*results))
    marks = None if requires_grad is None else ArrayAttr([DictionaryAttr({"requires_grad": UnitAttr()} if m else {}) for m in requires_grad])
    types = ([a.type for a in block.args], [v.type for v in results])
    return ModuleOp([FuncOp("main", types, Region(block), arg_attrs=marks)])


def number(block: Block, t: TensorType, value: Any) -> SSAValue:
    """A number at the end of a block."""
    op = number_op(t, value)
    block.add_op(op)
    return op.result


def number_op(t: TensorType, value: Any) -> NumberOp:
    return NumberOp.create(properties={"value": static(value)}, result_types=[value_type(t)])


def row_op(sig: Sig, operands: Sequence[SSAValue]) -> RowOp:
    """The operation of one instruction."""
    properties = _PROPERTIES.get(sig)
    if properties is None:
        properties = _PROPERTIES[sig] = {n: static(v) for n, v in zip(attr_names(sig.row), sig.attrs, strict=True)}
        _RESULTS[sig] = [value_type(t) for t in sig.outs]
    return op_class(sig.row).create(operands=operands, result_types=_RESULTS[sig], properties=properties)


def from_module(module: ModuleOp) -> Recorded:
    """The recorded program of a module; kernels are opened."""
    block = verify.main(module).body.block
    slots: dict[SSAValue, int] = {arg: k for k, arg in enumerate(block.args)}
    brought = [op for op in block.walk() if isinstance(op, NumberOp)]
    for op in brought:
        slots[op.result] = len(slots)
    leaves = [v.type.data for v in slots]  # type: ignore[attr-defined]
    instrs: Instrs = [(leaf_sig(t), ()) for t in leaves]
    _append(block, instrs, slots, len(leaves))
    assert block.last_op is not None
    return Recorded(instrs, leaves, [slots[v] for v in block.last_op.operands], [op.value.data for op in brought])


def _append(block: Block, instrs: Instrs, slots: dict[SSAValue, int], count: int) -> int:
    for op in block.ops:
        if isinstance(op, RowOp):
            instrs.append((op.sig, tuple([slots[v] for v in op.operands])))
            for r in op.results:
                slots[r] = count
                count += 1
        elif isinstance(op, KernelOp):
            slots.update(zip(op.body.block.args, [slots[v] for v in op.operands], strict=True))
            count = _append(op.body.block, instrs, slots, count)
            for result, inner in zip(op.results, op.returned.operands, strict=True):
                slots[result] = slots[inner]
    return count


def marked(function: FuncOp) -> list[bool]:
    """Which arguments carry ``requires_grad``; all float arguments where none does."""
    from ..runtime.tape import differentiable

    marks = function.arg_attrs.data if function.arg_attrs is not None else ()
    flags = ["requires_grad" in m.data for m in marks]
    if any(flags):
        return flags
    types = [a.type.data for a in function.body.block.args]  # type: ignore[attr-defined]
    return [not t.scalar and differentiable(t) for t in types]


def context() -> Context:
    """A context in which modules of every stage parse."""
    from ..lower.loops import Loops
    from .template_op import Calls

    ctx = Context()
    for dialect in (Builtin, Func, Ft, Loops, Calls):
        ctx.load_dialect(dialect)
    return ctx


def parse(text: str, ctx: Context | None = None) -> ModuleOp:
    """A module from its text."""
    return Parser(ctx or context(), text).parse_module()

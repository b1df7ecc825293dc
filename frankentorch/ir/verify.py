"""What well-formed `ft` IR is: numbered constraints, each checked by the functions below and cited by number in errors.

Enters: operations of the `ft` dialect. Leaves: nothing, or a `VerifyException` that starts with the number of the constraint broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.utils.exceptions import VerifyException

from .. import dtypes
from ..ops.record import Sig, make_sig
from ..ops.table import Kind, Row, schema_params
from ..ops.types import TensorType, scalar_type

if TYPE_CHECKING:
    from .dialect import KernelOp, NumberOp, RowOp, YieldOp

CONSTRAINTS = {
    "FT1": "An op has as many operands as its row's schema has tensor parameters; a tensor list or optional tensors may be any number.",
    "FT2": "An op's properties are exactly its row's static attributes, each of the type that the schema gives it.",
    "FT3": "An op's result types are what the row's shape rule gives for its operand types and static attributes.",
    "FT4": "The row's shape rule accepts the operand types.",
    "FT5": "A kernel's body takes one argument an operand, of the operand's type.",
    "FT6": "A kernel's body ends in ft.yield, whose operands have the types of the kernel's results, in order.",
    "FT7": "A kernel's body holds ops of the table only: no kernel in a kernel, no function, no other dialect.",
    "FT8": "A module holds exactly one function of one block, called @main.",
    "FT9": "A function's body holds ops of the table, numbers, kernels and calls of kernels, and ends in func.return.",
    "FT10": "A function's arguments are ft tensors and ft scalars; what it returns are tensors of the types that its signature names.",
    "FT11": "requires_grad marks arguments that are floating-point or complex tensors.",
    "FT12": "A number's type holds its value or none.",
    "FT13": "A word of call.loops is an integer, or points to one of its operands and results, or to a temporary numbered after them.",
    "FT14": "call.template names a row of the table, and its results are what the row's shape rule gives.",
    "FT15": "The attribute grad of an op is a list of booleans, one an operand.",
}


def fail(number: str, message: str) -> NoReturn:
    raise VerifyException(f"({number}) {message}")


def signature(row: Row, types: tuple[TensorType, ...], statics: tuple[Any, ...]) -> Sig:
    """A row applied to types and static attributes; composites' result types come from tracing their body."""
    if row.kind is Kind.COMPOSITE:
        from .composites import composite_sig

        return composite_sig(row, types, statics)
    return make_sig(row, types, statics)


def row_op(op: RowOp, params: int, loose: bool, names: Sequence[str]) -> None:
    """FT1 to FT4."""
    row = op.row
    given = len(op.operands)
    if given != params and not loose or row.kind is Kind.COMPOSITE and given != params - sum(op.statics[-1]):
        fail("FT1", f"{op.name}: {given} operands where the schema has {params} ({row.schema})")
    if set(op.properties) != set(names):
        fail("FT2", f"{op.name}: properties {sorted(op.properties)} where the row has {sorted(names)}")
    types = {n: t for t, n in schema_params(row.schema)}
    for name in row.attrs:
        value = op.properties[name].data  # type: ignore[attr-defined]
        if name in types and not fits(value, types[name]):
            fail("FT2", f"{op.name}: {name} = {value!r} is no {types[name]}")
    grad = op.attributes.get("grad")
    if grad is not None and (not isinstance(grad.data, tuple) or [type(v) for v in grad.data] != [bool] * given):  # type: ignore[attr-defined]
        fail("FT15", f"{op.name}: grad = {grad}")
    for value in op.operands:
        if not isinstance(getattr(value.type, "data", None), TensorType):
            fail("FT1", f"{op.name}: an operand of type {value.type} is neither a tensor nor a scalar")
    try:
        outs = op.sig.outs
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise VerifyException(f"(FT4) {op.name}: {error}") from error
    have = [getattr(t, "data", None) for t in op.result_types]
    if have != list(outs):
        from .dialect import value_type

        due = ", ".join(str(value_type(t)) for t in outs)
        fail("FT3", f"{op.name}: results {', '.join(map(str, op.result_types)) or 'none'} where the shape rule gives {due}")


_SCALARS: dict[str, tuple[type, ...]] = {"int": (int,), "SymInt": (int,), "float": (float, int), "bool": (bool,), "str": (str,),
                                         "Scalar": (int, float, bool, complex), "ScalarType": (dtypes.dtype,)}


def fits(value: Any, schema_type: str) -> bool:
    """Whether a static attribute's value is one of a schema's type; types that the table does not know fit anything."""
    if schema_type.endswith("?"):
        return value is None or fits(value, schema_type[:-1])
    if schema_type.endswith("]"):
        item = schema_type[: schema_type.rindex("[")]
        return isinstance(value, tuple) and all(fits(v, item) for v in value) or fits(value, item)
    allowed = _SCALARS.get(schema_type)
    if allowed is None:
        return True
    return isinstance(value, allowed) and (not isinstance(value, bool) or bool in allowed)


def number_op(op: NumberOp) -> None:
    """FT12."""
    value, t = op.value.data, op.result.type.data  # type: ignore[attr-defined]
    if not isinstance(value, int | float | complex) or t not in (scalar_type(t.dtype, value), scalar_type(t.dtype)):
        fail("FT12", f"ft.number: {value!r} of type {op.result.type}")


def yield_op(op: YieldOp) -> None:
    parent = op.parent_op()
    if parent is None or parent.name != "ft.kernel":
        fail("FT6", "ft.yield outside a kernel")


def kernel_op(op: KernelOp) -> None:
    """FT5 to FT7."""
    from .dialect import RowOp, YieldOp

    block = op.body.block
    if [a.type for a in block.args] != [v.type for v in op.operands]:
        fail("FT5", f"ft.kernel: body arguments {', '.join(str(a.type) for a in block.args) or 'none'} for operands "
                    f"{', '.join(str(v.type) for v in op.operands) or 'none'}")
    last = block.last_op
    if not isinstance(last, YieldOp):
        fail("FT6", "ft.kernel: the body does not end in ft.yield")
    if [v.type for v in last.operands] != list(op.result_types):
        fail("FT6", f"ft.kernel: yields {', '.join(str(v.type) for v in last.operands) or 'nothing'} for results "
                    f"{', '.join(map(str, op.result_types)) or 'none'}")
    for inner in block.ops:
        if inner is not last and not isinstance(inner, RowOp):
            fail("FT7", f"ft.kernel: {inner.name} in the body")


def main(module: ModuleOp) -> FuncOp:
    """The function of a module (FT8)."""
    functions = [op for op in module.ops if isinstance(op, FuncOp)]
    if len(functions) != 1 or functions[0].sym_name.data != "main" or len(functions[0].body.blocks) != 1:
        fail("FT8", f"the module holds {len(functions)} functions; exactly one of one block, called @main, is due")
    return functions[0]


def module(op: ModuleOp) -> None:
    """All constraints: those of every op, then FT8 to FT11 of the whole."""
    op.verify()
    function_shape(main(op))


def program(op: ModuleOp) -> None:
    """FT8 to FT11, where a module is one of ours at all: it holds ops of the `ft` dialect."""
    if any(inner.name.startswith("ft.") for inner in op.walk()):
        function_shape(main(op))


def function_shape(function: FuncOp) -> None:
    """FT9 to FT11."""
    from .dialect import KernelOp, Number, NumberOp, RowOp, Tensor

    block = function.body.block
    for arg in block.args:
        if not isinstance(arg.type, Tensor | Number):
            fail("FT10", f"@{function.sym_name.data}: an argument of type {arg.type}")
    last = block.last_op
    if not isinstance(last, ReturnOp):
        fail("FT9", f"@{function.sym_name.data}: the body does not end in func.return")
    for op in block.ops:
        if op is not last and not isinstance(op, RowOp | NumberOp | KernelOp) and not op.name.startswith("call."):
            fail("FT9", f"@{function.sym_name.data}: {op.name} in the body")
    for value, named in zip(last.operands, function.function_type.outputs.data, strict=True):
        if value.type != named or not isinstance(value.type, Tensor):
            fail("FT10", f"@{function.sym_name.data}: returns {value.type} where the signature names {named}")
    marks = function.arg_attrs.data if function.arg_attrs is not None else ()
    for arg, mark in zip(block.args, marks, strict=False):
        if "requires_grad" in mark.data:
            t = arg.type.data  # type: ignore[union-attr, attr-defined]
            if t.scalar or not (t.dtype.is_floating_point or t.dtype.is_complex):
                fail("FT11", f"@{function.sym_name.data}: requires_grad on an argument of type {arg.type}")

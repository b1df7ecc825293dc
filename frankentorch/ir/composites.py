"""Composites in IR: a composite with a gradient rule of its own stays one op until it has been differentiated.

Enters: rows of kind composite, or a Python function over tensors. Leaves: their signatures, their expansions as recorded parts, and
`capture`, which records a function with such composites whole, as the tape sees them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from ..errors import InterpreterError
from ..ops import record
from ..ops.call import is_tensor
from ..ops.record import Scalar, Sig, Trace, Value, grad_mode, make_sig, tracing, wrap
from ..ops.table import ROWS, Kind, Row
from ..ops.types import TensorType
from ..runtime.tape import differentiable
from . import build
from .dialect import attr_names, operand_params, value_type


class Parts(NamedTuple):
    """A recorded body: instructions, the numbers of its leaves (None for a leaf that is an operand) and the slots that leave."""

    instrs: list[tuple[Sig, tuple[int, ...]]]
    numbers: list[Any]
    outputs: list[int]


_PARTS: dict[tuple[Any, ...], Parts] = {}
_SIGS: dict[tuple[Any, ...], Sig] = {}


def composite_sig(row: Row, types: tuple[TensorType, ...], statics: tuple[Any, ...]) -> Sig:
    """A composite applied to types; the last of `statics` says which tensors are missing."""
    key = (row, repr(statics), *types)
    found = _SIGS.get(key)
    if found is None:
        body = parts(row, types, statics)
        slots = [t for sig, _ in body.instrs for t in sig.outs]
        found = _SIGS[key] = Sig(row, types, statics, tuple([slots[k] for k in body.outputs]))
    return found


def parts(row: Row, types: tuple[TensorType, ...], statics: tuple[Any, ...]) -> Parts:
    """What a composite records for these operand types."""
    key = (row, repr(statics), *types)
    found = _PARTS.get(key)
    if found is None:
        found = _PARTS[key] = _trace(row, types, statics)
    return found


def _trace(row: Row, types: tuple[TensorType, ...], statics: tuple[Any, ...]) -> Parts:
    trace = Trace()
    assert row.function is not None
    with tracing(trace), grad_mode(False):
        given = iter([wrap(trace.placeholder(t)) for t in types])
        tensors = {n: None if gone else next(given) for (_, n), gone in zip(operand_params(row), statics[-1], strict=True)}
        out = row.function(**tensors, **dict(zip(attr_names(row)[:-1], statics, strict=False)))
        slots = [_slot(trace, t) for t in (out if isinstance(out, tuple) else (out,))]
    return Parts(trace.instrs, numbers(trace, len(types)), slots)


def _slot(trace: Trace, t: Any) -> int:
    v = t._value if t._root is None else t._fresh()
    return v.slot if v.trace is trace else trace.enter(v)  # type: ignore[no-any-return]


def numbers(trace: Trace, operands: int) -> list[Any]:
    """The number of each leaf of a trace, None for its first `operands`. Raises InterpreterError on a leaf that is other memory."""
    outside = [v for v in trace.leaves[operands:] if not isinstance(v, Scalar) and base_of(trace, v, operands) is None]
    if outside:
        raise InterpreterError(f"a tensor of type {outside[0].type} from outside entered the recorded body; IR takes tensors as arguments only")
    return [None] * operands + [getattr(v, "num", None) for v in trace.leaves[operands:]]


def base_of(trace: Trace, v: Value, operands: int) -> tuple[int, Sig] | None:
    """A leaf that is a view of an argument's memory, as the argument's number and the movement from it (movements of memory are not recorded)."""
    for k, base in enumerate(trace.leaves[:operands]):
        if v.buf is not None and base.buf is v.buf and base.type.dtype is v.type.dtype:
            offset = (v.offset - base.offset) // v.type.dtype.itemsize
            return k, make_sig(ROWS["as_strided"], (base.type,), (v.type.shape, v.type.strides, offset))
    return None


class _Whole(NamedTuple):
    """A composite that the tape holds as one node: its operands' and results' slots, and how many instructions were there after it."""

    sig: Sig
    operands: tuple[int, ...]
    outs: tuple[int, ...]
    end: int


_lock = threading.Lock()


def capture(function: Callable[..., Any], args: Sequence[Any], requires_grad: Sequence[bool] | None = None) -> ModuleOp:
    """The module of a Python function applied to `args`: tensors, or types where the function looks at no data.

    Generators that it draws from become arguments after the others: the addresses of their states. Where an argument is marked, composites with a gradient rule stay whole, as on the tape. Raises InterpreterError when the function
    looks at data that depends on a type only, or uses a tensor that is no argument.
    """
    for a in args:
        if is_tensor(a):
            a._materialise()
    trace = Trace()
    wholes: list[_Whole] = []
    attach = record._attach

    def noting(sig: Sig, tensors: Any, values: Any, outs: Any) -> None:
        attach(sig, tensors, values, outs)
        if sig.row.kind is Kind.COMPOSITE and record.state.trace is trace:
            inside = tuple([v.slot if v.trace is trace else trace.enter(v) for v in values])
            slots = tuple([_slot(trace, t) for t in outs])
            if not _draws(trace, inside, slots):
                wholes.append(_Whole(sig, inside, slots, len(trace.instrs)))

    with _lock:
        record._attach = noting
        try:
            with tracing(trace), grad_mode(requires_grad is not None and any(requires_grad)):
                handles = [_argument(trace, a) for a in args]
                for handle, wanted in zip(handles, requires_grad or (), strict=False):
                    if wanted:
                        handle.requires_grad_(True)
                out = function(*handles)
                outs = [_slot(trace, t) for t in (out if isinstance(out, list | tuple) else (out,)) if is_tensor(t)]
        finally:
            record._attach = attach
    return _module(trace, len(args), wholes, outs, requires_grad)


def _draws(trace: Trace, operands: Sequence[int], outs: Sequence[int]) -> bool:
    """Whether what lies between operands and results draws random numbers: such a composite cannot be recorded again from its parts."""
    makers = [k for k, (sig, _) in enumerate(trace.instrs) for _ in sig.outs]
    seen, stack = set(operands), list(outs)
    while stack:
        slot = stack.pop()
        if slot in seen:
            continue
        seen.add(slot)
        sig, args = trace.instrs[makers[slot]]
        if sig.row.kind is Kind.RANDOM:
            return True
        stack.extend(args)
    return False


def _argument(trace: Trace, given: Any) -> Any:
    """A fresh handle on an argument, which is a leaf of the trace. Integers keep their data: indices are checked as they are used."""
    t = given if isinstance(given, TensorType) else given._materialise().type
    if given is t or differentiable(t):
        return wrap(trace.placeholder(t))
    v = given._materialise()
    trace.enter(v)
    return wrap(v)


def _module(trace: Trace, count: int, wholes: list[_Whole], outs: list[int], requires_grad: Sequence[bool] | None) -> ModuleOp:
    given = iter(numbers(trace, count))
    block = Block(arg_types=[value_type(v.type) for v in trace.leaves[:count]])
    args = iter(list(block.args))
    states = {operands[0] for sig, operands in trace.instrs if sig.row.kind is Kind.RANDOM}
    slots: list[SSAValue] = []
    leaf_count = 0
    due = iter([*wholes, None])
    whole = next(due)
    for k in range(len(trace.instrs) + 1):
        while whole is not None and whole.end == k:
            op = build.row_op(composite_sig(whole.sig.row, whole.sig.types, whole.sig.attrs), [slots[s] for s in whole.operands])
            block.add_op(op)
            for s, r in zip(whole.outs, op.results, strict=True):
                slots[s] = r
            whole = next(due)
        if k == len(trace.instrs):
            break
        sig, operands = trace.instrs[k]
        if sig.row.kind is Kind.LEAF:
            number = next(given)
            leaf = trace.leaves[leaf_count]
            leaf_count += 1
            moved = base_of(trace, leaf, count) if leaf_count > count and isinstance(leaf, Value) else None
            if moved is not None:
                op = build.row_op(moved[1], [block.args[moved[0]]])
                block.add_op(op)
                slots.extend(op.results)
            elif len(slots) in states:
                slots.append(block.insert_arg(value_type(sig.outs[0]), len(block.args)))
            else:
                slots.append(next(args) if number is None else build.number(block, sig.outs[0], number))
            continue
        op = build.row_op(sig, [slots[s] for s in operands])
        block.add_op(op)
        slots.extend(op.results)
    marks = None if requires_grad is None else [*requires_grad, *[False] * (len(block.args) - count)]
    module = build.finish(block, [slots[s] for s in outs], marks)
    from .passes.rewrite import erase_unused

    erase_unused(block)
    return module


def replay(module: ModuleOp, args: Sequence[Any]) -> list[Any]:
    """Record a module's ops anew over tensors (numbers for scalar arguments); the tensors that it returns, pending like any others."""
    recorded = build.from_module(module)
    given = iter([*args, *recorded.numbers])
    slots: list[Any] = []
    for sig, operands in recorded.instrs:
        if sig.row.kind is Kind.LEAF:
            value = next(given)
            slots.append(value if is_tensor(value) else Scalar(sig.outs[0], value))
            continue
        inputs = [slots[k] for k in operands]
        got = _call(sig, inputs) if sig.row.kind is Kind.COMPOSITE else record.emit(sig.row, inputs, sig.attrs)
        slots.extend(got if isinstance(got, tuple) else (got,))
    return [slots[k] for k in recorded.outputs]


def _call(sig: Sig, inputs: Sequence[Any]) -> Any:
    given = iter(inputs)
    assert sig.row.function is not None
    tensors = {n: None if gone else next(given) for (_, n), gone in zip(operand_params(sig.row), sig.attrs[-1], strict=True)}
    return sig.row.function(**tensors, **dict(zip(attr_names(sig.row)[:-1], sig.attrs, strict=False)))

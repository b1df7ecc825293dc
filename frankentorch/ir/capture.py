"""Python functions as modules, and modules as Python functions.

Enters: a function over tensors; or a module with tensors. Leaves: the module of what the function records, with the composites, and the
places where no gradient flows, that the tape would see; or the tensors that a module records anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from ..errors import InterpreterError
from ..ops import record
from ..ops.call import is_tensor
from ..ops.record import Scalar, Sig, Trace, Value, grad_mode, make_sig, tracing, wrap
from ..ops.table import ROWS, Kind
from ..ops.types import TensorType
from ..runtime import tape
from ..runtime.tape import differentiable
from . import build
from .composites import composite_sig, slot_of
from .dialect import GRAD, RowOp, attr_names, operand_params, static, value_type


def capture(function: Callable[..., Any], args: Sequence[Any], requires_grad: Sequence[bool] | None = None, outside: list[Any] | None = None) -> ModuleOp:
    """The module of a Python function applied to `args`: tensors, or types where the function looks at no data.

    Where an argument is marked, the module is what the tape would hold: composites with a gradient rule whole, and an attribute ``grad`` on ops
    whose operands hand on no gradient (detached values, bodies of ``no_grad``). Tensors that the function brings itself, and
    the states of generators that it draws from, become arguments after the others; they are appended to `outside`. Raises InterpreterError when
    the function looks at data of a floating-point argument, or brings a tensor and no list is given.
    """
    for a in args:
        if is_tensor(a):
            a._materialise()
    recorder = _Recorder()
    with recorder.watching(), tracing(recorder.trace), grad_mode(requires_grad is not None and any(requires_grad)):
        handles = [recorder.argument(a) for a in args]
        for handle, wanted in zip(handles, requires_grad or (), strict=False):
            if wanted:
                handle.requires_grad_(True)
        out = function(*handles)
        outs = [slot_of(recorder.trace, t) for t in (out if isinstance(out, list | tuple) else (out,)) if is_tensor(t)]
    return _Writer(recorder, len(args), requires_grad, outside).module(outs)


class _Whole(NamedTuple):
    """A composite that the tape holds as one node: its operands' and results' slots, and how many instructions were there after it."""

    sig: Sig
    operands: tuple[int, ...]
    outs: tuple[int, ...]
    end: int
    mask: tuple[bool, ...]


_lock = threading.Lock()


class _Recorder:
    """A trace, and what the tape noted of it: composites as wholes, and for each op which operands hand on gradients."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.wholes: list[_Whole] = []
        self.masks: dict[int, tuple[bool, ...]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See every node that the tape attaches to values of this trace."""
        attach = tape.attach

        def noting(sig: Sig, tensors: Any, values: Any, outs: Any) -> None:
            attach(sig, tensors, values, outs)
            if record.state.trace is self.trace:
                self.note(sig, tensors, values, outs)

        with _lock:
            record._attach = tape.attach = noting
            try:
                yield
            finally:
                record._attach = tape.attach = attach

    def note(self, sig: Sig, tensors: Any, values: Any, outs: Any) -> None:
        mask = tuple([t._node is not None for t in tensors])
        if sig.row.kind is not Kind.COMPOSITE:
            first = outs[0]._value
            if first.trace is self.trace:
                self.masks[first.slot] = mask
            return
        operands = tuple([v.slot if v.trace is self.trace else self.trace.enter(v) for v in values])
        results = tuple([slot_of(self.trace, t) for t in outs])
        if not self.draws(operands, results):
            self.wholes.append(_Whole(sig, operands, results, len(self.trace.instrs), mask))

    def draws(self, operands: Sequence[int], outs: Sequence[int]) -> bool:
        """Whether what lies between operands and results draws random numbers: it cannot be recorded again from its parts."""
        makers = [k for k, (sig, _) in enumerate(self.trace.instrs) for _ in sig.outs]
        seen, stack = set(operands), list(outs)
        while stack:
            slot = stack.pop()
            if slot in seen:
                continue
            seen.add(slot)
            sig, args = self.trace.instrs[makers[slot]]
            if sig.row.kind is Kind.RANDOM:
                return True
            stack.extend(args)
        return False

    def argument(self, given: Any) -> Any:
        """A fresh handle on an argument, which is a leaf of the trace. Integers keep their data: indices are checked as they are used."""
        t = given if isinstance(given, TensorType) else given._value.type
        if given is t or differentiable(t):
            return wrap(self.trace.placeholder(t))
        v = given._materialise()
        self.trace.enter(v)
        return wrap(v)


class _Writer:
    """Writes a recorder's trace as a module."""

    def __init__(self, recorder: _Recorder, count: int, requires_grad: Sequence[bool] | None, outside: list[Any] | None) -> None:
        self.trace, self.wholes, self.masks = recorder.trace, recorder.wholes, recorder.masks
        self.count, self.requires_grad, self.outside = count, requires_grad, outside
        self.block = Block(arg_types=[value_type(v.type) for v in self.trace.leaves[:count]])
        self.args = list(self.block.args)
        self.needs: set[SSAValue] = {a for a, wanted in zip(self.args, requires_grad or (), strict=False) if wanted}
        self.states = {operands[0] for sig, operands in self.trace.instrs if sig.row.kind is Kind.RANDOM}

    def module(self, outs: Sequence[int]) -> ModuleOp:
        slots: list[SSAValue] = []
        leaves = iter(enumerate(self.trace.leaves))
        at = 0
        for k, (sig, operands) in enumerate(self.trace.instrs):
            if sig.row.kind is Kind.LEAF:
                slots.append(self.leaf(*next(leaves), len(slots)))
            else:
                slots.extend(self.op(sig, [slots[s] for s in operands], self.masks.get(len(slots))))
            while at < len(self.wholes) and self.wholes[at].end == k + 1:
                whole = self.wholes[at]
                at += 1
                made = self.op(composite_sig(whole.sig.row, whole.sig.types, whole.sig.attrs), [slots[s] for s in whole.operands], whole.mask)
                for s, r in zip(whole.outs, made, strict=True):
                    slots[s] = r
        marks = None if self.requires_grad is None else [*self.requires_grad, *[False] * (len(self.block.args) - self.count)]
        module = build.finish(self.block, [slots[s] for s in outs], marks)
        from .passes.rewrite import erase_unused

        erase_unused(self.block)
        return module

    def op(self, sig: Sig, operands: Sequence[SSAValue], mask: tuple[bool, ...] | None) -> Sequence[SSAValue]:
        op = build.row_op(sig, operands)
        self.block.add_op(op)
        natural = natural_mask(op, self.needs)
        if any(natural):
            given = natural if mask is None and not self.needs else mask or (False,) * len(natural)
            if tuple(a and b for a, b in zip(natural, given, strict=True)) != natural:
                op.attributes[GRAD] = static(given)
            if any(a and b for a, b in zip(natural, given, strict=True)):
                self.needs.update(r for r, t in zip(op.results, sig.outs, strict=True) if differentiable(t))
        return op.results

    def leaf(self, number: int, v: Value | Scalar, slot: int) -> SSAValue:
        if number < self.count:
            return self.args[number]
        if isinstance(v, Scalar) and slot not in self.states:
            return build.number(self.block, v.type, v.num)
        moved = None if isinstance(v, Scalar) else self.base_of(v)
        if moved is not None:
            return self.op(moved[1], [self.args[moved[0]]], None)[0]
        if self.outside is None and not isinstance(v, Scalar):
            raise InterpreterError(f"a tensor of type {v.type} from outside entered the recorded body; IR takes tensors as arguments only")
        if self.outside is not None:
            self.outside.append(v.num if isinstance(v, Scalar) else wrap(v))
        return self.block.insert_arg(value_type(v.type), len(self.block.args))

    def base_of(self, v: Value) -> tuple[int, Sig] | None:
        """A leaf in an argument's memory, as the argument's number and the movement from it (movements of memory are not recorded)."""
        for k, base in enumerate(self.trace.leaves[:self.count]):
            if v.buf is not None and base.buf is v.buf and base.type.dtype is v.type.dtype:
                offset = (v.offset - base.offset) // v.type.dtype.itemsize
                return k, make_sig(ROWS["as_strided"], (base.type,), (v.type.shape, v.type.strides, offset))
        return None


def natural_mask(op: RowOp, needs: set[SSAValue]) -> tuple[bool, ...]:
    """Which operands hand on a gradient, were nothing detached."""
    if not op.ROW.differentiable or not any(differentiable(r.type.data) for r in op.results):  # type: ignore[attr-defined]
        return (False,) * len(op.operands)
    return tuple([v in needs for v in op.operands])


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

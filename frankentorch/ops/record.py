"""Recording: the one way by which an op call becomes an instruction, and a tape node where a gradient may be asked for.

Enters: rows, operand tensors (or numbers) and static attributes. Leaves: tensors whose values are pending slots of the thread's
trace. Everything here is on the hot path of every call: shape rules and promotion are looked up, not run, when the same
types came before.

A *trace* is a list of instructions ``(sig, slots)``; a slot is the number of a value in it. The runtime's window is a trace that
can be cut (compiled and run); gradient rules are traced by one that cannot.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import ref

from ..errors import InterpreterError
from .table import Kind, Row
from .tracked import Tracked, plain
from .types import TensorType, scalar_type
from .unsupported import refuse

if TYPE_CHECKING:
    from ..runtime.memory import Buffer
    from ..tensor import Tensor


class Value:
    """One functional value: pending (a slot of a trace) or concrete (a buffer and a byte offset)."""

    __slots__ = ("type", "trace", "slot", "buf", "offset", "__weakref__")

    def __init__(self, type_: TensorType, trace: Trace | None, slot: int, buf: Buffer | None = None, offset: int = 0) -> None:
        self.type = type_
        self.trace = trace
        self.slot = slot
        self.buf = buf
        self.offset = offset

    @property
    def address(self) -> int:
        assert self.buf is not None
        return self.buf.ptr + self.offset


class Scalar:
    """A number as an operand: an argument of the program. It stands where a tensor stands in `emit`."""

    __slots__ = ("type", "trace", "slot", "num", "buf", "offset")
    _root = None
    _node = None

    def __init__(self, type_: TensorType, num: Any) -> None:
        self.type = type_
        self.trace: Trace | None = None
        self.slot = -1
        self.num = num
        self.buf = None
        self.offset = 0

    @property
    def _value(self) -> Scalar:
        return self

    @property
    def dtype(self) -> Any:
        return self.type.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return ()


class Sig:
    """A row applied to operand types and attributes: everything about a call that does not depend on data."""

    __slots__ = ("row", "types", "attrs", "outs", "out", "saves", "grads", "delta", "taped")

    def __init__(self, row: Row, types: tuple[TensorType, ...], attrs: tuple[Any, ...], outs: tuple[TensorType, ...], delta: int = 0) -> None:
        self.row = row
        self.types = types
        self.attrs = attrs
        self.outs = outs
        self.out = outs[0] if outs else None
        self.saves: dict[Any, Any] = {}
        self.grads: dict[Any, Any] = {}
        self.delta = delta
        self.taped = row.differentiable and any(t.dtype.category >= 2 for t in outs)

    def __repr__(self) -> str:
        return f"<{self.row.name}{self.attrs or ''} {', '.join(map(str, self.types))} -> {', '.join(map(str, self.outs))}>"


LEAF = Row("leaf", Kind.LEAF, "leaf() -> Tensor", "A value that enters a trace.")
_LEAF_SIGS: dict[TensorType, Sig] = {}
SIGS: dict[tuple[Any, ...], Sig] = {}


def leaf_sig(type_: TensorType) -> Sig:
    found = _LEAF_SIGS.get(type_)
    if found is None:
        found = _LEAF_SIGS[type_] = Sig(LEAF, (), (), (type_,))
    return found


class Trace:
    """A list of instructions being recorded by one thread."""

    __slots__ = ("instrs", "refs", "leaves", "flush", "external", "done")
    can_cut = False

    def __init__(self) -> None:
        self.instrs: list[tuple[Sig, tuple[int, ...]]] = []
        self.refs: list[Any] = []
        self.leaves: list[Value | Scalar] = []
        self.flush = False
        self.done = False
        self.external: dict[int, tuple[Value | Scalar, int]] = {}

    def enter(self, v: Value | Scalar) -> int:
        """The slot of a value that this trace did not make: it becomes a leaf. Concrete values and numbers note the slot."""
        return self.outer(v)

    def outer(self, v: Value | Scalar) -> int:
        """A leaf that keeps its own trace and slot: gradient rules may refer to values pending elsewhere."""
        known = self.external.get(id(v))
        if known is not None:
            return known[1]
        slot = self.add_leaf(v)
        self.external[id(v)] = (v, slot)
        return slot

    def add_leaf(self, v: Value | Scalar) -> int:
        slot = len(self.refs)
        self.instrs.append((leaf_sig(v.type), ()))
        self.refs.append(None)
        self.leaves.append(v)
        return slot

    def placeholder(self, type_: TensorType) -> Value:
        """A leaf that stands for a value to be given when the trace is replayed."""
        v = Value(type_, self, len(self.refs))
        self.add_leaf(v)
        return v

    def cut(self, reason: str = "") -> None:
        raise InterpreterError("a gradient rule looked at data; rules may use shapes and ops only")

    def full(self) -> None:
        """Called when an instruction asked for a flush."""
        self.flush = False


class ThreadState(threading.local):
    """What each Python thread has of its own: its trace, its grad mode."""

    def __init__(self) -> None:
        self.trace: Trace = new_window()
        self.grad = True
        self.inference = False
        self.writing: Any = None  # the counter of the tensor that an in-place call is about to write: what is saved of it is its old value
        self.anomaly = False
        self.check_nan = True
        self.region: Any = None  # the compiled call being recorded: structural cuts wait for its end, observations are told to it


def new_window() -> Trace:
    """Replaced by the runtime with its window; a bare trace until then."""
    return Trace()


state = ThreadState()


def install(window_factory: Any, tensor_class: Any, attach: Any) -> None:
    """Called once by the rooms above: how to open a window, make a tensor, and attach a tape node."""
    global new_window, _Tensor, _new, _attach
    new_window = window_factory
    _Tensor = tensor_class
    _new = object.__new__
    _attach = attach
    state.trace = new_window()


_Tensor: Any = None
_new: Any = None
_attach: Any = None


def make_sig(row: Row, types: tuple[TensorType, ...], attrs: tuple[Any, ...]) -> Sig:
    """Run a row's shape rule once for these types; errors are torch's and leave nothing behind."""
    key = (row, attrs, *types)
    found = SIGS.get(key)
    if found is not None:
        return found
    if types:
        refuse(row.name, types[0].dtype)
    delta = 0
    if row.view is not None:
        from .types import tensor_type

        shape, strides, delta = row.view(types[0], *attrs)
        outs: Sequence[TensorType] = (tensor_type(types[0].dtype, shape, strides),)
    else:
        assert row.infer is not None
        outs = row.infer(types, attrs)
    sig = SIGS[key] = Sig(row, types, attrs, tuple(outs), delta)
    return sig


def push(sig: Sig, values: Sequence[Value | Scalar]) -> Any:
    """Append one instruction over values; the result is a `Value`, or a tuple of them when the row has several."""
    trace = state.trace
    slots = tuple([v.slot if v.trace is trace else trace.enter(v) for v in values])
    refs = trace.refs
    base = len(refs)
    trace.instrs.append((sig, slots))
    if len(sig.outs) == 1:
        out = Value(sig.out, trace, base)  # type: ignore[arg-type]
        refs.append(ref(out))
        if trace.flush:
            trace.full()
        return out
    outs = tuple([Value(t, trace, base + i) for i, t in enumerate(sig.outs)])
    refs.extend([ref(v) for v in outs])
    if trace.flush:
        trace.full()
    return outs


def wrap(value: Value) -> Tensor:
    """A fresh tensor on a value."""
    t = _new(_Tensor)
    t._value = value
    return t  # type: ignore[no-any-return]


def emit(row: Row, tensors: Sequence[Any], attrs: tuple[Any, ...] = ()) -> Any:
    """Record `row` over tensors (or `Scalar` numbers) whose types already fit; returns a tensor or a tuple of tensors."""
    values = [t._value if t._root is None else t._fresh() for t in tensors]
    key = (row, attrs, *[v.type for v in values])
    sig = SIGS.get(key)
    if sig is None:
        sig = make_sig(row, key[2:], attrs)
    if len(sig.outs) == 1:  # as `push`, written out: this is the path of nearly every op
        trace = state.trace
        slots = tuple([v.slot if v.trace is trace else trace.enter(v) for v in values])
        refs = trace.refs
        out = _new(_Tensor)
        out._value = got = Value(sig.out, trace, len(refs))  # type: ignore[arg-type]
        trace.instrs.append((sig, slots))
        refs.append(ref(got))
        if trace.flush:
            trace.full()
        if state.grad:
            for t in tensors:
                if t._node is not None:
                    _attach(sig, tensors, values, (out,))
                    break
        return out
    outs = tuple([wrap(v) for v in push(sig, values)])
    if state.grad and any(t._node is not None for t in tensors):
        _attach(sig, tensors, values, outs)
    return outs


class TrackedScalar(Scalar):
    """A number operand that a compiled call can compute again."""

    __slots__ = ("source",)

    def __init__(self, dtype: Any, value: Tracked) -> None:
        num = plain(value)
        super().__init__(scalar_type(dtype, num), num)
        self.source = value


def single(sig: Sig, a: Any, value: Value) -> Any:
    """`emit` for one operand whose signature is known."""
    now = state
    trace = now.trace
    slot = value.slot if value.trace is trace else trace.enter(value)
    refs = trace.refs
    v = Value(sig.out, trace, len(refs))  # type: ignore[arg-type]
    trace.instrs.append((sig, (slot,)))
    refs.append(ref(v))
    if trace.flush:
        trace.full()
    out = _new(_Tensor)
    out._value = v
    if a._node is not None and now.grad:
        _attach(sig, (a,), (value,), (out,))
    return out


def pair(sig: Sig, a: Any, b: Any, va: Value, vb: Value) -> Any:
    """`emit` for two operands whose signature is known."""
    now = state
    trace = now.trace
    sa = va.slot if va.trace is trace else trace.enter(va)
    sb = vb.slot if vb.trace is trace else trace.enter(vb)
    refs = trace.refs
    v = Value(sig.out, trace, len(refs))  # type: ignore[arg-type]
    trace.instrs.append((sig, (sa, sb)))
    refs.append(ref(v))
    if trace.flush:
        trace.full()
    out = _new(_Tensor)
    out._value = v
    if (a._node is not None or b._node is not None) and now.grad:
        _attach(sig, (a, b), (va, vb), (out,))
    return out


def number(dtype: Any, value: Any) -> Any:
    """A number operand of the given dtype. A program's arguments are real: a complex number is a tensor of one element."""
    if value.__class__ is Tracked:
        return TrackedScalar(dtype, value)
    if dtype.is_complex:
        if isinstance(value, complex) and value.imag:
            import numpy as np

            from ..construct import from_array

            return from_array(np.array(value, dtype.np))
        value = float(value.real)
    return Scalar(scalar_type(dtype, value), value)


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Record into `trace` instead of the thread's window."""
    before = state.trace
    state.trace = trace
    try:
        yield trace
    finally:
        state.trace = new_window() if before.done else before


@contextmanager
def grad_mode(enabled: bool) -> Iterator[None]:
    """Set whether the tape grows, for the body."""
    before = state.grad
    state.grad = enabled
    try:
        yield
    finally:
        state.grad = before

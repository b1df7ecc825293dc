"""Composites in IR: a composite with a gradient rule of its own stays one op until it has been differentiated.

Enters: rows of kind composite with operand types. Leaves: their signatures and their expansions as recorded parts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import InterpreterError
from ..ops.record import Scalar, Sig, Trace, grad_mode, tracing, wrap
from ..ops.table import Row
from ..ops.types import TensorType
from .dialect import attr_names, operand_params


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
        slots = [slot_of(trace, t) for t in (out if isinstance(out, tuple) else (out,))]
    return Parts(trace.instrs, numbers(trace, len(types)), slots)


def slot_of(trace: Trace, t: Any) -> int:
    """A tensor's slot in a trace; what the trace did not make enters it."""
    v = t._value if t._root is None else t._fresh()
    return v.slot if v.trace is trace else trace.enter(v)  # type: ignore[no-any-return]


def numbers(trace: Trace, operands: int) -> list[Any]:
    """The number of each leaf of a trace, None for its first `operands`. Raises InterpreterError on a leaf that is other memory."""
    for v in trace.leaves[operands:]:
        if not isinstance(v, Scalar):
            raise InterpreterError(f"a tensor of type {v.type} from outside entered a composite's body; IR takes tensors as arguments only")
    return [None] * operands + [v.num for v in trace.leaves[operands:]]  # type: ignore[union-attr]

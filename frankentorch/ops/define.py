"""Definers: the short forms in which the files of this folder write rows.

Each returns the torch function of the row it adds, so that rows further down can use it in their gradients.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from .. import dtypes
from . import call, record
from .call import infer_pointwise, pointwise, same
from .record import Sig, emit, state
from .table import ROWS, Kind, NoGrad, Row, add_row, schema_name
from .types import TensorType, dense_type


def _out_dtype(promote: Callable[[Any], tuple[Any, Any]]) -> Callable[[Any], Any]:
    return lambda d: promote(d)[1]


class OpFunction(Protocol):
    """A torch function that knows its row."""

    row: Row
    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def unary(schema: str, *, doc: str, ref: Any, lane: Any, vjp: Any, promote: Any = same, traits: Sequence[str] = (), samples: Any = (-3.0, 3.0),
          inplace: bool = True, method: bool = True, aliases: Sequence[str] = (), public: bool = True) -> OpFunction:
    """A pointwise row of one tensor. Its function takes ``out=``."""
    row = add_row(Row(schema_name(schema), Kind.POINTWISE, schema, doc, infer=infer_pointwise(_out_dtype(promote)), ref=ref, lane=lane, vjp=vjp,
                      promote=promote, traits=frozenset(traits), samples=samples, inplace=inplace, method=method, aliases=tuple(aliases), public=public))

    known: dict[TensorType, Sig] = {}

    def function(input: Any, *, out: Any = None) -> Any:
        try:
            value = input._value if input._root is None else input._fresh()
            sig = known[value.type]
        except (AttributeError, KeyError):
            r = pointwise(row, input)
            if input._value.type.dtype is not None and call.needs_no_cast(row, (input,)):
                known[input._value.type] = record.make_sig(row, (input._value.type,), ())
        else:
            r = record.single(sig, input, value)
        return r if out is None else call.write_out(out, r, row.name)

    return finish(row, function)


def binary(schema: str, *, doc: str, ref: Any, lane: Any, vjp: Any, promote: Any = same, traits: Sequence[str] = (), samples: Any = (-3.0, 3.0),
           inplace: bool = True, method: bool = True, aliases: Sequence[str] = (), public: bool = True) -> OpFunction:
    """A pointwise row of two operands, either of which may be a number."""
    row = add_row(Row(schema_name(schema), Kind.POINTWISE, schema, doc, infer=infer_pointwise(_out_dtype(promote)), ref=ref, lane=lane, vjp=vjp,
                      promote=promote, traits=frozenset(traits), samples=samples, inplace=inplace, method=method, aliases=tuple(aliases), public=public))

    known: dict[tuple[TensorType, TensorType], Sig] = {}

    def function(input: Any, other: Any, *, out: Any = None) -> Any:
        try:
            a = input._value if input._root is None else input._fresh()
            b = other._value if other._root is None else other._fresh()
            sig = known[a.type, b.type]
        except (AttributeError, KeyError):
            r = pointwise(row, input, other)
            if call.needs_no_cast(row, (input, other)):
                known[input._value.type, other._value.type] = record.make_sig(row, (input._value.type, other._value.type), ())
        else:
            r = record.pair(sig, input, other, a, b)
        return r if out is None else call.write_out(out, r, row.name)

    return finish(row, function)


def primitive(schema: str, kind: Kind, *, doc: str, infer: Any, ref: Any, vjp: Any, lane: Any = None, nout: int = 1, traits: Sequence[str] = (),
              samples: Any = None, attrs: tuple[str, ...] = (), view: Any = None, public: bool = False) -> Row:
    """A row of another kind. Its torch function, which parses and checks arguments, is written beside it with `api`."""
    return add_row(Row(schema_name(schema), kind, schema, doc, infer=infer, ref=ref, vjp=vjp, lane=lane, nout=nout, traits=frozenset(traits),
                       samples=samples, attrs=attrs, view=view, public=public))


def finish(row: Row, function: Callable[..., Any]) -> OpFunction:
    function.__name__ = function.__qualname__ = row.name
    function.__doc__ = row.doc
    function.row = row  # type: ignore[attr-defined]
    row.function = function
    API[row.name] = Entry(row.name, function, row.method, row.inplace, row.schema)
    for alias in row.aliases:
        API[alias] = Entry(alias, function, row.method, row.inplace, row.schema)
    return cast(OpFunction, function)


class Entry:
    """One public name: its function, and which derived forms it has."""

    __slots__ = ("name", "function", "method", "inplace", "schema", "public")

    def __init__(self, name: str, function: Callable[..., Any], method: bool, inplace: bool, schema: str, public: bool = True) -> None:
        self.name, self.function, self.method, self.inplace, self.schema, self.public = name, function, method, inplace, schema, public


API: dict[str, Entry] = {}


def api(schema: str, *, method: bool = True, inplace: bool = False, aliases: Sequence[str] = (), public: bool = True,
        out: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A torch function written in Python over ops: argument handling of a primitive, or a composite without a rule of its own."""
    name = schema_name(schema)

    def register(fn: Callable[..., Any]) -> Callable[..., Any]:
        final = with_out(fn, schema) if out and "out" not in inspect.signature(fn).parameters else fn
        final.__name__ = final.__qualname__ = name
        for n in (name, *aliases):
            API[n] = Entry(n, final, method, inplace, schema, public)
        return final

    return register


def not_a_tensor(schema: str, args: Sequence[Any]) -> TypeError | None:
    """torch's error for the first of these arguments that has to be a tensor and is none."""
    for at, ((kind, name), given) in enumerate(zip(_params(schema), args)):
        if kind == "Tensor" and not call.is_tensor(given):
            return TypeError(f"{schema_name(schema)}(): argument '{name}' (position {at + 1}) must be Tensor, not {type(given).__name__}")
    return None


def with_out(fn: Callable[..., Any], schema: str) -> Callable[..., Any]:
    """Add the ``out=`` form, and torch's error for what is no tensor."""

    @functools.wraps(fn)
    def function(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        try:
            r = fn(*args, **kwargs)
        except AttributeError:
            wrong = not_a_tensor(schema, args)
            if wrong is None:
                raise
            raise wrong from None
        return r if out is None else call.write_out(out, r, fn.__name__)

    return function


LOW = (dtypes.bfloat16, dtypes.float16)


def composite(schema: str, *, doc: str = "", vjp: Any = None, opmath: bool = True, method: bool = True, inplace: bool = False,
              aliases: Sequence[str] = (), public: bool = True, out: bool = True) -> Callable[[Callable[..., Any]], OpFunction]:
    """A Python function over other ops.

    The rounding unit is the public op: with `opmath`, low-precision floats are computed in float32 and rounded once. With `vjp` the
    tape holds the composite as one node with that rule; without, the gradient is that of its parts.
    """
    name = schema_name(schema)

    def register(fn: Callable[..., Any]) -> OpFunction:
        tensors: list[str] = []
        attrs: list[str] = []
        params = inspect.signature(fn).parameters
        annotated = {n: t for t, n in _params(schema)}
        for p in params:
            (tensors if annotated.get(p, "").startswith("Tensor") else attrs).append(p)
        row = add_row(Row(name, Kind.COMPOSITE, schema, doc or (fn.__doc__ or ""), vjp=vjp, attrs=tuple(attrs), method=method, inplace=inplace,
                          aliases=tuple(aliases), public=public))
        split: Callable[..., Any] | None = None

        @functools.wraps(fn)
        def function(*args: Any, **kwargs: Any) -> Any:
            nonlocal split
            if split is None:
                split = splitter(fn, name, tensors, attrs)
            given, static = split(*args, **kwargs)
            return run_composite(row, fn, given, static, tensors, opmath)

        final = with_out(function, schema) if out else function
        final.row = row  # type: ignore[attr-defined]
        row.function = final
        for n in (name, *aliases):
            API[n] = Entry(n, final, method, inplace, schema, public)
        return cast(OpFunction, final)

    return register


def splitter(fn: Callable[..., Any], name: str, tensors: list[str], attrs: list[str]) -> Callable[..., Any]:
    """A function with the signature of `fn` that returns (tensor arguments in order, the others by name)."""
    defaults: dict[str, Any] = {}
    text: list[str] = []
    starred = False
    for p in inspect.signature(fn).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not starred:
            starred = True
            text.append("*")
        if p.default is p.empty:
            text.append(p.name)
        else:
            defaults[f"_{p.name}"] = p.default
            text.append(f"{p.name}=_{p.name}")
    named = ", ".join(f"{a!r}: {a}" for a in attrs)
    exec(f"def {name}({', '.join(text)}):\n    return [{', '.join(tensors)}], {{{named}}}", defaults)
    return defaults[name]  # type: ignore[no-any-return]


def _params(schema: str) -> list[tuple[str, str]]:
    from .table import schema_params

    return schema_params(schema)


def run_composite(row: Row, fn: Callable[..., Any], tensors: list[Any], attrs: dict[str, Any], names: list[str], opmath: bool) -> Any:
    """Run a composite's body: in opmath for low precision, and as one tape node when the row has a rule."""
    given = tensors
    low, wide, taped = None, False, False
    for t in tensors:
        if isinstance(t, record._Tensor):
            taped = taped or t._node is not None
            dtype = t._value.type.dtype
            if dtype in LOW:
                low = dtype if low is None else dtypes.promote_types(low, dtype)
            elif dtype.is_floating_point:
                wide = True
        elif t is not None and type(t) not in call.NUMBERS:
            at = next(i for i, x in enumerate(tensors) if x is t)
            raise TypeError(f"{row.name}(): argument '{names[at]}' (position {at + 1}) must be Tensor, not {type(t).__name__}")
    if wide or not opmath:
        low = None
    if low is not None and attrs.get("dtype") is not None:
        low = attrs["dtype"] if attrs["dtype"] in LOW else None
    if not (taped and row.vjp is not None and state.grad):
        if low is not None:
            tensors = [call.cast(t, dtypes.float32) if call.is_tensor(t) and t._value.type.dtype in LOW else t for t in tensors]
        out = fn(**dict(zip(names, tensors, strict=True)), **attrs)
        out = _lower(out, low)
        for o in out if isinstance(out, tuple) else (out,):
            if call.is_tensor(o) and o._root is not None:
                _own(o, given)
        rename(out, row)
        return out
    with record.grad_mode(False):
        out = run_composite(row, fn, [t.detach() if call.is_tensor(t) and t._node is not None else t for t in tensors], attrs, names, opmath)
    outs = out if isinstance(out, tuple) else (out,)
    if isinstance(row.vjp, NoGrad):
        return out
    present = [t for t in given if t is not None]
    operands: list[Any] = [t if call.is_tensor(t) else call.number(outs[0].dtype, t) for t in present]
    values = [t._value if t._root is None else t._fresh() for t in operands]
    types: tuple[TensorType, ...] = tuple(v.type for v in values)
    missing = tuple(t is None for t in given)
    frozen = tuple(tuple(a) if isinstance(a, list) else a for a in attrs.values())
    key = (row, frozen, missing, *types)
    sig = record.SIGS.get(key)
    if sig is None:
        sig = record.SIGS[key] = Sig(row, types, (*frozen, missing), tuple(o._value.type for o in outs))
    record._attach(sig, operands, values, outs)
    return out


def _own(result: Any, given: Sequence[Any]) -> None:
    """A view of what the body made itself becomes a tensor with a storage of its own: torch's results are views of operands or of nothing."""
    home = result._home()
    if any(call.is_tensor(t) and t._home() is home for t in given) or result._detached:
        return
    if not result._value.type.dense:
        copy = record.emit(ROWS["clone"], (result,), (dense_type(result._value.type).strides,))
        result._value, result._node, result._nr = copy._value, copy._node, copy._nr
    result._root, result._soff, result._family = None, 0, None


def _lower(out: Any, low: Any) -> Any:
    if low is None:
        return out
    if isinstance(out, tuple):
        return tuple(_lower(o, low) for o in out)
    return call.cast(out, low) if out._value.type.dtype is dtypes.float32 else out


def rename(out: Any, row: Row) -> None:
    """Name the gradient node of a composite's result after the op that the user called."""
    for o in out if isinstance(out, tuple) else (out,):
        if call.is_tensor(o) and o._node is not None and not o._node.is_leaf and o._root is None:
            o._node.name = row.grad_name


__all__ = ["API", "Entry", "api", "binary", "composite", "emit", "primitive", "unary"]

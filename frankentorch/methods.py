"""Methods and operators of `Tensor`, bound from the op table.

Enters: `define.API`. Leaves: a complete class: every function with ``method=True`` is a method, every one with ``inplace=True`` has an
underscored form, and Python's operators map to the table's functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import dtypes
from .ops import call, pointwise
from .ops.call import is_tensor
from .ops.define import API
from .ops.record import state
from .tensor import Tensor

F = {name: entry.function for name, entry in API.items()}


def _inplace(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not is_tensor(self):
            raise TypeError(f"{name}_(): argument 'input' (position 1) must be Tensor, not {type(self).__name__}")
        call.check_writable(self, name)
        call.check_overlap(self, args)
        before, state.writing = state.writing, self._version_counter() if state.grad else None
        try:
            result = function(self, *args, **kwargs)
        finally:
            state.writing = before
        return call.write_inplace(self, result, name)  # type: ignore[no-any-return]

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"In-place {name}."
    return method


_VIEW_INPLACE = ("squeeze", "unsqueeze", "transpose", "t", "swapaxes", "swapdims")


def _view_inplace(name: str) -> Callable[..., Any]:
    """In-place forms that change the handle, not the memory."""
    function = F[name]

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        v = function(self, *args, **kwargs)
        self._settle()
        self._value, self._soff = v._value, v._soff
        self._node, self._nr = v._node, v._nr
        self._count_write()
        self._seen = self._storage_counter().writes
        return self

    method.__name__ = name + "_"
    return method


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Any:
        try:
            return function(self, other)
        except TypeError:
            if is_tensor(other) or type(other) in call.NUMBERS or hasattr(other, "item"):
                raise
            return NotImplemented

    return method


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Any:
        if type(other) not in call.NUMBERS and not is_tensor(other) and not hasattr(other, "item"):
            return NotImplemented
        return function(other, self)

    return method


def _logic(row_fn: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Any:
        return row_fn(self, other)

    return method


BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "true_divide", "floordiv": "floor_divide", "mod": "remainder", "pow": "pow",
    "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


CONVERSIONS = {"float": "float32", "double": "float64", "half": "float16", "bfloat16": "bfloat16", "int": "int32", "long": "int64",
               "short": "int16", "char": "int8", "byte": "uint8", "bool": "bool", "cfloat": "complex64", "cdouble": "complex128"}


def _conversion(name: str, dtype: dtypes.dtype) -> Callable[..., Any]:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return self.to(dtype, memory_format=memory_format)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The tensor as {dtype}."
    return method


def bind() -> None:
    """Fill the class."""
    for name, target in CONVERSIONS.items():
        setattr(Tensor, name, _conversion(name, dtypes.by_name(target)))
    for name, entry in API.items():
        if entry.method and not hasattr(Tensor, name) or entry.method and name in ("type",) and False:
            setattr(Tensor, name, entry.function)
        if entry.inplace and not hasattr(Tensor, name + "_"):
            if name in _VIEW_INPLACE:
                continue
            setattr(Tensor, name + "_", _inplace(name, entry.function))
    for name in _VIEW_INPLACE:
        setattr(Tensor, name + "_", _view_inplace(name))
    for op, name in BINARY.items():
        setattr(Tensor, f"__{op}__", _operator(F[name]))
        setattr(Tensor, f"__r{op}__", _reflected(F[name]))
        if op not in ("matmul",) and API[name].inplace:
            setattr(Tensor, f"__i{op}__", _operator(getattr(Tensor, name + "_")))
    for op in COMPARE:
        setattr(Tensor, f"__{op}__", _operator(F[op]))
    setattr(Tensor, "__neg__", lambda self: F["neg"](self))
    setattr(Tensor, "__pos__", lambda self: F["positive"](self))
    setattr(Tensor, "__abs__", lambda self: F["abs"](self))
    setattr(Tensor, "__invert__", _invert)
    Tensor.repeat = lambda self, *r: F["repeat"](self, _ints(r))  # type: ignore[attr-defined]
    Tensor.nonzero_static = None  # type: ignore[attr-defined]
    del Tensor.nonzero_static  # type: ignore[attr-defined]
    from .ops.rand import METHODS

    for name, method in METHODS.items():
        setattr(Tensor, name, method)
    from .indexing import getitem, setitem

    setattr(Tensor, "__getitem__", getitem)
    setattr(Tensor, "__setitem__", setitem)


def _invert(self: Tensor) -> Any:
    if self.dtype.category >= dtypes.FLOAT:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return pointwise.bitwise_not(self)


def _ints(args: tuple[Any, ...]) -> tuple[int, ...]:
    from .ops.movement import int_args

    return int_args(args)

"""Constructors: rows that make values from sizes and numbers, and torch's functions over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import device as devices
from .. import dtypes
from ..memory_format import contiguous_format
from . import call
from .call import is_tensor, number
from .define import api, composite, primitive
from .pointwise import where
from .record import emit
from .table import Kind, NoGrad
from .types import tensor_type

_CONSTANT = NoGrad("depends on no tensor")

full_row = primitive(
    "full(Scalar value, int[] size, ScalarType dtype) -> Tensor", Kind.CREATE, doc="One number everywhere.",
    infer=lambda types, attrs: (tensor_type(attrs[1], attrs[0]),), ref=lambda value, size, dtype: np.full(size, value),
    lane=lambda L, x: x, vjp=_CONSTANT, attrs=("size", "dtype"), traits=("fill",))
iota_row = primitive(
    "iota(int[] size, int dim, ScalarType dtype) -> Tensor", Kind.CREATE, doc="The index along a dimension.",
    infer=lambda types, attrs: (tensor_type(attrs[2], attrs[0]),),
    ref=lambda size, dim, dtype: np.broadcast_to(np.arange(size[dim]).reshape([-1 if i == dim else 1 for i in range(len(size))]), size),
    vjp=_CONSTANT, attrs=("size", "dim", "dtype"), traits=("index",))


def full_of(size: Sequence[int], value: Any, dtype: Any) -> Any:
    """A tensor filled with a number, as one instruction."""
    operand = number(dtype, call.checked_number(value, dtype))
    if call.is_tensor(operand):
        return operand.expand(tuple(size)).clone(memory_format=contiguous_format)
    return emit(full_row, (operand,), (tuple(size), dtype))


def iota(size: Sequence[int], dim: int, dtype: Any) -> Any:
    """The index along `dim`."""
    return emit(iota_row, (), (tuple(size), dim, dtype))


def sizes(args: tuple[Any, ...], size: Any = None, name: str = "empty") -> tuple[int, ...]:
    """Sizes given one by one, as one sequence, or by keyword; `name` is whose errors they would be."""
    if size is not None:
        args = (size,)
    if len(args) == 1 and not isinstance(args[0], int) and not hasattr(args[0], "__index__"):
        if not isinstance(args[0], (tuple, list)):
            raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(args[0]).__name__}")
        args = tuple(args[0])
    out: list[int] = []
    for a in args:
        if not hasattr(a, "__index__"):
            kind = type(a).__name__
            if not out:
                raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, but found element of type {kind} at pos 0")
            raise TypeError(f"{name}(): argument 'size' failed to unpack the object at pos {len(out) + 1} with error \"type must be tuple of ints,but got "
                            f"{kind}\"")
        n = a.__index__()
        if n < 0:
            if name == "zeros":
                raise RuntimeError("zeros: Dimension size must be non-negative.")
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {[int(v) for v in args]}")
        out.append(n)
    return tuple(out)


def finish(t: Any, device: Any, requires_grad: bool, layout: Any = None) -> Any:
    """Apply a constructor's device and requires_grad."""
    t = place(t, device)
    return t._from_birth() if requires_grad else t


def place(t: Any, device: Any) -> Any:
    target = devices.get_default_device() if device is None else devices.device(device)
    return t if target.type == "cpu" else t._to_device(target)


def make_full(size: Sequence[int], value: Any, dtype: Any, device: Any = None, requires_grad: bool = False) -> Any:
    return finish(full_of(size, value, dtype), device, requires_grad)


@api("zeros(int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool requires_grad=False) -> Tensor", method=False)
def zeros(*size: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Any:
    """A tensor of zeros."""
    return make_full(sizes(size, name="zeros"), 0, dtype or dtypes.get_default_dtype(), device, requires_grad)


def _kw(fn: Any) -> Any:
    """Allow ``size=`` by keyword."""

    def function(*args: Any, size: Any = None, **kw: Any) -> Any:
        return fn(*(args if size is None else (size,)), **kw)

    function.__doc__ = fn.__doc__
    return function


@api("ones(int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool requires_grad=False) -> Tensor", method=False)
def ones(*size: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Any:
    """A tensor of ones."""
    return make_full(sizes(size, name="ones"), 1, dtype or dtypes.get_default_dtype(), device, requires_grad)


@api("empty(int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool requires_grad=False, "
     "MemoryFormat? memory_format=None) -> Tensor", method=False)
def empty(*size: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
          memory_format: Any = None) -> Any:
    """A tensor whose contents are unspecified (here: zeros, as in deterministic mode they must be something)."""
    t = full_of(sizes(size), 0, dtype or dtypes.get_default_dtype())
    if memory_format is not None:
        t = t.contiguous(memory_format=memory_format)
    return finish(t, device, requires_grad)


@api("empty_strided(int[] size, int[] stride, *, ScalarType? dtype=None, Device? device=None, bool requires_grad=False) -> Tensor", method=False)
def empty_strided(size: Any, stride: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
                  pin_memory: bool = False) -> Any:
    """Zeros with the given strides."""
    need = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if math.prod(size) else 0
    t = full_of((need,), 0, dtype or dtypes.get_default_dtype()).as_strided(tuple(size), tuple(stride))
    return finish(t.detach(), device, requires_grad)


@api("full(int[] size, Scalar fill_value, *, ScalarType? dtype=None, Device? device=None, bool requires_grad=False) -> Tensor", method=False)
def full(size: Any, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
         requires_grad: bool = False) -> Any:
    """A tensor of one number; its dtype is the number's unless given."""
    if is_tensor(fill_value):
        fill_value = fill_value.item()
    return make_full(sizes((size,), name="full"), fill_value, dtype or dtypes.scalar_dtype(fill_value), device, requires_grad)


def _like(name: str, value: Any) -> Any:
    @api(f"{name}_like(Tensor input, *, ScalarType? dtype=None, Device? device=None, bool requires_grad=False, MemoryFormat? memory_format=None) -> Tensor",
         method=False)
    def like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None,
             pin_memory: bool = False) -> Any:
        from .movement import format_strides
        from .pointwise import clone_row
        from .types import contiguous_strides

        t = full_of(input.shape, value, dtype or input.dtype)
        strides = format_strides(input._value.type, memory_format)
        if strides != contiguous_strides(t.shape):
            t = emit(clone_row, (t,), (strides,))
        return finish(t, input.device if device is None else device, requires_grad)

    like.__doc__ = f"{name} with the shape, dtype and layout of `input`."
    return like


zeros_like = _like("zeros", 0)
ones_like = _like("ones", 1)
empty_like = _like("empty", 0)


@api("full_like(Tensor input, Scalar fill_value, *, ScalarType? dtype=None, bool requires_grad=False) -> Tensor", method=False)
def full_like(input: Any, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
              memory_format: Any = None) -> Any:
    """full with the shape and dtype of `input`."""
    if is_tensor(fill_value):
        fill_value = fill_value.item()
    return make_full(input.shape, fill_value, dtype or input.dtype, input.device if device is None else device, requires_grad)


@api("arange(Scalar start=0, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Device? device=None, bool requires_grad=False) -> Tensor", method=False)
def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
           requires_grad: bool = False) -> Any:
    """start, start + step, ... below end; each element is start + i * step in float64 (int64 for integers)."""
    if end is None:
        start, end = 0, start
    start, end, step = (v.item() if is_tensor(v) else v for v in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if dtype is not None and (dtype is dtypes.bool_ or dtype.is_complex):
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{dtype.scalar_name}'")
    if dtype is dtypes.int64 and not int(step):
        raise ValueError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None:
        dtype = dtypes.int64 if all(isinstance(v, int) for v in (start, end, step)) else dtypes.get_default_dtype()
    if all(isinstance(v, int) for v in (start, end, step)):
        n = -(-(end - start) // step)
    else:
        n = math.ceil((end - start) / step)
    wide = dtypes.int64 if dtype.category <= dtypes.INT and all(isinstance(v, int) for v in (start, end, step)) else dtypes.float64
    if dtype.category == dtypes.INT:
        wide, start, step = dtypes.int64, int(start), int(step)
    t = iota((max(n, 0),), 0, wide)
    if step != 1:
        t = t * step
    if start != 0:
        t = t + start
    return finish(call.cast(t, dtype), device, requires_grad)


@api("linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None) -> Tensor", method=False)
def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """`steps` even points from start to end; the upper half counts down from end, as torch does."""
    start, end = (v.item() if is_tensor(v) else v for v in (start, end))
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    dtype = dtype or (dtypes.get_default_dtype() if not isinstance(start, complex) and not isinstance(end, complex) else dtypes.get_default_complex_dtype())
    if dtype is dtypes.bool_:
        raise NotImplementedError("\"linspace_cpu\" not implemented for 'Bool'")
    narrow = dtype.opmath is dtypes.float32  # torch's kernel adds with one rounding, as float64 does for 24-bit factors
    if narrow:
        start, end = float(np.float32(start)), float(np.float32(end))
    work = dtypes.float64 if dtype.category == dtypes.INT or narrow else dtype.opmath
    if steps == 1:
        return finish(full_of((1,), start, dtype), device, requires_grad)
    i = iota((steps,), 0, dtypes.int64)
    fi, back = call.cast(i, work), call.cast(steps - 1 - i, work)
    step = float(np.float32(end - start) / np.float32(steps - 1)) if narrow else (end - start) / max(steps - 1, 1)
    t = where(i < steps // 2, start + step * fi, end - step * back)
    return finish(call.cast(t, dtype), device, requires_grad)


@api("logspace(Scalar start, Scalar end, int steps, float base=10.0, *, ScalarType? dtype=None) -> Tensor", method=False)
def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
    """base ** linspace(start, end, steps)."""
    from .pointwise import pow_

    if dtype is dtypes.bool_:
        raise NotImplementedError("\"logspace_cpu\" not implemented for 'Bool'")
    t = pow_(full_of((), base, dtypes.float64), linspace(start, end, steps, dtype=dtypes.float64))
    return finish(call.cast(t, dtype or dtypes.get_default_dtype()), device, requires_grad)


@api("eye(int n, int? m=None, *, ScalarType? dtype=None) -> Tensor", method=False)
def eye(n: int, m: Any = None, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """Ones on the diagonal."""
    m = n if m is None else m
    if n < 0 or m < 0:
        raise RuntimeError(f"n must be greater or equal to 0, got {min(n, m)}")
    hit = iota((n, m), 0, dtypes.int64) == iota((n, m), 1, dtypes.int64)
    return finish(call.cast(hit, dtype or dtypes.get_default_dtype()), device, requires_grad)


def _triangle(name: str, keep: Any) -> Any:
    @composite(f"{name}(Tensor input, int diagonal=0) -> Tensor", inplace=True, opmath=False,
               vjp=lambda g, input, out, diagonal, missing=None: (triangle(g, diagonal),))
    def triangle(input: Any, diagonal: int = 0) -> Any:
        from .movement import row_major

        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        n, m = input.shape[-2], input.shape[-1]
        column, row = iota((n, m), 1, dtypes.int64), iota((n, m), 0, dtypes.int64)
        return where(keep(column - row, diagonal), row_major(input), False if input.dtype is dtypes.bool_ else 0)

    triangle.__doc__ = f"The {'lower' if name == 'tril' else 'upper'} triangle; zeros elsewhere."
    return triangle


tril = _triangle("tril", lambda d, k: d <= k)
triu = _triangle("triu", lambda d, k: d >= k)


@api("scalar_tensor(Scalar s, *, ScalarType? dtype=None) -> Tensor", method=False)
def scalar_tensor(s: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False) -> Any:
    """A 0-dim tensor."""
    return place(full_of((), s, dtype or dtypes.get_default_dtype()), device)


for _name in ("zeros", "ones", "empty"):
    from .define import API

    API[_name].function = _kw(API[_name].function)

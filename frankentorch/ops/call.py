"""Calling a row: promotion, number operands, in-place and ``out=`` forms.

Enters: what the user passed. Leaves: recorded tensors. The promotion of a call is looked up by (row, operand types); the rules
themselves run once per combination.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import dtypes
from ..dtypes import dtype as DType
from . import record
from .record import Scalar, emit, number, state
from .table import Row
from .tracked import Tracked
from .types import TensorType, dense_type, elementwise_type, tensor_type
from .unsupported import refuse

NUMBERS = frozenset((bool, int, float, complex, Tracked))


def is_tensor(x: Any) -> bool:
    return isinstance(x, record._Tensor)


# Promotion policies: from the promoted dtype of the operands to (compute dtype, result dtype) ---------------------
def same(d: DType) -> tuple[DType, DType]:
    return d, d


def int_to_float(d: DType) -> tuple[DType, DType]:
    d = dtypes.get_default_dtype() if d.category < dtypes.FLOAT else d
    return d, d


def compare(d: DType) -> tuple[DType, DType]:
    return d, dtypes.bool_


def no_bool(d: DType) -> tuple[DType, DType]:
    return (dtypes.int64 if d is dtypes.bool_ else d,) * 2


def to_real(d: DType) -> tuple[DType, DType]:
    return d, d.to_real()


def infer_pointwise(out_dtype: Callable[[DType], DType]) -> Callable[..., Any]:
    """The shape rule of pointwise rows; operand dtypes are equal by the time it runs (conditions of `where` excepted)."""

    def infer(types: Sequence[TensorType], attrs: tuple[Any, ...]) -> tuple[TensorType, ...]:
        return (elementwise_type(out_dtype(types[-1].dtype), types),)

    return infer


_PLANS: dict[tuple[Any, ...], Any] = {}
TO: Any = None  # the row of conversions, set by the file that defines it


def cast(t: Any, dtype: DType) -> Any:
    """`t` in another dtype, as a recorded op; itself when it has the dtype already."""
    if t._value.type.dtype is dtype:
        return t
    return emit(TO, (t,), (dtype,))


def type_error(row: Row, position: int, x: Any) -> TypeError:
    name = "input" if position == 0 else "other"
    return TypeError(f"{row.name}(): argument '{name}' (position {position + 1}) must be Tensor, not {type(x).__name__}")


def as_operand(row: Row, position: int, x: Any) -> Any:
    """A tensor or a Python number; numpy scalars become numbers."""
    if type(x) in NUMBERS or is_tensor(x):
        return x
    item = getattr(x, "item", None)
    if item is not None and getattr(x, "ndim", 1) == 0:
        return item()
    base: Any
    for base in (bool, int, float, complex):
        if isinstance(x, base):
            return base(x)
    raise type_error(row, position, x)


def _plan(row: Row, key: tuple[Any, ...]) -> Any:
    """What to do with each operand: None (as it is), a dtype to cast to, or ("num", dtype)."""
    triples = []
    for k in key[2:]:
        if isinstance(k, TensorType):
            triples.append((k.dtype, k.ndim == 0, False))
        else:
            triples.append((dtypes.scalar_dtype(k()), True, True))
    promoted = dtypes.result_type_of(triples)
    refuse(row.name, promoted)
    compute, _ = row.promote(promoted)
    actions: list[Any] = []
    for k in key[2:]:
        if isinstance(k, TensorType):
            actions.append(None if k.dtype is compute else compute)
        else:
            actions.append(("num", compute))
    return None if all(a is None for a in actions) else tuple(actions)


def pointwise(row: Row, *args: Any, attrs: tuple[Any, ...] = ()) -> Any:
    """Record a pointwise row over tensors and numbers with torch's promotion."""
    Tensor = record._Tensor
    key: tuple[Any, ...] = (row, dtypes._default, *[a._value.type if isinstance(a, Tensor) else type(a) for a in args])
    try:
        plan = _PLANS[key]
    except KeyError:
        args = tuple([as_operand(row, i, a) for i, a in enumerate(args)])
        if not any(is_tensor(a) for a in args):
            raise type_error(row, 0, args[0]) from None
        key = (row, dtypes.get_default_dtype(), *[a._value.type if is_tensor(a) else type(a) for a in args])
        plan = _PLANS[key] = _plan(row, key)
    if plan is None:
        return emit(row, args, attrs)
    operands = []
    for a, action in zip(args, plan, strict=True):
        if action is None:
            operands.append(a)
        elif type(action) is tuple:
            operands.append(number(action[1], convert_number(a, action[1])))
        else:
            operands.append(cast(a, action))
    return emit(row, operands, attrs)


def needs_no_cast(row: Row, args: tuple[Any, ...]) -> bool:
    """Whether a call of `pointwise` that just went well recorded its operands, all tensors, as they were."""
    if not all([is_tensor(a) for a in args]):  # noqa: C419 (a list is faster)
        return False
    key = (row, dtypes.get_default_dtype(), *[a._value.type for a in args])
    return _PLANS.get(key, 0) is None


_C_NAMES = {f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def convert_number(value: Any, dtype: DType) -> Any:
    """A Python number as an operand of `dtype`: a float is cut to an integer, an integer wraps."""
    if dtype.category == dtypes.INT and isinstance(value, (int, float)):
        bits = dtype.itemsize * 8
        if value != value or value in (float("inf"), float("-inf")):
            raise RuntimeError(f"value cannot be converted to type {_C_NAMES.get(dtype.name, dtype.name)} without overflow")
        value = int(value) & ((1 << bits) - 1)
        if dtype.is_signed and value >> (bits - 1):
            value -= 1 << bits
        return value
    if dtype is dtypes.bool_:
        return bool(value)
    if dtype.is_floating_point and not isinstance(value, complex):
        if value.__class__ is float or value.__class__ is Tracked:
            return value
        try:
            return float(value)
        except OverflowError:
            raise RuntimeError("value cannot be converted to type float without overflow") from None
    return value


_CPP = {"float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int32": "int"}


def checked_number(value: Any, dtype: DType) -> Any:
    """A number as an element of `dtype`, as fills take it: one that does not fit is torch's error."""
    if value.__class__ is Tracked:
        return convert_number(value, dtype)
    if type(value) not in NUMBERS and hasattr(value, "item"):
        value = value.item()
    if dtype.is_complex or dtype is dtypes.bool_:
        return convert_number(value, dtype)
    if isinstance(value, complex):
        if value.imag:
            raise _too_large(dtype)
        value = value.real
    if dtype.category == dtypes.INT:
        if isinstance(value, float) and not abs(value) < 2.0**64:
            raise _too_large(dtype)
        value = int(value)
        bits = dtype.itemsize * 8
        if not dtype.is_signed and -(1 << bits) < value < 1 << bits or -(1 << bits - 1) <= value < 1 << bits - 1 and dtype.is_signed:
            return convert_number(value, dtype)
        if not -(1 << 63) <= value < 1 << 64:
            raise OverflowError("int too big to convert")
        raise _too_large(dtype)
    number = convert_number(value, dtype)
    if abs(number) > 1e4 and number - number == 0.0 and abs(number) > dtypes.finfo(dtype).max:
        raise _too_large(dtype)
    return number


def _too_large(dtype: DType) -> RuntimeError:
    return RuntimeError(f"value cannot be converted to type {_CPP.get(dtype.name, dtype.name + '_t')} without overflow")


# Writing into an existing tensor -----------------------------------------------------------------------------------
_NO_GRAD_VIEW = ("A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case is ambiguous and "
                 "error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both inside the no_grad block (if "
                 "you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked).")


def check_writable(x: Any, row_name: str, overlap: bool = False) -> None:
    """torch's rules for what may be written in place. With `overlap`, elements may share a place (all get one value)."""
    lens = x._lens if x._root is None else x._home()._lens
    if lens is not None:
        if state.grad and lens[0]._requires_leaf:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        check_writable(lens[0], row_name)
    if state.grad and x.requires_grad:
        base = x._base
        if base is not None:
            if x._node.is_leaf and x._node.tensor() is not x:
                raise RuntimeError(_NO_GRAD_VIEW)
            if base.is_leaf:
                raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        if x._node.is_leaf:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    t = x._value.type
    if not t.dense and not overlap and any(s == 0 and n > 1 for s, n in zip(t.strides, t.shape, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation.")


def check_overlap(x: Any, operands: Sequence[Any]) -> None:
    """torch refuses to write to `x` from an operand that shares some of its memory in another arrangement."""
    for y in operands:
        if y is x or not is_tensor(y) or y._root is None and x._root is None or y._home() is not x._home():
            continue
        a, b = x._value.type, y._value.type
        if not (a.dense and b.dense and a.numel and b.numel):
            continue
        start, end, first, last = x._soff, x._soff + a.numel, y._soff, y._soff + b.numel
        if (start, end) == (first, last) and a.strides == b.strides or last <= start or end <= first:
            continue
        raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please "
                           "clone() the tensor before performing the operation.")


def write_inplace(x: Any, result: Any, name: str = "") -> Any:
    """Make `result` the new contents of `x` (an in-place op's last step); shape and dtype follow torch's rules."""
    t = x._value.type
    r = result._value.type
    if r.shape != t.shape:
        raise RuntimeError(
            f"output with shape {list(t.shape)} doesn't match the broadcast shape {list(r.shape)}")
    if r.dtype is not t.dtype:
        if not dtypes.can_cast(r.dtype, t.dtype):
            raise RuntimeError(f"result type {r.dtype.scalar_name} can't be cast to the desired output type {t.dtype.scalar_name}")
        result = cast(result, t.dtype)
    x._write(result)
    node, own = result._node, result._vc
    if node is not None and own is not None and not node.is_leaf and node.versions:
        counter = x._version_counter()  # what the rule reads of the result is now x
        node.versions = tuple([(counter, counter.v, *e[2:5], x._storage_counter(), x._storage_counter().writes, x._soff, e[8]) if e[0] is own else e
                               for e in node.versions])
    return x


def write_out(out: Any, result: Any, name: str = "") -> Any:
    """The ``out=`` form: resize when the shape differs, then write."""
    if isinstance(result, tuple):
        written = [write_out(o, r, name) for o, r in zip(out, result, strict=True)]
        return type(result)(*written) if hasattr(result, "_fields") else tuple(written)
    if not is_tensor(out):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    t, r = out._value.type, result._value.type
    if t.shape == r.shape and not t.dense:
        with record.grad_mode(False):
            check_writable(out, "out")
    if state.grad and (result._node is not None or out._node is not None):
        raise RuntimeError(f"{name and name + '(): functions with '}out=... arguments don't support automatic differentiation, but one of the arguments "
                           "requires grad.")
    if not dtypes.can_cast(r.dtype, t.dtype):
        raise RuntimeError(f"result type {r.dtype.scalar_name} can't be cast to the desired output type {t.dtype.scalar_name}")
    if t.shape != r.shape:
        if t.numel:
            import warnings

            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(t.shape)}, which does not match the required "
                f"output shape {list(r.shape)}. This behavior is deprecated, and in a future PyTorch release outputs will not be resized "
                "unless they have zero elements. You can explicitly reuse an out tensor t by resizing it, inplace, to zero elements with "
                "t.resize_(0).", stacklevel=3)
        out._rebind(cast(result, t.dtype))
        return out
    out._write(cast(result, t.dtype))
    return out


def wrap_dim(dim: int, ndim: int) -> int:
    """A dimension as a non-negative number; torch's IndexError when out of range (a 0-dim tensor has dimension 0)."""
    n = max(ndim, 1)
    if dim.__class__ is not int:
        if not hasattr(dim, "__index__"):
            raise TypeError(f"argument 'dim' must be int, not {type(dim).__name__}")
        dim = dim.__index__()
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return dim + n if dim < 0 else dim


def wrap_dims(dims: Any, ndim: int) -> tuple[int, ...]:
    """Reduced dimensions, sorted and unique; None or () means all."""
    if dims is None or (isinstance(dims, (tuple, list)) and not dims):
        return tuple(range(ndim))
    if isinstance(dims, int):
        dims = (dims,)
    elif isinstance(dims, str) or not hasattr(dims, "__iter__"):
        if not hasattr(dims, "__index__"):
            raise TypeError(f"argument 'dim' must be tuple of ints, not {type(dims).__name__}")
        dims = (dims.__index__(),)
    out = [wrap_dim(d if type(d) is int else d.__index__(), ndim) for d in dims]
    if len(set(out)) != len(out):
        repeated = next(d for d in out if out.count(d) > 1)
        raise RuntimeError(f"dim {repeated} appears multiple times in the list of dims")
    return tuple(sorted(d for d in out if d < ndim))


def named(result: Any, name: str) -> Any:
    """`result` with its gradient node called as torch calls it."""
    if result._node is not None and not result._node.is_leaf:
        result._node.name = name
    return result


def contiguous_type(types: Sequence[TensorType]) -> TensorType:
    return dense_type(types[0])


__all__ = [
    "NUMBERS", "Scalar", "as_operand", "cast", "check_writable", "compare", "convert_number", "elementwise_type", "emit", "infer_pointwise",
    "int_to_float", "is_tensor", "no_bool", "number", "pointwise", "same", "tensor_type", "to_real", "wrap_dim", "wrap_dims",
    "write_inplace", "write_out",
]

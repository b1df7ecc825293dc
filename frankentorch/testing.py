"""torch.testing: assert_close and make_tensor.

Enters: results and what they should be (tensors, numbers, nested sequences and mappings of them). Leaves: nothing, or an AssertionError
that says how many elements differ, by how much, and where.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import dtypes
from ._missing import getattr_of
from .construct import as_tensor
from .ops.call import is_tensor
from .ops.define import API
from .tensor import Tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]

_TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
               "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7)}


_WIDE = {float: dtypes.float64, complex: dtypes.complex128}


def default_tolerances(*inputs: Any) -> tuple[float, float]:
    """The loosest (rtol, atol) of the dtypes of `inputs`."""
    found = [_TOLERANCES.get((x if isinstance(x, dtypes.dtype) else x.dtype).name, (0.0, 0.0)) for x in inputs]
    return max(r for r, _ in found), max(a for _, a in found)


def _fail(message: str, where: str, msg: Any) -> None:
    text = message + (f"\n\nThe failure occurred for item {where}" if where else "")
    if callable(msg):
        text = msg(text)
    elif msg is not None:
        text = msg
    raise AssertionError(text)


def _numbers(t: Any) -> Any:
    a = t.detach()._concrete()
    return a.astype("float64") if t.dtype.is_floating_point else a.astype("complex128") if t.dtype.is_complex else a


def _compare(actual: Any, expected: Any, where: str, o: dict[str, Any]) -> None:
    msg = o["msg"]
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        missing, extra = set(expected) - set(actual), set(actual) - set(expected)
        if missing or extra:
            _fail("The keys of the mappings do not match:\n" + f"Missing keys in the actual mapping: {sorted(missing)}\n" * bool(missing)
                  + f"Additional keys in the actual mapping: {sorted(extra)}" * bool(extra), where, msg)
        for k in actual:
            _compare(actual[k], expected[k], f"{where}[{k!r}]", o)
        return
    if isinstance(actual, Sequence) and isinstance(expected, Sequence) and not isinstance(actual, (str, bytes)):
        if len(actual) != len(expected):
            _fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", where, msg)
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            _compare(a, b, f"{where}[{i}]", o)
        return
    if actual is None or expected is None:
        if actual is not expected:
            _fail(f"None mismatch: {actual} is not {expected}", where, msg)
        return
    scalar = not is_tensor(actual) and not is_tensor(expected) and not isinstance(actual, np.ndarray)
    if not o["allow_subclasses"] and type(actual) is not type(expected):
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")
    try:
        a, b = (x if is_tensor(x) else as_tensor(x, _WIDE.get(type(x))) for x in (actual, expected))
    except Exception:
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.") from None
    if not scalar and not isinstance(actual, type(expected)) and not isinstance(expected, type(actual)):
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")
    if scalar and type(actual) is not type(expected) and o["check_dtype"] and not isinstance(actual, np.generic):
        _fail(f"The (d)types do not match: {type(actual)} != {type(expected)}.", where, msg)
    _tensors(a, b, scalar, where, o)


def _tensors(a: Any, b: Any, scalar: bool, where: str, o: dict[str, Any]) -> None:
    msg = o["msg"]
    if a.shape != b.shape:
        _fail(f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}.", where, msg)
    if o["check_device"] and a.device != b.device:
        _fail(f"The values for attribute 'device' do not match: {a.device} != {b.device}.", where, msg)
    if o["check_dtype"] and not scalar and a.dtype is not b.dtype:
        _fail(f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}.", where, msg)
    if o["check_stride"] and a.stride() != b.stride():
        _fail(f"The values for attribute 'stride()' do not match: {a.stride()} != {b.stride()}.", where, msg)
    rtol, atol = (o["rtol"], o["atol"]) if o["rtol"] is not None else default_tolerances(a, b)
    common = dtypes.promote_types(a.dtype, b.dtype)
    x, y = _numbers(a.to(common)), _numbers(b.to(common))
    with np.errstate(all="ignore"):
        difference = np.abs(x.astype("complex128") - y) if common.is_complex else np.abs(x.astype("float64") - y.astype("float64"))
        near = (x == y) | (np.isfinite(difference) & (difference <= atol + rtol * np.abs(y)))
        if o["equal_nan"]:
            near |= np.isnan(x) & np.isnan(y) if common.category >= dtypes.FLOAT else False
    if near.all():
        return
    wrong, scalar = ~near, scalar or not near.ndim
    with np.errstate(all="ignore"):
        size = np.abs(y)
        relative = np.where(size == 0, np.where(difference == 0, 0, math.inf), difference / np.where(size == 0, 1, size))
        relative = np.where(near, 0, relative)
        absolute = np.where(near, 0, difference)
    exact = rtol == 0 and atol == 0
    kind = "Scalars" if scalar else "Tensor-likes"
    if scalar:
        if exact:
            _fail(f"Scalars are not equal!\n\nExpected {b.item()} but got {a.item()}.\nAbsolute difference: {float(absolute)}\n"
                  f"Relative difference: {float(relative)}", where, msg)
        _fail(f"Scalars are not close!\n\nExpected {b.item()} but got {a.item()}.\nAbsolute difference: {float(absolute)} (up to {atol} allowed)\n"
              f"Relative difference: {float(relative)} (up to {rtol} allowed)", where, msg)
    total, count = wrong.size, int(wrong.sum())

    def worst(values: Any, allowed: float) -> str:
        at = np.unravel_index(int(np.argmax(np.where(np.isnan(values), math.inf, values))), values.shape) if values.ndim else ()
        limit = "" if exact else f" (up to {allowed} allowed)"
        place = f" at index {tuple(int(i) for i in at)}" if values.ndim else ""
        return f"{float(values[at])}{place}{limit}"

    _fail(f"{kind} are not {'equal' if exact else 'close'}!\n\nMismatched elements: {count} / {total} ({count / total:.1%})\n"
          f"Greatest absolute difference: {worst(absolute, atol)}\nGreatest relative difference: {worst(relative, rtol)}", where, msg)


def assert_close(actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None,
                 equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True, check_stride: bool = False,
                 msg: str | Callable[[str], str] | None = None) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere, and dtypes and shapes agree."""
    if (rtol is None) != (atol is None):
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {'rtol' if rtol is None else 'atol'}.")
    _compare(actual, expected, "", {"allow_subclasses": allow_subclasses, "rtol": rtol, "atol": atol, "equal_nan": equal_nan, "check_device": check_device,
                                    "check_dtype": check_dtype, "check_stride": check_stride, "msg": msg})


def assert_allclose(actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True, msg: str = "") -> None:
    """The older assert_close: dtypes may differ, and NaN equals NaN."""
    a, b = (x if is_tensor(x) else as_tensor(x) for x in (actual, expected))
    if rtol is None and atol is None:
        rtol, atol = default_tolerances(a, b)
    assert_close(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)


def make_tensor(*shape: Any, dtype: Any, device: Any = None, low: float | None = None, high: float | None = None, requires_grad: bool = False,
                noncontiguous: bool = False, exclude_zero: bool = False, memory_format: Any = None) -> Tensor:
    """A tensor of random numbers in [low, high), by dtype: [-9, 9) for floats and signed integers, [0, 9) for uint8, [0, 2) for bool."""
    size = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    defaults = (0, 2) if dtype is dtypes.bool_ else (0, 10) if dtype is dtypes.uint8 else (-9, 10) if dtype.category == dtypes.INT else (-9, 9)
    low, high = defaults[0] if low is None else low, defaults[1] if high is None else high
    if low == high and dtype.category >= dtypes.FLOAT or low > high:
        raise ValueError(f"make_tensor: `low` must be less than `high`, but got {low} >= {high}")
    spread = (*size[:-1], 2 * size[-1]) if noncontiguous and size else size
    if dtype.category >= dtypes.FLOAT:
        real = dtype.to_real()
        t = API["empty"].function(spread, dtype=real).uniform_(low, high) if not dtype.is_complex else API["complex"].function(
            API["empty"].function(spread, dtype=real).uniform_(low, high), API["empty"].function(spread, dtype=real).uniform_(low, high))
    else:
        t = API["randint"].function(math.floor(low), math.ceil(high), spread, dtype=dtype)
    t = t[..., ::2] if noncontiguous and size else t
    if memory_format is not None:
        t = t.clone(memory_format=memory_format)
    if exclude_zero:
        t[t == 0] = 1 if dtype.category < dtypes.FLOAT else np.finfo(np.float32).tiny
    return t.requires_grad_(requires_grad) if requires_grad else t  # type: ignore[no-any-return]


__getattr__ = getattr_of("testing")

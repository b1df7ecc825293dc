"""Complex numbers as pairs of real ones: real and imaginary parts, view_as_real, view_as_complex, complex."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from .define import api
from .record import emit
from .table import Kind, Row, add_row
from .types import elementwise_type

_CLASS: Any = None


def _pair(re: Any, im: Any) -> Any:
    from ..lower.lanes import Complex

    return Complex(re, im)


complex_row = add_row(Row(
    "complex", Kind.POINTWISE, "complex(Tensor real, Tensor imag) -> Tensor", "A complex number from its parts.",
    infer=lambda types, attrs: (elementwise_type(types[0].dtype.to_complex(), types),),
    ref=lambda a, b: (a + 1j * b).astype(np.complex64 if a.dtype == np.float32 else np.complex128), lane=lambda L, a, b: _pair(a, b),
    vjp=lambda g, a, b, out: (part(g, 0), part(g, 1)), public=False))
real_row = add_row(Row(
    "real", Kind.POINTWISE, "real(Tensor input) -> Tensor", "The real part.",
    infer=lambda types, attrs: (elementwise_type(types[0].dtype.to_real(), types),), ref=lambda x: x.real, lane=lambda L, x: x.re,
    vjp=lambda g, x, out: (emit(complex_row, (g, g * 0)),), public=False))
imag_row = add_row(Row(
    "imag", Kind.POINTWISE, "imag(Tensor input) -> Tensor", "The imaginary part.",
    infer=lambda types, attrs: (elementwise_type(types[0].dtype.to_real(), types),), ref=lambda x: x.imag, lane=lambda L, x: x.im,
    vjp=lambda g, x, out: (emit(complex_row, (g * 0, g)),), public=False))


def part(x: Any, index: int) -> Any:
    """The real (0) or imaginary (1) part. A copy: writing to it does not reach `x` (torch's parts are views)."""
    return emit(imag_row if index else real_row, (x,))


@api("complex(Tensor real, Tensor imag) -> Tensor", method=False)
def complex(real: Any, imag: Any) -> Any:
    """A complex tensor from its real and imaginary parts."""
    if real.dtype is not imag.dtype:
        raise RuntimeError(f"Expected object of scalar type {real.dtype.scalar_name} but got scalar type {imag.dtype.scalar_name} for second argument")
    if real.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {real.dtype.scalar_name} and {imag.dtype.scalar_name}")
    return emit(complex_row, (real, imag))


@api("real(Tensor input) -> Tensor", method=False, out=False)
def real(input: Any) -> Any:
    """The real part (a real tensor is itself)."""
    return input.real


@api("imag(Tensor input) -> Tensor", method=False, out=False)
def imag(input: Any) -> Any:
    """The imaginary part."""
    return input.imag


@api("view_as_real(Tensor input) -> Tensor", method=False, out=False)
def view_as_real(input: Any) -> Any:
    """(..., 2): real and imaginary parts side by side."""
    from .movement import stack

    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return stack([input.real, input.imag], -1)


@api("view_as_complex(Tensor input) -> Tensor", method=False, out=False)
def view_as_complex(input: Any) -> Any:
    """The complex numbers of a (..., 2) tensor."""
    if input.ndim == 0 or input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    return complex(input.select(-1, 0), input.select(-1, 1))

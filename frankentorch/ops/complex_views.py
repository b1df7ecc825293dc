"""Complex numbers as pairs of real ones: real and imaginary parts, view_as_real, view_as_complex, complex."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from .. import dtypes
from .define import api
from .record import emit, state
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
    """The real (0) or imaginary (1) part, as a value of its own."""
    return emit(imag_row if index else real_row, (x,))


# Lenses: a tensor that shows another one's memory as another dtype. It holds a copy; writes go both ways.
def lens(source: Any, show: Any, merge: Any) -> Any:
    """``show(source)``, kept equal to it: `merge(source, shown)` is what the source becomes when the shown tensor is written."""
    shown = show(source)
    if not state.trace.can_cut:
        return shown
    shown._lens = (source, show, merge)
    store = source._storage_counter()
    if store.lenses is None:
        store.lenses = []
    elif len(store.lenses) > 8:
        store.lenses = [r for r in store.lenses if r() is not None]
    store.lenses.append(weakref.ref(shown))
    return shown


def refresh(store: Any) -> None:
    """After a write to a storage: show the new contents in its lenses."""
    store.lenses = [r for r in store.lenses if r() is not None] or None
    for r in store.lenses or ():
        shown = r()
        if shown is None or shown._lens is None:
            continue
        source, show, _ = shown._lens
        new = show(source)
        shown._value, shown._node, shown._nr = new._value, new._node, new._nr
        counter = shown._storage_counter()
        counter.writes += 1
        counter.v += 1
        if counter.lenses is not None:
            refresh(counter)


def write_back(shown: Any) -> None:
    """After a write to a lens: write its source."""
    source, _, merge = kept = shown._lens
    shown._lens = None
    try:
        source._write(merge(source, shown))
    finally:
        shown._lens = kept


def part_view(x: Any, index: int) -> Any:
    """The real or imaginary part; writes to it reach `x`, and the other way round."""
    return lens(x, lambda s: part(s, index), lambda s, p: emit(complex_row, (part(s, 0), p) if index else (p, part(s, 1))))


def _side_by_side(x: Any) -> Any:
    from .movement import stack

    return stack([part(x, 0), part(x, 1)], -1)


def _joined(x: Any) -> Any:
    return emit(complex_row, (x.select(-1, 0), x.select(-1, 1)))


@api("complex(Tensor real, Tensor imag) -> Tensor", method=False)
def complex(real: Any, imag: Any) -> Any:
    """A complex tensor from its real and imaginary parts."""
    check_parts(real, imag)
    if real.dtype is dtypes.float16:
        raise TypeError("Got unsupported ScalarType ComplexHalf")
    return emit(complex_row, (real, imag))


def check_parts(real: Any, imag: Any) -> None:
    """What parts of a complex number may be."""
    if real.dtype is not imag.dtype:
        raise RuntimeError(f"Expected object of scalar type {real.dtype.scalar_name} but got scalar type {imag.dtype.scalar_name} for second argument")
    if real.dtype not in (dtypes.float16, dtypes.float32, dtypes.float64):
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {real.dtype.scalar_name} and {imag.dtype.scalar_name}")


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
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return lens(input, _side_by_side, lambda s, shown: _joined(shown))


@api("view_as_complex(Tensor input) -> Tensor", method=False, out=False)
def view_as_complex(input: Any) -> Any:
    """The complex numbers of a (..., 2) tensor."""
    if input.ndim == 0 or input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    return lens(input, _joined, lambda s, shown: _side_by_side(shown))

"""Windows of signal processing, and a few constructors and old names over other ops.

Enters: lengths and tensors. Leaves: tensors.
"""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from .call import wrap_dim
from .create import arange, finish, full_of
from .define import api
from .pointwise import cos, where
from .reduce import vector_norm
from .split import chunk, split
from .stacking import hstack


def _steps(name: str, length: int, periodic: bool, dtype: Any) -> tuple[Any, int, Any]:
    """The indices of a window, the length of its period, and its dtype."""
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    dtype = dtype or dtypes.get_default_dtype()
    if not dtype.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: TensorOptions(dtype={dtype.name})")
    return arange(length, dtype=dtype), max(length - (not periodic), 1), dtype


def _cosines(name: str, parts: Any) -> Any:
    @api(f"{name}(int window_length, bool periodic=True, *, ScalarType? dtype=None) -> Tensor", method=False, out=False)
    def function(window_length: int, periodic: bool = True, *args: float, dtype: Any = None, layout: Any = None, device: Any = None,
                 requires_grad: bool = False, **named: float) -> Any:
        n, period, kind = _steps(name, window_length, periodic, dtype)
        if window_length == 1:
            return finish(full_of((1,), 1, kind), device, requires_grad)
        out = None
        for k, weight in enumerate(parts(*args, **named)):
            term = weight * cos(n * (2 * math.pi * k / period)) if k else full_of((window_length,), weight, kind)
            out = term if out is None else out + term
        return finish(out, device, requires_grad)

    function.__doc__ = f"The {name.split('_')[0]} window: a sum of cosines."
    return function


hann_window = _cosines("hann_window", lambda: (0.5, -0.5))
hamming_window = _cosines("hamming_window", lambda alpha=0.54, beta=0.46: (alpha, -beta))
blackman_window = _cosines("blackman_window", lambda: (0.42, -0.5, 0.08))


@api("bartlett_window(int window_length, bool periodic=True, *, ScalarType? dtype=None) -> Tensor", method=False, out=False)
def bartlett_window(window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None,
                    requires_grad: bool = False) -> Any:
    """The triangular window."""
    n, period, kind = _steps("bartlett_window", window_length, periodic, dtype)
    if window_length == 1:
        return finish(full_of((1,), 1, kind), device, requires_grad)
    rise = n * (2.0 / period)
    return finish(where(n * 2 <= period, rise, 2.0 - rise), device, requires_grad)


@api("renorm(Tensor input, Scalar p, int dim, Scalar maxnorm) -> Tensor", inplace=True)
def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Any:
    """Scale the slices along `dim` whose p-norm exceeds `maxnorm`."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    d = wrap_dim(dim, input.ndim)
    size = vector_norm(input, float(p), tuple(i for i in range(input.ndim) if i != d), True)
    return input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)


@api("vander(Tensor x, int? N=None, bool increasing=False) -> Tensor", method=False, out=False)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Columns of powers of a vector, the highest first unless `increasing`."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    count = x.shape[0] if N is None else N
    if not count:
        return x.new_zeros(x.shape[0], 0)
    ones = full_of((x.shape[0], 1), 1, x.dtype)
    powers = ones if count == 1 else hstack([ones, x.unsqueeze(1).expand(x.shape[0], count - 1).cumprod(1)])
    return powers if increasing else powers.flip(1)


@api("as_strided_scatter(Tensor input, Tensor src, int[] size, int[] stride, int? storage_offset=None) -> Tensor", out=False)
def as_strided_scatter(input: Any, src: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A copy of `input` in which the strided region holds `src`."""
    copy = input.contiguous().clone()
    copy.as_strided(size, stride, storage_offset or 0).copy_(src)
    return copy


@api("unsafe_chunk(Tensor input, int chunks, int dim=0) -> Tensor[]", out=False)
def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """chunk."""
    return chunk(input, chunks, dim)


@api("unsafe_split(Tensor input, int split_size, int dim=0) -> Tensor[]", out=False, aliases=("unsafe_split_with_sizes",))
def unsafe_split(input: Any, split_size: Any, dim: int = 0) -> Any:
    """split."""
    return split(input, split_size, dim)


@api("fill(Tensor input, Scalar value) -> Tensor", method=False, out=False)
def fill(input: Any, value: Any) -> Any:
    """A tensor like `input`, filled with a number."""
    return input.clone().fill_(value)

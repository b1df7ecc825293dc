"""Normalisations: layer, batch, group, instance and RMS norm, as composites.

Statistics follow the fixed tree of docs/contract.md: a mean, then the mean of squared deviations (two passes).
"""

from __future__ import annotations

import math
from typing import Any

from .define import composite
from .pointwise import rsqrt
from .record import emit
from .reduce import sum_row


def _moments(x: Any, dims: tuple[int, ...]) -> tuple[Any, Any]:
    """(deviation from the mean, variance), reduced dimensions kept."""
    n = math.prod(x.shape[d] for d in dims)
    centred = x - emit(sum_row, (x,), (dims, True)) / n
    return centred, emit(sum_row, (centred * centred,), (dims, True)) / n


def _moments_vjp(gy: Any, y: Any, scale: Any, dims: tuple[int, ...]) -> Any:
    """The gradient through y = (x - mean) * scale, scale = rsqrt(var + eps)."""
    n = math.prod(y.shape[d] for d in dims)
    mean_g = emit(sum_row, (gy,), (dims, True)) / n
    mean_gy = emit(sum_row, (gy * y,), (dims, True)) / n
    return scale * (gy - mean_g - y * mean_gy)


def _layer_norm_vjp(g: Any, input: Any, weight: Any, bias: Any, out: Any, normalized_shape: Any, eps: Any, missing: Any = None) -> Any:
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    outer = tuple(range(input.ndim - len(normalized_shape)))
    centred, variance = _moments(input, dims)
    scale = rsqrt(variance + eps)
    y = centred * scale
    gx = _moments_vjp(g if weight is None else g * weight, y, scale, dims)
    gw = None if weight is None else emit(sum_row, (g * y,), (outer, False))
    gb = None if bias is None else emit(sum_row, (g,), (outer, False))
    return gx, gw, gb


@composite("layer_norm(Tensor input, Tensor? weight, Tensor? bias, int[] normalized_shape, float eps) -> Tensor", method=False, public=False, out=False,
           vjp=_layer_norm_vjp)
def layer_norm(input: Any, weight: Any, bias: Any, normalized_shape: Any, eps: float) -> Any:
    """(input - mean) / sqrt(var + eps) over the last dimensions, then weight and bias."""
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    centred, variance = _moments(input, dims)
    y = centred * rsqrt(variance + eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


layer_norm.row.grad_name = "NativeLayerNormBackward0"


def _batch_norm_vjp(g: Any, input: Any, weight: Any, bias: Any, out: Any, eps: Any, missing: Any = None) -> Any:
    dims = (0, *range(2, input.ndim))
    shape = (1, -1) + (1,) * (input.ndim - 2)
    centred, variance = _moments(input, dims)
    scale = rsqrt(variance + eps)
    y = centred * scale
    gx = _moments_vjp(g if weight is None else g * weight.reshape(shape), y, scale, dims)
    gw = None if weight is None else emit(sum_row, (g * y,), (dims, False))
    gb = None if bias is None else emit(sum_row, (g,), (dims, False))
    return gx, gw, gb


@composite("batch_norm_train(Tensor input, Tensor? weight, Tensor? bias, float eps) -> Tensor", method=False, public=False, out=False, vjp=_batch_norm_vjp)
def batch_norm_train(input: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Normalise each channel by the statistics of the batch."""
    dims = (0, *range(2, input.ndim))
    shape = (1, -1) + (1,) * (input.ndim - 2)
    centred, variance = _moments(input, dims)
    y = centred * rsqrt(variance + eps)
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


batch_norm_train.row.grad_name = "NativeBatchNormBackward0"


@composite("rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor", method=False)
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    """input / sqrt(mean(input**2) + eps) over the last dimensions (Zhang & Sennrich 2019)."""
    from .. import dtypes

    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    n = math.prod(input.shape[d] for d in dims)
    eps = dtypes.finfo(input.dtype).eps if eps is None else eps
    y = input * rsqrt(emit(sum_row, (input * input,), (dims, True)) / n + eps)
    return y if weight is None else y * weight

"""Normalisations: layer, batch, group, instance and RMS norm, as composites.

Statistics follow the fixed tree of docs/contract.md: a mean, then the mean of squared deviations (two passes).
"""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from . import call
from .define import LOW, api, composite
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
    """(input - mean) / sqrt(var + eps) over the last dimensions, then weight and bias; row-major whatever the input's layout."""
    input = input.contiguous()
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


@api("native_layer_norm(Tensor input, int[] normalized_shape, Tensor? weight, Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)", method=False, out=False)
def native_layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    """(normalised, mean, reciprocal standard deviation)."""
    shape = tuple(normalized_shape)
    dims = tuple(range(input.ndim - len(shape), input.ndim))
    out = layer_norm(input, weight, bias, shape, eps)
    x = input.detach()
    n = math.prod(x.shape[d] for d in dims)
    return out, emit(sum_row, (x,), (dims, True)) / n, rsqrt(_moments(x, dims)[1] + eps)


@api("native_batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps)"
     " -> (Tensor, Tensor, Tensor)", method=False, out=False)
def native_batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float) -> Any:
    """(normalised, mean, reciprocal standard deviation); in training the running statistics are updated in place."""
    shape = (1, -1) + (1,) * (input.ndim - 2)
    if not training:
        scale = rsqrt(running_var + eps)
        y = (input - running_mean.reshape(shape)) * scale.reshape(shape)
        if weight is not None:
            y = y * weight.reshape(shape)
        return (y if bias is None else y + bias.reshape(shape)), running_mean, scale
    out = batch_norm_train(input, weight, bias, eps)
    x = input.detach()
    if x.dtype in LOW:
        x = call.cast(x, dtypes.float32)
    dims = (0, *range(2, x.ndim))
    n = math.prod(x.shape[d] for d in dims)
    mean = emit(sum_row, (x,), (dims, True)) / n
    variance = _moments(x, dims)[1]
    mean, variance = mean.reshape(-1), variance.reshape(-1)
    if running_mean is not None:
        unbiased = variance * (n / max(n - 1, 1))
        running_mean.copy_(running_mean * (1 - momentum) + mean * momentum)
        running_var.copy_(running_var * (1 - momentum) + unbiased * momentum)
    return out, mean, rsqrt(variance + eps)


@composite("rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor", method=False)
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    """input / sqrt(mean(input**2) + eps) over the last dimensions (Zhang & Sennrich 2019)."""
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    n = math.prod(input.shape[d] for d in dims)
    eps = dtypes.finfo(input.dtype).eps if eps is None else eps
    y = input * rsqrt(emit(sum_row, (input * input,), (dims, True)) / n + eps)
    return y if weight is None else y * weight

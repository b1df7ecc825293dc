"""Normalisations: layer, batch, group, instance and RMS norm, as composites.

Statistics follow the fixed tree of docs/contract.md: a mean, then the mean of squared deviations (two passes). A row here takes checked
arguments; the torch function of the same name, which checks them, follows it and takes its place in the public table.
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
from .unsupported import need


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
def _layer_norm(input: Any, weight: Any, bias: Any, normalized_shape: Any, eps: float) -> Any:
    """(input - mean) / sqrt(var + eps) over the last dimensions, then weight and bias; row-major whatever the input's layout."""
    input = input.contiguous()
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    centred, variance = _moments(input, dims)
    y = centred * rsqrt(variance + eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


_layer_norm.row.grad_name = "NativeLayerNormBackward0"


def _check_normalized(input: Any, shape: tuple[int, ...], weight: Any, bias: Any, star: str) -> None:
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = []")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != shape:
            raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape {list(value.shape)} and normalized_shape "
                               f"= {list(shape)}")
    if input.ndim < len(shape) or tuple(input.shape[input.ndim - len(shape):]) != shape:
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape [{star}{', '.join(map(str, shape))}], but got input of "
                           f"size{list(input.shape)}")


def _need_float(input: Any, kernel: str) -> None:
    need(kernel, input, "float")


@api("layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, bool cudnn_enable=True) -> Tensor",
     method=False, out=False)
def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-05, cudnn_enable: bool = True) -> Any:
    """Normalise over the last len(normalized_shape) dimensions (Ba et al., 2016)."""
    shape = tuple(normalized_shape)
    _check_normalized(input, shape, weight, bias, "*, ")
    _need_float(input, "LayerNormKernelImpl")
    return _layer_norm(input, weight, bias, shape, eps)


@composite("group_norm(Tensor input, Tensor? weight, Tensor? bias, int num_groups, float eps) -> Tensor", method=False, public=False, out=False)
def _group_norm(input: Any, weight: Any, bias: Any, num_groups: int, eps: float) -> Any:
    rows = input.contiguous().reshape(input.shape[0] * num_groups, -1)
    y = _layer_norm(rows, None, None, (rows.shape[1],), eps).reshape(input.shape)
    shape = [1, input.shape[1]] + [1] * (input.ndim - 2)
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


_group_norm.row.grad_name = "NativeGroupNormBackward0"


@api("group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, bool cudnn_enabled=True) -> Tensor", method=False,
     out=False)
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-05, cudnn_enabled: bool = True) -> Any:
    """Normalise each group of channels of each sample (Wu and He, 2018)."""
    call.wrap_dim(1, input.ndim)
    channels = input.shape[1]
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(f"Expected number of channels in input to be divisible by num_groups, but got input of shape {list(input.shape)} and "
                           f"num_groups={num_groups}")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != (channels,):
            raise RuntimeError(f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape "
                               f"{list(value.shape)} and input of shape {list(input.shape)}")
    return _group_norm(input, weight, bias, num_groups, eps)


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


@composite("_batch_norm_eval(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, float eps) -> Tensor", method=False,
           public=False, out=False)
def _batch_norm_eval(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, eps: float) -> Any:
    shape = (1, -1) + (1,) * (input.ndim - 2)
    y = (input - running_mean.reshape(shape)) * rsqrt(running_var + eps).reshape(shape)
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


batch_norm_train.row.grad_name = _batch_norm_eval.row.grad_name = "NativeBatchNormBackward0"


@api("batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, "
     "bool cudnn_enabled) -> Tensor", method=False, out=False)
def batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float,
               cudnn_enabled: bool = True) -> Any:
    """Normalise each channel by the batch's statistics (training) or the running ones (Ioffe and Szegedy, 2015)."""
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError(f"{'running_mean' if running_mean is None else 'running_var'} must be defined in evaluation mode")
    channels = input.shape[1] if input.ndim > 1 else 0
    for name, value in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if value is not None and value.numel() != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {value.numel()}")
    _need_float(input, "batch_norm")
    return native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


def _tiled(t: Any, batch: int) -> Any:
    return None if t is None else t.repeat(batch)


@api("instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool use_input_stats, float momentum, "
     "float eps, bool cudnn_enabled) -> Tensor", method=False, out=False)
def instance_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float, eps: float,
                  cudnn_enabled: bool = True) -> Any:
    """batch_norm of every (sample, channel) by itself; running statistics take the mean over the batch."""
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    batch, channels = input.shape[0], input.shape[1]
    mean, var = _tiled(running_mean, batch), _tiled(running_var, batch)
    flat = input.contiguous().reshape(1, batch * channels, *input.shape[2:])
    out = native_batch_norm(flat, _tiled(weight, batch), _tiled(bias, batch), mean, var, use_input_stats, momentum, eps)[0]
    if use_input_stats:
        for own, tiled in ((running_mean, mean), (running_var, var)):
            if own is not None:
                own.detach().copy_(tiled.detach().reshape(batch, channels).mean(0))
    return out.reshape(input.shape)


@api("native_layer_norm(Tensor input, int[] normalized_shape, Tensor? weight, Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)", method=False, out=False)
def native_layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    """(normalised, mean, reciprocal standard deviation)."""
    shape = tuple(normalized_shape)
    dims = tuple(range(input.ndim - len(shape), input.ndim))
    out = layer_norm(input, shape, weight, bias, eps)
    x = input.detach()
    n = math.prod(x.shape[d] for d in dims)
    return out, emit(sum_row, (x,), (dims, True)) / n, rsqrt(_moments(x, dims)[1] + eps)


@api("native_batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps)"
     " -> (Tensor, Tensor, Tensor)", method=False, out=False)
def native_batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float) -> Any:
    """(normalised, mean, reciprocal standard deviation); in training the running statistics are updated in place."""
    if not training:
        return _batch_norm_eval(input, weight, bias, running_mean, running_var, eps), running_mean, rsqrt(running_var + eps)
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
        running_mean.copy_(running_mean * (1 - momentum) + mean * momentum)
    if running_var is not None:
        unbiased = variance * (n / max(n - 1, 1))
        running_var.copy_(running_var * (1 - momentum) + unbiased * momentum)
    return out, mean, rsqrt(variance + eps)


@composite("rms_norm(Tensor input, int[] normalized_shape, Tensor? weight, float eps) -> Tensor", method=False, public=False, out=False)
def _rms_norm(input: Any, normalized_shape: Any, weight: Any, eps: float) -> Any:
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    n = math.prod(input.shape[d] for d in dims)
    y = input * rsqrt(emit(sum_row, (input * input,), (dims, True)) / n + eps)
    return y if weight is None else y * weight


_rms_norm.row.grad_name = "MulBackward0"


@api("rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor", method=False, out=False)
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    """Divide by the root mean square over the last dimensions (Zhang and Sennrich, 2019); eps defaults to the machine epsilon."""
    shape = tuple(normalized_shape)
    if shape and input.ndim < len(shape):
        raise ValueError(f"Input tensor must have at least {len(shape)} dimensions, but got {input.ndim}")
    _check_normalized(input, shape, weight, None, "*")
    _need_float(input, "rms_norm")
    if eps is None:
        eps = dtypes.finfo(dtypes.float32 if input.dtype in LOW else input.dtype).eps
    return _rms_norm(input, shape, weight, eps)

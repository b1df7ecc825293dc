"""Normalisations over the batch, the channels or the last dimensions.

Enters: an input and optional scale, shift and running statistics. Leaves: the normalised tensor; running statistics are
updated in place. Needs the primitives `native_layer_norm` and `native_batch_norm`; everything else is composed of them.
"""

from __future__ import annotations

import math
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import rounds_once


def _verify_batch_size(size: Any) -> None:
    values = size[0] * math.prod(size[2:])
    if values == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")


def _verify_spatial_size(size: Any) -> None:
    if math.prod(size[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {size}")


def batch_norm(input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
               momentum: float = 0.1, eps: float = 1e-05) -> Any:
    """Normalise each channel by the batch's statistics (training) or the running ones (Ioffe and Szegedy, 2015)."""
    if training:
        _verify_batch_size(input.size())
    if training and eps <= 0.0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    if eps < 0.0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    if not training and (running_mean is None or running_var is None):
        name = "running_mean" if running_mean is None else "running_var"
        raise RuntimeError(f"Expected {name} to be defined in evaluation mode")
    channels = input.size(1) if input.dim() > 1 else 1
    for name, value in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if value is not None and value.numel() != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {value.numel()}")
    return torch.native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


def _no_alias_stat(stat: Any, batch: int) -> Any:
    return None if stat is None else stat.repeat(batch)


def instance_norm(input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                  use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-05) -> Any:
    """batch_norm of every (sample, channel) by itself; running statistics take the mean over the batch."""
    if use_input_stats:
        _verify_spatial_size(input.size())
    elif running_mean is None or running_var is None:
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    batch, channels = input.size(0), input.size(1)
    mean, var = _no_alias_stat(running_mean, batch), _no_alias_stat(running_var, batch)
    flat = input.contiguous().reshape(1, batch * channels, *input.shape[2:])
    scale = None if weight is None else weight.repeat(batch)
    shift = None if bias is None else bias.repeat(batch)
    out = torch.native_batch_norm(flat, scale, shift, mean, var, use_input_stats, momentum, eps)[0]
    if use_input_stats:
        with torch.no_grad():
            for own, repeated in ((running_mean, mean), (running_var, var)):
                if own is not None:
                    own.copy_(repeated.reshape(batch, channels).mean(0))
    return out.reshape(input.shape)


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-05) -> Any:
    """Normalise over the last len(normalized_shape) dimensions (Ba et al., 2016)."""
    shape = list(normalized_shape)
    _check_normalized_shape(input, shape, weight, bias)
    return torch.native_layer_norm(input, shape, weight, bias, eps)[0]


def _check_normalized_shape(input: Any, shape: list[int], weight: Any, bias: Any) -> None:
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
                           "but got normalized_shape = []")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and list(value.shape) != shape:
            raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                               f"{list(value.shape)} and normalized_shape = {shape}")
    if list(input.shape[-len(shape):]) != shape or input.dim() < len(shape):
        expected = ", ".join(["*", *map(str, shape)])
        raise RuntimeError(f"Given normalized_shape={shape}, expected input with shape [{expected}], "
                           f"but got input of size{list(input.shape)}")


@rounds_once
def _rms_norm(x: Any, weight: Any, dims: list[int], eps: float) -> Any:
    normed = x * torch.rsqrt((x * x).mean(dims, keepdim=True) + eps)
    return normed if weight is None else normed * weight


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """Divide by the root mean square over the last dimensions (Zhang and Sennrich, 2019); eps defaults to the machine epsilon."""
    shape = list(normalized_shape)
    _check_normalized_shape(input, shape, weight, None)
    if eps is None:
        eps = torch.finfo(torch.float32 if input.dtype in (torch.bfloat16, torch.float16) else input.dtype).eps
    return _rms_norm(input, weight, list(range(-len(shape), 0)), eps)


@rounds_once
def _group_norm(x: Any, groups: int, weight: Any, bias: Any, eps: float) -> Any:
    rows = x.contiguous().reshape(x.size(0) * groups, -1)
    out = torch.native_layer_norm(rows, [rows.size(1)], None, None, eps)[0].reshape(x.shape)
    per_channel = [1, x.size(1)] + [1] * (x.dim() - 2)
    if weight is not None:
        out = out * weight.reshape(per_channel)
    return out if bias is None else out + bias.reshape(per_channel)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-05) -> Any:
    """Normalise each group of channels of each sample (Wu and He, 2018)."""
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    size = input.size()
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if size[1] % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, but got input of shape "
                           f"{list(size)} and num_groups={num_groups}")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != (size[1],):
            raise RuntimeError(f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} "
                               f"of shape {list(value.shape)} and input of shape {list(size)}")
    _verify_batch_size([size[0] * size[1] // num_groups, num_groups, *size[2:]])
    return _group_norm(input, num_groups, weight, bias, eps)


@rounds_once
def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """Divide by (k + alpha * mean of squares over `size` neighbouring channels) ** beta (Krizhevsky et al., 2012)."""
    if input.dim() < 3:
        raise ValueError(f"Expected 3D or higher dimensionality                          input (got {input.dim()} dimensions)")
    if input.numel() == 0:
        return input
    channels = input.size(1)
    before = size // 2
    pads = [0, 0] * (input.dim() - 2) + [before, (size - 1) // 2]
    squares = torch.constant_pad_nd(input * input, pads, 0.0)
    total = squares.narrow(1, 0, channels)
    for shift in range(1, size):
        total = total + squares.narrow(1, shift, channels)
    return input / (total / size * alpha + k).pow(beta)


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """Divide by the p-norm along `dim`, which counts as at least eps."""
    scale = torch.linalg.vector_norm(input, p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return input / scale if out is None else torch.div(input, scale, out=out)

"""Normalisations over the batch, the channels or the last dimensions.

Enters: an input and optional scale, shift and running statistics. Leaves: the normalised tensor; running statistics are
updated in place. The statistics are the op table's (`ops.normalise`); here are torch's argument forms and its Python checks.
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
    return torch.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, True)


def instance_norm(input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                  use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-05) -> Any:
    """batch_norm of every (sample, channel) by itself; running statistics take the mean over the batch."""
    if use_input_stats:
        _verify_spatial_size(input.size())
    return torch.instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, True)


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-05) -> Any:
    """Normalise over the last len(normalized_shape) dimensions (Ba et al., 2016)."""
    return torch.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """Divide by the root mean square over the last dimensions (Zhang and Sennrich, 2019); eps defaults to the machine epsilon."""
    return torch.rms_norm(input, normalized_shape, weight, eps)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-05) -> Any:
    """Normalise each group of channels of each sample (Wu and He, 2018)."""
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    size = input.size()
    if num_groups > 0:
        _verify_batch_size([size[0] * size[1] // num_groups, num_groups, *size[2:]])
    return torch.group_norm(input, num_groups, weight, bias, eps)


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

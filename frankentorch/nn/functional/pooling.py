"""Pooling: maximum, average, p-norm, adaptive, fractional, and the inverse of max pooling.

Enters: (N, C, spatial...) or without N. Leaves: the pooled tensor, and where asked the flat spatial index of each maximum.
The windows are the op table's (`ops.window`); here are the p-norm, the fractional windows and the sizes of unpooling.
"""

from __future__ import annotations

import math
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import named, ntuple, rounds_once


def _max_pool(n: int, *args: Any) -> tuple[Any, Any]:
    """(maxima, flat indices into the spatial dimensions)."""
    return getattr(torch._C._nn, f"max_pool{n}d_with_indices")(*args)  # type: ignore[no-any-return]


def _either(result: tuple[Any, Any], return_indices: bool) -> Any:
    return result if return_indices else result[0]


def max_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:
    """The maximum over windows of the last dimension."""
    if not return_indices:
        return torch.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:
    """The maximum over windows of the last two dimensions."""
    return _either(_max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool3d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:
    """The maximum over windows of the last three dimensions."""
    return _either(_max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool1d_with_indices(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = False) -> tuple[Any, Any]:
    """`max_pool1d` and the index of each maximum."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d_with_indices(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = False) -> tuple[Any, Any]:
    """`max_pool2d` and the flat index of each maximum."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d_with_indices(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = False) -> tuple[Any, Any]:
    """`max_pool3d` and the flat index of each maximum."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Any:
    """The mean over windows of the last dimension."""
    return torch.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
    """The mean over windows of the last two dimensions."""
    return torch._C._nn.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
    """The mean over windows of the last three dimensions."""
    return torch._C._nn.avg_pool3d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


_AVERAGE = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}


@rounds_once
def _lp_pool(n: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
    kernel = list(ntuple(kernel_size, n))
    mean = _AVERAGE[n](input.pow(norm_type), kernel, stride, 0, ceil_mode)
    return (torch.sign(mean) * torch.relu(torch.abs(mean)) * math.prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(input: Any, norm_type: float, kernel_size: int, stride: Any = None, ceil_mode: bool = False) -> Any:
    """The p-norm of windows of the last dimension."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """The p-norm of windows of the last two dimensions."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """The p-norm of windows of the last three dimensions."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# -- adaptive

def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The mean over as many windows of the last dimension as asked."""
    return torch.adaptive_avg_pool1d(input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The mean over as many windows of the last two dimensions as asked."""
    return torch._C._nn.adaptive_avg_pool2d(input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """The mean over as many windows of the last three dimensions as asked."""
    return torch._C._nn.adaptive_avg_pool3d(input, output_size)


def _adaptive_max_pool(n: int, input: Any, output_size: Any) -> tuple[Any, Any]:
    return getattr(torch._C._nn, f"adaptive_max_pool{n}d")(input, output_size)  # type: ignore[no-any-return]


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum over as many windows of the last dimension as asked."""
    return _either(_adaptive_max_pool(1, input, output_size), return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum over as many windows of the last two dimensions as asked."""
    return _either(_adaptive_max_pool(2, input, output_size), return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum over as many windows of the last three dimensions as asked."""
    return _either(_adaptive_max_pool(3, input, output_size), return_indices)


def adaptive_max_pool1d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> tuple[Any, Any]:
    """`adaptive_max_pool1d` and the index of each maximum."""
    return _adaptive_max_pool(1, input, output_size)


def adaptive_max_pool2d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> tuple[Any, Any]:
    """`adaptive_max_pool2d` and the flat index of each maximum."""
    return _adaptive_max_pool(2, input, output_size)


def adaptive_max_pool3d_with_indices(input: Any, output_size: Any, return_indices: bool = False) -> tuple[Any, Any]:
    """`adaptive_max_pool3d` and the flat index of each maximum."""
    return _adaptive_max_pool(3, input, output_size)


# -- fractional

def _max_of_flat(input: Any, n: int, flat: Any) -> tuple[Any, Any]:
    """The maximum over the last axis of `flat`, indices into the n flattened spatial dimensions, shape (N, C, out..., window)."""
    x = input.reshape(*input.shape[:-n], -1)
    picked = x.gather(-1, flat.reshape(*x.shape[:-1], -1)).reshape(flat.shape)
    values, where = picked.max(-1)
    return values, flat.gather(-1, where.unsqueeze(-1)).squeeze(-1)


def _cross(parts: list[Any], spatial: list[int]) -> Any:
    """Flat indices of the product of per-dimension windows (..., out_d, k_d): shape (..., out_1, ..., k_1 * k_2 * ...)."""
    n = len(parts)
    total: Any = 0
    for d, part in enumerate(parts):
        lead, (out, k) = part.shape[:-2], part.shape[-2:]
        shape = [*lead, *[1] * d, out, *[1] * (n - 1), k, *[1] * (n - 1 - d)]
        total = total + part.reshape(shape) * math.prod(spatial[d + 1:])
    return total.reshape(*total.shape[:-n], -1)


def _fractional_windows(samples: Any, size: int, out: int, k: int) -> Any:
    """Window positions (N, C, out, k) from one uniform sample a plane (Graham, 2014)."""
    starts = []
    if out > 1:
        alpha = torch.tensor((size - k), dtype=samples.dtype) / torch.tensor((out - 1), dtype=samples.dtype)
        steps = torch.arange(out - 1, dtype=samples.dtype)
        u = samples.unsqueeze(-1)
        starts.append(((steps + u) * alpha).to(torch.int64) - (u * alpha).to(torch.int64))
    starts.append(torch.full((*samples.shape, 1), size - k, dtype=torch.int64))
    return torch.cat(starts, -1).unsqueeze(-1) + torch.arange(k)


def _fractional_max_pool(n: int, input: Any, kernel_size: Any, output_size: Any, output_ratio: Any, samples: Any) -> tuple[Any, Any]:
    name = f"fractional_max_pool{n}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    kernel = [int(v) for v in ntuple(kernel_size, n)]
    spatial = list(input.shape[-n:])
    if output_size is None:
        if n == 2 and len(output_ratio) > 2:
            raise ValueError("fractional_max_pool2d requires output_ratio to either be a single Int or tuple of Ints.")
        sizes = [int(s * r) for s, r in zip(spatial, ntuple(output_ratio, n), strict=True)]
    else:
        sizes = [int(v) for v in ntuple(output_size, n)]
    for i, (size, out, k) in enumerate(zip(spatial, sizes, kernel, strict=True)):
        if out + k - 1 > size:
            axis = ("height", "width") if n == 2 else ("time", "height", "width")
            raise RuntimeError(f"{name}(): pool {axis[i]} {k} too large relative to input {axis[i]} {size}")
    unbatched = input.dim() == n + 1
    x = input.unsqueeze(0) if unbatched else input
    if samples is None:
        samples = torch.rand(x.size(0), x.size(1), n, dtype=x.dtype, device=x.device)
    # in two dimensions torch's first sample is the width's
    order = [1, 0] if n == 2 else [0, 1, 2]
    parts = [_fractional_windows(samples[:, :, order[d]], spatial[d], sizes[d], kernel[d]) for d in range(n)]
    values, indices = _max_of_flat(x, n, _cross(parts, spatial))
    values = named(values, f"FractionalMaxPool{n}DBackward0")
    return (values.squeeze(0), indices.squeeze(0)) if unbatched else (values, indices)


def fractional_max_pool2d(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Any = None) -> Any:
    """Max pooling over pseudo-random windows that give exactly the output size asked."""
    return _either(_fractional_max_pool(2, input, kernel_size, output_size, output_ratio, _random_samples), return_indices)


def fractional_max_pool3d(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Any = None) -> Any:
    """Max pooling over pseudo-random windows that give exactly the output size asked."""
    return _either(_fractional_max_pool(3, input, kernel_size, output_size, output_ratio, _random_samples), return_indices)


def fractional_max_pool2d_with_indices(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                                       return_indices: bool = False, _random_samples: Any = None) -> tuple[Any, Any]:
    """`fractional_max_pool2d` and the flat index of each maximum."""
    return _fractional_max_pool(2, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool3d_with_indices(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                                       return_indices: bool = False, _random_samples: Any = None) -> tuple[Any, Any]:
    """`fractional_max_pool3d` and the flat index of each maximum."""
    return _fractional_max_pool(3, input, kernel_size, output_size, output_ratio, _random_samples)


# -- unpooling

def _unpool_size(n: int, input: Any, k: list[int], s: list[int], p: list[int], output_size: Any) -> list[int]:
    default = [(input.size(i - n) - 1) * s[i] + k[i] - 2 * p[i] for i in range(n)]
    if output_size is None:
        for d, size in enumerate(default):
            if size < 0:
                raise ValueError("max_unpooling: output_size must contain non-negative spatial dimensions, "
                                 f"but got output_size[{d}]={size}")
        return default
    shown = output_size[2:] if len(output_size) == n + 2 else output_size
    given = list(shown)
    if len(given) != n:
        raise ValueError(f"output_size should be a sequence containing {n} or {n + 2} elements, "
                         f"but it has a length of '{len(given)}'")
    for d in range(n):
        low, high = default[d] - s[d], default[d] + s[d]
        if not low < given[d] < high:
            raise ValueError(f'invalid output_size "{shown}" (dim {d} must be between {low} and {high})')
    return given


def _max_unpool(n: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Any:
    k = [int(v) for v in ntuple(kernel_size, n)]
    s = k if stride is None else [int(v) for v in ntuple(stride, n)]
    sizes = _unpool_size(n, input, k, s, [int(v) for v in ntuple(padding, n)], output_size)
    return getattr(torch._C._nn, f"max_unpool{n}d")(input, indices, sizes)


def max_unpool1d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
    """Put each maximum back at its index, zeros elsewhere."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
    """Put each maximum back at its index, zeros elsewhere."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
    """Put each maximum back at its index, zeros elsewhere."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)

"""Pooling: maximum, average, p-norm, adaptive, fractional, and the inverse of max pooling.

Enters: (N, C, spatial...) or without N. Leaves: the pooled tensor, and where asked the flat spatial index of each maximum.
Averages sum strided views of the windows; maxima are chains of comparisons over the taps; windows of unequal size are gathered.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import ntuple, rounds_once


def _params(name: str, n: int, **values: Any) -> list[list[int]]:
    """Each argument as n ints; an empty stride means the kernel size."""
    out: list[list[int]] = []
    for key, value in values.items():
        if value is None or (isinstance(value, (list, tuple)) and not value):
            out.append(list(out[0]))
            continue
        if isinstance(value, (list, tuple)) and len(value) not in (1, n):
            if n == 1:
                raise RuntimeError(f"{name}() {key} must be an int, list of ints or tuple of ints of size 1 but got size {len(value)}")
            lead = {"stride": "either be omitted, "}.get(key, "be " if name == "avg_pool3d" else "either be ")
            raise RuntimeError(f"{name}: {key} must {lead}a single int, or a tuple of {'two' if n == 2 else 'three'} ints")
        out.append([int(v) for v in ntuple(value, n)])
    return out


def _out_size(size: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    span = size + 2 * p - d * (k - 1) - 1
    out = (span + (s - 1 if ceil_mode else 0)) // s + 1
    if ceil_mode and (out - 1) * s >= size + p:
        out -= 1
    return out


def _check_pool(name: str, n: int, input: Any, k: list[int], s: list[int], p: list[int], d: list[int], ceil_mode: bool) -> None:
    if input.dim() not in (n + 1, n + 2) or any(v == 0 for v in input.shape[-n - 1:]):
        if n == 1:
            raise RuntimeError(f"{name}: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, "
                               f"but got:{list(input.shape)}")
        raise RuntimeError(f"non-empty {n + 1}D or {n + 2}D (batch mode) tensor expected for input")
    if any(v <= 0 for v in k):
        raise RuntimeError(f"kernel size should be greater than zero, but got {_named(k)}")
    if any(v <= 0 for v in s):
        raise RuntimeError("stride should not be zero" if n == 1 else f"stride should be greater than zero, but got {_named(s)}")
    if any(v <= 0 for v in d):
        raise RuntimeError(f"dilation should be greater than zero, but got {_named(d)}")
    for kk, pp, dd in zip(k, p, d, strict=True):
        if pp < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {pp}")
        if pp > ((kk - 1) * dd + 1) // 2:
            if name == "max_pool1d":
                raise RuntimeError(f"max_pool1d() padding should be at most half of kernel size, but got padding={pp} and kernel_size={kk}")
            raise RuntimeError("pad should be at most half of effective kernel size, but got "
                               f"pad={pp}, kernel_size={kk} and dilation={dd}")
    spatial = list(input.shape[-n:])
    out = [_out_size(*args, ceil_mode) for args in zip(spatial, k, s, p, d, strict=True)]
    if any(v < 1 for v in out):
        if name == "max_pool1d":
            raise RuntimeError(f"max_pool1d() Invalid computed output size: {out[0]}")
        channels = input.size(-n - 1)
        before = "x".join(map(str, [channels, *([1] if n == 1 else []), *spatial]))
        after = "x".join(map(str, [channels, *([1] if n == 1 else []), *out]))
        raise RuntimeError(f"Given input size: ({before}). Calculated output size: ({after}). Output size is too small")


def _named(values: list[int]) -> str:
    names = {1: ("",), 2: ("dH", "dW"), 3: ("dT", "dH", "dW")}[len(values)]
    return " ".join(f"{a}: {v}".removeprefix(": ") for a, v in zip(names, values, strict=True))


def _padded(x: Any, k: list[int], s: list[int], p: list[int], d: list[int], out: list[int], value: float) -> Any:
    """x with its spatial dimensions widened so that every window of the output fits."""
    pads: list[int] = []
    for i in range(len(k) - 1, -1, -1):
        size = x.size(i - len(k))
        pads += [p[i], max(0, (out[i] - 1) * s[i] + d[i] * (k[i] - 1) + 1 - size - p[i])]
    return torch.constant_pad_nd(x, pads, value) if any(pads) else x


def _max_windows(input: Any, k: list[int], s: list[int], p: list[int], d: list[int], out: list[int]) -> tuple[Any, Any]:
    """The maximum of each window, one tap of the window after another: later taps win only by being greater, or NaN."""
    n, spatial = len(k), list(input.shape[-len(k):])
    lowest = -math.inf if input.is_floating_point() else torch.iinfo(input.dtype).min
    x = _padded(input, k, s, p, d, out, lowest)
    # positions of each window's start in the input, and of its first tap inside it
    start: Any = 0
    first: Any = 0
    for i in range(n):
        at = (torch.arange(out[i]) * s[i] - p[i]).reshape([-1 if j == i else 1 for j in range(n)])
        inside = torch.where(at < 0, at + (d[i] - 1 - at) // d[i] * d[i], at)
        start, first = start * spatial[i] + at, first * spatial[i] + inside
    best: Any = None
    index = first.expand(input.shape[:-n] + tuple(out))
    for tap in itertools.product(*map(range, k)):
        view = x
        for i, t in enumerate(tap):
            view = view[(..., slice(t * d[i], t * d[i] + (out[i] - 1) * s[i] + 1, s[i]), *[slice(None)] * (n - 1 - i))]
        if best is None:
            best = view
            continue
        shift = 0
        for i, t in enumerate(tap):
            shift = shift * spatial[i] + t * d[i]
        wins = view > best
        if input.is_floating_point():
            wins = wins | (view != view)
        best, index = torch.where(wins, view, best), torch.where(wins, start + shift, index)
    return (best.clone() if best is x else best), index


def _counts(size: int, k: int, s: int, p: int, out: int, include_pad: bool) -> list[int]:
    """By how many elements each window of one dimension counts."""
    counts = []
    for i in range(out):
        low = i * s - p
        high = min(low + k, size + p)
        counts.append(high - low if include_pad else min(high, size) - max(low, 0))
    return counts


@rounds_once
def _mean_windows(input: Any, k: list[int], s: list[int], p: list[int], out: list[int], include_pad: bool, divisor: int | None) -> Any:
    n = len(k)
    counts = [_counts(*a, include_pad) for a in zip(input.shape[-n:], k, s, p, out, strict=True)]
    x = _padded(input, k, s, p, [1] * n, out, 0)
    for i in range(n):
        x = x.unfold(input.dim() - n + i, k[i], s[i])
    for i in range(n):
        # a stride may leave room for one window more than ceil_mode counts
        x = x.narrow(input.dim() - n + i, 0, out[i])
    total = x.sum(tuple(range(-n, 0)))
    if divisor is not None:
        return total / divisor
    if all(min(c) == max(c) for c in counts):
        return total / math.prod(c[0] for c in counts)
    size: Any = 1
    for i, c in enumerate(counts):
        size = torch.tensor(c, dtype=total.dtype).reshape([-1 if j == i else 1 for j in range(n)]) * size
    return total / size


def _max_pool(n: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> tuple[Any, Any]:
    """(maxima, flat indices into the spatial dimensions)."""
    name = f"max_pool{n}d"
    k, s, p, d = _params(name, n, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    _check_pool(name, n, input, k, s, p, d, ceil_mode)
    return _max_windows(input, k, s, p, d, [_out_size(*a, ceil_mode) for a in zip(input.shape[-n:], k, s, p, d, strict=True)])


def _either(result: tuple[Any, Any], return_indices: bool) -> Any:
    return result if return_indices else result[0]


def max_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:
    """The maximum over windows of the last dimension."""
    return _either(_max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode), return_indices)


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


def _avg_pool(n: int, input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
              divisor_override: int | None) -> Any:
    name = f"avg_pool{n}d"
    k, s, p = _params(name, n, kernel_size=kernel_size, stride=stride, padding=padding)
    _check_pool(name, n, input, k, s, p, [1] * n, ceil_mode)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    out = [_out_size(*a, 1, ceil_mode) for a in zip(input.shape[-n:], k, s, p, strict=True)]
    return _mean_windows(input, k, s, p, out, count_include_pad, divisor_override)


def avg_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Any:
    """The mean over windows of the last dimension."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
    """The mean over windows of the last two dimensions."""
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
    """The mean over windows of the last three dimensions."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@rounds_once
def _lp_pool(n: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
    kernel = list(ntuple(kernel_size, n))
    mean = _avg_pool(n, input.pow(norm_type), kernel, stride, 0, ceil_mode, True, None)
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

def _adaptive_sizes(name: str, n: int, input: Any, output_size: Any) -> list[int]:
    if input.dim() not in (n + 1, n + 2):
        got = "got: " if "max" in name else "got "
        raise RuntimeError(f"{name}: Expected {n + 1}D or {n + 2}D tensor, but {got}{list(input.shape)}")
    if isinstance(output_size, (list, tuple)) and len(output_size) not in (1, n):
        raise RuntimeError(f"{name}: internal error: output_size.size() must be {n}")
    wanted = ntuple(output_size, n)
    return [input.size(i - n) if size is None else int(size) for i, size in enumerate(wanted)]


def _adaptive_windows(size: int, out: int) -> list[list[int]]:
    """The input positions of each output: floor(i * size / out) up to ceil((i + 1) * size / out)."""
    return [list(range(i * size // out, -(-(i + 1) * size // out))) for i in range(out)]


@rounds_once
def _adaptive_avg(x: Any, sizes: list[int]) -> Any:
    n = len(sizes)
    for i, out in enumerate(sizes):
        dim = x.dim() - n + i
        windows = _adaptive_windows(x.size(dim), out)
        widest = max((len(w) for w in windows), default=1)
        index = torch.tensor([j for w in windows for j in w + w[-1:] * (widest - len(w))], dtype=torch.int64)
        counts = torch.tensor([len(w) for w in windows], dtype=x.dtype)
        taken = x.index_select(dim, index).reshape(*x.shape[:dim], out, widest, *x.shape[dim + 1:])
        used = torch.arange(widest).unsqueeze(0) < torch.tensor([len(w) for w in windows]).unsqueeze(1)
        tail = [1] * (x.dim() - dim - 1)
        taken = torch.where(used.reshape(out, widest, *tail), taken, 0.0).to(x.dtype)
        x = taken.sum(dim + 1) / counts.reshape(out, *tail)
    return x


def _adaptive_avg_pool(n: int, input: Any, output_size: Any) -> Any:
    sizes = _adaptive_sizes(f"adaptive_avg_pool{n}d()", n, input, output_size)
    spatial = list(input.shape[-n:])
    if 0 in sizes or 0 in input.shape:
        return input.new_empty([*input.shape[:-n], *sizes])
    if all(size % out == 0 for size, out in zip(spatial, sizes, strict=True)):
        kernel = [size // out for size, out in zip(spatial, sizes, strict=True)]
        return _avg_pool(n, input, kernel, kernel, 0, False, True, None)
    return _adaptive_avg(input, sizes)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The mean over as many windows of the last dimension as asked."""
    return _adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The mean over as many windows of the last two dimensions as asked."""
    return _adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """The mean over as many windows of the last three dimensions as asked."""
    return _adaptive_avg_pool(3, input, output_size)


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


def _adaptive_max_pool(n: int, input: Any, output_size: Any) -> tuple[Any, Any]:
    sizes = _adaptive_sizes(f"adaptive_max_pool{n}d()", n, input, output_size)
    spatial = list(input.shape[-n:])
    parts = []
    for size, out in zip(spatial, sizes, strict=True):
        windows = _adaptive_windows(size, out)
        widest = max((len(w) for w in windows), default=1)
        parts.append(torch.tensor([w + w[-1:] * (widest - len(w)) for w in windows], dtype=torch.int64).reshape(out, widest))
    flat = _cross(parts, spatial)
    return _max_of_flat(input, n, flat.expand(*input.shape[:-n], *flat.shape))


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
    k, s, p = _params(f"max_unpool{n}d", n, kernel_size=kernel_size, stride=stride, padding=padding)
    sizes = _unpool_size(n, input, k, s, p, output_size)
    if indices.dtype is not torch.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {torch.typename(indices)}")
    if indices.shape != input.shape:
        raise RuntimeError("Expected shape of indices to be same as that of the input tensor "
                           f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}")
    flat = input.reshape(*input.shape[:-n], -1)
    zeros = flat.new_zeros([*flat.shape[:-1], math.prod(sizes)])
    try:
        placed = zeros.scatter(-1, indices.reshape(flat.shape), flat)
    except (IndexError, RuntimeError):
        rows = indices.reshape(-1)
        bad = ((rows < 0) | (rows >= math.prod(sizes))).nonzero()
        if not len(bad):
            raise
        volume = "x".join(map(str, [*sizes, 1] if n == 1 else sizes))
        raise RuntimeError(f"Found an invalid max index: {int(rows[int(bad[0])])} (output volumes are of size {volume})") from None
    return placed.reshape(*input.shape[:-n], *sizes)


def max_unpool1d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
    """Put each maximum back at its index, zeros elsewhere."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
    """Put each maximum back at its index, zeros elsewhere."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
    """Put each maximum back at its index, zeros elsewhere."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)

"""Resampling: interpolation by size or factor, affine grids, sampling at grid positions.

Enters: (N, C, spatial...). Leaves: the tensor at new positions. Interpolation is separable: positions and weights are worked out
once a dimension on the host, then each dimension is gathered and weighed in turn.
"""

from __future__ import annotations

import functools
import itertools
import math
import struct
import warnings
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import named, rounds_once
from frankentorch.nn.functional.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

_RANK_OF = {"linear": 3, "bilinear": 4, "trilinear": 5, "bicubic": 4, "lanczos": 4}
_AREA = {3: adaptive_avg_pool1d, 4: adaptive_avg_pool2d, 5: adaptive_avg_pool3d}


def _f32(x: float) -> float:
    return struct.unpack("f", struct.pack("f", x))[0]


def _scale(size: int, out: int, factor: float | None, align: bool, rnd: Any) -> float:
    if align:
        return rnd((size - 1) / (out - 1)) if out > 1 else 0.0
    return rnd(1.0 / factor) if factor is not None and factor > 0 else rnd(size / out)


@functools.lru_cache(maxsize=512)
def _nearest_index(size: int, out: int, factor: float | None, exact: bool) -> tuple[int, ...]:
    scale = _scale(size, out, factor, False, _f32)
    if exact:
        return tuple(min(math.floor(_f32(_f32(i + 0.5) * scale)), size - 1) for i in range(out))
    if out == size:
        return tuple(range(out))
    if out == 2 * size:
        return tuple(i >> 1 for i in range(out))
    return tuple(min(math.floor(_f32(i * scale)), size - 1) for i in range(out))


def _source(i: int, scale: float, align: bool, rnd: Any) -> float:
    return rnd(scale * i) if align else rnd(rnd(scale * rnd(i + 0.5)) - 0.5)


@functools.lru_cache(maxsize=512)
def _linear_taps(size: int, out: int, factor: float | None, align: bool, single: bool) -> tuple[tuple, ...]:
    """Per tap (index of each output, weight of each output), for two taps."""
    rnd = _f32 if single else float
    if size == out and factor in (None, 1.0):
        return ((tuple(range(out)), (1.0,) * out),)
    scale = _scale(size, out, factor, align, rnd)
    low, high, w_low, w_high = [], [], [], []
    for i in range(out):
        position = max(_source(i, scale, align, rnd), 0.0)
        first = min(int(position), size - 1)
        w = rnd(min(max(position - first, 0.0), 1.0))
        low.append(first)
        high.append(first + (first < size - 1))
        w_low.append(rnd(1.0 - w))
        w_high.append(w)
    return (tuple(low), tuple(w_low)), (tuple(high), tuple(w_high))


def _keys_cubic(x: float, a: float) -> float:
    """Keys' convolution kernel (1981)."""
    x = abs(x)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


@functools.lru_cache(maxsize=512)
def _cubic_taps(size: int, out: int, factor: float | None, align: bool, single: bool) -> tuple[tuple, ...]:
    rnd = _f32 if single else float
    scale = _scale(size, out, factor, align, rnd)
    taps: list[tuple[list[int], list[float]]] = [([], []) for _ in range(4)]
    for i in range(out):
        position = _source(i, scale, align, rnd)
        base = math.floor(position)
        t = min(max(position - base, 0.0), 1.0)
        for k, (index, weights) in enumerate(taps):
            index.append(min(max(base - 1 + k, 0), size - 1))
            weights.append(_keys_cubic(t - (k - 1), -0.75))
    return tuple((tuple(index), tuple(weights)) for index, weights in taps)


def _lanczos(x: float) -> float:
    def sinc(v: float) -> float:
        return 1.0 if v == 0 else math.sin(math.pi * v) / (math.pi * v)

    return sinc(x) * sinc(x / 3) if -3 <= x < 3 else 0.0


_FILTERS = {"bilinear": (1.0, lambda x: max(0.0, 1.0 - abs(x))), "bicubic": (2.0, lambda x: _keys_cubic(x, -0.5)),
            "lanczos": (3.0, _lanczos)}


@functools.lru_cache(maxsize=512)
def _antialias_matrix(size: int, out: int, factor: float | None, align: bool, mode: str) -> tuple[tuple[float, ...], ...]:
    """Row i holds the weights of output i: the filter stretched by the scale when shrinking (as Pillow does)."""
    reach, kernel = _FILTERS[mode]
    scale = _scale(size, out, factor, align, float)
    support = reach * scale if scale >= 1.0 else reach
    stretch = 1.0 / scale if scale >= 1.0 else 1.0
    rows = []
    for i in range(out):
        centre = scale * (i + 0.5)
        first = max(int(centre - support + 0.5), 0)
        last = min(int(centre + support + 0.5), size)
        weights = [kernel((j + first - centre + 0.5) * stretch) for j in range(last - first)]
        total = sum(weights) or 1.0
        rows.append((0.0,) * first + tuple(w / total for w in weights) + (0.0,) * (size - last))
    return tuple(rows)


def _resample_dim(x: Any, dim: int, taps: tuple[tuple, ...]) -> Any:
    total: Any = None
    shape = [-1] + [1] * (x.dim() - dim - 1)
    for index, weights in taps:
        part = x.index_select(dim, torch.tensor(index, dtype=torch.int64))
        if len(taps) > 1:
            part = part * torch.tensor(weights, dtype=x.dtype).reshape(shape)
        total = part if total is None else total + part
    return total


@rounds_once
def _resample(x: Any, sizes: list[int], factors: list[float | None], mode: str, align: bool) -> Any:
    make = _cubic_taps if mode == "bicubic" else _linear_taps
    single = x.dtype is not torch.float64
    for dim in range(x.dim() - 1, 1, -1):
        out, factor = sizes[dim - 2], factors[dim - 2]
        x = _resample_dim(x, dim, make(x.size(dim), out, factor, align, single))
    return x


@rounds_once
def _antialias(x: Any, sizes: list[int], factors: list[float | None], mode: str, align: bool) -> Any:
    for dim in (3, 2):
        matrix = torch.tensor(_antialias_matrix(x.size(dim), sizes[dim - 2], factors[dim - 2], align, mode), dtype=x.dtype)
        x = torch.matmul(x, matrix.t()) if dim == 3 else torch.matmul(matrix, x)
    return x


def _target_sizes(input: Any, size: Any, scale_factor: Any, recompute: bool | None) -> tuple[list[int], list[float | None]]:
    """The output size and the factors that the positions shall use (None: derive them from the sizes)."""
    n = input.dim() - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    spatial = list(input.shape[2:])
    if size is not None:
        if isinstance(size, (list, tuple)):
            if len(size) != n:
                raise ValueError("Input and output must have the same number of spatial dimensions, but got "
                                 f"input with spatial dimensions of {spatial} and output size of {size}. "
                                 "Please provide input tensor in (N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format.")
            if not all(isinstance(v, int) for v in size):
                raise TypeError("expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], "
                                f"but got size with types {[type(v) for v in size]}")
            sizes = list(size)
        else:
            sizes = [int(size)] * n
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return sizes, [None] * n
    if isinstance(scale_factor, (list, tuple)):
        if len(scale_factor) != n:
            raise ValueError("Input and scale_factor must have the same number of spatial dimensions, but "
                             f"got input with spatial dimensions of {spatial} and scale_factor of shape {scale_factor}. "
                             "Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
                             "scale_factor in (s1, s2, ...,sK) format.")
        factors: list[Any] = [float(f) for f in scale_factor]
    else:
        factors = [float(scale_factor)] * n
    sizes = [math.floor(float(s) * f) for s, f in zip(spatial, factors, strict=True)]
    return sizes, [None] * n if recompute else factors


def interpolate(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
                recompute_scale_factor: bool | None = None, antialias: bool = False) -> Any:
    """Resize the spatial dimensions to `size` or by `scale_factor`."""
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError("align_corners option can only be set with the interpolating modes: "
                         "linear | bilinear | bicubic | trilinear")
    align = bool(align_corners)
    sizes, factors = _target_sizes(input, size, scale_factor, recompute_scale_factor)
    if antialias and not (mode in _FILTERS and input.dim() == 4):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input")
    rank = input.dim()
    if rank in (3, 4, 5):
        if any(v <= 0 for v in [*input.shape[2:], *sizes]):
            spatial = list(input.shape[2:])
            raise RuntimeError("Input and output sizes should be greater than 0, but got "
                               f"input ({_axes(spatial)}) and output ({_axes(sizes)})")
        if mode in ("nearest", "nearest-exact"):
            for d in range(rank - 2):
                index = _nearest_index(input.size(2 + d), sizes[d], factors[d], mode == "nearest-exact")
                input = input.index_select(2 + d, torch.tensor(index, dtype=torch.int64))
            return named(input, f"UpsampleNearest{'Exact' if mode == 'nearest-exact' else ''}{rank - 2}DBackward0")
        if mode == "area":
            return _AREA[rank](input, sizes)
        if _RANK_OF.get(mode) == rank:
            if mode == "lanczos":
                if align_corners:
                    raise ValueError("Lanczos mode does not support align_corners=True")
                if not antialias:
                    raise ValueError("Lanczos mode requires antialias=True")
            out = (_antialias if antialias else _resample)(input, sizes, factors, mode, align)
            return out if out is input else named(out, f"Upsample{mode.title()}{rank - 2}D{'Aa' if antialias else ''}Backward0")
        if mode in ("linear", "bilinear", "trilinear"):
            raise NotImplementedError(f"Got {rank}D input, but {mode} mode needs {_RANK_OF[mode]}D input")
    raise NotImplementedError("Input Error: Only 3D, 4D and 5D input Tensors supported"
                              f" (got {rank}D) for the modes: nearest | linear | bilinear | bicubic | trilinear | lanczos | area | "
                              f"nearest-exact (got {mode})")


def _axes(sizes: list[int]) -> str:
    names = {1: "W", 2: "HW", 3: "DHW"}[len(sizes)]
    return ", ".join(f"{a}: {s}" for a, s in zip(names, sizes, strict=True))


def _deprecated(name: str, new: str = "interpolate") -> None:
    warnings.warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.{new}` instead.", stacklevel=3)


def upsample(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None) -> Any:
    """The old name of `interpolate`."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` to the nearest, by its old name."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` bilinearly with aligned corners, by its old name."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# -- grids

_GRID_NOTE = ("Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
              "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.")


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The sampling positions of an affine map: theta (N, 2, 3) or (N, 3, 4), size the output's; in [-1, 1] coordinates."""
    if align_corners is None:
        warnings.warn(_GRID_NOTE, stacklevel=2)
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    n = len(size) - 2
    if n not in (2, 3):
        raise NotImplementedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
                                  f"Got size {size}.")
    if theta.dim() != 3 or tuple(theta.shape[-2:]) != (n, n + 1):
        raise ValueError(f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got {theta.shape}.")
    spatial = list(size[2:])
    if align_corners and min(spatial) == 1:
        warnings.warn("Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True. "
                      "This is not an intended use case of affine_grid. See the documentation of affine_grid for details.", stacklevel=2)
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    columns = []
    for d in range(n - 1, -1, -1):
        steps = spatial[d]
        line = torch.linspace(-1, 1, steps, dtype=theta.dtype) if steps > 1 else torch.zeros(1, dtype=theta.dtype)
        line = line if align_corners else line * ((steps - 1) / steps)
        columns.append(line.reshape([-1 if i == d else 1 for i in range(n)]).expand(spatial))
    columns.append(torch.ones(spatial, dtype=theta.dtype))
    base = torch.stack(columns, -1).reshape(1, -1, n + 1).expand(theta.size(0), -1, -1)
    return named(torch.bmm(base, theta.transpose(1, 2)).reshape(theta.size(0), *spatial, n), "AffineGridGeneratorBackward0")


def _limit(x: Any, low: float, high: float) -> Any:
    # no gradient at the limits, unlike clamp
    return torch.where(x <= low, low, torch.where(x >= high, high, x)).to(x.dtype)


def _reflect(x: Any, twice_low: int, twice_high: int) -> Any:
    if twice_low == twice_high:
        return x * 0
    low, span = twice_low / 2, (twice_high - twice_low) / 2
    x = torch.abs(x - low)
    flips = torch.floor(x / span)
    extra = x - flips * span
    return torch.where(torch.remainder(flips, 2) == 0, extra + low, span - extra + low)


def _to_pixels(x: Any, size: int, align: bool) -> Any:
    return (x + 1) / 2 * (size - 1) if align else ((x + 1) * size - 1) / 2


def _pad_position(x: Any, size: int, padding_mode: str, align: bool) -> Any:
    if padding_mode == "reflection":
        x = _reflect(x, 0, 2 * (size - 1)) if align else _reflect(x, -1, 2 * size - 1)
    if padding_mode in ("border", "reflection"):
        x = _limit(x, 0, size - 1)
    # a position that is no finite number is outside
    return torch.where(torch.abs(x) < 2.0**30, x, -100.0).to(x.dtype)


def _read(flat: Any, places: list[Any], spatial: list[int]) -> Any:
    """flat (N, C, volume) at integer positions, each (N, out...); zero outside."""
    inside: Any = None
    index: Any = 0
    for place, size in zip(places, spatial, strict=True):
        ok = (place >= 0) & (place < size)
        inside = ok if inside is None else inside & ok
        index = index * size + place.clamp(0, size - 1).to(torch.int64)
    n, c = flat.size(0), flat.size(1)
    values = flat.gather(2, index.reshape(n, 1, -1).expand(n, c, -1)).reshape(n, c, *index.shape[1:])
    return torch.where(inside.unsqueeze(1), values, 0.0).to(flat.dtype)


def _sample_cubic(flat: Any, pixels: list[Any], spatial: list[int], padding_mode: str, align: bool) -> Any:
    bases = [torch.floor(p).detach() for p in pixels]
    total: Any = 0
    for taps in itertools.product(range(-1, 3), repeat=2):
        places: list[Any] = []
        weight: Any = None
        for tap, pixel, base, size in zip(taps, pixels, bases, spatial, strict=True):
            places.append(_pad_position(base + tap, size, padding_mode, align))
            w = _cubic_weight(pixel - base - tap, abs(2 * tap - 1) == 1)
            weight = w if weight is None else weight * w
        total = total + _read(flat, places, spatial) * weight.unsqueeze(1)
    return total


def _cubic_weight(x: Any, near: bool) -> Any:
    a = -0.75
    x = torch.abs(x)
    return ((a + 2) * x - (a + 3)) * x * x + 1 if near else (((x - 5) * x + 8) * x - 4) * a


@rounds_once
def _grid_sample(input: Any, grid: Any, mode: str, padding_mode: str, align: bool) -> Any:
    spatial = list(input.shape[2:])
    flat = input.reshape(input.size(0), input.size(1), -1)
    # grid's last axis runs x, y, z; the spatial dimensions run z, y, x
    pixels = [_to_pixels(grid[..., len(spatial) - 1 - d], size, align) for d, size in enumerate(spatial)]
    if mode == "bicubic":
        return _sample_cubic(flat, pixels, spatial, padding_mode, align)
    pixels = [_pad_position(p, size, padding_mode, align) for p, size in zip(pixels, spatial, strict=True)]
    if mode == "nearest":
        out = _read(flat, [torch.round(p.detach()) for p in pixels], spatial)
        never = torch.zeros((), dtype=torch.bool)
        for p in pixels:
            # the grid's gradient is zero, not absent
            out = torch.where(never, p.unsqueeze(1), out)
        return out
    lows = [torch.floor(p).detach() for p in pixels]
    total: Any = 0
    for corner in itertools.product((0, 1), repeat=len(spatial)):
        weight: Any = None
        for side, pixel, low in zip(corner, pixels, lows, strict=True):
            w = pixel - low if side else low + 1 - pixel
            weight = w if weight is None else weight * w
        total = total + _read(flat, [low + side for low, side in zip(lows, corner, strict=True)], spatial) * weight.unsqueeze(1)
    return total


def grid_sample(input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None) -> Any:
    """input (N, C, [D,] H, W) at the positions grid (N, [D,] H, W, 2 or 3), in [-1, 1] coordinates, x first."""
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', "
                         f"but got: '{padding_mode}'")
    if align_corners is None:
        warnings.warn(_GRID_NOTE, stacklevel=2)
        align_corners = False
    if input.dim() not in (4, 5) or input.dim() != grid.dim():
        raise RuntimeError("grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes "
                           f"{list(input.shape)} and grid with sizes {list(grid.shape)}")
    if input.size(0) != grid.size(0):
        raise RuntimeError("grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
                           f"{list(input.shape)} and grid with sizes {list(grid.shape)}")
    if grid.size(-1) != input.dim() - 2:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {input.dim() - 2} in last dimension, but got grid with sizes "
                           f"{list(grid.shape)}")
    if mode == "bicubic" and input.dim() != 4:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    return named(_grid_sample(input, grid, mode, padding_mode, align_corners), f"GridSampler{input.dim() - 2}DBackward0")


def grid_sampler(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:
    """``torch.grid_sampler``: grid_sample with its modes by number."""
    return grid_sample(input, grid, ("bilinear", "nearest", "bicubic")[interpolation_mode], ("zeros", "border", "reflection")[padding_mode], align_corners)

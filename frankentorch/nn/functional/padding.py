"""Padding by a constant, by reflection, by the edge value or around the corner; and rearranging pixels.

Enters: a tensor. Leaves: a larger (or rearranged) one. The non-constant modes gather by index along one dimension at a time,
so that their gradient is the scatter of the same indices.
"""

from __future__ import annotations

from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import named


def _reflect(left: int, right: int, size: int) -> list[int]:
    return [abs(i) if i < size else 2 * (size - 1) - i for i in range(-left, size + right)]


def _replicate(left: int, right: int, size: int) -> list[int]:
    return [min(max(i, 0), size - 1) for i in range(-left, size + right)]


def _circular(left: int, right: int, size: int) -> list[int]:
    kept = range(max(-left, 0), size - max(-right, 0))
    return [kept[i % len(kept)] for i in range(-max(left, 0), len(kept) + max(right, 0))]


_SUPPORTED = """Supported combinations for non-constant padding:
  - 2D or 3D input: padding size = 2 (pads last dimension)
  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)
  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"""
_NODES = {"reflect": "Reflection", "replicate": "Replication"}
_MODES = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}


def _check(input: Any, mode: str, n: int, pads: list[tuple[int, int]]) -> None:
    """torch's conditions on a non-constant padding of the last n dimensions; `pads` are last dimension first."""
    for i, (left, right) in enumerate(pads):
        dim = input.dim() - 1 - i
        size = input.size(dim)
        if mode == "reflect" and (left >= size or right >= size):
            raise RuntimeError("Argument #4: Padding size should be less than the corresponding input dimension, but got: "
                               f"padding ({left}, {right}) at dimension {dim} of input {list(input.shape)}")
        if mode == "circular" and (left > size or right > size):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if mode == "circular" and size + left + right < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")
        if mode != "circular" and size + left + right < 1:
            axis = "WHD"[i]
            raise RuntimeError(f"input ({axis}: {size}) is too small. Calculated output {axis}: {size + left + right}")


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """Pad the last len(pad) / 2 dimensions; `pad` lists (left, right) for the last dimension first."""
    pads = [int(p) for p in pad]
    if len(pads) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pads) > input.dim() * 2:
        raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension but got padding length "
                           f"{len(pads)} and input of dimension {input.dim()}")
    if mode == "constant":
        return torch.constant_pad_nd(input, pads, 0.0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f"Padding mode \"{mode}\" doesn't take in value argument")
    n = len(pads) // 2
    if mode not in _MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if n not in (1, 2, 3) or input.dim() not in (n + 1, n + 2):
        raise NotImplementedError(f"Padding size {len(pads)} is not supported for {input.dim()}D input tensor.\n" + _SUPPORTED)
    pairs = [(pads[2 * i], pads[2 * i + 1]) for i in range(n)]
    _check(input, mode, n, pairs)
    for i, (left, right) in enumerate(pairs):
        if left or right:
            dim = input.dim() - 1 - i
            index = torch.tensor(_MODES[mode](left, right, input.size(dim)), dtype=torch.int64, device=input.device)
            input = input.index_select(dim, index)
    return input if mode == "circular" or not any(pads) else named(input, f"{_NODES[mode]}Pad{n}DBackward0")


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(*, C r^2, H, W) to (*, C, H r, W r)."""
    r = upscale_factor
    if input.dim() < 3:
        raise RuntimeError(f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.dim()} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *batch, channels, h, w = input.shape
    if channels % (r * r):
        raise RuntimeError("pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
                           f"but input.size(-3)={channels} is not divisible by {r * r}")
    b = len(batch)
    split = input.reshape(*batch, channels // (r * r), r, r, h, w)
    order = [*range(b), b, b + 3, b + 1, b + 4, b + 2]
    return named(split.permute(order).reshape(*batch, channels // (r * r), h * r, w * r), "PixelShuffleBackward0")


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """(*, C, H r, W r) to (*, C r^2, H, W)."""
    r = downscale_factor
    if input.dim() < 3:
        raise RuntimeError(f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.dim()} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *batch, channels, h, w = input.shape
    for name, dim, size in (("height", -2, h), ("width", -1, w)):
        if size % r:
            raise RuntimeError(f"pixel_unshuffle expects {name} to be divisible by downscale_factor, "
                               f"but input.size({dim})={size} is not divisible by {r}")
    b = len(batch)
    split = input.reshape(*batch, channels, h // r, r, w // r, r)
    order = [*range(b), b, b + 2, b + 4, b + 1, b + 3]
    return named(split.permute(order).reshape(*batch, channels * r * r, h // r, w // r), "PixelUnshuffleBackward0")


def channel_shuffle(input: Any, groups: int) -> Any:
    """Interleave `groups` groups of channels (Zhang et al., 2018)."""
    if input.dim() <= 2:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    channels = input.size(1)
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if channels % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups.")
    split = input.reshape(input.size(0), groups, channels // groups, *input.shape[2:])
    return named(split.transpose(1, 2).reshape(input.shape), "ChannelShuffleBackward0")


def native_channel_shuffle(input: Any, groups: int) -> Any:
    """The same as `channel_shuffle`."""
    return channel_shuffle(input, groups)

"""Sliding blocks as columns, and the sum of columns back into an image.

Enters: (N, C, H, W), or (N, C * kh * kw, L). Leaves: the other. Blocks are gathered by index; folding adds in source order.
"""

from __future__ import annotations

from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import ntuple, rounds_once


def _positions(size: int, k: int, d: int, p: int, s: int) -> list[list[int]]:
    """[kernel offset][block] -> position in the padded dimension."""
    blocks = (size + 2 * p - d * (k - 1) - 1) // s + 1
    return [[b * s + i * d for b in range(blocks)] for i in range(k)]


def _four(name: str, **values: Any) -> list[tuple[int, int]]:
    out = []
    for key, value in values.items():
        pair = ntuple(value, 2)
        if len(pair) != 2:
            raise RuntimeError(f"It is expected {key} equals to 2, but got size {len(pair)}")
        low = 0 if key == "padding" else 1
        if any(v < low for v in pair):
            word = "non-negative" if low == 0 else "greater than zero"
            raise RuntimeError(f"{key.removesuffix('_size')} should be {word}, but got {key}_height: {pair[0]} {key}_width: {pair[1]}")
        out.append((int(pair[0]), int(pair[1])))
    return out


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Every sliding block of (N, C, H, W) as a column: (N, C * kh * kw, blocks)."""
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = _four("unfold", kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)
    if input.dim() not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
                           f"but got: {list(input.shape)}")
    unbatched = input.dim() == 3
    x = input.unsqueeze(0) if unbatched else input
    n, c, h, w = x.shape
    rows, cols = _positions(h, kh, dh, ph, sh), _positions(w, kw, dw, pw, sw)
    if not rows[0] or not cols[0]:
        counted = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, d, p, s in ((h, kh, dh, ph, sh), (w, kw, dw, pw, sw))]
        raise RuntimeError(f"Given input with spatial size ({h}, {w}), kernel_size=({kh}, {kw}), dilation=({dh}, {dw}), "
                           f"padding=({ph}, {pw}), calculated shape of the array of sliding blocks as ({counted[0]}, {counted[1]}), "
                           "but its components must be at least one.")
    if ph or pw:
        x = torch.constant_pad_nd(x, [pw, pw, ph, ph], 0)
    for dim, table in ((2, rows), (3, cols)):
        x = x.index_select(dim, torch.tensor([i for row in table for i in row], dtype=torch.int64))
    x = x.reshape(n, c, kh, len(rows[0]), kw, len(cols[0])).permute(0, 1, 2, 4, 3, 5)
    out = x.reshape(n, c * kh * kw, len(rows[0]) * len(cols[0]))
    return out.squeeze(0) if unbatched else out


@rounds_once
def _add_columns(columns: Any, index: Any, size: int) -> Any:
    zeros = columns.new_zeros([*columns.shape[:-1], size])
    return zeros.index_add(columns.dim() - 1, index, columns)


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The sum of blocks (N, C * kh * kw, L) at their places in an image of output_size."""
    (h, w), (kh, kw), (dh, dw), (ph, pw), (sh, sw) = _four(
        "fold", output_size=output_size, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)
    if input.dim() not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
                           f"input, but got: {list(input.shape)}")
    unbatched = input.dim() == 2
    x = input.unsqueeze(0) if unbatched else input
    n, features, blocks = x.shape
    if features % (kh * kw):
        raise RuntimeError("Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
                           f"input.size(1)={features} and kernel_size=({kh}, {kw}).")
    rows, cols = _positions(h, kh, dh, ph, sh), _positions(w, kw, dw, pw, sw)
    if blocks != len(rows[0]) * len(cols[0]):
        raise RuntimeError(f"Given output_size=({h}, {w}), kernel_size=({kh}, {kw}), dilation=({dh}, {dw}), padding=({ph}, {pw}), "
                           f"stride=({sh}, {sw}), expected size of input's dimension 2 to match the calculated number of sliding blocks "
                           f"{len(rows[0])} * {len(cols[0])} = {len(rows[0]) * len(cols[0])}, but got input.size(2)={blocks}.")
    full_w = w + 2 * pw
    index = [r * full_w + q for row in rows for col in cols for r in row for q in col]
    image = _add_columns(x.reshape(n, features // (kh * kw), -1), torch.tensor(index, dtype=torch.int64), (h + 2 * ph) * full_w)
    image = image.reshape(n, -1, h + 2 * ph, full_w)[:, :, ph:ph + h, pw:pw + w]
    return image.squeeze(0) if unbatched else image

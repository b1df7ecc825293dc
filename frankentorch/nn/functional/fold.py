"""Sliding blocks as columns, and the sum of columns back into an image.

Enters: (N, C, H, W), or (N, C * kh * kw, L). Leaves: the other. Checks and kernels are the op table's (`ops.window`).
"""

from __future__ import annotations

from typing import Any

import frankentorch as torch


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Every sliding block of (N, C, H, W) as a column: (N, C * kh * kw, blocks)."""
    return torch._C._nn.im2col(input, kernel_size, dilation, padding, stride)


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The sum of blocks (N, C * kh * kw, L) at their places in an image of output_size."""
    return torch._C._nn.col2im(input, output_size, kernel_size, dilation, padding, stride)

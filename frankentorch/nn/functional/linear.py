"""Linear maps and convolutions.

Enters: an input, weights and bias. Leaves: the product. Needs the primitives `matmul`, `addmm` and `convolution`; checks come
first, with torch's words.
"""

from __future__ import annotations

from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import rounds_once


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias over the last dimension; weight is (out, in), or (in,) for a single output."""
    return torch._C._nn.linear(input, weight, bias)


@rounds_once
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """sum_ij input1[i] * weight[k, i, j] * input2[j] (+ bias[k]) over the last dimensions."""
    if input1.dim() != input2.dim():
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.dim()} and {input2.dim()}")
    for i in range(input1.dim() - 1):
        if input1.size(i) != input2.size(i):
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {i}: "
                               f"got {input1.size(i)} and {input2.size(i)}")
    if input1.size(-1) != weight.size(1):
        raise RuntimeError(f"bilinear(): input1 size does not match weight size: got {input1.size(-1)} but expected {weight.size(1)}")
    if input2.size(-1) != weight.size(2):
        raise RuntimeError(f"bilinear(): input2 size does not match weight size: got {input2.size(-1)} but expected {weight.size(2)}")
    if bias is not None and bias.size(0) != weight.size(0):
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {bias.size(0)} but expected {weight.size(0)}")
    n, features = weight.size(0), weight.size(1) * weight.size(2)
    outer = input1.reshape(-1, input1.size(-1), 1) * input2.reshape(-1, 1, input2.size(-1))
    out = torch.matmul(outer.reshape(-1, features), weight.reshape(n, features).t())
    out = out.reshape(*input1.shape[:-1], n)
    return out if bias is None else out + bias


conv1d, conv2d, conv3d = torch.conv1d, torch.conv2d, torch.conv3d
conv_transpose1d, conv_transpose2d, conv_transpose3d = torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d
conv_tbc = torch.conv_tbc

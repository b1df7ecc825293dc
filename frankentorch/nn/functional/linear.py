"""Linear maps and convolutions.

Enters: an input, weights and bias. Leaves: the product. Needs the primitives `matmul`, `addmm` and `convolution`; checks come
first, with torch's words.
"""

from __future__ import annotations

from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import ntuple, rounds_once


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


def _same_padding(input: Any, weight: Any, stride: tuple, dilation: tuple, n: int) -> tuple[Any, tuple]:
    """Padding that keeps the size: symmetric, after padding one more at the end of dimensions whose total is odd."""
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if any(t % 2 for t in totals):
        tail = [v for t in reversed(totals) for v in (0, t % 2)]
        input = torch.constant_pad_nd(input, tail, 0)
    return input, tuple(t // 2 for t in totals)


def _per_dim(value: Any, n: int, name: str) -> tuple[int, ...]:
    out = ntuple(value, n)
    if len(out) != n:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {n} values to match the convolution dimensions, "
                           f"but got {name}={list(out)}")
    return out


def _conv(name: str, n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int,
          transposed: bool = False, output_padding: Any = 0) -> Any:
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: "
                           f"{list(input.shape)}")
    stride, dilation = _per_dim(stride, n, "stride"), _per_dim(dilation, n, "dilation")
    unbatched = input.dim() == n + 1
    if unbatched:
        input = input.unsqueeze(0)
    if isinstance(padding, str):
        if padding == "valid":
            pads: tuple = (0,) * n
        elif padding == "same":
            input, pads = _same_padding(input, weight, stride, dilation, n)
        else:
            raise RuntimeError(f"Invalid padding string: '{padding}'")
    else:
        pads = _per_dim(padding, n, "padding")
    _check_conv(input, weight, bias, stride, pads, dilation, groups, transposed, n)
    out = torch.convolution(input, weight, bias, list(stride), list(pads), list(dilation), transposed,
                            list(_per_dim(output_padding, n, "output_padding")), groups)
    return out.squeeze(0) if unbatched else out


def _check_conv(input: Any, weight: Any, bias: Any, stride: tuple, pads: tuple, dilation: tuple, groups: int, transposed: bool,
                n: int) -> None:
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if any(p < 0 for p in pads):
        raise RuntimeError("negative padding is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero")
    shape, sizes = list(weight.shape), list(input.shape)
    if weight.dim() != n + 2:
        raise RuntimeError("weight should have at least three dimensions" if weight.dim() < 3 else
                           f"Expected {weight.dim()}-dimensional input for {weight.dim()}-dimensional weight {shape}, "
                           f"but got {input.dim()}-dimensional input of size {sizes} instead")
    if weight.dtype is not input.dtype:
        raise RuntimeError(f"Input type ({input.dtype}) and weight type ({weight.dtype}) should be the same")
    if shape[0] < groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, "
                           f"but got weight of size {shape} instead")
    if shape[0] % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
                           f"but got weight of size [{shape}] instead")
    if transposed:
        if sizes[1] != shape[0]:
            raise RuntimeError(f"Given transposed=1, weight of size {shape}, expected input{sizes} to have {shape[0]} channels, "
                               f"but got {sizes[1]} channels instead")
        out_channels = shape[1] * groups
    else:
        if sizes[1] != shape[1] * groups:
            raise RuntimeError(f"Given groups={groups}, weight of size {shape}, expected input{sizes} to have {shape[1] * groups} "
                               f"channels, but got {sizes[1]} channels instead")
        out_channels = shape[0]
        padded = [s + 2 * p for s, p in zip(sizes[2:], pads, strict=True)]
        kernel = [d * (k - 1) + 1 for k, d in zip(shape[2:], dilation, strict=True)]
        if any(k > s for k, s in zip(kernel, padded, strict=True)):
            raise RuntimeError(f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). "
                               f"Kernel size: ({' x '.join(map(str, kernel))}). Kernel size can't be greater than actual input size")
    if bias is not None and (bias.dim() != 1 or bias.size(0) != out_channels):
        kind = "Given transposed=1, " if transposed else ""
        raise RuntimeError(f"{kind or 'Given '}weight of size {shape}, expected bias to be 1-dimensional with {out_channels} elements, "
                           f"but got bias of size {list(bias.shape)} instead")


def conv1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """1-D cross-correlation of (N, Cin, L) with (Cout, Cin / groups, k)."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """2-D cross-correlation of (N, Cin, H, W) with (Cout, Cin / groups, kh, kw)."""
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """3-D cross-correlation of (N, Cin, D, H, W) with (Cout, Cin / groups, kd, kh, kw)."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                     groups: int = 1, dilation: Any = 1) -> Any:
    """The adjoint of conv1d with respect to its input; weight is (Cin, Cout / groups, k)."""
    return _conv("conv_transpose1d", 1, input, weight, bias, stride, padding, dilation, groups, True, output_padding)


def conv_transpose2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                     groups: int = 1, dilation: Any = 1) -> Any:
    """The adjoint of conv2d with respect to its input; weight is (Cin, Cout / groups, kh, kw)."""
    return _conv("conv_transpose2d", 2, input, weight, bias, stride, padding, dilation, groups, True, output_padding)


def conv_transpose3d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                     groups: int = 1, dilation: Any = 1) -> Any:
    """The adjoint of conv3d with respect to its input; weight is (Cin, Cout / groups, kd, kh, kw)."""
    return _conv("conv_transpose3d", 3, input, weight, bias, stride, padding, dilation, groups, True, output_padding)


def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """1-D convolution over (time, batch, channels) with weight (k, Cin, Cout)."""
    out = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return out.permute(2, 0, 1)

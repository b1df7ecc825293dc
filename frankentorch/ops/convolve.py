"""torch's convolutions over the rows of `ops.contract`.

Enters: an input with or without a batch, a weight, an optional bias. Leaves: the product, after torch's checks in torch's order and words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .contract import conv_input_row, conv_row, convolve
from .define import LOW, api, composite
from .movement import constant_pad_nd
from .record import emit
from .reduce import sum_row

Sizes = tuple[int, ...]


def _per_dim(value: Any, n: int, name: str) -> Sizes:
    out = (value,) * n if isinstance(value, int) else tuple(int(v) for v in value)
    out = out * n if len(out) == 1 else out
    if len(out) != n:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {n} values to match the convolution dimensions, but got "
                           f"{name}={list(out)}")
    return out


_CNAMES = {"float32": "float", "float64": "double", "bfloat16": "c10::BFloat16", "float16": "c10::Half", "int64": "long long", "int32": "int",
           "int16": "short", "int8": "signed char", "uint8": "unsigned char", "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}


def _cname(t: Any) -> str:
    return _CNAMES.get(t.dtype.name, t.dtype.name)


def _check(x: Any, weight: Any, bias: Any, stride: Sizes, padding: Sizes, dilation: Sizes, output_padding: Sizes, groups: int, transposed: bool) -> None:
    """torch's conditions on a batched convolution."""
    if x.dtype is not weight.dtype:
        raise RuntimeError(f"expected scalar type {x.dtype.scalar_name} but found {weight.dtype.scalar_name}")
    if bias is not None and x.dtype is not bias.dtype:
        raise RuntimeError(f"Input type ({_cname(x)}) and bias type ({_cname(bias)}) should be the same")
    for values, what in ((padding, "negative padding"), (output_padding, "negative output_padding")):
        if min(values) < 0:
            raise RuntimeError(f"{what} is not supported")
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    shape, sizes = list(weight.shape), list(x.shape)
    if weight.ndim != x.ndim:
        raise RuntimeError(f"Expected {weight.ndim}-dimensional input for {weight.ndim}-dimensional weight {shape}, but got {x.ndim}-dimensional input of "
                           f"size {sizes} instead")
    if shape[0] < groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {shape} instead")
    if shape[0] % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size [{shape}] instead")
    kind = "transposed=1" if transposed else f"groups={groups}"
    expected, made = (shape[0], shape[1] * groups) if transposed else (shape[1] * groups, shape[0])
    if sizes[1] != expected:
        raise RuntimeError(f"Given {kind}, weight of size {shape}, expected input{sizes} to have {expected} channels, but got {sizes[1]} channels instead")
    if bias is not None and tuple(bias.shape) != (made,):
        raise RuntimeError(f"Given {'transposed=1, ' if transposed else ''}weight of size {shape}, expected bias to be 1-dimensional with {made} elements, "
                           f"but got bias of size {list(bias.shape)} instead")
    if transposed:
        _check_transposed(output_padding, stride, dilation)
        return
    padded = [n + 2 * p for n, p in zip(sizes[2:], padding, strict=True)]
    kernel = [d * (k - 1) + 1 for k, d in zip(shape[2:], dilation, strict=True)]
    if any(k > n for k, n in zip(kernel, padded, strict=True)):
        raise RuntimeError(f"Calculated padded input size per channel: ({_times(padded)}). Kernel size: ({_times(kernel)}). Kernel size can't be greater "
                           "than actual input size")


def _times(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _check_transposed(output_padding: Sizes, stride: Sizes, dilation: Sizes) -> None:
    if all(o < s or o < d for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        return
    axes = {1: ("width",), 2: ("height", "width"), 3: ("depth", "height", "width")}[len(stride)]
    named = [f"{what}_{axis}: {v}" for what, values in (("output_padding", output_padding), ("stride", stride), ("dilation", dilation))
             for axis, v in zip(axes, values, strict=True)]
    raise RuntimeError(f"output padding must be smaller than either stride or dilation, but got {' '.join(named)}")


def _rounded_once_vjp(g: Any, input: Any, weight: Any, bias: Any, out: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: Any,
                      missing: Any = None) -> Any:
    attrs = (stride, padding, dilation, groups)
    gx, gw = conv_row.vjp(g, input, weight, out, *attrs) if size is None else conv_input_row.vjp(g, input, weight, out, size, *attrs)  # type: ignore
    return gx, gw, emit(sum_row, (g,), (tuple(d for d in range(g.ndim) if d != 1), False))


@composite("rounded_once(Tensor input, Tensor weight, Tensor bias, int[]? size, int[] stride, int[] padding, int[] dilation, int groups) -> Tensor",
           method=False, public=False, out=False, vjp=_rounded_once_vjp)
def rounded_once(input: Any, weight: Any, bias: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """A convolution (to a `size`: its transpose) and its bias in opmath: in low precision they are one op, with one rounding."""
    attrs = (stride, padding, dilation, groups)
    out = convolve(conv_row, input, weight, attrs) if size is None else convolve(conv_input_row, input, weight, (size, *attrs))
    return out + bias.reshape((-1,) + (1,) * (weight.ndim - 2))


rounded_once.row.grad_name = "ConvolutionBackward0"


@composite("convolution(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, bool transposed, "
           "int[] output_padding, int groups) -> Tensor", opmath=False, method=False)
def convolution(input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
                groups: int) -> Any:
    """Convolution (cross-correlation) or its transpose over the last dimensions, with groups; bias is added after."""
    n = weight.ndim - 2
    if n < 1:
        raise RuntimeError("weight should have at least three dimensions")
    stride, padding = _per_dim(stride, n, "stride"), _per_dim(padding, n, "padding")
    dilation, output_padding = _per_dim(dilation, n, "dilation"), _per_dim(output_padding, n, "output_padding")
    _check(input, weight, bias, stride, padding, dilation, output_padding, groups, transposed)
    size = None
    if transposed:
        spatial = [(i - 1) * s - 2 * p + d * (k - 1) + o + 1 for i, s, p, d, k, o in
                   zip(input.shape[2:], stride, padding, dilation, weight.shape[2:], output_padding, strict=True)]
        if min(spatial) <= 0:
            raise RuntimeError(f"Given input size per channel: ({_times(input.shape[2:])}). Calculated output size per channel: ({_times(spatial)}). "
                               "Output size is too small")
        size = (input.shape[0], weight.shape[1] * groups, *spatial)
    if bias is not None and input.dtype in LOW:
        return rounded_once(input, weight, bias, size, stride, padding, dilation, groups)
    if size is not None:
        out = convolve(conv_input_row, input, weight, (size, stride, padding, dilation, groups))
    else:
        out = convolve(conv_row, input, weight, (stride, padding, dilation, groups))
    return out if bias is None else out + bias.reshape((-1,) + (1,) * n)


def _same(input: Any, weight: Any, stride: Sizes, dilation: Sizes) -> tuple[Any, Sizes]:
    """Padding that keeps the size: symmetric, after padding one more at the end of dimensions whose total is odd."""
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if any(t % 2 for t in totals):
        input = constant_pad_nd(input, [v for t in reversed(totals) for v in (0, t % 2)], 0)
    return input, tuple(t // 2 for t in totals)


def _conv(name: str, n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int, transposed: bool = False,
          output_padding: Any = 0) -> Any:
    if input.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: {list(input.shape)}")
    batched = input.ndim == n + 2
    x = input if batched else input.unsqueeze(0)
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            raise RuntimeError(f"Invalid padding string: '{padding}'")
        dims = max(weight.ndim - 2, 1)
        strides, dilations = _per_dim(stride, dims, "stride"), _per_dim(dilation, dims, "dilation")
        x, padding = _same(x, weight, strides, dilations) if padding == "same" else (x, 0)
    stride, padding, dilation, output_padding = ((v,) * n if isinstance(v, int) else v for v in (stride, padding, dilation, output_padding))
    out = convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
    if batched:
        return out
    return out.squeeze(0)


def _forward(n: int) -> Any:
    @api(f"conv{n}d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, int[] dilation=1, int groups=1) -> Tensor",
         method=False, out=False)
    def conv(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
        return _conv(f"conv{n}d", n, input, weight, bias, stride, padding, dilation, groups)

    conv.__doc__ = f"{n}-D cross-correlation of (N, Cin, ...) with (Cout, Cin / groups, ...)."
    return conv


def _transposed(n: int) -> Any:
    @api(f"conv_transpose{n}d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, int[] output_padding=0, int groups=1, "
         "int[] dilation=1) -> Tensor", method=False, out=False)
    def conv(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
             dilation: Any = 1) -> Any:
        return _conv(f"conv_transpose{n}d", n, input, weight, bias, stride, padding, dilation, groups, True, output_padding)

    conv.__doc__ = f"The adjoint of conv{n}d with respect to its input; the weight is (Cin, Cout / groups, ...)."
    return conv


conv1d, conv2d, conv3d = map(_forward, (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = map(_transposed, (1, 2, 3))


@api("conv_tbc(Tensor input, Tensor weight, Tensor bias, int pad=0) -> Tensor", method=False, out=False)
def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """1-D convolution over (time, batch, channels) with a weight (k, Cin, Cout)."""
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)

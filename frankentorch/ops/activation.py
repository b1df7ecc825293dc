"""Activations and the softmax family: composites with gradient rules of their own where torch has one.

A rule of its own saves what torch saves (the output of softmax, not its exponentials) and gives the node torch's name.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from . import call
from .call import wrap_dim
from .define import api, composite
from .pointwise import abs_, erf, exp, expm1, log, log1p, maximum, minimum, sigmoid, tanh, where
from .record import emit
from .reduce import amax_row, sum_row
from .unsupported import need


def _sum(x: Any, dim: int) -> Any:
    return emit(sum_row, (x,), ((dim,) if x.ndim else (), True))


def _peak(x: Any, dim: int) -> Any:
    """The largest value along `dim`, as a constant; infinite peaks count as zero so that nothing becomes inf - inf by it."""
    return emit(amax_row, (x.detach(),), ((dim,) if x.ndim else (), True)) if x.shape and x.shape[dim] else x.detach()


def _float_input(x: Any, dtype: Any, name: str) -> Any:
    x = x if dtype is None else call.cast(x, dtype)
    need(f"{name}_lastdim_kernel_impl", x, "float")
    return x


@composite("_softmax(Tensor input, int dim) -> Tensor", method=False, public=False, out=False,
           vjp=lambda g, input, out, dim: _softmax_vjp(g, out, dim))
def _softmax(input: Any, dim: int) -> Any:
    input = input.contiguous()
    d = wrap_dim(dim, input.ndim)
    if input.numel() == 0:
        return input.clone()
    e = exp(input - _peak(input, d))
    return e / _sum(e, d)


def _softmax_vjp(g: Any, out: Any, dim: int) -> Any:
    d = wrap_dim(dim, out.ndim)
    weighted = g * out
    return (weighted - out * _sum(weighted, d),)


_softmax.row.grad_name = "SoftmaxBackward0"


@composite("_log_softmax(Tensor input, int dim) -> Tensor", method=False, public=False, out=False,
           vjp=lambda g, input, out, dim: (g - exp(out) * _sum(g, wrap_dim(dim, out.ndim)),))
def _log_softmax(input: Any, dim: int) -> Any:
    input = input.contiguous()
    d = wrap_dim(dim, input.ndim)
    if input.numel() == 0:
        return input.clone()
    shifted = input - _peak(input, d)
    return shifted - log(_sum(exp(shifted), d))


_log_softmax.row.grad_name = "LogSoftmaxBackward0"


@composite("softmax(Tensor input, int dim, ScalarType? dtype=None) -> Tensor", opmath=False, aliases=("special_softmax",))
def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """exp(input) over its sum along `dim`."""
    wrap_dim(dim, input.ndim)
    return _softmax(_float_input(input, dtype, "softmax"), dim)


softmax.row.grad_name = "SoftmaxBackward0"


@composite("log_softmax(Tensor input, int dim, ScalarType? dtype=None) -> Tensor", opmath=False, aliases=("special_log_softmax",))
def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """log(softmax(input)), without overflow."""
    wrap_dim(dim, input.ndim)
    return _log_softmax(_float_input(input, dtype, "log_softmax"), dim)


log_softmax.row.grad_name = "LogSoftmaxBackward0"


def _need_float(x: Any, kernel: str) -> None:
    if x.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f'"{kernel}" not implemented for \'{x.dtype.scalar_name}\'')


@composite("relu(Tensor input) -> Tensor", inplace=True, opmath=False, vjp=lambda g, input, out: (where(out <= 0, 0, g),))
def relu(input: Any) -> Any:
    """max(input, 0)"""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    if input.dtype.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    return call.pointwise(maximum.row, input, 0)


@composite("threshold(Tensor input, Scalar threshold, Scalar value) -> Tensor", inplace=True, method=False, opmath=False,
           vjp=lambda g, input, out, threshold, value: (where(input <= threshold, 0, g),))
def threshold(input: Any, threshold: Any, value: Any) -> Any:
    """input where above the threshold, else `value`."""
    if not input.dtype.is_floating_point:
        threshold, value = int(threshold), int(value)
    return call.cast(where(input <= threshold, value, input), input.dtype)


@composite("leaky_relu(Tensor input, Scalar negative_slope=0.01) -> Tensor", inplace=True, method=False, public=False,
           vjp=lambda g, input, out, negative_slope: (where(input > 0, g, g * negative_slope),))
def leaky_relu(input: Any, negative_slope: Any = 0.01) -> Any:
    """input where positive, else negative_slope * input."""
    _need_float(input, "leaky_relu_cpu")
    return where(input > 0, input, input * negative_slope)


@composite("hardtanh(Tensor input, Scalar min_val=-1, Scalar max_val=1) -> Tensor", inplace=True, method=False, public=False,
           vjp=lambda g, input, out, min_val, max_val: (where((input <= min_val) | (input >= max_val), 0, g),))
def hardtanh(input: Any, min_val: Any = -1.0, max_val: Any = 1.0) -> Any:
    """Bounded to [min_val, max_val]; no gradient at or beyond the bounds."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if input.dtype.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype is dtypes.uint8 and (min_val < 0 or max_val < 0):
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    if not input.dtype.is_floating_point:
        min_val, max_val = int(min_val), int(max_val)
    return call.pointwise(minimum.row, call.pointwise(maximum.row, input, min_val), max_val)


@composite("relu6(Tensor input) -> Tensor", inplace=True, method=False, public=False)
def relu6(input: Any) -> Any:
    """min(max(input, 0), 6)"""
    return hardtanh(input, 0, 6)


relu6.row.grad_name = "HardtanhBackward0"


def _silu_vjp(g: Any, input: Any, out: Any) -> Any:
    s = sigmoid(input)
    return (g * (s * (1 + input * (1 - s))),)


@composite("silu(Tensor input) -> Tensor", inplace=True, method=False, public=False, vjp=_silu_vjp)
def silu(input: Any) -> Any:
    """input * sigmoid(input)"""
    _need_float(input, "silu_cpu")
    return input * sigmoid(input)


def _mish_vjp(g: Any, input: Any, out: Any) -> Any:
    t = tanh(softplus(input))
    return (g * (t + input * sigmoid(input) * (1 - t * t)),)


@composite("mish(Tensor input) -> Tensor", inplace=True, method=False, public=False, vjp=_mish_vjp)
def mish(input: Any) -> Any:
    """input * tanh(softplus(input))"""
    _need_float(input, "mish_cpu")
    return input * tanh(softplus(input))


SQRT_HALF = 0.7071067811865476
SQRT_2_OVER_PI = 0.7978845608028654
INV_SQRT_2PI = 0.3989422804014327


def _gelu_vjp(g: Any, input: Any, out: Any, approximate: str) -> Any:
    if approximate == "tanh":
        cube = input * input * input
        t = tanh(SQRT_2_OVER_PI * (input + 0.044715 * cube))
        left = 0.5 * input
        right = 1 + t
        inner = SQRT_2_OVER_PI * (1 + 3 * 0.044715 * input * input)
        return (g * (0.5 * right + left * (1 - t * t) * inner),)
    cdf = 0.5 * (1 + erf(input * SQRT_HALF))
    pdf = exp(-0.5 * input * input) * INV_SQRT_2PI
    return (g * (cdf + input * pdf),)


@composite("gelu(Tensor input, *, str approximate='none') -> Tensor", inplace=True, method=False, public=False, vjp=_gelu_vjp)
def gelu(input: Any, approximate: str = "none") -> Any:
    """The Gaussian error linear unit (Hendrycks & Gimpel 2016), exact or by tanh."""
    _need_float(input, "GeluKernelImpl")
    if approximate == "tanh":
        return 0.5 * input * (1 + tanh(SQRT_2_OVER_PI * (input + 0.044715 * (input * input * input))))
    if approximate != "none":
        raise RuntimeError("approximate argument must be either none or tanh.")
    return input * 0.5 * (1 + erf(input * SQRT_HALF))


def _elu_vjp(g: Any, input: Any, out: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    # the unused branch stays finite, so that its own gradient has no 0 * inf
    negative = g * (input_scale * alpha * scale) * exp(where(input > 0, 0, input) * input_scale)
    return (where(input <= 0, negative, g * scale),)


@composite("elu(Tensor input, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor", inplace=True, method=False, public=False, vjp=_elu_vjp)
def elu(input: Any, alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0) -> Any:
    """input where positive, else alpha * (exp(input) - 1)."""
    _need_float(input, "elu_cpu")
    return where(input > 0, input * scale if scale != 1 else input, expm1(input * input_scale) * (alpha * scale))


@composite("selu(Tensor input) -> Tensor", inplace=True, method=False)
def selu(input: Any) -> Any:
    """The self-normalising elu (Klambauer et al. 2017)."""
    return elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


selu.row.grad_name = "EluBackward0"


@composite("celu(Tensor input, Scalar alpha=1.0) -> Tensor", inplace=True, method=False)
def celu(input: Any, alpha: Any = 1.0) -> Any:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))"""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return elu(input, alpha, 1.0, 1.0 / alpha)


def _softplus_vjp(g: Any, input: Any, out: Any, beta: Any, threshold: Any) -> Any:
    return (where(input * beta > threshold, g, g * sigmoid(input * beta)),)


@composite("softplus(Tensor input, Scalar beta=1, Scalar threshold=20) -> Tensor", method=False, public=False, vjp=_softplus_vjp)
def softplus(input: Any, beta: Any = 1.0, threshold: Any = 20.0) -> Any:
    """log(1 + exp(beta input)) / beta, linear above the threshold."""
    _need_float(input, "softplus_cpu")
    scaled = input * beta
    return where(scaled > threshold, input, log1p(exp(scaled)) / beta)


@composite("log_sigmoid(Tensor input) -> Tensor", method=False, public=False, aliases=("logsigmoid",),
           vjp=lambda g, input, out: (g * sigmoid(-input),))
def log_sigmoid(input: Any) -> Any:
    """log(sigmoid(input)), without overflow."""
    _need_float(input, "log_sigmoid_cpu")
    return call.pointwise(minimum.row, input, 0) - log1p(exp(-abs_(input)))


@composite("hardsigmoid(Tensor input) -> Tensor", inplace=True, method=False, public=False,
           vjp=lambda g, input, out: (where((input > -3) & (input < 3), g / 6, 0),))
def hardsigmoid(input: Any) -> Any:
    """relu6(input + 3) / 6"""
    _need_float(input, "hardsigmoid_cpu")
    return relu6(input + 3) / 6


@composite("hardswish(Tensor input) -> Tensor", inplace=True, method=False, public=False,
           vjp=lambda g, input, out: (where(input <= -3, 0, where(input < 3, g * (input / 3 + 0.5), g)),))
def hardswish(input: Any) -> Any:
    """input * relu6(input + 3) / 6"""
    _need_float(input, "hardswish_cpu")
    return input * relu6(input + 3) / 6


@composite("hardshrink(Tensor input, Scalar lambd=0.5) -> Tensor", opmath=False,
           vjp=lambda g, input, out, lambd: (where((input >= -lambd) & (input <= lambd), 0, g),))
def hardshrink(input: Any, lambd: Any = 0.5) -> Any:
    """input where |input| > lambd, else 0."""
    _need_float(input, "hardshrink_cpu")
    return where((input >= -lambd) & (input <= lambd), 0, input)


@composite("softshrink(Tensor input, Scalar lambd=0.5) -> Tensor", method=False, public=False,
           vjp=lambda g, input, out, lambd: (where((input >= -lambd) & (input <= lambd), 0, g),))
def softshrink(input: Any, lambd: Any = 0.5) -> Any:
    """input moved towards zero by lambd."""
    _need_float(input, "softshrink_check")
    if lambd < 0:
        raise RuntimeError(f"lambda must be in range [0, {dtypes.finfo(input.dtype).max:g}] for input dtype {input.dtype.scalar_name}, but found {lambd:g}")
    # input * 0 rather than 0 keeps NaN
    return where(input > lambd, input - lambd, where(input < -lambd, input + lambd, input * 0))


def _prelu_vjp(g: Any, input: Any, weight: Any, out: Any) -> Any:
    return where(input > 0, g, weight * g), where(input > 0, 0, input * g)


@composite("_prelu_kernel(Tensor input, Tensor weight) -> Tensor", method=False, public=False, vjp=_prelu_vjp)
def _prelu_kernel(input: Any, weight: Any) -> Any:
    return where(input > 0, input, weight * input)


@api("prelu(Tensor input, Tensor weight) -> Tensor", out=False)
def prelu(input: Any, weight: Any) -> Any:
    """input where positive, else weight * input; one weight, or one a channel (dimension 1)."""
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {input.dtype.scalar_name} and {weight.dtype.scalar_name}")
    if weight.numel() != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim > 1 else 1
        if channels != weight.numel():
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.numel()} and channel size = "
                               f"{channels}.")
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    shape = [1] * input.ndim
    if weight.numel() != 1:
        shape[1] = weight.numel()
    return _prelu_kernel(input, weight.reshape(shape))


def _halves(x: Any, dim: int) -> tuple[Any, Any]:
    d = wrap_dim(dim, x.ndim)
    n = x.shape[d] // 2
    return x.narrow(d, 0, n), x.narrow(d, n, n)


def _glu_vjp(g: Any, input: Any, out: Any, dim: int) -> Any:
    from .movement import cat

    a, b = _halves(input, dim)
    s = sigmoid(b)
    gs = g * s
    return (cat((gs, gs * a * (1 - s)), dim),)


@composite("glu(Tensor input, int dim=-1) -> Tensor", method=False, public=False, vjp=_glu_vjp)
def glu(input: Any, dim: int = -1) -> Any:
    """The first half along `dim` times the sigmoid of the second."""
    if input.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    d = wrap_dim(dim, input.ndim)
    if input.shape[d] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {d} is size {input.shape[d]}")
    _need_float(input, "glu_cpu")
    a, b = _halves(input, d)
    return a * sigmoid(b)


@api("rrelu(Tensor input, Scalar lower=0.125, Scalar upper=0.3333333333333333, bool training=False) -> Tensor", method=False, inplace=True, out=False)
def rrelu(input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, generator: Any = None) -> Any:
    """leaky_relu with a slope drawn for each element in training, with the mean slope otherwise."""
    if training:
        from .create import full_of
        from .index import index_copy, positions
        from .rand import uniform_

        # torch draws one float64 for each element that is not positive, in order
        places = positions(input.detach().reshape(-1) <= 0)
        drawn = uniform_(full_of((places.shape[0],), 0, dtypes.float64), lower, upper, generator=generator)
        slopes = index_copy(full_of((input.numel(),), 1, input.dtype), 0, places, call.cast(drawn, input.dtype)).reshape(input.shape)
        out = where(input <= 0, input * slopes, input)
    else:
        out = leaky_relu(input, (lower + upper) / 2)
    return call.named(out, "RreluWithNoiseBackward0")

"""Activations and the softmax family: composites with gradient rules of their own where torch has one.

A rule of its own saves what torch saves (the output of softmax, not its exponentials) and gives the node torch's name.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from . import call
from .call import wrap_dim
from .define import composite
from .pointwise import abs_, erf, exp, expm1, log, log1p, maximum, minimum, sigmoid, tanh, where
from .record import emit
from .reduce import amax_row, sum_row


def _sum(x: Any, dim: int) -> Any:
    return emit(sum_row, (x,), ((dim,) if x.ndim else (), True))


def _peak(x: Any, dim: int) -> Any:
    """The largest value along `dim`, as a constant; infinite peaks count as zero so that nothing becomes inf - inf by it."""
    return emit(amax_row, (x.detach(),), ((dim,) if x.ndim else (), True)) if x.shape and x.shape[dim] else x.detach()


def _float_input(x: Any, dtype: Any, name: str) -> Any:
    if dtype is not None:
        return call.cast(x, dtype)
    if x.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f'"{name}_lastdim_kernel_impl" not implemented for \'{x.dtype.scalar_name}\'')
    return x


@composite("_softmax(Tensor input, int dim) -> Tensor", method=False, public=False, out=False,
           vjp=lambda g, input, out, dim, missing=None: _softmax_vjp(g, out, dim))
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
           vjp=lambda g, input, out, dim, missing=None: (g - exp(out) * _sum(g, wrap_dim(dim, out.ndim)),))
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


@composite("relu(Tensor input) -> Tensor", inplace=True, opmath=False, vjp=lambda g, input, out, missing=None: (where(out > 0, g, 0),))
def relu(input: Any) -> Any:
    """max(input, 0)"""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return call.pointwise(maximum.row, input, 0)


@composite("threshold(Tensor input, Scalar threshold, Scalar value) -> Tensor", inplace=True, method=False, opmath=False)
def threshold(input: Any, threshold: Any, value: Any) -> Any:
    """input where above the threshold, else `value`."""
    return where(input <= threshold, value, input)


@composite("leaky_relu(Tensor input, Scalar negative_slope=0.01) -> Tensor", inplace=True, method=False)
def leaky_relu(input: Any, negative_slope: Any = 0.01) -> Any:
    """input where positive, else negative_slope * input."""
    return where(input > 0, input, input * negative_slope)


@composite("relu6(Tensor input) -> Tensor", inplace=True, method=False)
def relu6(input: Any) -> Any:
    """min(max(input, 0), 6)"""
    from .arith import clamp

    return clamp(input, 0, 6)


@composite("hardtanh(Tensor input, Scalar min_val=-1, Scalar max_val=1) -> Tensor", inplace=True, method=False,
           vjp=lambda g, input, out, min_val, max_val, missing=None: (where((input > min_val) & (input < max_val), g, 0),))
def hardtanh(input: Any, min_val: Any = -1.0, max_val: Any = 1.0) -> Any:
    """Bounded to [min_val, max_val]."""
    return call.pointwise(minimum.row, call.pointwise(maximum.row, input, min_val), max_val)


def _silu_vjp(g: Any, input: Any, out: Any, missing: Any = None) -> Any:
    s = sigmoid(input)
    return (g * (s * (1 + input * (1 - s))),)


@composite("silu(Tensor input) -> Tensor", inplace=True, method=False, vjp=_silu_vjp)
def silu(input: Any) -> Any:
    """input * sigmoid(input)"""
    return input * sigmoid(input)


@composite("mish(Tensor input) -> Tensor", inplace=True, method=False)
def mish(input: Any) -> Any:
    """input * tanh(softplus(input))"""
    return input * tanh(softplus(input))


SQRT_HALF = 0.7071067811865476
SQRT_2_OVER_PI = 0.7978845608028654
INV_SQRT_2PI = 0.3989422804014327


def _gelu_vjp(g: Any, input: Any, out: Any, approximate: str, missing: Any = None) -> Any:
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


@composite("gelu(Tensor input, *, str approximate='none') -> Tensor", inplace=True, method=False, vjp=_gelu_vjp)
def gelu(input: Any, approximate: str = "none") -> Any:
    """The Gaussian error linear unit (Hendrycks & Gimpel 2016), exact or by tanh."""
    if approximate == "tanh":
        return 0.5 * input * (1 + tanh(SQRT_2_OVER_PI * (input + 0.044715 * (input * input * input))))
    if approximate != "none":
        raise RuntimeError("approximate argument must be either none or tanh.")
    return input * 0.5 * (1 + erf(input * SQRT_HALF))


def _elu_vjp(g: Any, input: Any, out: Any, alpha: Any, scale: Any, input_scale: Any, missing: Any = None) -> Any:
    negative = g * (input_scale * alpha * scale) * exp(input * input_scale)
    return (where(input > 0, g * scale, negative),)


@composite("elu(Tensor input, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor", inplace=True, method=False, vjp=_elu_vjp)
def elu(input: Any, alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0) -> Any:
    """input where positive, else alpha * (exp(input) - 1)."""
    return where(input > 0, input * scale, expm1(input * input_scale) * (alpha * scale))


@composite("selu(Tensor input) -> Tensor", inplace=True)
def selu(input: Any) -> Any:
    """The self-normalising elu (Klambauer et al. 2017)."""
    return elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


@composite("celu(Tensor input, Scalar alpha=1.0) -> Tensor", inplace=True)
def celu(input: Any, alpha: Any = 1.0) -> Any:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))"""
    if alpha == 0:
        raise ZeroDivisionError("CELU cannot be applied with alpha zero")
    return elu(input, alpha, 1.0, 1.0 / alpha)


def _softplus_vjp(g: Any, input: Any, out: Any, beta: Any, threshold: Any, missing: Any = None) -> Any:
    return (where(input * beta > threshold, g, g * sigmoid(input * beta)),)


@composite("softplus(Tensor input, Scalar beta=1, Scalar threshold=20) -> Tensor", method=False, vjp=_softplus_vjp)
def softplus(input: Any, beta: Any = 1.0, threshold: Any = 20.0) -> Any:
    """log(1 + exp(beta input)) / beta, linear above the threshold."""
    scaled = input * beta
    return where(scaled > threshold, input, log1p(exp(scaled)) / beta)


@composite("logsigmoid(Tensor input) -> Tensor", method=False, public=False, aliases=("log_sigmoid",),
           vjp=lambda g, input, out, missing=None: (g * sigmoid(-input),))
def logsigmoid(input: Any) -> Any:
    """log(sigmoid(input)), without overflow."""
    return call.pointwise(minimum.row, input, 0) - log1p(exp(-abs_(input)))


logsigmoid.row.grad_name = "LogSigmoidBackward0"


@composite("hardsigmoid(Tensor input) -> Tensor", inplace=True, method=False)
def hardsigmoid(input: Any) -> Any:
    """relu6(input + 3) / 6"""
    return relu6(input + 3) / 6


@composite("hardswish(Tensor input) -> Tensor", inplace=True, method=False)
def hardswish(input: Any) -> Any:
    """input * relu6(input + 3) / 6"""
    return input * relu6(input + 3) / 6


@composite("hardshrink(Tensor input, Scalar lambd=0.5) -> Tensor")
def hardshrink(input: Any, lambd: Any = 0.5) -> Any:
    """input where |input| > lambd, else 0."""
    return where((input >= -lambd) & (input <= lambd), 0, input)


@composite("softshrink(Tensor input, Scalar lambd=0.5) -> Tensor", method=False)
def softshrink(input: Any, lambd: Any = 0.5) -> Any:
    """input moved towards zero by lambd."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return where(input > lambd, input - lambd, where(input < -lambd, input + lambd, input * 0))


@composite("prelu(Tensor input, Tensor weight) -> Tensor")
def prelu(input: Any, weight: Any) -> Any:
    """input where positive, else weight * input, one weight a channel."""
    if weight.numel() != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim > 1 else 1
        if channels != weight.numel():
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.numel()} and channel size = "
                               f"{channels}.")
        weight = weight.reshape([-1 if i == 1 else 1 for i in range(input.ndim)])
    else:
        weight = weight.reshape((1,) * input.ndim) if input.ndim else weight.reshape(())
    return where(input > 0, input, weight * input)


@composite("glu(Tensor input, int dim=-1) -> Tensor", method=False)
def glu(input: Any, dim: int = -1) -> Any:
    """The first half along `dim` times the sigmoid of the second."""
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    d = wrap_dim(dim, input.ndim)
    n = input.shape[d]
    if n % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {d} is size {n}")
    return input.narrow(d, 0, n // 2) * sigmoid(input.narrow(d, n // 2, n // 2))

"""Activations, softmaxes and the random masks of dropout.

Enters: a tensor. Leaves: a tensor of the same shape (half the size along `dim` for glu). Each is a composite of pointwise
ops whose unused branch stays finite, so that its gradient has no 0 * inf.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import in_place, normalise_dim, rounds_once

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0)."""
    return torch.relu_(input) if inplace else torch.relu(input)


def relu_(input: Any) -> Any:
    """`relu`, in place."""
    return torch.relu_(input)


@rounds_once
def _hardtanh(x: Any, lo: float, hi: float) -> Any:
    # clamp passes the gradient at its bounds, hardtanh does not
    return torch.where(x <= lo, lo, torch.where(x >= hi, hi, x)).to(x.dtype)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x limited to [min_val, max_val]; no gradient at or beyond the limits."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype is torch.bool:
        raise NotImplementedError("Bool inputs not supported for hardtanh")
    return in_place(_hardtanh, input, min_val, max_val) if inplace else _hardtanh(input, min_val, max_val)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """`hardtanh`, in place."""
    return hardtanh(input, min_val, max_val, inplace=True)


def relu6(input: Any, inplace: bool = False) -> Any:
    """x limited to [0, 6]."""
    return hardtanh(input, 0.0, 6.0, inplace)


def _threshold(x: Any, limit: float, value: float) -> Any:
    return torch.where(x <= limit, value, x).to(x.dtype)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, `value` elsewhere."""
    return in_place(_threshold, input, threshold, value) if inplace else _threshold(input, threshold, value)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """`threshold`, in place."""
    return in_place(_threshold, input, threshold, value)


@rounds_once
def _leaky_relu(x: Any, slope: float) -> Any:
    return torch.where(x > 0, x, x * slope)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, negative_slope * x elsewhere."""
    return in_place(_leaky_relu, input, negative_slope) if inplace else _leaky_relu(input, negative_slope)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """`leaky_relu`, in place."""
    return leaky_relu(input, negative_slope, inplace=True)


@rounds_once
def _elu(x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    negative = torch.expm1(torch.where(x > 0, 0.0, x).to(x.dtype) * input_scale) * (alpha * scale)
    return torch.where(x > 0, x * scale if scale != 1 else x, negative)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, alpha * (e^x - 1) elsewhere."""
    return in_place(_elu, input, alpha, 1.0, 1.0) if inplace else _elu(input, alpha, 1.0, 1.0)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """`elu`, in place."""
    return elu(input, alpha, inplace=True)


def selu(input: Any, inplace: bool = False) -> Any:
    """scale * elu(x, alpha) with the constants of Klambauer et al. (2017)."""
    return in_place(_elu, input, _SELU_ALPHA, _SELU_SCALE, 1.0) if inplace else _elu(input, _SELU_ALPHA, _SELU_SCALE, 1.0)


def selu_(input: Any) -> Any:
    """`selu`, in place."""
    return selu(input, inplace=True)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, alpha * (e^(x / alpha) - 1) elsewhere."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return in_place(_elu, input, alpha, 1.0, 1.0 / alpha) if inplace else _elu(input, alpha, 1.0, 1.0 / alpha)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """`celu`, in place."""
    return celu(input, alpha, inplace=True)


@rounds_once
def _gelu_erf(x: Any) -> Any:
    return x * 0.5 * (1.0 + torch.erf(x * math.sqrt(0.5)))


@rounds_once
def _gelu_tanh(x: Any) -> Any:
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))
    return 0.5 * x * (1.0 + torch.tanh(inner))


def gelu(input: Any, *, approximate: str = "none") -> Any:
    """x * Phi(x), exactly or by the tanh approximation (Hendrycks and Gimpel, 2016)."""
    if approximate == "none":
        return _gelu_erf(input)
    if approximate == "tanh":
        return _gelu_tanh(input)
    raise RuntimeError("approximate argument must be either none or tanh.")


@rounds_once
def _silu(x: Any) -> Any:
    return x * torch.sigmoid(x)


def silu(input: Any, inplace: bool = False) -> Any:
    """x * sigmoid(x)."""
    return in_place(_silu, input) if inplace else _silu(input)


@rounds_once
def softplus(input: Any, beta: float = 1, threshold: float = 20) -> Any:
    """log(1 + e^(beta x)) / beta, and x itself where beta x > threshold."""
    scaled = input * beta
    linear = scaled > threshold
    curved = torch.log1p(torch.exp(torch.where(linear, 0.0, scaled).to(scaled.dtype))) / beta
    return torch.where(linear, input, curved)


@rounds_once
def _mish(x: Any) -> Any:
    return x * torch.tanh(softplus(x))


def mish(input: Any, inplace: bool = False) -> Any:
    """x * tanh(softplus(x))."""
    return in_place(_mish, input) if inplace else _mish(input)


@rounds_once
def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), stable at both ends."""
    # |x| written so that its slope at 0 is 1: the whole has slope 1/2 there
    size = torch.where(input < 0, -input, input)
    return torch.where(input < 0, input, 0.0).to(input.dtype) - torch.log1p(torch.exp(-size))


@rounds_once
def _hardsigmoid(x: Any) -> Any:
    return torch.where(x <= -3, 0.0, torch.where(x >= 3, 1.0, (x + 3.0) / 6.0)).to(x.dtype)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """(x + 3) / 6 limited to [0, 1]."""
    return in_place(_hardsigmoid, input) if inplace else _hardsigmoid(input)


@rounds_once
def _hardswish(x: Any) -> Any:
    return torch.where(x <= -3, 0.0, torch.where(x >= 3, x, x * (x + 3.0) / 6.0)).to(x.dtype)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x * hardsigmoid(x)."""
    return in_place(_hardswish, input) if inplace else _hardswish(input)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x outside [-lambd, lambd], 0 inside."""
    return torch.where((input >= -lambd) & (input <= lambd), 0.0, input).to(input.dtype)


@rounds_once
def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved by lambd towards 0, 0 inside [-lambd, lambd]."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    # x * 0 rather than 0 keeps NaN
    return torch.where(input > lambd, input - lambd, torch.where(input < -lambd, input + lambd, input * 0))


@rounds_once
def tanhshrink(input: Any) -> Any:
    """x - tanh(x)."""
    return input - torch.tanh(input)


@rounds_once
def softsign(input: Any) -> Any:
    """x / (1 + |x|)."""
    return input / (torch.abs(input) + 1)


def tanh(input: Any) -> Any:
    """Hyperbolic tangent."""
    return torch.tanh(input)


def sigmoid(input: Any) -> Any:
    """1 / (1 + e^-x)."""
    return torch.sigmoid(input)


@rounds_once
def prelu(input: Any, weight: Any) -> Any:
    """x where x > 0, weight * x elsewhere; weight has one element, or one per channel (dimension 1)."""
    if weight.numel() != 1:
        if input.dim() == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.size(1) if input.dim() > 1 else 1
        if channels != weight.numel():
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.numel()} "
                               f"and channel size = {channels}.")
    if weight.dim() > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.dim()}")
    shape = [1] * input.dim()
    if weight.numel() != 1:
        shape[1] = weight.numel()
    return torch.where(input > 0, input, weight.reshape(shape) * input)


def _rrelu(x: Any, lower: float, upper: float, training: bool) -> Any:
    if training:
        # torch draws one f64 uniform for each element that is not positive, in order
        places = (x.detach().reshape(-1) <= 0).nonzero().squeeze(1)
        drawn = torch.empty(places.size(0), dtype=torch.float64).uniform_(lower, upper).to(x.dtype)
        slopes = torch.ones(x.numel(), dtype=x.dtype).index_copy(0, places, drawn).reshape(x.shape)
        return torch.where(x <= 0, x * slopes, x)
    return _leaky_relu(x, (lower + upper) / 2)


def rrelu(input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False) -> Any:
    """leaky_relu with a slope drawn per element in training, and the mean slope otherwise."""
    return in_place(_rrelu, input, lower, upper, training) if inplace else _rrelu(input, lower, upper, training)


def rrelu_(input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Any:
    """`rrelu`, in place."""
    return rrelu(input, lower, upper, training, inplace=True)


@rounds_once
def _glu(x: Any, dim: int) -> Any:
    half = x.size(dim) // 2
    return x.narrow(dim, 0, half) * torch.sigmoid(x.narrow(dim, half, half))


def glu(input: Any, dim: int = -1) -> Any:
    """The first half along `dim` times the sigmoid of the second."""
    if input.dim() == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    dim = normalise_dim(dim, input.dim())
    if input.size(dim) % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.size(dim)}")
    return _glu(input, dim)


def _get_softmax_dim(name: str, ndim: int, stacklevel: int) -> int:
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
                  stacklevel=stacklevel)
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """e^x / sum(e^x) along `dim`, computed in `dtype` when given."""
    dim = _get_softmax_dim("softmax", input.dim(), _stacklevel) if dim is None else dim
    return torch.softmax(input, dim) if dtype is None else torch.softmax(input, dim, dtype=dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """softmax of -x."""
    dim = _get_softmax_dim("softmin", input.dim(), _stacklevel) if dim is None else dim
    return torch.softmax(-input, dim) if dtype is None else torch.softmax(-input, dim, dtype=dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """log of softmax, stable."""
    dim = _get_softmax_dim("log_softmax", input.dim(), _stacklevel) if dim is None else dim
    return torch.log_softmax(input, dim) if dtype is None else torch.log_softmax(input, dim, dtype=dtype)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """A sample of the Gumbel-softmax distribution (Jang et al., 2016); `hard` makes it one-hot with the soft gradient."""
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    gumbels = -torch.empty_like(logits).exponential_().log()
    soft = torch.softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return torch.zeros_like(logits).scatter(dim, index, 1.0) - soft.detach() + soft

"""Activations and softmaxes.

Enters: a tensor. Leaves: a tensor of the same shape (half the size along `dim` for glu). The computation and its gradient are the op
table's (`ops.activation`); here are torch's argument forms, and what torch itself composes in Python.
"""

from __future__ import annotations

import warnings
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import in_place, named, rounds_once

_nn = torch._C._nn


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0)."""
    return torch.relu_(input) if inplace else torch.relu(input)


def relu_(input: Any) -> Any:
    """`relu`, in place."""
    return torch.relu_(input)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x limited to [min_val, max_val]; no gradient at or beyond the limits."""
    return in_place(_nn.hardtanh, input, min_val, max_val) if inplace else _nn.hardtanh(input, min_val, max_val)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """`hardtanh`, in place."""
    return hardtanh(input, min_val, max_val, inplace=True)


def relu6(input: Any, inplace: bool = False) -> Any:
    """x limited to [0, 6]."""
    return in_place(_nn.relu6, input) if inplace else _nn.relu6(input)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, `value` elsewhere."""
    return in_place(torch.threshold, input, threshold, value) if inplace else torch.threshold(input, threshold, value)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """`threshold`, in place."""
    return in_place(torch.threshold, input, threshold, value)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, negative_slope * x elsewhere."""
    return named(in_place(_nn.leaky_relu, input, negative_slope), "LeakyReluBackward1") if inplace else _nn.leaky_relu(input, negative_slope)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """`leaky_relu`, in place."""
    return leaky_relu(input, negative_slope, inplace=True)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, alpha * (e^x - 1) elsewhere."""
    return named(in_place(_nn.elu, input, alpha), "EluBackward1") if inplace else _nn.elu(input, alpha)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """`elu`, in place."""
    return elu(input, alpha, inplace=True)


def selu(input: Any, inplace: bool = False) -> Any:
    """scale * elu(x, alpha) with the constants of Klambauer et al. (2017)."""
    return in_place(torch.selu, input) if inplace else torch.selu(input)


def selu_(input: Any) -> Any:
    """`selu`, in place."""
    return selu(input, inplace=True)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, alpha * (e^(x / alpha) - 1) elsewhere."""
    return in_place(torch.celu, input, alpha) if inplace else torch.celu(input, alpha)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """`celu`, in place."""
    return celu(input, alpha, inplace=True)


def gelu(input: Any, *, approximate: str = "none") -> Any:
    """x * Phi(x), exactly or by the tanh approximation (Hendrycks and Gimpel, 2016)."""
    return _nn.gelu(input, approximate=approximate)


def silu(input: Any, inplace: bool = False) -> Any:
    """x * sigmoid(x)."""
    return in_place(_nn.silu, input) if inplace else _nn.silu(input)


def softplus(input: Any, beta: float = 1, threshold: float = 20) -> Any:
    """log(1 + e^(beta x)) / beta, and x itself where beta x > threshold."""
    return _nn.softplus(input, beta, threshold)


def mish(input: Any, inplace: bool = False) -> Any:
    """x * tanh(softplus(x))."""
    return in_place(_nn.mish, input) if inplace else _nn.mish(input)


def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), stable at both ends."""
    return _nn.log_sigmoid(input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """(x + 3) / 6 limited to [0, 1]."""
    return in_place(_nn.hardsigmoid, input) if inplace else _nn.hardsigmoid(input)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x * hardsigmoid(x)."""
    return in_place(_nn.hardswish, input) if inplace else _nn.hardswish(input)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x outside [-lambd, lambd], 0 inside."""
    return torch.hardshrink(input, lambd)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved by lambd towards 0, 0 inside [-lambd, lambd]."""
    return _nn.softshrink(input, lambd)


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


def prelu(input: Any, weight: Any) -> Any:
    """x where x > 0, weight * x elsewhere; weight has one element, or one per channel (dimension 1)."""
    return torch.prelu(input, weight)


def rrelu(input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False) -> Any:
    """leaky_relu with a slope drawn per element in training, and the mean slope otherwise."""
    return in_place(torch.rrelu, input, lower, upper, training) if inplace else torch.rrelu(input, lower, upper, training)


def rrelu_(input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Any:
    """`rrelu`, in place."""
    return rrelu(input, lower, upper, training, inplace=True)


def glu(input: Any, dim: int = -1) -> Any:
    """The first half along `dim` times the sigmoid of the second."""
    return _nn.glu(input, dim)


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

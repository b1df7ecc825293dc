"""Distances between pairs of vectors, and the losses of pairs and triplets.

Enters: two or three tensors of one shape and torch's native reduction (0 none, 1 mean, 2 sum). Leaves: one number a pair, or a loss. As in torch
these are compositions: each op rounds by itself and has its own node on the tape.
"""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from .arith import clamp
from .call import named, wrap_dim
from .define import api
from .losses import MEAN, NONE
from .movement import expand_row
from .pointwise import exp, log, minimum, sqrt, where
from .record import emit
from .reduce import vector_norm
from .types import broadcast_shapes


def _mean(loss: Any, reduction: int) -> Any:
    return loss if reduction == NONE else loss.mean() if reduction == MEAN else loss.sum()


@api("pairwise_distance(Tensor x1, Tensor x2, float p=2, float eps=1e-06, bool keepdim=False) -> Tensor", method=False, out=False)
def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of x1 - x2 + eps over the last dimension."""
    apart = x1 - x2 + eps
    return named(vector_norm(apart, p, (apart.ndim - 1,) if apart.ndim else (), keepdim), "NormBackward1")


def _at_least(norm: Any, eps: float) -> Any:
    """norm, or eps where it is smaller; the gradient passes either way."""
    return where(norm < eps, norm - norm.detach() + eps, norm)


@api("cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor", method=False, out=False)
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along `dim`."""
    common = dtypes.promote_types(x1.dtype, x2.dtype)
    if not common.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {common.scalar_name}")
    shape = broadcast_shapes([tuple(x1.shape), tuple(x2.shape)])
    x1, x2 = (x.to(common) if tuple(x.shape) == shape else emit(expand_row, (x.to(common),), (shape,)) for x in (x1, x2))
    dims = (wrap_dim(dim, len(shape)),) if shape else ()
    a, b = (x / _at_least(vector_norm(x, 2, dims, True), eps) for x in (x1, x2))
    return named((a * b).sum(dim), "SumBackward1")


@api("pdist(Tensor input, float p=2) -> Tensor", method=False, out=False)
def pdist(input: Any, p: float = 2) -> Any:
    """The p-norm distance of every pair of rows i < j, in order."""
    from .define import API

    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if not input.dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = API["triu_indices"].function(input.shape[0], input.shape[0], 1)
    return named(vector_norm(input.index_select(0, first) - input.index_select(0, second), p, (1,), False), "PdistBackward0")


@api("hinge_embedding_loss(Tensor input, Tensor target, float margin=1.0, int reduction=1) -> Tensor", method=False, out=False)
def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: int = MEAN) -> Any:
    """input where target is 1, max(0, margin - input) where it is -1."""
    apart = where(target == 1, 0.0, clamp(margin - input, 0))
    return _mean(apart + where(target == -1, 0.0, input), reduction)


@api("margin_ranking_loss(Tensor input1, Tensor input2, Tensor target, float margin=0.0, int reduction=1) -> Tensor", method=False, out=False)
def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = MEAN) -> Any:
    """max(0, -target * (input1 - input2) + margin)."""
    return _mean(clamp(-target * (input1 - input2) + margin, 0), reduction)


@api("cosine_embedding_loss(Tensor input1, Tensor input2, Tensor target, float margin=0.0, int reduction=1) -> Tensor", method=False, out=False)
def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = MEAN) -> Any:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    n = target.ndim
    if n not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if {input1.ndim, input2.ndim} != {n + 1}:
        raise RuntimeError(f"{n}D target tensor expects {n + 1}D input tensors, but found inputs with sizes {list(input1.shape)} and {list(input2.shape)}.")
    dot, a, b = ((x * y).sum(n) for x, y in ((input1, input2), (input1, input1), (input2, input2)))
    cos = dot / sqrt((a + 1e-12) * (b + 1e-12))
    return _mean(where(target == 1, 1 - cos, 0.0) + where(target == -1, clamp(cos - margin, 0), 0.0), reduction)


@api("triplet_margin_loss(Tensor anchor, Tensor positive, Tensor negative, float margin=1.0, float p=2, float eps=1e-06, bool swap=False, "
     "int reduction=1) -> Tensor", method=False, out=False)
def triplet_margin_loss(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
                        reduction: int = MEAN) -> Any:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm of the difference (Balntas et al., 2016)."""
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
                           f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return _mean(clamp(near - far + margin, 0), reduction)


@api("poisson_nll_loss(Tensor input, Tensor target, bool log_input, bool full, float eps, int reduction) -> Tensor", method=False, out=False)
def poisson_nll_loss(input: Any, target: Any, log_input: bool, full: bool, eps: float, reduction: int) -> Any:
    """Negative log likelihood of counts; `full` adds Stirling's approximation of log(target!)."""
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        stirling = target * log(target) - target + 0.5 * log(2 * math.pi * target)
        loss = loss + where(target <= 1, 0.0, stirling)
    return _mean(loss, reduction)

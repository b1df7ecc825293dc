"""Losses between an input and a target of the same shape, and losses on pairs and triplets of vectors.

Enters: tensors, a reduction ("none", "mean", "sum") and its deprecated spellings. Leaves: a loss, reduced. Losses that torch has as
one op are the op table's (`ops.losses`); the others are composed here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import (
    check_reduction,
    is_tensor,
    legacy_reduction,
    not_differentiable,
    pick_reduction,
    reduce_loss,
    rounds_once,
)
from frankentorch.nn.functional.distance import pairwise_distance
from frankentorch.ops.losses import REDUCTIONS

_nn = torch._C._nn

_SIZE_HINT = ("This will likely lead to incorrect results due to broadcasting. "
              "Please ensure they have the same size.")


def _warn_sizes(input: Any, target: Any) -> None:
    if target.size() != input.size():
        warnings.warn(f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). " + _SIZE_HINT,
                      stacklevel=3)


def _code(reduction: str) -> int:
    check_reduction(reduction)
    return REDUCTIONS[reduction]


def _weighted(elementwise: Callable[[Any, Any], Any], input: Any, target: Any, weight: Any, reduction: str, by_weight: bool) -> Any:
    """An elementwise loss times `weight`, reduced; `by_weight`: the mean divides by the sum of the weights."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"Invalid reduction mode: {reduction}. Expected one of 'none', 'mean', 'sum'.")
    if weight.size() != input.size():
        raise ValueError("Weights and input must have the same size.")

    @rounds_once
    def whole(x: Any, y: Any, w: Any) -> Any:
        loss = elementwise(x, y) * w
        return loss.sum() / w.sum() if reduction == "mean" and by_weight else reduce_loss(loss, reduction)

    return whole(input, target, weight)


def l1_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
            weight: Any = None) -> Any:
    """|input - target|."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    _warn_sizes(input, target)
    if weight is not None:
        return _weighted(lambda x, y: _nn.l1_loss(x, y, 0), input, target, weight, reduction, True)
    return _nn.l1_loss(input, target, _code(reduction))


def mse_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
             weight: Any = None) -> Any:
    """(input - target)^2."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    _warn_sizes(input, target)
    if weight is not None:
        return _weighted(lambda x, y: _nn.mse_loss(x, y, 0), input, target, weight, reduction, True)
    return _nn.mse_loss(input, target, _code(reduction))


def smooth_l1_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
                   beta: float = 1.0) -> Any:
    """0.5 d^2 / beta where |d| < beta, |d| - beta / 2 elsewhere."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    _warn_sizes(input, target)
    return _nn.smooth_l1_loss(input, target, _code(reduction), beta)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """0.5 d^2 where |d| <= delta, delta * (|d| - delta / 2) elsewhere."""
    _warn_sizes(input, target)
    if weight is not None:
        # unlike mse_loss and l1_loss, torch's weighted mean here divides by the number of elements
        return _weighted(lambda x, y: _nn.huber_loss(x, y, 0, delta), input, target, weight, reduction, False)
    return _nn.huber_loss(input, target, _code(reduction), delta)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, size_average: bool | None = None, reduce: bool | None = None,
                         reduction: str = "mean") -> Any:
    """-(t log x + (1 - t) log(1 - x)), each log at least -100; input in [0, 1]."""
    reduction = pick_reduction(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is deprecated. "
                         "Please ensure they have the same size.")
    if weight is not None:
        weight = weight.expand(torch.broadcast_shapes(weight.size(), target.size()))
    not_differentiable("binary_cross_entropy", weight=weight)
    return _nn.binary_cross_entropy(input, target, weight, REDUCTIONS[reduction])


def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                                     reduce: bool | None = None, reduction: str = "mean", pos_weight: Any = None) -> Any:
    """binary_cross_entropy of sigmoid(input), stable for large inputs."""
    reduction = pick_reduction(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    not_differentiable("binary_cross_entropy_with_logits", weight=weight, pos_weight=pos_weight)
    return torch.binary_cross_entropy_with_logits(input, target, weight, pos_weight, REDUCTIONS[reduction])


def kl_div(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
           log_target: bool = False) -> Any:
    """target * (log target - input), input a log-probability; "batchmean" divides the sum by the batch size."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    elif reduction == "mean":
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support size."
                      "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
                      "'mean' will be changed to behave the same as 'batchmean' in the next major release.", stacklevel=2)
    batchmean = reduction == "batchmean"
    out = torch.kl_div(input, target, _code("sum" if batchmean else reduction), log_target=log_target)
    return out / input.size(0) if batchmean and input.dim() != 0 else out


def poisson_nll_loss(input: Any, target: Any, log_input: bool = True, full: bool = False, size_average: bool | None = None,
                     eps: float = 1e-8, reduce: bool | None = None, reduction: str = "mean") -> Any:
    """Negative log likelihood of counts; `full` adds Stirling's approximation of log(target!)."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not a valid value for reduction")

    return torch.poisson_nll_loss(input, target, log_input, full, eps, REDUCTIONS[reduction])


def gaussian_nll_loss(input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Any:
    """Negative log likelihood of target under normals of mean `input` and variance `var`, clamped below at eps."""
    if not is_tensor(var):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * torch.ones_like(input)
    elif bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    if var.size() != input.size():
        if input.size()[:-1] == var.size():
            var = var.unsqueeze(-1)
        elif not (input.dim() == var.dim() and input.size()[:-1] == var.size()[:-1] and var.size(-1) == 1) and not _broadcasts_once(
                input, var):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    var = var.clone()
    with torch.no_grad():
        var.clamp_(min=eps)
    diff = input - target
    loss = 0.5 * (torch.log(var) + diff * diff / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduce_loss(loss, reduction)


def _broadcasts_once(input: Any, var: Any) -> bool:
    """Whether `var` is input's shape with exactly one dimension of size one (a homoscedastic variance)."""
    different = [(y, x) for y, x in zip(var.shape, input.shape, strict=False) if y != x]
    return input.dim() == var.dim() and len(different) == 1 and different[0][0] == 1


def soft_margin_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
                     reduction: str = "mean") -> Any:
    """log(1 + e^(-target * input)), target in {-1, 1}."""
    reduction = pick_reduction(size_average, reduce, reduction)
    not_differentiable("soft_margin_loss", target=target)
    return _nn.soft_margin_loss(input, target, REDUCTIONS[reduction])


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None,
                         reduction: str = "mean") -> Any:
    """input where target is 1, max(0, margin - input) where it is -1."""
    reduction = pick_reduction(size_average, reduce, reduction)

    return torch.hinge_embedding_loss(input, target, margin, REDUCTIONS[reduction])


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0, size_average: bool | None = None,
                        reduce: bool | None = None, reduction: str = "mean") -> Any:
    """max(0, -target * (input1 - input2) + margin)."""
    reduction = pick_reduction(size_average, reduce, reduction)
    if input1.dim() != input2.dim() or input1.dim() != target.dim():
        raise RuntimeError("margin_ranking_loss : All input tensors should have same dimension but got sizes: "
                           f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} ")

    return torch.margin_ranking_loss(input1, input2, target, margin, REDUCTIONS[reduction])


def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0, size_average: bool | None = None,
                          reduce: bool | None = None, reduction: str = "mean") -> Any:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    reduction = pick_reduction(size_average, reduce, reduction)
    return torch.cosine_embedding_loss(input1, input2, target, margin, REDUCTIONS[reduction])


def triplet_margin_loss(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2, eps: float = 1e-6,
                        swap: bool = False, size_average: bool | None = None, reduce: bool | None = None,
                        reduction: str = "mean") -> Any:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm of the difference (Balntas et al., 2016)."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    check_reduction(reduction)
    return torch.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, REDUCTIONS[reduction])


def _triplet(distance: Callable[[Any, Any], Any], anchor: Any, positive: Any, negative: Any, margin: float, swap: bool,
             reduction: str) -> Any:
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = torch.minimum(far, distance(positive, negative))
    return reduce_loss((near - far + margin).clamp(min=0), reduction)


def triplet_margin_with_distance_loss(anchor: Any, positive: Any, negative: Any, *, distance_function: Any = None,
                                      margin: float = 1.0, swap: bool = False, reduction: str = "mean") -> Any:
    """triplet_margin_loss with a distance of your own."""
    check_reduction(reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    a_dim, p_dim, n_dim = anchor.dim(), positive.dim(), negative.dim()
    if not a_dim == p_dim == n_dim:
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
                           f"anchor {a_dim}D, positive {p_dim}D, and negative {n_dim}D inputs")
    return _triplet(distance_function or pairwise_distance, anchor, positive, negative, margin, swap, reduction)

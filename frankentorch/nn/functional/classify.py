"""Losses against class labels: negative log likelihood, cross entropy, margins, CTC.

Enters: scores (N, C, ...) and labels (or class probabilities). Leaves: a loss, reduced.
"""

from __future__ import annotations

import math
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import check_reduction, named, pick_reduction, reduce_loss, rounds_once
from frankentorch.nn.functional.activation import logsigmoid
from frankentorch.ops.losses import REDUCTIONS


def _check_nll(input: Any, target: Any, weight: Any, reduction: str) -> None:
    check_reduction(reduction)
    if input.dim() < 1:
        raise ValueError(f"Expected 1 or more dimensions (got {input.dim()})")
    if input.dim() != 1 and target.dim() and input.size(0) != target.size(0):
        raise ValueError(f"Expected input batch_size ({input.size(0)}) to match target batch_size ({target.size(0)}).")
    if target.dtype not in (torch.int64, torch.uint8):
        name = torch.typename(target).rsplit(".", 1)[-1].removesuffix("Tensor")
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {name}")
    classes = input.size(0 if input.dim() == 1 else 1)
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of "
                           f"shape: {list(weight.shape)}")
    if input.dim() > 2 and tuple(target.shape[1:]) != tuple(input.shape[2:]):
        expected = [input.size(0), *input.shape[2:]]
        raise RuntimeError(f"Expected target size {expected}, got {list(target.shape)}" if input.dim() > 4 or input.dim() == 3 else
                           f"input and target batch or spatial sizes don't match: target {list(target.shape)}, "
                           f"input {list(input.shape)}")


def nll_loss(input: Any, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,
             reduce: bool | None = None, reduction: str = "mean") -> Any:
    """-weight[target] * input[target]; the mean divides by the sum of the weights used."""
    reduction = pick_reduction(size_average, reduce, reduction)
    _check_nll(input, target, weight, reduction)
    return torch._C._nn.nll_loss_nd(input, target, weight, REDUCTIONS[reduction], ignore_index)


def cross_entropy(input: Any, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,
                  reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    """nll_loss of log_softmax(input), for class indices or class probabilities (a target of input's shape)."""
    reduction = pick_reduction(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if target.shape == input.shape:
        if not target.is_floating_point():
            raise RuntimeError("Expected floating point type for target with class probabilities, got "
                               + torch.typename(target).rsplit(".", 1)[-1].removesuffix("Tensor"))
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        classes = input.size(0 if input.dim() == 1 else 1)
        if weight is not None and (weight.dim() != 1 or weight.numel() != classes):
            raise RuntimeError(f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes "
                               f"but got weight tensor of shape: {list(weight.shape)}")
    else:
        _check_nll(input, target, weight, reduction)
    return torch._C._nn.cross_entropy_loss(input, target, weight, REDUCTIONS[reduction], ignore_index, label_smoothing)


def linear_cross_entropy(input: Any, linear_weight: Any, target: Any, *, linear_bias: Any = None, weight: Any = None,
                         reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float = 0.0,
                         options: Any = None) -> Any:
    """cross_entropy of a linear layer: input (N, F) or (F,), linear_weight (C, *out_features, F)."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    classes, *rest, features = linear_weight.shape
    if input.shape[-1] != features:
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), "
                           f"got {input.shape[-1]} and {features}, respectively")
    if linear_bias is not None and tuple(linear_bias.shape) != (classes, *rest):
        raise RuntimeError(f"expected linear_bias shape {(classes, *rest)}, got {tuple(linear_bias.shape)}")
    if rest and input.dim() != 2:
        raise RuntimeError(f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires"
                         f" batched input, (N, {features}), got unbatched input with shape {tuple(input.shape)}")
    from frankentorch.nn.functional.linear import linear

    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(-1, features), bias)
    if rest:
        logits = logits.reshape(input.size(0), classes, *rest)
    if target.is_floating_point() and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    return cross_entropy(logits, target, weight, ignore_index=-100 if ignore_index is None else ignore_index, reduction=reduction,
                         label_smoothing=label_smoothing)


def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                                reduce: bool | None = None, reduction: str = "mean") -> Any:
    """Binary cross entropy of sigmoid(input), averaged over the classes."""
    reduction = pick_reduction(size_average, reduce, reduction)

    @rounds_once
    def whole(x: Any, t: Any, w: Any) -> Any:
        loss = -(t * logsigmoid(x) + (1 - t) * logsigmoid(-x))
        loss = (loss if w is None else loss * w).sum(-1) / x.size(-1)
        return reduce_loss(loss, reduction)

    return whole(input, target, weight)


def multi_margin_loss(input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, size_average: bool | None = None,
                      reduce: bool | None = None, reduction: str = "mean") -> Any:
    """Mean over the other classes' max(0, margin - input[target] + input[i])^p."""
    reduction = pick_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    if input.dim() > 2 or input.numel() == 0:
        raise RuntimeError("Expected non-empty vector or matrix with optional 0-dim batch size, but got: " + str(list(input.shape)))

    @rounds_once
    def whole(x: Any, w: Any) -> Any:
        x = x.reshape(-1, x.size(-1))
        labels = target.reshape(-1)
        own = x.gather(1, labels.unsqueeze(1))
        other = torch.arange(x.size(1), device=x.device).unsqueeze(0) != labels.unsqueeze(1)
        gap = margin - own + x
        gap = torch.where(other & (gap > 0), gap, 0.0).to(x.dtype)
        gap = gap if p == 1 else gap * gap
        if w is not None:
            gap = gap * w.index_select(0, labels).unsqueeze(1)
        loss = gap.sum(1) / x.size(1)
        return reduce_loss(loss if input.dim() > 1 else loss.squeeze(0), reduction)

    return named(whole(input, weight), "MultiMarginLossBackward0")


def multilabel_margin_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
                           reduction: str = "mean") -> Any:
    """Hinge of every (label, non-label) pair; labels are the entries of a target row before its first -1."""
    reduction = pick_reduction(size_average, reduce, reduction)
    if input.dim() > 2:
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}")
    if input.shape != target.shape:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")

    @rounds_once
    def whole(x: Any) -> Any:
        x = x.reshape(-1, x.size(-1))
        labels = target.reshape(-1, x.size(1))
        listed = (labels < 0).to(torch.int64).cumsum(1) == 0
        safe = torch.where(listed, labels, 0)
        is_label = torch.zeros_like(labels).scatter_add(1, safe, listed.to(torch.int64)) > 0
        gap = 1 - x.gather(1, safe).unsqueeze(2) + x.unsqueeze(1)
        counted = listed.unsqueeze(2) & ~is_label.unsqueeze(1) & (gap > 0)
        loss = torch.where(counted, gap, 0.0).to(x.dtype).sum((1, 2)) / x.size(1)
        return reduce_loss(loss if input.dim() > 1 else loss.squeeze(0), reduction)

    return named(whole(input), "MultilabelMarginLossBackward0")


_LOG_ZERO = -1e30


def _ctc_targets(targets: Any, lengths: list[int], blank: int) -> Any:
    """(N, longest) int64 targets, padded with the blank."""
    longest = max(lengths, default=0)
    if targets.dim() == 2:
        return targets[:, :longest].to(torch.int64)
    rows = targets.new_full((len(lengths), longest), blank, dtype=torch.int64)
    start = 0
    for n, length in enumerate(lengths):
        rows[n, :length] = targets[start:start + length]
        start += length
    return rows


def _log_add(terms: list[Any]) -> Any:
    top = terms[0]
    for term in terms[1:]:
        top = torch.maximum(top, term)
    top = top.detach()
    total = torch.exp(terms[0] - top)
    for term in terms[1:]:
        total = total + torch.exp(term - top)
    return torch.log(total) + top


def _ctc_paths(log_probs: Any, labels: Any, blank: int, in_lengths: Any, target_lengths: Any) -> Any:
    """-log of the total probability of every alignment (Graves et al., 2006, equations 6 to 8), one a sample."""
    steps, batch, _ = log_probs.shape
    width = 2 * labels.size(1) + 1
    extended = labels.new_full((batch, width), blank)
    extended[:, 1::2] = labels
    can_skip = torch.zeros(batch, width, dtype=torch.bool)
    if width > 2:
        can_skip[:, 2:] = (extended[:, 2:] != blank) & (extended[:, 2:] != extended[:, :-2])
    position = torch.arange(width).unsqueeze(0)
    zero = log_probs.new_full((), _LOG_ZERO)
    emit = log_probs.gather(2, extended.unsqueeze(0).expand(steps, batch, width))
    emit = torch.where(emit < _LOG_ZERO, zero, emit)
    alpha = torch.where((position < 2) & (position <= 2 * target_lengths.unsqueeze(1)), emit[0], zero)
    for t in range(1, steps):
        one = torch.constant_pad_nd(alpha, [1, 0], _LOG_ZERO)[:, :width]
        two = torch.where(can_skip, torch.constant_pad_nd(alpha, [2, 0], _LOG_ZERO)[:, :width], zero)
        stepped = _log_add([alpha, one, two]) + emit[t]
        alpha = torch.where((t < in_lengths).unsqueeze(1), stepped, alpha)
    last = alpha.gather(1, (2 * target_lengths).unsqueeze(1))
    before = alpha.gather(1, (2 * target_lengths - 1).clamp(min=0).unsqueeze(1))
    before = torch.where((target_lengths > 0).unsqueeze(1), before, zero)
    return -_log_add([last, before]).squeeze(1)


def ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
             zero_infinity: bool = False) -> Any:
    """Connectionist temporal classification of (T, N, C) or (T, C) log-probabilities against padded or concatenated labels."""
    check_reduction(reduction)
    unbatched = log_probs.dim() == 2
    if unbatched:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.unsqueeze(0) if targets.dim() == 1 else targets
    steps, batch, classes = log_probs.shape
    in_list = [int(n) for n in torch.as_tensor(input_lengths).reshape(-1).tolist()]
    target_list = [int(n) for n in torch.as_tensor(target_lengths).reshape(-1).tolist()]
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if len(in_list) != batch:
        raise RuntimeError("input_lengths must be of size batch_size")
    if len(target_list) != batch:
        raise RuntimeError("target_lengths must be of size batch_size")
    for length in in_list:
        if length > steps:
            raise RuntimeError(f"Expected input_lengths to have value at most {steps}, but got value {length} (while checking "
                               "arguments for ctc_loss_cpu)")
    in_lengths, lengths = torch.tensor(in_list), torch.tensor(target_list)
    labels = _ctc_targets(targets, target_list, blank)

    @rounds_once
    def whole(lp: Any) -> Any:
        loss = _ctc_paths(lp, labels, blank, in_lengths, lengths)
        # torch's gradient assumes normalised inputs and adds each step's probabilities
        used = (torch.arange(steps).unsqueeze(1) < in_lengths.unsqueeze(0)).unsqueeze(2)
        p = torch.where(used, torch.exp(lp), 0.0).to(lp.dtype).sum((0, 2))
        loss = loss + (p - p.detach())
        impossible = loss > -_LOG_ZERO / 2
        loss = torch.where(impossible, 0.0 if zero_infinity else math.inf, loss).to(lp.dtype)
        if reduction == "mean":
            return (loss / lengths.clamp(min=1).to(lp.dtype)).mean()
        return loss.sum() if reduction == "sum" else loss.squeeze(0) if unbatched else loss

    return whole(log_probs)


def native_ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: int = 1,
                    zero_infinity: bool = False) -> Any:
    """``torch.ctc_loss``: the same, with the reduction by number."""
    return ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, ("none", "mean", "sum")[reduction], zero_infinity)

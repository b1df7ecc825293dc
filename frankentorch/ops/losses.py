"""Losses with gradient rules of their own.

Enters: an input, a target, torch's native reduction (0 none, 1 mean, 2 sum). Leaves: a loss. The ops are named and called as in
``torch._C._nn``; argument forms and the words of their errors are in `nn.functional`. Each rule reads what torch's reads, and the
gradient of a class label is the class probabilities scaled once, with the label's entries corrected in place.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from . import call
from .activation import log_sigmoid, log_softmax
from .bounds import proved
from .call import named
from .define import api, composite
from .index_rows import accumulated, gather_row, index_select_row, scatter_reduce_row, scatter_row, zeros_for
from .pointwise import abs_, exp, log, log1p, maximum, sigmoid, sign, where
from .record import emit, state
from .reduce import sum_row
from .unsupported import need

NONE, MEAN, SUM = 0, 1, 2


def _total(x: Any) -> Any:
    return emit(sum_row, (x,), (tuple(range(x.ndim)), False))


def reduced(loss: Any, reduction: int) -> Any:
    """An elementwise loss, reduced."""
    if reduction == NONE:
        return loss
    total = _total(loss)
    return total if reduction == SUM else total / loss.numel()


def _spread(g: Any, x: Any, y: Any, reduction: int) -> Any:
    """What each element of the loss of x against y receives: numbers are divided before they are spread."""
    if reduction != MEAN:
        return g
    from .types import broadcast_shapes

    count = 1
    for n in broadcast_shapes([tuple(x.shape), tuple(y.shape)]):
        count *= n
    return g / count


# Against a target of the same shape ------------------------------------------------------------------------------------------
def _mse_vjp(g: Any, input: Any, target: Any, out: Any, reduction: int) -> Any:
    gx = (input - target) * (_spread(g, input, target, reduction) * 2)
    return gx, -gx


@composite("mse_loss(Tensor input, Tensor target, int reduction=1) -> Tensor", method=False, public=False, vjp=_mse_vjp)
def mse_loss(input: Any, target: Any, reduction: int = MEAN) -> Any:
    """(input - target)^2"""
    need("mse_cpu", input, "float")
    d = input - target
    return reduced(d * d, reduction)


@api("l1_loss(Tensor input, Tensor target, int reduction=1) -> Tensor", method=False, public=False)
def l1_loss(input: Any, target: Any, reduction: int = MEAN) -> Any:
    """|input - target|"""
    loss = abs_(input - target)
    return loss if reduction == NONE else loss.mean() if reduction == MEAN else loss.sum()


def _clipped(low: Any, d: Any, limit: float, inner: Any) -> Any:
    """-low where d <= -limit, low where d >= limit, `inner` between; NaN stays."""
    return where(d <= -limit, -low, where(d >= limit, low, inner))


def _smooth_l1_vjp(g: Any, input: Any, target: Any, out: Any, reduction: int, beta: float) -> Any:
    d, g = input - target, _spread(g, input, target, reduction)
    gx = sign(d) * g if beta == 0 else _clipped(g, d, beta, d * g / beta)
    return gx, -gx


@composite("smooth_l1_loss(Tensor input, Tensor target, int reduction=1, float beta=1.0) -> Tensor", method=False, public=False, vjp=_smooth_l1_vjp)
def smooth_l1_loss(input: Any, target: Any, reduction: int = MEAN, beta: float = 1.0) -> Any:
    """0.5 d^2 / beta where |d| < beta, |d| - beta / 2 elsewhere."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    need("smooth_l1_cpu", input, "float")
    size = abs_(input - target)
    return reduced(size if beta == 0 else where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta), reduction)


smooth_l1_loss.row.grad_name = "SmoothL1LossBackward0"


def _huber_vjp(g: Any, input: Any, target: Any, out: Any, reduction: int, delta: float) -> Any:
    d, g = input - target, _spread(g, input, target, reduction)
    gx = _clipped(g * delta, d, delta, d * g)
    return gx, -gx


@composite("huber_loss(Tensor input, Tensor target, int reduction=1, float delta=1.0) -> Tensor", method=False, public=False, vjp=_huber_vjp)
def huber_loss(input: Any, target: Any, reduction: int = MEAN, delta: float = 1.0) -> Any:
    """0.5 d^2 where |d| <= delta, delta * (|d| - delta / 2) elsewhere."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    size = abs_(input - target)
    return reduced(where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta)), reduction)


def _soft_margin_vjp(g: Any, input: Any, target: Any, out: Any, reduction: int) -> Any:
    return -target * sigmoid(-target * input) * _spread(g, input, target, reduction), None


@composite("soft_margin_loss(Tensor input, Tensor target, int reduction=1) -> Tensor", method=False, public=False, vjp=_soft_margin_vjp)
def soft_margin_loss(input: Any, target: Any, reduction: int = MEAN) -> Any:
    """log(1 + exp(-target * input))"""
    return reduced(log1p(exp(-target * input)), reduction)


def _weighed(loss: Any, weight: Any) -> Any:
    return loss if weight is None else loss * weight


def _bce_vjp(g: Any, input: Any, target: Any, weight: Any, out: Any, reduction: int) -> Any:
    g = _weighed(_spread(g, input, target, reduction), weight)
    floor = call.pointwise(maximum.row, (1 - input) * input, 1e-12)
    return g * (input - target) / floor, g * (log1p(-input) - log(input)), None


@composite("_binary_cross_entropy(Tensor input, Tensor target, Tensor? weight, int reduction) -> Tensor", method=False, public=False, out=False,
           vjp=_bce_vjp)
def _binary_cross_entropy(input: Any, target: Any, weight: Any, reduction: int) -> Any:
    yes, no = (call.pointwise(maximum.row, t, -100.0) for t in (log(input), log1p(-input)))
    return reduced(_weighed((target - 1) * no - target * yes, weight), reduction)


_binary_cross_entropy.row.grad_name = "BinaryCrossEntropyBackward0"


@api("binary_cross_entropy(Tensor input, Tensor target, Tensor? weight=None, int reduction=1) -> Tensor", method=False, public=False)
def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: int = MEAN) -> Any:
    """-(t log x + (1 - t) log(1 - x)), each log at least -100; the gradient stays finite at 0 and 1."""
    if state.trace.can_cut and not input._meta and not bool(((input >= 0) & (input <= 1)).all()):
        raise RuntimeError("all elements of input should be between 0 and 1")
    return _binary_cross_entropy(input, target, weight, reduction)


def _bce_logits_vjp(g: Any, input: Any, target: Any, weight: Any, pos_weight: Any, out: Any, reduction: int) -> Any:
    g = _weighed(_spread(g, input, target, reduction), weight)
    if pos_weight is None:
        return (sigmoid(input) - target) * g, -input * g, None, None
    t = pos_weight * target
    gx = ((t + 1 - target) * sigmoid(input) - t) * g
    return gx, (-input - (pos_weight - 1) * log_sigmoid(input)) * g, None, None


@composite("binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1) -> Tensor",
           method=False, vjp=_bce_logits_vjp)
def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = MEAN) -> Any:
    """binary_cross_entropy of sigmoid(input), stable for large inputs."""
    log_sig = log_sigmoid(input)
    if pos_weight is not None:
        log_sig = ((pos_weight - 1) * target + 1) * log_sig
    return reduced(_weighed((1 - target) * input - log_sig, weight), reduction)


@api("kl_div(Tensor input, Tensor target, int reduction=1, *, bool log_target=False) -> Tensor", method=False)
def kl_div(input: Any, target: Any, reduction: int = MEAN, *, log_target: bool = False) -> Any:
    """target * (log target - input), input a log-probability."""
    from .define import API

    loss = exp(target) * (target - input) if log_target else API["xlogy"].function(target, target) - target * input
    return loss if reduction == NONE else loss.mean() if reduction == MEAN else loss.sum()


# Against class labels ----------------------------------------------------------------------------------------------------------
def check_labels(target: Any, classes: int, ignore_index: int) -> None:
    """IndexError for a label that is neither a class nor ignored."""
    if target._meta or not state.trace.can_cut:
        return
    if proved(target, 0, classes, ignore_index):
        return
    a = target._forced()
    if not a.size or a.dtype.kind in "iu" and a.view(f"u{a.itemsize}").max() < classes:
        return
    bad = a[(a != ignore_index) & ((a < 0) | (a >= classes))]
    if bad.size:
        raise IndexError(f"Target {int(bad[0])} is out of bounds.")


def _class_dim(x: Any) -> int:
    return 0 if x.ndim == 1 else 1


def _factors(target: Any, weight: Any, ignore_index: int, dtype: Any) -> tuple[Any, Any]:
    """(labels with the ignored ones at class 0, each place's weight: 0 where ignored)."""
    ignored = target == ignore_index
    safe = where(ignored, 0, target)
    if weight is None:
        return safe, call.cast(where(ignored, 0.0, 1.0), dtype)
    picked = emit(index_select_row, (weight, safe.reshape(-1)), (0,)).reshape(safe.shape)
    return safe, call.cast(where(ignored, 0.0, picked), dtype)


def _picked_loss(scores: Any, target: Any, weight: Any, ignore_index: int, reduction: int) -> Any:
    """-weight[target] * scores[target], reduced; `scores` are log-probabilities."""
    d = _class_dim(scores)
    safe, factor = _factors(target, weight, ignore_index, scores.dtype)
    picked = emit(gather_row, (scores, safe.unsqueeze(d)), (d,)).squeeze(d)
    loss = where(factor == 0, 0.0, -picked * factor)
    return _total(loss) / _total(factor) if reduction == MEAN else reduced(loss, reduction)


def _label_scale(g: Any, target: Any, weight: Any, ignore_index: int, reduction: int, d: int) -> tuple[Any, Any]:
    """(labels, what the loss of each place hands down), with the class dimension kept."""
    safe, factor = _factors(target, weight, ignore_index, g.dtype)
    scale = factor * (g / _total(factor) if reduction == MEAN else g)
    return safe.unsqueeze(d), scale.unsqueeze(d)


def _nll_vjp(g: Any, input: Any, target: Any, weight: Any, out: Any, ignore_index: int, reduction: int) -> Any:
    d = _class_dim(input)
    labels, scale = _label_scale(g, target, weight, ignore_index, reduction, d)
    return emit(scatter_row, (zeros_for(g, input.shape), labels, -scale), (d,)), None, None


@composite("_nll_loss(Tensor input, Tensor target, Tensor? weight, int ignore_index, int reduction) -> Tensor", method=False, public=False, out=False,
           vjp=_nll_vjp)
def _nll_loss(input: Any, target: Any, weight: Any, ignore_index: int, reduction: int) -> Any:
    return _picked_loss(input, target, weight, ignore_index, reduction)


def _cross_entropy_vjp(g: Any, input: Any, target: Any, weight: Any, out: Any, ignore_index: int, reduction: int) -> Any:
    d, log_p = _class_dim(input), out[1]
    p = exp(log_p)
    total = None
    if g[0] is not None:
        labels, scale = _label_scale(g[0], target, weight, ignore_index, reduction, d)
        total = accumulated(scatter_reduce_row, p * scale, (labels, -scale), (d, "add"))
    if g[1] is not None:
        rest = g[1] - p * emit(sum_row, (g[1],), ((d,), True))
        total = rest if total is None else total + rest
    return total, None, None


@composite("_cross_entropy(Tensor input, Tensor target, Tensor? weight, int ignore_index, int reduction) -> (Tensor, Tensor)", method=False, public=False,
           out=False, vjp=_cross_entropy_vjp)
def _cross_entropy(input: Any, target: Any, weight: Any, ignore_index: int, reduction: int) -> Any:
    """(loss, log-probabilities)"""
    log_p = log_softmax(input, _class_dim(input))
    return _picked_loss(log_p, target, weight, ignore_index, reduction), log_p


_cross_entropy.row.grad_name = "NllLossBackward0"


def _labels(target: Any) -> Any:
    return target if target.dtype is dtypes.int64 else call.cast(target, dtypes.int64)


def _nll_name(input: Any) -> str:
    return "NllLossBackward0" if input.ndim <= 2 else "NllLoss2DBackward0"


@api("nll_loss_nd(Tensor input, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100) -> Tensor", method=False, public=False,
     aliases=("nll_loss", "nll_loss2d"))
def nll_loss_nd(input: Any, target: Any, weight: Any = None, reduction: int = MEAN, ignore_index: int = -100) -> Any:
    """-weight[target] * input[target]; the mean divides by the sum of the weights used."""
    target = _labels(target)
    check_labels(target, input.shape[_class_dim(input)], ignore_index)
    return named(_nll_loss(input, target, weight, ignore_index, reduction), _nll_name(input))


def _along_classes(weight: Any, input: Any, d: int) -> Any:
    return weight.reshape([1] * d + [input.shape[d]] + [1] * (input.ndim - d - 1))


@composite("_soft_cross_entropy(Tensor input, Tensor target, Tensor? weight, int reduction, float smoothing) -> Tensor", method=False, public=False,
           out=False)
def _soft_cross_entropy(input: Any, target: Any, weight: Any, reduction: int, smoothing: float) -> Any:
    d = _class_dim(input)
    classes = input.shape[d]
    if smoothing > 0:
        target = target * (1 - smoothing) + smoothing / classes
    terms = log_softmax(input, d) * target
    if weight is not None:
        terms = terms * _along_classes(weight, input, d)
    if reduction == NONE:
        return -emit(sum_row, (terms,), ((d,), False))
    total = -_total(terms)
    return total if reduction == SUM else total / (input.numel() / classes)


@composite("_smooth_cross_entropy(Tensor input, Tensor target, Tensor? weight, int ignore_index, int reduction, float smoothing) -> Tensor",
           method=False, public=False, out=False)
def _smooth_cross_entropy(input: Any, target: Any, weight: Any, ignore_index: int, reduction: int, smoothing: float) -> Any:
    """A mixture of the labels' loss and that of the uniform distribution."""
    d = _class_dim(input)
    log_p = log_softmax(input, d)
    hard = _nll_loss(log_p, target, weight, ignore_index, reduction)
    terms = log_p if weight is None else log_p * _along_classes(weight, input, d)
    ignored = target == ignore_index
    smooth = where(ignored, 0.0, -emit(sum_row, (terms,), ((d,), False)))
    if reduction == MEAN:
        smooth = _total(smooth) / _total(_factors(target, weight, ignore_index, log_p.dtype)[1])
    elif reduction == SUM:
        smooth = _total(smooth)
    return (1 - smoothing) * hard + smooth * (smoothing / input.shape[d])


_soft_cross_entropy.row.grad_name, _smooth_cross_entropy.row.grad_name = "DivBackward1", "AddBackward0"


@api("cross_entropy_loss(Tensor input, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100, float label_smoothing=0.0) -> Tensor",
     method=False, public=False)
def cross_entropy_loss(input: Any, target: Any, weight: Any = None, reduction: int = MEAN, ignore_index: int = -100, label_smoothing: float = 0.0) -> Any:
    """nll_loss of log_softmax(input), for class labels or class probabilities (a target of the input's shape)."""
    need("log_softmax_lastdim_kernel_impl", input, "float")
    if target.shape == input.shape:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    target = _labels(target)
    check_labels(target, input.shape[_class_dim(input)], ignore_index)
    if label_smoothing > 0:
        return _smooth_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    return named(_cross_entropy(input, target, weight, ignore_index, reduction)[0], _nll_name(input))


REDUCTIONS: dict[str, int] = {"none": NONE, "mean": MEAN, "sum": SUM}

"""Adafactor (Shazeer and Stern 2018, algorithm 4), in the form torch gives it: relative steps capped by lr, no momentum."""

from __future__ import annotations

from typing import Any, ClassVar

import frankentorch as torch
from frankentorch.optim._scalars import ParamState
from frankentorch.optim.optimizer import (
    Group,
    ParamsT,
    PerParameterOptimizer,
    Tensor,
    check_lr,
    demand,
    number,
    set_counter,
    zeros_for,
)

__all__ = ["Adafactor"]


class Adafactor(PerParameterOptimizer):
    """Keeps, for a matrix, only the row and column means of the squared gradient.

    State: step, and row_var and col_var for two or more axes, variance for fewer. Two norms set each step; they stay
    0-dim tensors here, so a step does not force execution.
    """

    _complex_ok = False
    _late_options: ClassVar[dict[str, Any]] = {"foreach": None}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        demand(0.0 >= beta2_decay, f"beta2_decay should be <= 0 but is: {beta2_decay}")
        demand(eps[0] is None or 0.0 <= eps[0], f"epsilon1 should be >= 0 but is: {eps[0]}")
        demand(0.0 <= eps[1], f"epsilon2 should be >= 0 but is: {eps[1]}")
        demand(1.0 <= d, f"Clipping threshold d should be >= 1 but is: {d}")
        demand(0.0 <= weight_decay, f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize
        }
        super().__init__(params, defaults)

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        set_counter(state, group)
        grad = param.grad
        if grad.dim() > 1:
            *lead, rows, cols = grad.shape
            state["row_var"] = grad.new_zeros([*lead, rows, 1])
            state["col_var"] = grad.new_zeros([*lead, 1, cols])
        else:
            state["variance"] = zeros_for(grad)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        step = state.cell("step").count()
        lr, decay = number(group["lr"]), group["weight_decay"]
        eps1, eps2 = group["eps"]
        if eps1 is None:
            eps1 = torch.finfo(param.dtype).eps
        # The relative step is that of the parameter before its decay, as in torch.
        scale = _rms(param).clamp(min=eps2) * min(lr, 1 / step**0.5)
        if decay != 0:
            param.mul_(1 - lr * decay)
        estimate = _second_moment(grad, state, step ** group["beta2_decay"], eps1)
        update = estimate.clamp_(min=eps1 * eps1).rsqrt_().mul_(grad)
        clip = (_rms(update) / group["d"]).clamp(min=1.0)
        param.sub_(update * (scale / clip).to(update.dtype))


def _second_moment(grad: Tensor, state: ParamState, weight: float, eps1: float) -> Tensor:
    """The estimate of the squared gradient after this one, a fresh tensor of its shape."""
    if grad.dim() <= 1:
        return state["variance"].lerp_(grad * grad, weight).clone()
    row_var, col_var = state["row_var"], state["col_var"]
    row_var.lerp_(_mean_square(grad, -1), weight)
    col_var.lerp_(_mean_square(grad, -2), weight)
    return (row_var @ col_var).div_(row_var.mean(dim=-2, keepdim=True).clamp_(min=eps1))


def _mean_square(x: Tensor, dim: int) -> Tensor:
    return torch.norm(x, dim=dim, keepdim=True).square_().div_(x.size(dim))


def _rms(x: Tensor) -> Tensor:
    """Root mean square, in float32 at least, as a 0-dim tensor."""
    norm = x.norm(2)
    return (norm.float() if norm.dtype in (torch.float16, torch.bfloat16) else norm) / x.numel() ** 0.5

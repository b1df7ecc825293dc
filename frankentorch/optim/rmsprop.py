"""RMSprop (Hinton, Neural Networks for Machine Learning, lecture 6e), plain or centered (Graves 2013)."""

from __future__ import annotations

from typing import Any, ClassVar

from frankentorch.optim._scalars import ParamState
from frankentorch.optim.optimizer import (
    Group,
    ParamsT,
    PerParameterOptimizer,
    Tensor,
    check_lr,
    check_nonnegative,
    decay_into_grad,
    descend,
    descend_div,
    number,
    own,
    set_counter,
    zeros_for,
)

__all__ = ["RMSprop"]


class RMSprop(PerParameterOptimizer):
    """Divides the gradient by the root of the running mean of its squares.

    State: step, square_avg, and with momentum momentum_buffer, centered grad_avg.
    """

    _late_options: ClassVar[dict[str, Any]] = {
        "momentum": 0, "centered": False, "foreach": None, "maximize": False, "differentiable": False, "capturable": False,
    }  # fmt: skip

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_nonnegative(epsilon=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered, "weight_decay": weight_decay,
            "capturable": capturable, "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        set_counter(state, group)
        state["square_avg"] = zeros_for(param)
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_for(param)
        if group["centered"]:
            state["grad_avg"] = zeros_for(param)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        state.cell("step").count()
        grad = decay_into_grad(group, param, grad)
        square_avg = state["square_avg"]
        alpha, lr = group["alpha"], number(group["lr"])
        square_avg.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        if group["centered"]:
            grad_avg = state["grad_avg"]
            grad_avg.lerp_(grad, 1 - alpha)
            mean = own(grad_avg, group)
            root = square_avg.addcmul(mean, mean, value=-1).sqrt_()
        else:
            root = square_avg.sqrt()
        # sqrt keeps its result for the gradient, so it may be changed in place only when none is wanted.
        denom = root.add(group["eps"]) if group["differentiable"] else root.add_(group["eps"])
        if group["momentum"] > 0:
            buf = state["momentum_buffer"]
            buf.mul_(group["momentum"]).addcdiv_(grad, denom)
            descend(param, own(buf, group), lr)
        else:
            descend_div(param, grad, denom, lr)

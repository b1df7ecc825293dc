"""Adamax (Kingma and Ba 2015, algorithm 2): Adam under the infinity norm."""

from __future__ import annotations

from typing import Any, ClassVar

import frankentorch as torch
from frankentorch.optim._scalars import ParamState
from frankentorch.optim.optimizer import (
    Group,
    ParamsT,
    PerParameterOptimizer,
    Tensor,
    check_betas,
    check_lr,
    check_nonnegative,
    decay_into_grad,
    descend_div,
    number,
    own,
    set_counter,
    zeros_for,
)

__all__ = ["Adamax"]


class Adamax(PerParameterOptimizer):
    """Divides the mean gradient by a decaying maximum of its magnitude. State: step, exp_avg, exp_inf."""

    _late_options: ClassVar[dict[str, Any]] = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_nonnegative(epsilon=eps)
        check_betas(betas)
        check_nonnegative(weight_decay=weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        set_counter(state, group)
        state["exp_avg"] = zeros_for(param)
        state["exp_inf"] = zeros_for(param)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        step = state.cell("step").count()
        beta1, beta2 = group["betas"]
        grad = decay_into_grad(group, param, grad)
        exp_avg, exp_inf = state["exp_avg"], state["exp_inf"]
        exp_avg.lerp_(grad, 1 - beta1)
        exp_inf.copy_(torch.maximum(exp_inf * beta2, grad.abs().add_(group["eps"])))
        rate = number(group["lr"]) / (1 - beta1**step)
        descend_div(param, own(exp_avg, group), own(exp_inf, group), rate)

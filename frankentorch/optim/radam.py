"""RAdam (Liu et al. 2020, algorithm 2): Adam whose adaptive rate is rectified for the variance of its first steps."""

from __future__ import annotations

from typing import Any, ClassVar

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
    decay_param,
    number,
    set_counter,
    zeros_for,
)

__all__ = ["RAdam"]


class RAdam(PerParameterOptimizer):
    """State: step, exp_avg, exp_avg_sq."""

    _late_options: ClassVar[dict[str, Any]] = {
        "foreach": None, "maximize": False, "differentiable": False, "decoupled_weight_decay": False, "capturable": False,
    }  # fmt: skip

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_nonnegative(epsilon=eps)
        check_betas(betas)
        check_nonnegative(weight_decay=weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        set_counter(state, group)
        state["exp_avg"] = zeros_for(param)
        state["exp_avg_sq"] = zeros_for(param)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        step = state.cell("step").count()
        beta1, beta2 = group["betas"]
        if group["decoupled_weight_decay"]:
            decay_param(group, param)
        else:
            grad = decay_into_grad(group, param, grad)
        exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
        exp_avg.lerp_(grad, 1 - beta1)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)

        correction2 = 1 - beta2**step
        update = exp_avg / (1 - beta1**step) * number(group["lr"])
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * beta2**step / correction2
        if rho > 5.0:
            rectify = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
            root = exp_avg_sq.sqrt()
            denom = root.add(group["eps"]) if group["differentiable"] else root.add_(group["eps"])
            update = update * (correction2**0.5 / denom) * rectify
        param.add_(update, alpha=-1.0)

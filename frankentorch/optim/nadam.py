"""NAdam (Dozat 2016, algorithm 2): Adam with Nesterov momentum on a warming schedule."""

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
    descend_div,
    number,
    own,
    set_counter,
    zeros_for,
)

__all__ = ["NAdam"]


class NAdam(PerParameterOptimizer):
    """State: step, mu_product (the product of the momenta so far), exp_avg, exp_avg_sq."""

    _late_options: ClassVar[dict[str, Any]] = {
        "maximize": False, "foreach": None, "capturable": False, "differentiable": False, "decoupled_weight_decay": False,
    }  # fmt: skip

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        check_nonnegative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _modernise(self, state: ParamState | None) -> None:
        super()._modernise(state)
        if state is not None and isinstance(state.raw("mu_product"), (int, float)):
            state.cell("mu_product")

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        set_counter(state, group)
        set_counter(state, group, "mu_product", 1.0)
        state["exp_avg"] = zeros_for(param)
        state["exp_avg_sq"] = zeros_for(param)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        step = state.cell("step").count()
        beta1, beta2 = group["betas"]
        lr, decay = number(group["lr"]), group["momentum_decay"]
        if group["decoupled_weight_decay"]:
            decay_param(group, param)
        else:
            grad = decay_into_grad(group, param, grad)
        exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]

        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * decay))
        product = state.cell("mu_product").scale(mu)
        exp_avg.lerp_(grad, 1 - beta1)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = exp_avg_sq.div(1 - beta2**step).sqrt()
        denom = root.add(group["eps"]) if group["differentiable"] else root.add_(group["eps"])
        descend_div(param, grad, denom, lr * (1.0 - mu) / (1.0 - product))
        descend_div(param, own(exp_avg, group), denom, lr * mu_next / (1.0 - product * mu_next))

"""Adadelta (Zeiler 2012, algorithm 1)."""

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
    demand,
    descend,
    number,
    set_counter,
    zeros_for,
)

__all__ = ["Adadelta"]


class Adadelta(PerParameterOptimizer):
    """Scales the gradient by the ratio of two running roots: of past updates, of gradients. State: step, square_avg, acc_delta."""

    _late_options: ClassVar[dict[str, Any]] = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        demand(0.0 <= rho <= 1.0, f"Invalid rho value: {rho}")
        check_nonnegative(epsilon=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        set_counter(state, group)
        state["square_avg"] = zeros_for(param)
        state["acc_delta"] = zeros_for(param)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        state.cell("step").count()
        grad = decay_into_grad(group, param, grad)
        rho, eps = group["rho"], group["eps"]
        square_avg, acc_delta = state["square_avg"], state["acc_delta"]
        square_avg.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        std = square_avg.add(eps).sqrt_()
        delta = acc_delta.add(eps).sqrt_() / std * grad
        acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        descend(param, delta, number(group["lr"]))

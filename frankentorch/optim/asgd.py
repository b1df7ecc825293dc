"""Averaged stochastic gradient descent (Polyak and Juditsky 1992)."""

from __future__ import annotations

from typing import Any, ClassVar

import frankentorch as torch
from frankentorch.optim._scalars import ParamState, round_f32
from frankentorch.optim.optimizer import (
    Group,
    ParamsT,
    PerParameterOptimizer,
    Tensor,
    check_lr,
    check_nonnegative,
    decay_into_grad,
    number,
    set_counter,
    zeros_for,
)

__all__ = ["ASGD"]


class ASGD(PerParameterOptimizer):
    """Descends with a decaying rate and keeps the running average of the iterates in `ax`.

    State: step, eta (the rate of the next step), mu (the weight of the next iterate in the average), ax.
    """

    _late_options: ClassVar[dict[str, Any]] = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_nonnegative(weight_decay=weight_decay)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _modernise(self, state: ParamState | None) -> None:
        super()._modernise(state)
        for key in ("eta", "mu"):
            if state is not None and isinstance(state.raw(key), (int, float)):
                state.cell(key)

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        set_counter(state, group)
        set_counter(state, group, "eta", float(group["lr"]))
        set_counter(state, group, "mu", 1.0)
        state["ax"] = zeros_for(param)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        step = state.cell("step").count()
        eta, mu = state.cell("eta"), state.cell("mu")
        lambd, lr = group["lambd"], number(group["lr"])
        ax = state["ax"]
        grad = decay_into_grad(group, param, grad)
        rate, weight = eta.read(), mu.read()
        param.mul_(1 - lambd * rate)
        param.add_(grad, alpha=-rate)
        if weight == 1:
            ax.copy_(param)
        else:
            ax.add_(param.sub(ax).mul_(weight))
        # New values pass through a tensor of the default dtype in torch, so they are rounded to it even in float64 state.
        narrow = float if torch.get_default_dtype() == torch.float64 else round_f32
        eta.write(narrow(float(lr) / (1 + lambd * float(lr) * step) ** group["alpha"]))
        mu.write(narrow(1 / max(1, step - group["t0"])))

"""Resilient backpropagation (Riedmiller and Braun 1993): steps by the gradient's sign, with a step size an element."""

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
    full_for,
    number,
    own,
    set_counter,
    zeros_for,
)

__all__ = ["Rprop"]


class Rprop(PerParameterOptimizer):
    """Grows a step size while the gradient keeps its sign, shrinks it and skips the step where the sign turns.

    State: step, prev (the gradient used last, 0 where the step was skipped), step_size.
    """

    _late_options: ClassVar[dict[str, Any]] = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        demand(0.0 < etas[0] < 1.0 < etas[1], f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        set_counter(state, group)
        state["prev"] = zeros_for(param)
        state["step_size"] = full_for(param.grad, float(group["lr"]))

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        state.cell("step").count()
        shrink, grow = group["etas"]
        low, high = group["step_sizes"]
        prev, step_size = state["prev"], state["step_size"]
        product = grad.mul(own(prev, group))
        turned = product < 0
        # Selected without indexing, so that nothing depends on data.
        factor = torch.where(product > 0, grow, torch.where(turned, shrink, torch.ones_like(product)))
        step_size.mul_(factor).clamp_(number(low), number(high))
        used = torch.where(turned, torch.zeros_like(grad), grad)
        param.addcmul_(used.sign(), own(step_size, group), value=-1)
        prev.copy_(used)

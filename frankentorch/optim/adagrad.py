"""Adagrad (Duchi, Hazan and Singer 2011, figure 1, diagonal form)."""

from __future__ import annotations

from typing import Any, ClassVar

from frankentorch.optim._scalars import ParamState
from frankentorch.optim.optimizer import (
    Group,
    ParamsT,
    PerParameterOptimizer,
    Tensor,
    check_fused,
    check_fused_param,
    check_lr,
    check_nonnegative,
    decay_into_grad,
    descend_div,
    full_for,
    number,
    set_counter,
)

__all__ = ["Adagrad"]


class Adagrad(PerParameterOptimizer):
    """Divides the gradient by the root of the sum of all its squares. State: step, sum; both exist from the start."""

    _late_options: ClassVar[dict[str, Any]] = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_nonnegative(
            lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value, epsilon=eps
        )
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, differentiable, foreach)
        if fused:
            self._step_supports_amp_scaling = True
        for group in self.param_groups:
            for param in group["params"]:
                self._start(group, param, self.state[param])

    def share_memory(self) -> None:
        """Move the sums into memory that other processes can reach."""
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["sum"].share_memory_()

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        if group["fused"]:
            check_fused_param(param)
        set_counter(state, group)
        state["sum"] = full_for(param, self.defaults["initial_accumulator_value"])

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        step = state.cell("step").count()
        grad = decay_into_grad(group, param, grad)
        rate = number(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        total = state["sum"]
        total.addcmul_(grad, grad, value=1)
        root = total.sqrt()
        denom = root.add(group["eps"]) if group["differentiable"] else root.add_(group["eps"])
        descend_div(param, grad, denom, rate)

"""Stochastic gradient descent, with momentum as Sutskever et al. (2013) use it."""

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
    decay_into_grad,
    demand,
    descend,
    number,
    own,
)

__all__ = ["SGD"]


class SGD(PerParameterOptimizer):
    """param -= lr * v, where v is the gradient or its momentum. State: momentum_buffer, and only where momentum is not 0."""

    _replays = True

    _late_options: ClassVar[dict[str, Any]] = {
        "nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False,
    }  # fmt: skip

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        demand(not momentum < 0.0, f"Invalid momentum value: {momentum}")
        demand(not weight_decay < 0.0, f"Invalid weight_decay value: {weight_decay}")
        demand(
            not nesterov or (momentum > 0 and dampening == 0), "Nesterov momentum requires a momentum and zero dampening"
        )
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, differentiable, foreach)
        if fused:
            self._step_supports_amp_scaling = True

    def _step_one(self, group: Group, param: Tensor, grad: Tensor) -> None:
        if grad.is_sparse:
            raise RuntimeError("SGD does not support sparse gradients")
        if group["fused"]:
            check_fused_param(param)
        if group["maximize"]:
            grad = -grad
        grad = decay_into_grad(group, param, grad)
        momentum = group["momentum"]
        if momentum != 0:
            buf = self._momentum(group, self.state[param], grad)
            grad = grad.add(buf, alpha=momentum) if group["nesterov"] else own(buf, group)
        descend(param, grad, number(group["lr"]))

    def _momentum(self, group: Group, state: ParamState, grad: Tensor) -> Tensor:
        """The momentum buffer after this gradient; the first gradient enters whole, without dampening."""
        buf = state.get("momentum_buffer")
        if buf is None:
            buf = state["momentum_buffer"] = grad.detach().clone()
            return buf
        return buf.mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])

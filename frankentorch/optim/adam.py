"""Adam (Kingma and Ba 2015, algorithm 1), with AMSGrad (Reddi et al. 2018) and decoupled weight decay as options."""

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
    check_fused,
    check_fused_param,
    check_lr,
    check_nonnegative,
    decay_into_grad,
    decay_param,
    demand,
    descend_div,
    number,
    own,
    set_counter,
    squeeze_scalar,
    zeros_for,
)

__all__ = ["Adam"]


class Adam(PerParameterOptimizer):
    """Steps by the running mean of gradients over the root of the running mean of their squares, both bias-corrected.

    State: step, exp_avg, exp_avg_sq, and with amsgrad max_exp_avg_sq. `foreach` and `fused` are accepted and compute the same.
    """

    _sparse_hint = ", please consider SparseAdam instead"
    _replays = True
    _late_options: ClassVar[dict[str, Any]] = {
        "amsgrad": False, "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "decoupled_weight_decay": False, "fused": None,
    }  # fmt: skip

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, torch.Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        check_lr(lr)
        demand(0.0 <= eps, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_nonnegative(weight_decay=weight_decay)
        _check_beta_kinds(betas, tensor_ok=capturable or not foreach)
        defaults = {
            "lr": lr, "betas": tuple(squeeze_scalar(b) for b in betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, differentiable, foreach)
        if fused:
            self._step_supports_amp_scaling = True

    def _check_group(self, group: Group) -> None:
        super()._check_group(group)
        if group["foreach"] and isinstance(group["lr"], torch.Tensor):
            raise RuntimeError("lr as a Tensor is not supported for capturable=False and foreach=True")

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        if group["fused"]:
            check_fused_param(param)
        set_counter(state, group)
        state["exp_avg"] = zeros_for(param)
        state["exp_avg_sq"] = zeros_for(param)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_for(param)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        step = state.cell("step").count()
        beta1, beta2 = (number(b) for b in group["betas"])
        if group["decoupled_weight_decay"]:
            decay_param(group, param)
        else:
            grad = decay_into_grad(group, param, grad)
        exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]

        exp_avg.lerp_(grad, 1 - beta1)
        if isinstance(beta2, torch.Tensor):
            exp_avg_sq.lerp_(grad.square(), 1 - beta2)
        else:
            exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)

        step_size = number(group["lr"]) / (1 - beta1**step)
        second = exp_avg_sq
        if group["amsgrad"]:
            second = state["max_exp_avg_sq"]
            second.copy_(torch.maximum(own(second, group), exp_avg_sq))
        denom = (second.sqrt() / (1 - beta2**step) ** 0.5).add_(group["eps"])
        descend_div(param, own(exp_avg, group), denom, step_size)


def _check_beta_kinds(betas: tuple[Any, Any], tensor_ok: bool) -> None:
    """Two floats or two one-element tensors; the latter not where foreach would have to read them."""
    tensors = [isinstance(b, torch.Tensor) for b in betas]
    demand(all(tensors) or all(isinstance(b, float) for b in betas), "betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas if all(tensors) else ()):
        demand(tensor_ok, f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True")
        demand(beta.numel() == 1, f"Tensor betas[{i}] must be 1-element")

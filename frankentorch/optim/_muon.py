"""Muon (Jordan et al. 2024): momentum whose matrix is orthogonalised by a Newton-Schulz iteration in bfloat16."""

from __future__ import annotations

import math

import frankentorch as torch
from frankentorch.optim._scalars import ParamState
from frankentorch.optim.optimizer import Group, ParamsT, PerParameterOptimizer, Tensor, check_lr, demand, number

__all__ = ["Muon"]


class Muon(PerParameterOptimizer):
    """For matrices only. State: momentum_buffer; there is no step count."""

    _complex_ok = False

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        demand(0.0 <= momentum, f"momentum should be >= 0 but is: {momentum}")
        demand(0.0 <= weight_decay, f"weight decay should be >= 0 but is: {weight_decay}")
        demand(
            adjust_lr_fn in (None, "original", "match_rms_adamw"),
            f"Adjust learning rate function {adjust_lr_fn} is not supported",
        )
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov, "ns_coefficients": ns_coefficients,
            "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                demand(
                    param.ndim == 2,
                    f"Muon only supports 2D parameters whereas we found a parameter with size: {param.size()}",
                )

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        state["momentum_buffer"] = torch.zeros_like(param.grad)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        demand(grad.ndim == 2, "Param gradient must be a 2D matrix")
        lr, momentum = number(group["lr"]), group["momentum"]
        buf = state["momentum_buffer"]
        buf.lerp_(grad, 1 - momentum)
        update = grad.lerp(buf, momentum) if group["nesterov"] else buf
        update = _orthogonalise(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        param.mul_(1 - lr * group["weight_decay"])
        param.add_(update, alpha=-lr * _rate_factor(group["adjust_lr_fn"], param))


def _orthogonalise(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """About U V^T of the matrix's U S V^T: a quintic polynomial applied `steps` times to the matrix over its norm, in bfloat16."""
    demand(steps < 100, "Number of steps must be less than 100 for computational efficiency")
    demand(len(coefficients) == 3, "Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.bfloat16()
    # The Gram matrix of the short side is the cheaper one.
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _rate_factor(rule: str | None, param: Tensor) -> float:
    """How the rate depends on the matrix's shape."""
    rows, cols = param.shape[:2]
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, cols))
    return math.sqrt(max(1, rows / cols))

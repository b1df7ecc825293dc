"""AdamW (Loshchilov and Hutter 2019, algorithm 2): Adam whose weight decay shrinks the parameter, not the gradient."""

from __future__ import annotations

from typing import Any

from frankentorch.optim.adam import Adam
from frankentorch.optim.optimizer import ParamsT, Tensor

__all__ = ["AdamW"]


class AdamW(Adam):
    """Adam with `decoupled_weight_decay` always on. State as Adam's."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True

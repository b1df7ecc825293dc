"""SparseAdam: torch's Adam for sparse gradients, of which this build makes none.

The class checks its arguments as torch does. A dense gradient is refused as torch refuses it; a sparse one by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import frankentorch as torch
from frankentorch.optim.optimizer import Optimizer, ParamsT, Tensor, check_betas, check_lr, demand

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam over the rows a sparse gradient touches. Stepping raises: NotImplementedError for sparse gradients."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_lr(lr)
        demand(lr > 0, f"Invalid learning rate: {lr}")
        demand(0.0 < eps, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        places = [(i, j, p) for i, group in enumerate(self.param_groups) for j, p in enumerate(group["params"])]
        sparse = [[i, j] for i, j, p in places if p.is_sparse]
        demand(not sparse, f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors")
        imaginary = [[i, j] for i, j, p in places if p.is_complex()]
        demand(not imaginary, f"Complex params at indices {imaginary}: SparseAdam does not support complex parameters")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Run the closure; then refuse any gradient, dense as torch does, sparse because sparse tensors are not built here."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                if not param.grad.is_sparse:
                    raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
                raise NotImplementedError("SparseAdam: sparse tensors are not implemented; use dense gradients with Adam")
        return loss

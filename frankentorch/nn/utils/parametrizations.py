"""Ready-made parametrisations.

Enters: a module and the name of its weight. Leaves: the module, its weight computed from size and direction.
"""

from __future__ import annotations

from typing import Any

from frankentorch.nn.modules.module import Module
from frankentorch.nn.utils.parametrize import register_parametrization
from frankentorch.nn.utils.weight_norm import _norm

__all__ = ["weight_norm"]


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return weight_v * (weight_g / _norm(weight_v, self.dim))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Size and direction of a weight."""
        return _norm(weight, self.dim), weight


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """weight = g * v / |v| (Salimans and Kingma, 2016), as a parametrisation."""
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def __getattr__(name: str) -> Any:
    if name in ("orthogonal", "spectral_norm"):
        raise NotImplementedError(f"torch.nn.utils.parametrizations.{name} is not implemented")
    raise AttributeError(f"module 'torch.nn.utils.parametrizations' has no attribute '{name}'")

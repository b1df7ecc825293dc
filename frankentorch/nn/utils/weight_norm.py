"""Weight normalisation by a forward pre-hook: weight = g * v / |v| (Salimans and Kingma, 2016).

Enters: a module and the name of its weight. Leaves: the module with parameters name_g and name_v in place of it.
"""

from __future__ import annotations

from typing import Any

import frankentorch as torch
from frankentorch.nn.parameter import Parameter

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]


def _norm(v: Any, dim: int) -> Any:
    """The 2-norm over every dimension but `dim` (over all for -1), kept for broadcasting."""
    if dim == -1:
        return torch.linalg.vector_norm(v)
    return torch.linalg.vector_norm(v, 2, [d for d in range(v.dim()) if d != dim], keepdim=True)


class WeightNorm:
    """The hook that recomputes the weight before each forward."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Any) -> Any:
        """g * v / |v|."""
        v = getattr(module, self.name + "_v")
        return v * (getattr(module, self.name + "_g") / _norm(v, self.dim))

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Split a module's weight into its size g (along `dim`) and its direction v."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == name:
            raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook = WeightNorm(name, dim)
    weight = getattr(module, name)
    del module._parameters[name]
    axis = hook.dim + weight.dim() if hook.dim < -1 else hook.dim
    hook.dim = axis
    module.register_parameter(name + "_g", Parameter(_norm(weight, axis).detach()))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Put the product back as one parameter."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            weight = hook.compute_weight(module).detach()
            delattr(module, name)
            del module._parameters[name + "_g"], module._parameters[name + "_v"]
            setattr(module, name, Parameter(weight))
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")

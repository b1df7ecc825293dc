"""torch.nn.parallel: what remains of it where there is one CPU.

Enters: a module. Leaves: a module that calls it; without GPUs torch's DataParallel does no more than that.
"""

from __future__ import annotations

from typing import Any

from frankentorch.nn.modules.module import Module

__all__ = ["DataParallel"]


class DataParallel(Module):
    """Calls `module`; its parameters are found under "module."."""

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list[Any] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def __getattr__(name: str) -> Any:
    if name in ("DistributedDataParallel", "data_parallel", "gather", "parallel_apply", "replicate", "scatter"):
        raise NotImplementedError(f"torch.nn.parallel.{name} is not implemented")
    raise AttributeError(f"module 'torch.nn.parallel' has no attribute '{name}'")

"""Making a module without drawing its parameters.

Enters: a module class and its arguments. Leaves: the module, its parameters as `empty` gives them.
"""

from __future__ import annotations

import inspect
from typing import Any

import frankentorch as torch

__all__ = ["skip_init"]


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """An instance of `module_cls` on its device, uninitialised."""
    if not issubclass(module_cls, torch.nn.Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", "cpu")
    return module_cls(*args, device="meta", **kwargs).to_empty(device=device)

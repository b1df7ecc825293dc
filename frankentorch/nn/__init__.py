"""torch.nn: modules, their parameters, the functions under them, and how they are initialised.

Enters: tensors. Leaves: layers, models, losses. `modules` holds the classes, `functional` the computing, `init` the draws.
"""

from __future__ import annotations

from typing import Any

from frankentorch.nn import _reduction, attention, common_types, functional, init, modules, parallel, parameter, utils
from frankentorch.nn.modules import *  # noqa: F403
from frankentorch.nn.modules import __all__ as _layers
from frankentorch.nn.parallel import DataParallel
from frankentorch.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [*_layers, "Buffer", "DataParallel", "Parameter", "UninitializedBuffer", "UninitializedParameter", "attention",
           "common_types", "factory_kwargs", "functional", "init", "modules", "parallel", "parameter", "utils", "_reduction"]

_NOT_YET = ("intrinsic", "qat", "quantizable", "quantized", "grad")


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """The tensor-making options among a layer's: device, dtype, memory_format; TypeError for anything else."""
    if kwargs is None:
        return {}
    simple = {"device", "dtype", "memory_format"}
    expected = simple | {"factory_kwargs"}
    if not kwargs.keys() <= expected:
        raise TypeError(f"unexpected kwargs {kwargs.keys() - expected}")
    made = dict(kwargs.get("factory_kwargs", {}))
    for key in sorted(simple & kwargs.keys()):
        if key in made:
            raise TypeError(f"{key} specified twice, in **kwargs and in factory_kwargs")
        made[key] = kwargs[key]
    return made


def __getattr__(name: str) -> Any:
    if name in _NOT_YET:
        raise NotImplementedError(f"torch.nn.{name} is not implemented")
    raise AttributeError(f"module 'torch.nn' has no attribute '{name}'")

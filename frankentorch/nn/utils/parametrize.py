"""Parametrisations: a parameter computed by modules from the parameters really kept.

Enters: a module, a tensor's name, a module computing it. Leaves: the module, of a subclass whose attribute is recomputed when
read; the kept tensors are under `parametrizations.<name>.original` (or original0, original1, ...).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import frankentorch as torch
from frankentorch.nn.modules.container import ModuleDict, ModuleList
from frankentorch.nn.modules.module import Module
from frankentorch.nn.parameter import Parameter

__all__ = ["ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
           "type_before_parametrizations"]

_cache_depth = 0
_cache: dict[tuple[int, str], Any] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrised tensor is computed once."""
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cache.clear()


def _kept(value: Any, like: Any) -> Any:
    """A tensor as what it replaces: a Parameter for a Parameter."""
    return Parameter(value.detach(), requires_grad=like.requires_grad) if isinstance(like, Parameter) else value


class ParametrizationList(ModuleList):
    """The chain of modules that computes one tensor, and the originals it starts from."""

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        start: Any = original
        with torch.no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    start = module.right_inverse(start)
        self.is_tensor = isinstance(start, torch.Tensor)
        if not self.is_tensor and not isinstance(start, Sequence):
            raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                             f"Got {type(start).__name__}")
        self.ntensors = 1 if self.is_tensor else len(start)
        for name, value in zip(self._names(), [start] if self.is_tensor else start, strict=True):
            kept = original if value is original else _kept(value, original)
            if isinstance(kept, Parameter):
                self.register_parameter(name, kept)
            else:
                self.register_buffer(name, kept)

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def _put_back(self, value: Any) -> None:
        """Set the originals so that the tensor becomes `value`."""
        with torch.no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
            for name, part in zip(self._names(), [value] if self.is_tensor else value, strict=True):
                getattr(self, name).copy_(part)

    def forward(self) -> Any:
        first, *rest = list(self)
        value = first(*[getattr(self, name) for name in self._names()])
        for module in rest:
            value = module(value)
        return value


def _property(name: str) -> property:
    def read(self: Any) -> Any:
        chain = self.parametrizations[name]
        if not _cache_depth:
            return chain()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = chain()
        return _cache[key]

    return property(read, lambda self, value: self.parametrizations[name]._put_back(value))


def is_parametrized(module: Any, tensor_name: str | None = None) -> bool:
    """Whether the module (or its tensor of that name) is parametrised."""
    table = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(table, ModuleDict):
        return False
    return len(table) > 0 if tensor_name is None else tensor_name in table


def _as_parametrized(module: Any) -> None:
    base = type(module)

    def plain_copy(self: Any) -> Any:
        raise RuntimeError("Serialization of parametrized modules is only supported through state_dict(). See:\n"
                           "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
                           "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training")

    module.__class__ = type(f"Parametrized{base.__name__}", (base,), {"__getstate__": plain_copy, "__module__": base.__module__})
    module.parametrizations = ModuleDict()


def register_parametrization(module: Any, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Any:
    """Compute `module.tensor_name` by `parametrization` from now on (after the ones already there)."""
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        module.parametrizations[tensor_name].append(parametrization)
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'")
    original = getattr(module, tensor_name)
    chain = ParametrizationList([parametrization], original, unsafe=unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _as_parametrized(module)
    setattr(type(module), tensor_name, _property(tensor_name))
    module.parametrizations[tensor_name] = chain
    return module


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Any:
    """Make the tensor an ordinary one again: its present value, or with leave_parametrized=False the original."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    chain = module.parametrizations[tensor_name]
    if not leave_parametrized and not chain.is_tensor:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
                         "sequence of tensors.")
    first = getattr(chain, chain._names()[0])
    value = first
    if leave_parametrized:
        with torch.no_grad():
            value = _kept(getattr(module, tensor_name), first)
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    if isinstance(value, Parameter):
        module.register_parameter(tensor_name, value)
    else:
        module.register_buffer(tensor_name, value)
    return module


def type_before_parametrizations(module: Any) -> type:
    """The class a module had before it was parametrised."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)

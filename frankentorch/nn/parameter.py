"""Parameters and buffers: tensors a Module registers when they are assigned to it.

Enters: a tensor (or nothing) and whether it asks for a gradient. Leaves: a Tensor subclass sharing the same storage.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import frankentorch as torch
from frankentorch.tensor import Tensor

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


class _ParameterMeta(type(Tensor)):  # type: ignore[misc]
    """A tensor flagged `_is_param` counts as a Parameter even when its class is another Tensor subclass."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False):
            return True
        return super().__instancecheck__(instance)


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that is a module's parameter: a leaf, listed by `Module.parameters()`."""

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = torch.empty(0)
        if type(data) is Tensor or isinstance(data, Parameter):
            return torch.Tensor._make_subclass(cls, data, requires_grad)
        own = data.detach().requires_grad_(requires_grad)
        if type(own) is not type(data):
            raise RuntimeError(
                f"Creating a Parameter from an instance of type {type(data).__name__} "
                "requires that detach() returns an instance of the same type, but return "
                f"type {type(own).__name__} was found instead. To use the type as a "
                "Parameter, please correct the detach() semantics defined by "
                "its __torch_dispatch__() implementation."
            )
        own._is_param = True
        return own

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        twin = type(self)(self.data.clone(), self.requires_grad)
        memo[id(self)] = twin
        return twin

    def __repr__(self) -> str:  # type: ignore[override]
        # printed as a plain tensor: a subclass would show its own name
        return "Parameter containing:\n" + repr(self.detach().requires_grad_(self.requires_grad))

    def __reduce_ex__(self, proto: Any) -> Any:
        return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict())


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Parameter:
    """What a pickled Parameter calls to come back."""
    twin = Parameter(data, requires_grad)
    twin.__dict__["_backward_hooks"] = backward_hooks
    return twin


class _BufferMeta(type(Tensor)):  # type: ignore[misc]
    """A tensor flagged `_is_buffer` counts as a Buffer."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is Buffer and isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False):
            return True
        return super().__instancecheck__(instance)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that registers itself as a buffer when assigned to a module; the object itself is a plain tensor, flagged."""

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = torch.empty(0)
        flagged = data.detach().requires_grad_(data.requires_grad)
        flagged.persistent = persistent
        flagged._is_buffer = True
        return flagged


class UninitializedTensorMixin:
    """A tensor without a shape yet: only `materialize` and a few shape-free members work on it."""

    cls_to_become: Any = None
    _allowed = {
        "is_floating_point", "half", "float", "double", "char", "short", "int", "long", "cuda", "cpu", "to", "get_device",
        "is_complex", "bfloat16", "_has_compatible_shallow_copy_type",
    }

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give the tensor memory of `shape`, in place; its values are whatever `empty` gives."""
        device = self.data.device if device is None else device  # type: ignore[attr-defined]
        dtype = self.data.dtype if dtype is None else dtype  # type: ignore[attr-defined]
        self.data: Any = torch.empty(shape, device=device, dtype=dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. "
            "This error usually happens in `load_state_dict` when trying to load "
            "an uninitialized parameter into an initialized one. "
            "Call `forward` to initialize the parameters before accessing their attributes."
        )

    def share_memory_(self) -> Any:
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. "
            "Call `forward` to initialize the parameters before calling "
            "`module.share_memory()`."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in cls._allowed or type(func).__name__ == "method-wrapper" or name in ("__get__", "__set__"):
            return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[misc]
        raise ValueError(
            f"Attempted to use an uninitialized parameter in {func}. "
            "This error happens when you are using a `LazyModule` or "
            f"explicitly manipulating `torch.nn.parameter.{cls.__name__}` "
            "objects. When using LazyModules Call `forward` with a dummy batch "
            "to initialize the parameters before calling torch functions"
        )


def is_lazy(param: Any) -> bool:
    """Whether `param` still waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc, metaclass]
    """A Parameter whose shape the first forward decides."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> UninitializedParameter:
        data = torch.empty(0, device=device, dtype=dtype)
        return torch.Tensor._make_subclass(cls, data, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        twin = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        memo[id(self)] = twin
        return twin

    def __reduce_ex__(self, proto: Any) -> Any:
        return UninitializedParameter, (self.requires_grad, self.device, self.dtype)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[misc]
    """A buffer whose shape the first forward decides."""

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True) -> Any:
        data = torch.empty(0, device=device, dtype=dtype)
        made = torch.Tensor._make_subclass(cls, data, requires_grad)
        made.persistent = persistent
        made._is_buffer = True
        return made

    def __reduce_ex__(self, proto: Any) -> Any:
        return UninitializedBuffer, (self.requires_grad, self.device, self.dtype)

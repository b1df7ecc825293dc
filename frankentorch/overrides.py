"""torch.overrides: questions about ``__torch_function__``, which is not dispatched on here.

Enters: arguments of calls. Leaves: whether one of them wants to take the call over. Libraries ask; ops of this package do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ._missing import getattr_of
from .tensor import Tensor

__all__ = ["get_ignored_functions", "handle_torch_function", "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic",
           "is_tensor_like", "is_tensor_method_or_property", "resolve_name"]


def _overrides(x: Any) -> bool:
    found = getattr(type(x), "__torch_function__", None)
    return found is not None and found is not getattr(Tensor, "__torch_function__", None)


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether an argument's class has a ``__torch_function__`` of its own."""
    return any(_overrides(x) for x in relevant_args)


def has_torch_function_unary(tensor: Any) -> bool:
    """has_torch_function of one argument."""
    return _overrides(tensor)


def has_torch_function_variadic(*tensors: Any) -> bool:
    """has_torch_function of several."""
    return has_torch_function(tensors)


def handle_torch_function(public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """Call the first override that does not decline, subclasses before their bases."""
    candidates: list[Any] = []
    for x in relevant_args:
        if _overrides(x) and type(x) not in map(type, candidates):
            at = next((i for i, c in enumerate(candidates) if issubclass(type(x), type(c))), len(candidates))
            candidates.insert(at, x)
    types = tuple(type(c) for c in candidates)
    for c in candidates:
        result = c.__torch_function__(public_api, types, args, kwargs)
        if result is not NotImplemented:
            return result
    name = f"{public_api.__module__}.{public_api.__name__}"
    raise TypeError(f"no implementation found for '{name}' on types that implement __torch_function__: {list(types)}")


def is_tensor_like(inp: Any) -> bool:
    """A tensor, or an object that has ``__torch_function__``."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether `func` is an attribute of Tensor."""
    return any(func is v for v in vars(Tensor).values()) or getattr(func, "__name__", "") == "__get__"


def get_ignored_functions() -> set[Callable[..., Any]]:
    """None: no function is dispatched on."""
    return set()


def resolve_name(f: Any) -> str | None:
    """The public name of a function, as "torch.add"."""
    name = getattr(f, "__name__", None)
    if name is None:
        return None
    import frankentorch

    if frankentorch.__dict__.get(name) is f:
        return f"torch.{name}"
    return f"torch.Tensor.{name}" if vars(Tensor).get(name) is f else None


__getattr__ = getattr_of("overrides")

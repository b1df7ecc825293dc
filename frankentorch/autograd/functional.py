"""torch.autograd.functional: Jacobians, Hessians and their products with vectors, by reverse mode.

Enters: a function of tensors, and its inputs (a tensor or a tuple). Leaves: matrices laid out as (output's shape, input's shape), or
products; tuples where inputs or outputs were tuples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops.call import is_tensor
from ..ops.define import API
from ..ops.record import grad_mode

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple(x: Any, name: str, where: str) -> tuple[bool, tuple[Any, ...]]:
    one = not isinstance(x, tuple)
    values = (x,) if one else x
    for i, v in enumerate(values):
        if not is_tensor(v):
            kind = f"The {name} given to {where} must be either a Tensor or a tuple of Tensors"
            raise TypeError(f"{kind} but the given {name} has type {type(v)}." if one else f"{kind} but the value at index {i} has type {type(v)}.")
    return not one, values


def _call(func: Callable[..., Any], inputs: Any, where: str, create_graph: bool) -> tuple[bool, tuple[Any, ...], bool, tuple[Any, ...]]:
    """Inputs of their own on the tape, and the function's outputs."""
    many_in, given = _tuple(inputs, "inputs", where)
    xs = tuple(x.view_as(x) if create_graph and x.requires_grad else x.detach().clone().requires_grad_() for x in given)
    many_out, ys = _tuple(func(*xs), "outputs of the user-provided function", where)
    return many_in, xs, many_out, ys


def _grad(ys: Any, xs: Any, gs: Any, create_graph: bool, strict: bool = False) -> tuple[Any, ...]:
    from . import grad

    pairs = [(y, g) for y, g in zip(ys, gs, strict=True) if y.requires_grad]
    if not pairs:
        if strict:
            raise RuntimeError("The output of the user-provided function is independent of the input. This is not allowed in strict mode.")
        return (None,) * len(xs)
    return grad([y for y, _ in pairs], xs, [g for _, g in pairs], retain_graph=True, create_graph=create_graph, allow_unused=True)


def _zeros(t: Any) -> Any:
    return API["zeros_like"].function(t)


def _filled(gs: Any, xs: Any) -> tuple[Any, ...]:
    return tuple(_zeros(x) if g is None else g for g, x in zip(gs, xs, strict=True))


def _leave(values: Any, many: bool, create_graph: bool) -> Any:
    values = tuple(v if create_graph else v.detach() for v in values)
    return values if many else values[0]


def jacobian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode") -> Any:
    """d output / d input, a row for every element of the output."""
    with grad_mode(True):
        many_in, xs, many_out, ys = _call(func, inputs, "jacobian", create_graph)
        result = []
        for y in ys:
            rows: list[list[Any]] = [[] for _ in xs]
            flat = y.reshape(-1)
            for i in range(flat.numel()):
                gs = _filled(_grad((flat[i],), xs, (None,), create_graph, strict), xs)
                for row, g in zip(rows, gs, strict=True):
                    row.append(g)
            blocks = tuple(API["stack"].function(row).view(tuple(y.shape) + tuple(x.shape)) if row else y.new_zeros(tuple(y.shape) + tuple(x.shape))
                           for row, x in zip(rows, xs, strict=True))
            result.append(_leave(blocks, many_in, create_graph))
    return tuple(result) if many_out else result[0]


def _scalar(ys: tuple[Any, ...], many: bool, where: str) -> Any:
    if many or ys[0].numel() != 1:
        raise RuntimeError(f"The function given to {where} should return a single scalar.") if not many else RuntimeError(
            f"The Tensor returned by the function given to {where} should contain a single element")
    return ys[0].reshape(())


def hessian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The second derivatives of a function with one scalar output."""
    many_in, given = _tuple(inputs, "inputs", "hessian")

    def first(*xs: Any) -> Any:
        many, ys = _tuple(func(*xs), "outputs of the user-provided function", "hessian")
        return _filled(_grad((_scalar(ys, many, "hessian"),), xs, (None,), True, strict), xs)

    blocks = jacobian(first, given, create_graph, strict)
    return blocks if many_in else blocks[0][0]


def _vectors(v: Any, like: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError("The vector v can only be None if the user-provided function returns a single Tensor with a single element.")
        return (API["ones_like"].function(like[0]),)
    vs = _tuple(v, "v", where)[1]
    for i, (a, b) in enumerate(zip(vs, like, strict=True)):
        if a.shape != b.shape:
            raise RuntimeError(f"Entry {i} in v has invalid size: should be {b.shape} but got {a.shape}." if len(like) > 1 else
                               f"v has invalid size: should be {b.shape} but got {a.shape}.")
    return vs


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(outputs, v times the Jacobian)."""
    with grad_mode(True):
        many_in, xs, many_out, ys = _call(func, inputs, "vjp", create_graph)
        gs = _filled(_grad(ys, xs, _vectors(v, ys, "vjp"), create_graph, strict), xs)
    return _leave(ys, many_out, create_graph), _leave(gs, many_in, create_graph)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(outputs, the Jacobian times v), by differentiating a vjp, which is linear in its vector."""
    with grad_mode(True):
        _, xs, many_out, ys = _call(func, inputs, "jvp", create_graph)
        vs = _vectors(v, xs, "jvp")
        dummies = tuple(_zeros(y).requires_grad_() for y in ys)
        gs = _filled(_grad(ys, xs, dummies, True, strict), xs)
        out = _filled(_grad(gs, dummies, vs, create_graph), ys)
    return _leave(ys, many_out, create_graph), _leave(out, many_out, create_graph)


def _second(func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool, where: str) -> tuple[Any, Any]:
    with grad_mode(True):
        many_in, xs, many_out, ys = _call(func, inputs, where, create_graph)
        y = _scalar(ys, many_out, where)
        gs = _filled(_grad((y,), xs, (None,), True, strict), xs)
        out = _filled(_grad(gs, xs, _vectors(v, xs, where), create_graph), xs)
    return _leave((ys[0],), False, create_graph), _leave(out, many_in, create_graph)


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(output, v times the Hessian)."""
    return _second(func, inputs, v, create_graph, strict, "vhp")


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(output, the Hessian times v); the Hessian is symmetric."""
    return _second(func, inputs, v, create_graph, strict, "hvp")

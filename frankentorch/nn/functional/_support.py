"""What the functional files share: argument shaping, reductions and rounding.

Enters: arguments as a user gave them. Leaves: tuples, reduced losses, and the decorator by which a composite rounds once.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import frankentorch as torch
from frankentorch.ops.call import named  # noqa: F401


def ntuple(value: Any, n: int) -> tuple[Any, ...]:
    """`value` n times when it is one number, itself as a tuple when it is a sequence (a sequence of one is repeated)."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value) * n if len(value) == 1 and n > 1 else tuple(value)
    return (value,) * n


def is_tensor(value: Any) -> bool:
    """Whether `value` is a Tensor."""
    return isinstance(value, torch.Tensor)


def legacy_reduction(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> str:
    """The `reduction` that the old `size_average` and `reduce` arguments mean."""
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    result = "none" if not reduce else "mean" if size_average else "sum"
    if emit_warning:
        warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{result}' instead.", stacklevel=3)
    return result


def pick_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction asked for, old arguments first; ValueError for an unknown one."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    check_reduction(reduction)
    return reduction


def check_reduction(reduction: str) -> None:
    """ValueError unless `reduction` is none, mean or sum."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def reduce_loss(loss: Any, reduction: str) -> Any:
    """Apply a checked reduction."""
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


def rounds_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a composite one rounding unit: float16 and bfloat16 tensors compute in float32 and the results round back.

    The first such tensor argument decides the result's dtype, as torch's promotion does for these functions.
    """

    @functools.wraps(function)
    def rounded(*args: Any, **kwargs: Any) -> Any:
        low = None
        for arg in args:
            if isinstance(arg, torch.Tensor) and arg.dtype in (torch.bfloat16, torch.float16):
                low = arg.dtype
                break
            if isinstance(arg, torch.Tensor) and arg.is_floating_point():
                break
        if low is None:
            return function(*args, **kwargs)

        def up(value: Any) -> Any:
            return value.float() if isinstance(value, torch.Tensor) and value.dtype is low else value

        def down(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(down(v) for v in value)
            return value.to(low) if isinstance(value, torch.Tensor) and value.dtype is torch.float32 else value

        return down(function(*[up(a) for a in args], **{k: up(v) for k, v in kwargs.items()}))

    return rounded


def in_place(function: Callable[..., Any], input: Any, *args: Any) -> Any:
    """The in-place form of an op."""
    return getattr(input, function.__name__ + "_")(*args)


def not_differentiable(function: str, **arguments: Any) -> None:
    """RuntimeError for an argument that asks for a gradient `function` does not have."""
    for name, value in arguments.items():
        if isinstance(value, torch.Tensor) and value.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(f"The function '{function}' is not differentiable with respect to argument '{name}'. "
                               "This input cannot have requires_grad True.")

"""torch.nn._reduction: reductions as the numbers and words the older calls use.

Enters: a reduction's name or the deprecated flags. Leaves: its number or its name.
"""

from __future__ import annotations

import warnings

from frankentorch.nn.functional._support import legacy_reduction


def get_enum(reduction: str) -> int:
    """none 0, mean 1, sum 2; ValueError otherwise."""
    if reduction == "elementwise_mean":
        warnings.warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=2)
        return 1
    names = ("none", "mean", "sum")
    if reduction not in names:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return names.index(reduction)


def legacy_get_string(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> str:
    """The reduction that `size_average` and `reduce` mean."""
    return legacy_reduction(size_average, reduce, emit_warning)


def legacy_get_enum(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> int:
    """The number of that reduction."""
    return get_enum(legacy_get_string(size_average, reduce, emit_warning))

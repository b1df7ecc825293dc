"""Padding layers.

Enters: a tensor. Leaves: it, padded at the end of its last dimensions.
"""

from __future__ import annotations

from typing import Any

from frankentorch.nn import functional as F
from frankentorch.nn.modules.module import Module
from frankentorch.nn.modules.utils import _ntuple

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "ReflectionPad1d",
    "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]


class _PadNd(Module):
    __constants__ = ["padding"]
    _n = 0
    _mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = _ntuple(2 * self._n, "parse")(padding)

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    __constants__ = ["padding", "value"]

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Pads one dimension with a constant."""

    _n = 1


class ConstantPad2d(_ConstantPadNd):
    """Pads two dimensions with a constant."""

    _n = 2


class ConstantPad3d(_ConstantPadNd):
    """Pads three dimensions with a constant."""

    _n = 3


class _ZeroPad:
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)  # type: ignore[call-arg]

    def extra_repr(self) -> str:
        return f"{self.padding}"  # type: ignore[attr-defined]


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Pads one dimension with zeros."""


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Pads two dimensions with zeros."""


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Pads three dimensions with zeros."""


class _CircularPadNd(_PadNd):
    _mode = "circular"

    def forward(self, input: Any) -> Any:
        ranks = (self._n + 1, self._n + 2)
        if input.dim() not in ranks:
            raise ValueError(f"expected {ranks[0]}D or {ranks[1]}D input (got {input.dim()}D input)")
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """Pads one dimension around the corner."""

    _n = 1


class CircularPad2d(_CircularPadNd):
    """Pads two dimensions around the corner."""

    _n = 2


class CircularPad3d(_CircularPadNd):
    """Pads three dimensions around the corner."""

    _n = 3


class _ReflectionPadNd(_PadNd):
    _mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """Pads one dimension by reflection."""

    _n = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Pads two dimensions by reflection."""

    _n = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Pads three dimensions by reflection."""

    _n = 3


class _ReplicationPadNd(_PadNd):
    _mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """Pads one dimension with its edge."""

    _n = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Pads two dimensions with their edges."""

    _n = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Pads three dimensions with their edges."""

    _n = 3

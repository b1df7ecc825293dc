"""Pooling layers.

Enters: (N, C, spatial...) or without N. Leaves: the pooled tensor, and where asked the indices of the maxima.
"""

from __future__ import annotations

from typing import Any

from frankentorch.nn import functional as F
from frankentorch.nn.modules.module import Module
from frankentorch.nn.modules.utils import _pair, _single, _triple

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d",
    "AvgPool1d", "AvgPool2d", "AvgPool3d", "FractionalMaxPool2d", "FractionalMaxPool3d", "LPPool1d", "LPPool2d", "LPPool3d",
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d",
]


def _rank(module: Any) -> str:
    """The "2d" of "MaxPool2d"; of the nearest class whose name says it, so that subclasses keep it."""
    return next(c.__name__[-2:] for c in type(module).__mro__ if c.__name__[-2:] in ("1d", "2d", "3d"))


class _MaxPoolNd(Module):
    __constants__ = ["kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
                 ceil_mode: bool = False) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
                f"ceil_mode={self.ceil_mode}")

    def forward(self, input: Any) -> Any:
        return getattr(F, f"max_pool{_rank(self)}")(input, self.kernel_size, self.stride, self.padding, self.dilation,
                                                    ceil_mode=self.ceil_mode, return_indices=self.return_indices)


class MaxPool1d(_MaxPoolNd):
    """The maximum over windows of one dimension."""


class MaxPool2d(_MaxPoolNd):
    """The maximum over windows of two dimensions."""


class MaxPool3d(_MaxPoolNd):
    """The maximum over windows of three dimensions."""


class _MaxUnpoolNd(Module):
    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"

    def _store(self, to: Any, kernel_size: Any, stride: Any, padding: Any) -> None:
        self.kernel_size = to(kernel_size)
        self.stride = to(stride if stride is not None else kernel_size)
        self.padding = to(padding)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        return getattr(F, f"max_unpool{_rank(self)}")(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool1d(_MaxUnpoolNd):
    """The partial inverse of MaxPool1d."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self._store(_single, kernel_size, stride, padding)


class MaxUnpool2d(_MaxUnpoolNd):
    """The partial inverse of MaxPool2d."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self._store(_pair, kernel_size, stride, padding)


class MaxUnpool3d(_MaxUnpoolNd):
    """The partial inverse of MaxPool3d."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self._store(_triple, kernel_size, stride, padding)


class _AvgPoolNd(Module):
    __constants__ = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"]

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The mean over windows of one dimension."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = _single(stride if stride is not None else kernel_size)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Any) -> Any:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPoolWithDivisor(_AvgPoolNd):
    __constants__ = [*_AvgPoolNd.__constants__, "divisor_override"]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
                 divisor_override: int | None = None) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Any:
        return getattr(F, f"avg_pool{_rank(self)}")(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                                                    self.count_include_pad, self.divisor_override)


class AvgPool2d(_AvgPoolWithDivisor):
    """The mean over windows of two dimensions."""


class AvgPool3d(_AvgPoolWithDivisor):
    """The mean over windows of three dimensions."""


class _FractionalMaxPool(Module):
    __constants__ = ["kernel_size", "return_indices", "output_size", "output_ratio"]
    _to: Any = None

    def __init__(self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
                 _random_samples: Any = None) -> None:
        super().__init__()
        to = type(self)._to
        name = next(c.__name__ for c in type(self).__mro__ if c.__name__.startswith("FractionalMaxPool"))
        sizes = to(kernel_size)
        if name.endswith("3d") and any(k <= 0 for k in sizes):
            raise ValueError(f"kernel_size must greater than zero, but got {kernel_size}")
        self.kernel_size = sizes
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = to(output_size) if output_size is not None else None
        self.output_ratio = to(output_ratio) if output_ratio is not None else None
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Any) -> Any:
        return getattr(F, f"fractional_max_pool{_rank(self)}")(input, self.kernel_size, self.output_size, self.output_ratio,
                                                               self.return_indices, _random_samples=self._random_samples)


class FractionalMaxPool2d(_FractionalMaxPool):
    """Max pooling over pseudo-random windows of two dimensions."""

    _to = staticmethod(_pair)


class FractionalMaxPool3d(_FractionalMaxPool):
    """Max pooling over pseudo-random windows of three dimensions."""

    _to = staticmethod(_triple)


class _LPPoolNd(Module):
    __constants__ = ["norm_type", "kernel_size", "stride", "ceil_mode"]

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"

    def forward(self, input: Any) -> Any:
        return getattr(F, f"lp_pool{_rank(self)}")(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool1d(_LPPoolNd):
    """The p-norm of windows of one dimension."""


class LPPool2d(_LPPoolNd):
    """The p-norm of windows of two dimensions."""


class LPPool3d(_LPPoolNd):
    """The p-norm of windows of three dimensions."""


class _AdaptiveMaxPoolNd(Module):
    __constants__ = ["output_size", "return_indices"]

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"

    def forward(self, input: Any) -> Any:
        return getattr(F, f"adaptive_max_pool{_rank(self)}")(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Max pooling of one dimension to a given size."""


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """Max pooling of two dimensions to a given size."""


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Max pooling of three dimensions to a given size."""


class _AdaptiveAvgPoolNd(Module):
    __constants__ = ["output_size"]

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"

    def forward(self, input: Any) -> Any:
        return getattr(F, f"adaptive_avg_pool{_rank(self)}")(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Average pooling of one dimension to a given size."""


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """Average pooling of two dimensions to a given size."""


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Average pooling of three dimensions to a given size."""

"""torch.Size: a tuple of ints that stays a Size when sliced, added to or repeated.

Enters: an iterable of ints (or of objects that convert to one by ``__index__``). Leaves: `Size`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NoReturn

_LEAST, _GREATEST = -(2 ** 63), 2 ** 63 - 1


def _element(position: int, value: Any) -> int:
    """`value` as an int of 64 bits, or torch's error."""
    if type(value) is not int:
        try:
            value = int(value.__index__())
        except (AttributeError, TypeError):
            raise TypeError(f"torch.Size() takes an iterable of 'int' (item {position} is '{type(value).__name__}')") from None
    if not _LEAST <= value <= _GREATEST:
        raise ValueError("Overflow when unpacking long long")
    return int(value)


def of(sizes: Iterable[int]) -> Size:
    """A Size of what are known to be ints; no check."""
    return tuple.__new__(Size, sizes)


class Size(tuple[int, ...]):
    """The sizes of a tensor, one int a dimension."""

    __slots__ = ()
    __module__ = "torch"

    def __new__(cls, sizes: Iterable[Any] = (), /) -> Size:  # noqa: PYI034 (the class admits no subclass)
        return tuple.__new__(Size, [_element(i, s) for i, s in enumerate(sizes)])

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("type 'torch.Size' is not an acceptable base type")

    def numel(self) -> int:
        """The number of elements of a tensor of this size."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(repr, self))}])"

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return tuple.__new__(Size, found) if type(found) is tuple else found

    def __add__(self, other: Any) -> Size:
        if not isinstance(other, tuple):
            raise TypeError(f"can only concatenate tuple (not {type(other).__name__}) to torch.Size")
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Size:
        return Size(other + tuple(self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, times: Any) -> Size:
        if not hasattr(times, "__index__"):
            raise TypeError(f"can't multiply sequence by non-int of type '{type(times).__name__}'")
        return tuple.__new__(Size, tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[object, ...]:
        return of, (tuple(self),)

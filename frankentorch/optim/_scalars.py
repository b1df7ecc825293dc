"""Step counts and other per-parameter numbers of an optimizer, kept on the Python side.

Enters: Python floats. Leaves: what torch shows, 0-dim tensors, made only when the state is read.

An optimizer's arithmetic needs its step count as a run-time number. Were the count a tensor, reading it would run the pending
graph in every step, and counting would record one tiny kernel a parameter. So a `ScalarCell` holds the number, and a `ParamState`
(the dict at `optimizer.state[p]`) shows the cell as a tensor to whoever looks. While somebody holds that tensor it is
kept up to date in place, as torch does; a change they make to it is noticed by its version and read back.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import Any

import frankentorch as torch

_MISSING = object()


def round_f32(x: float) -> float:
    """The nearest float32, as a Python float (inf where it overflows)."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", x))[0])
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")


def _solitary(holder: dict[str, Any]) -> int:
    return sys.getrefcount(holder["t"])


# What getrefcount answers for an object only its holder refers to: measured, for the number differs between CPython versions.
_ALONE = _solitary({"t": object()})


class ScalarCell:
    """One number of the state, and the 0-dim tensor that was shown for it, if any."""

    __slots__ = ("double", "shown", "value", "version")

    def __init__(self, value: float, double: bool | None = None, shown: Any = None) -> None:
        self.double = torch.get_default_dtype() == torch.float64 if double is None else double
        self.value = float(value) if self.double else round_f32(float(value))
        self.shown = shown
        self.version = None if shown is None else shown._version

    @classmethod
    def adopt(cls, tensor: Any) -> ScalarCell:
        """A cell over a tensor that somebody put into the state; its value is read once."""
        return cls(tensor.item(), double=tensor.dtype == torch.float64, shown=tensor)

    def tensor(self) -> Any:
        """The 0-dim tensor that stands for the number, the same one as long as it is held."""
        if self.shown is None:
            self.shown = torch.tensor(self.value, dtype=torch.float64 if self.double else torch.float32)
            self.version = self.shown._version
        return self.shown

    def read(self) -> float:
        """The number now, after any change made to the shown tensor."""
        if self.shown is not None and self.shown._version != self.version:
            self.value = float(self.shown.item())
            self.version = self.shown._version
        return self.value

    def write(self, value: float) -> float:
        """Set the number, rounded to the cell's precision; a shown tensor follows, or is dropped if nobody else has it."""
        self.value = value if self.double else round_f32(value)
        if self.shown is not None:
            if _solitary({"t": self.shown}) <= _ALONE + 1:
                self.shown = self.version = None
            else:
                with torch.no_grad():
                    self.shown.fill_(self.value)
                self.version = self.shown._version
        return self.value

    def count(self) -> float:
        """One more; the new number."""
        if self.shown is None:
            self.value += 1.0
            return self.value
        return self.write(self.read() + 1.0)

    def scale(self, factor: float) -> float:
        """Multiply as a tensor of the cell's precision would: the factor is rounded first, the product once."""
        return self.write(self.read() * (factor if self.double else round_f32(factor)))


class ParamState(dict[str, Any]):
    """The state of one parameter: a dict in which numbers held as cells read as tensors."""

    __slots__ = ()

    def cell(self, key: str, make: Callable[[], float] | None = None) -> ScalarCell:
        """The cell behind `key`; a plain number or a tensor found there becomes one."""
        raw = dict.get(self, key, _MISSING)
        if type(raw) is ScalarCell:
            return raw
        if raw is _MISSING:
            if make is None:
                raise KeyError(key)
            cell = ScalarCell(make())
        elif isinstance(raw, torch.Tensor):
            cell = ScalarCell.adopt(raw)
        else:
            cell = ScalarCell(raw)
        dict.__setitem__(self, key, cell)
        return cell

    def raw(self, key: str) -> Any:
        """What is stored under `key`, or None; a cell stays a cell."""
        return dict.get(self, key)

    def __getitem__(self, key: str) -> Any:
        value = dict.__getitem__(self, key)
        return value.tensor() if type(value) is ScalarCell else value

    def get(self, key: str, default: Any = None) -> Any:
        value = dict.get(self, key, default)
        return value.tensor() if type(value) is ScalarCell else value

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        value = dict.pop(self, key) if default is _MISSING else dict.pop(self, key, default)
        return value.tensor() if type(value) is ScalarCell else value

    def popitem(self) -> tuple[str, Any]:
        key, value = dict.popitem(self)
        return key, value.tensor() if type(value) is ScalarCell else value

    # dict(state) and {**state} copy raw slots unless __iter__ is overridden.
    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self)

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return KeysView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return ValuesView(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return ItemsView(self)

    def plain(self) -> dict[str, Any]:
        """An ordinary dict with every cell shown as its tensor."""
        return {key: self[key] for key in self}

    def copy(self) -> dict[str, Any]:
        return self.plain()

    def __repr__(self) -> str:
        return repr(self.plain())

    def __eq__(self, other: object) -> bool:
        return self.plain() == (other.plain() if isinstance(other, ParamState) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return self.plain() | dict(other)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return ParamState, (self.plain(),)

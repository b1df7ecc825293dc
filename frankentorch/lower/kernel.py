"""What a lowering hands over: LLVM text and the words it is to be called with.

Enters: nothing. Leaves: `Lowered`, the unit that the runtime compiles, caches and binds, and the two kinds of argument
word which are known only when a program is bound (`Ptr`) or run (`Scalar`). The kernel ABI is in docs/architecture.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ptr:
    """The address of an operand (inputs are numbered first, then outputs) plus an offset in bytes."""

    operand: int
    byte_offset: int = 0


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar operand, given as the bits of an f64 or an i64."""

    operand: int


Word = int | Ptr | Scalar


@dataclass(slots=True)
class Lowered:
    """One kernel call.

    `text` is a whole LLVM module which defines `symbol`; equal symbols mean equal text. `units` counts the independent
    work units, `grain` is the fewest worth handing to another thread, `scratch` the bytes of private memory a thread needs.
    """

    text: str
    symbol: str
    args: list[Word] = field(default_factory=list)
    units: int = 1
    grain: int = 1
    scratch: int = 0

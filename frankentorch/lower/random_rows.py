"""The lowering of random rows: from a recorded draw to a kernel of `lower.random`.

Operands: the state's address (a number), then parameters; output 0 is filled in memory order by one unit of work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .kernel import Lowered, Ptr, Scalar
from .random import lower_random

if TYPE_CHECKING:
    from ..ops.record import Sig


def lower_row(sig: Sig) -> list[Lowered]:
    """The kernel of one draw."""
    kind, size, dtype, p_dtype = sig.attrs
    n = sig.outs[0].numel
    if n == 0:
        return []
    kernel = lower_random(kind, dtype.lane, p_dtype)
    words: list[Any] = [Scalar(0), Ptr(len(sig.types)), n]
    for i, t in enumerate(sig.types[1:], 1):
        words.append(Scalar(i) if t.scalar else Ptr(i))
    return [kernel.lowered(*words)]

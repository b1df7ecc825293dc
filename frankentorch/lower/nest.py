"""Fused pointwise and reduction kernels: from a description to `loops`, and through it to LLVM text.

Enters: a `KernelSpec` and the lane functions by name. Leaves: `Lowered` kernels, to be run in order. Text and symbol depend on structure
(ranks, access classes, dtypes, steps) and never on sizes; texts are kept by symbol, so xDSL is touched once a structure.

Templates: `nest_pointwise`; `nest_rows` (reduced axis innermost: lanes run along it); `nest_columns` (kept axis innermost: lanes run across
it, with sixteen accumulators a column); long reductions are split into blocks over several kernels (`nest_split`). All of them
compute the tree that docs/contract.md states, so which one runs never shows in the bits.
"""

from __future__ import annotations

from functools import lru_cache

from xdsl.dialects.builtin import ModuleOp

from frankentorch.lower.kernel import Lowered, Word
from frankentorch.lower.nest_canon import NotOneNest
from frankentorch.lower.nest_plan import Plan, Temp
from frankentorch.lower.nest_split import plans_for
from frankentorch.lower.spec import KernelSpec
from frankentorch.lower.translate import LaneOf, translate

_TEXTS: dict[tuple[str, LaneOf], str] = {}


def lower_nest(spec: KernelSpec, lane_of: LaneOf, tier: str = "avx512") -> list[Lowered]:
    """The kernels that compute `spec`, in the order in which they must run; none when there is nothing to write.

    Operand numbers in `Ptr` words: inputs, then outputs, then temporaries (`Temp` words, which carry the temporary's size).
    `lane_of(op, attrs)` gives the lane function of an op: pass the same object each time, since texts are kept by it. `tier` is a CPU
    tier of the runtime. Equal specs (a model's repeated blocks) share their `Lowered` values: do not change them. Raises `NotOneNest`.
    """
    return list(_lower(spec, repr([s.attrs for s in spec.steps if s.attrs]), lane_of, tier))


@lru_cache(maxsize=4096)
def _lower(spec: KernelSpec, attrs: str, lane_of: LaneOf, tier: str) -> tuple[Lowered, ...]:
    # Equal specs need not be the same spec: 0.0 == -0.0 and 1 == True. The attributes' text tells them apart.
    del attrs
    return tuple(_lowered(plan, lane_of, tier) for plan in plans_for(spec, lane_of))


def _lowered(plan: Plan, lane_of: LaneOf, tier: str) -> Lowered:
    symbol = plan.symbol(tier)
    text = _TEXTS.get((symbol, lane_of))
    if text is None:
        text = _TEXTS[symbol, lane_of] = translate(plan.module(tier), lane_of)
    return Lowered(text, symbol, list(plan.words.values()), plan.units, plan.grain, plan.scratch)


def build_loops(spec: KernelSpec, lane_of: LaneOf, tier: str = "avx512") -> list[tuple[ModuleOp, dict[str, Word]]]:
    """The same kernels one stage earlier: each `loops` module with its argument words by name."""
    return [(plan.module(tier), plan.words) for plan in plans_for(spec, lane_of)]


__all__ = ["NotOneNest", "Temp", "build_loops", "lower_nest", "translate"]

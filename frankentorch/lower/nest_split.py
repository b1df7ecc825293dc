"""Which kernels compute a spec.

Enters: a `KernelSpec`. Leaves: plans in the order in which they must run.
"""

from __future__ import annotations

from frankentorch.lower.kernel import Ptr, Scalar, Word
from frankentorch.lower.nest_canon import canonicalise
from frankentorch.lower.nest_plan import Plan
from frankentorch.lower.nest_pointwise import plan_pointwise
from frankentorch.lower.nest_rows import plan_rows
from frankentorch.lower.spec import KernelSpec
from frankentorch.lower.translate import LaneOf


def plans_for(spec: KernelSpec, lane_of: LaneOf) -> list[Plan]:
    """The plans of a spec; none when no output has an element."""
    if all(0 in spec.shape_of(value) for value, _ in spec.outputs):
        return []
    canon = canonicalise(spec)
    pointers: list[Word] = [Scalar(k) if o.is_scalar else Ptr(k) for k, o in enumerate(spec.operands)]
    pointers += [Ptr(len(spec.operands) + j) for j in range(len(spec.outputs))]
    if not canon.dims and not canon.reduced:
        return [plan_pointwise(canon, lane_of, pointers)]
    return [plan_rows(canon, lane_of, pointers)]

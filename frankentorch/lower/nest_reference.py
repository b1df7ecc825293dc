"""What a `KernelSpec` means, to the bit: a slow evaluation in numpy.

Enters: a spec, one array an operand (f16 and bf16 as uint16 patterns, i1 as bool, complex as numpy's), and the lane functions. Leaves: one
array an output. The kernels must agree with it except in the sign and payload of NaNs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from frankentorch.lower.lanes import Complex, Lane
from frankentorch.lower.lanes_numpy import NumpyLanes
from frankentorch.lower.spec import REDUCTIONS, KernelSpec, Step
from frankentorch.lower.translate import COMPLEX_PART, LaneOf, as_dtype, constant, widened
from frankentorch.lower.translate_reduce import accumulator_types, combine, fold_list, identity

LANES, BLOCK = 16, 4096


def reduce_tree(L: NumpyLanes, kind: str, xs: Sequence[Lane]) -> list[Lane]:
    """Reduce arrays of shape (rows, n) along n by the contract's tree; the result has shape (rows,)."""
    rows, n = xs[0].v.shape
    types = [x.ty for x in xs]
    if n > BLOCK:
        blocks = [reduce_tree(L, kind, [L.wrap(x.ty, x.v[:, lo:lo + BLOCK]) for x in xs]) for lo in range(0, n, BLOCK)]
        return reduce_tree(L, kind, [L.wrap(ty, np.stack([b[k].v for b in blocks], 1)) for k, ty in enumerate(types)])
    lanes = [np.full((rows, LANES), s.v) for s in identity(L, kind, types)]
    for i in range(0, n, LANES):
        width = min(LANES, n - i)
        acc = [L.wrap(ty, a[:, :width]) for ty, a in zip(types, lanes, strict=True)]
        for a, b in zip(lanes, combine(L, kind, acc, [L.wrap(x.ty, x.v[:, i:i + width]) for x in xs]), strict=True):
            a[:, :width] = b.v
    return fold_list(L, kind, [[L.wrap(ty, a[:, k]) for ty, a in zip(types, lanes, strict=True)] for k in range(LANES)])


def _reduce(L: NumpyLanes, step: Step, args: Sequence[Any], shape: tuple[int, ...]) -> Any:
    dims = step.attr("dims")
    assert isinstance(dims, tuple)
    kept = [d for d in range(len(shape)) if d not in dims]
    n, height = (int(np.prod([shape[d] for d in group], dtype=np.int64)) for group in (sorted(dims), kept))

    def rows(a: Any) -> Any:
        return np.broadcast_to(a, shape).transpose(*kept, *sorted(dims)).reshape(height, n)

    def result(a: Lane) -> Lane:
        return L.wrap(a.ty, np.asarray(a.v).reshape([1 if d in dims else s for d, s in enumerate(shape)]))

    parts = [p for a in args for p in ((a.re, a.im) if isinstance(a, Complex) else (a,))]
    types = accumulator_types(step.op, parts[0].ty, step.dtype)
    xs = [L.convert(L.wrap(p.ty, rows(p.v)), ty) for p, ty in zip(parts, types, strict=False)]
    if step.op.startswith("arg") and len(xs) == 1:
        xs.append(L.wrap("i64", np.broadcast_to(np.arange(n), xs[0].v.shape)))
    out = [result(a) for a in reduce_tree(L, step.op, xs)]
    return Complex(*out) if step.dtype in COMPLEX_PART else L.convert(out[-1], step.dtype)


def _operand(L: NumpyLanes, dtype: str, array: Any) -> Any:
    part = COMPLEX_PART.get(dtype)
    if part is None:
        return L.wrap(dtype, array)
    array = np.asarray(array)
    return Complex(L.wrap(part, array.real), L.wrap(part, array.imag))


def evaluate(spec: KernelSpec, arrays: Sequence[Any], lane_of: LaneOf) -> list[Any]:
    """The outputs' arrays, each of its value's shape."""
    L, shape = NumpyLanes(), spec.shape
    values: list[Any] = [_operand(L, o.dtype, a) for o, a in zip(spec.operands, arrays, strict=True)]
    for step in spec.steps:
        args = [values[a] for a in step.args]
        if step.op in REDUCTIONS:
            values.append(_reduce(L, step, args, shape))
        elif step.op == "iota":
            dim = step.attr("dim")
            assert isinstance(dim, int)
            index = np.arange(shape[dim]).reshape([-1 if d == dim else 1 for d in range(len(shape))])
            values.append(L.convert(L.wrap("i64", index), step.dtype))
        elif step.op == "full":
            values.append(constant(L, step.dtype, step.attr("value")))
        elif step.op == "to":
            values.append(as_dtype(L, args[0], step.dtype))
        else:
            out = lane_of(step.op, dict(step.attrs))(L, *(widened(L, a) for a in args))
            values.append(as_dtype(L, out, step.dtype))
    return [np.broadcast_to(_array(values[v]), spec.shape_of(v)) for v, _ in spec.outputs]


def _array(value: Any) -> Any:
    return value.re.v + 1j * value.im.v if isinstance(value, Complex) else value.v

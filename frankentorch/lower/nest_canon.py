"""A kernel's iteration space in canonical form: kept axes, then reduced axes, as few of each as the strides allow.

Enters: a `KernelSpec` over any shape. Leaves: a `Canon`, in which size-1 axes are gone, axes that every buffer walks alike are
merged, kept axes are ordered as the first output lies in memory (it decides which axis is innermost), and reduced axes stay in logical
order, since that order is part of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from frankentorch.lower.spec import REDUCTIONS, KernelSpec, Step


class NotOneNest(ValueError):
    """The spec does not fit one loop nest.

    Cause: its reductions run over different axes, or an output is smaller than the iteration space along an axis that is not reduced.
    Example: ``x.sum(0) + x.sum(1).sum()`` fused into one kernel. Remedy: fusion cuts between reductions whose `dims` differ, and
    gives each unreduced output the whole shape.
    """


@dataclass(slots=True)
class Canon:
    """The canonical form. Buffers are the operands, then the outputs; scalar operands have no strides."""

    spec: KernelSpec
    kept: list[int]
    reduced: list[int]
    strides: list[tuple[int, ...] | None]
    iota_axis: dict[int, int | None]
    dims: tuple[int, ...] = ()
    level: list[int] = field(default_factory=list)
    full: list[bool] = field(default_factory=list)
    args: list[tuple[int, ...]] = field(default_factory=list)
    inputs: int = 0

    @property
    def n(self) -> int:
        return _product(self.reduced)

    @property
    def rows(self) -> int:
        return _product(self.kept)

    def step(self, value: int) -> Step | None:
        return self.spec.steps[value - self.inputs] if value >= self.inputs else None

    def is_reduction(self, value: int) -> bool:
        step = self.step(value)
        return step is not None and step.op in REDUCTIONS


def _product(sizes: Sequence[int]) -> int:
    out = 1
    for size in sizes:
        out *= size
    return out


def reduced_dims(spec: KernelSpec) -> tuple[int, ...] | None:
    """The axes that the spec's reductions share, or None; raises `NotOneNest`."""
    found: tuple[int, ...] | None = None
    for step in spec.steps:
        if step.op in REDUCTIONS:
            dims = step.attr("dims")
            assert isinstance(dims, tuple)
            dims = tuple(sorted(dims))
            if found is not None and dims != found:
                raise NotOneNest(f"reductions over axes {found} and {dims} in one kernel")
            found = dims
    return found


def _buffer_strides(spec: KernelSpec, shape: tuple[int, ...]) -> list[tuple[int, ...] | None]:
    """Strides over the full shape, 0 along axes that a buffer lacks."""
    buffers = [None if o.is_scalar else (o.shape, o.strides) for o in spec.operands]
    buffers += [(spec.shape_of(value), strides) for value, strides in spec.outputs]
    return [None if b is None else tuple(0 if have == 1 else s for have, s in zip(*b, strict=True)) for b in buffers]


def canonicalise(spec: KernelSpec) -> Canon:
    """The canonical form of a spec none of whose axes is empty, except perhaps reduced ones."""
    shape = spec.shape
    dims = reduced_dims(spec)
    for value, _ in spec.outputs:
        small = [d for d, (have, full) in enumerate(zip(spec.shape_of(value), shape, strict=True)) if have != full]
        if any(d not in (dims or ()) for d in small):
            raise NotOneNest(f"output {value} has shape {spec.shape_of(value)} in an iteration space of {shape}")
    buffers = _buffer_strides(spec, shape)
    held = [b for b in buffers if b is not None]
    iotas = {len(spec.operands) + k: step.attr("dim")
             for k, step in enumerate(spec.steps) if step.op == "iota"}
    fixed = set(iotas.values())
    live = [d for d, size in enumerate(shape) if size != 1]
    reduced = [d for d in live if dims is not None and d in dims]
    kept = [d for d in live if d not in reduced]
    kept.sort(key=lambda d: [-abs(b[d]) for b in buffers[len(spec.operands):] if b is not None])
    groups_kept, groups_reduced = _merge(kept, shape, held, fixed), _merge(reduced, shape, held, fixed)
    axes = groups_kept + groups_reduced
    strides = [None if b is None else tuple(b[group[-1]] for group in axes) for b in buffers]
    place = {d: k for k, group in enumerate(axes) for d in group}
    sizes = [_product([shape[d] for d in group]) for group in axes]
    canon = Canon(spec, sizes[:len(groups_kept)], sizes[len(groups_kept):], strides,
                  {value: place.get(d) for value, d in iotas.items()}, dims or ())  # type: ignore[call-overload]
    if dims is not None and not canon.reduced:
        canon.reduced = [1]
        canon.strides = [None if s is None else (*s, 0) for s in strides]
    classify(canon)
    return canon


def reorder_kept(canon: Canon, order: Sequence[int]) -> None:
    """Put the kept axes in another order, which no result depends on."""
    place = {axis: k for k, axis in enumerate(order)}
    rest = list(range(len(order), len(order) + len(canon.reduced)))
    canon.kept = [canon.kept[a] for a in order]
    canon.strides = [None if s is None else tuple(s[a] for a in [*order, *rest]) for s in canon.strides]
    canon.iota_axis = {v: a if a is None else place.get(a, a) for v, a in canon.iota_axis.items()}


def _merge(dims: Sequence[int], shape: tuple[int, ...], buffers: Sequence[tuple[int, ...]], fixed: set[object]) -> list[list[int]]:
    groups: list[list[int]] = []
    for d in dims:
        outer = groups[-1][-1] if groups else None
        if outer is not None and outer not in fixed and d not in fixed and all(b[outer] == b[d] * shape[d] for b in buffers):
            groups[-1].append(d)
        else:
            groups.append([d])
    return groups


def classify(canon: Canon) -> None:
    """Note of each value whether it varies along reduced axes, and after how many reductions in a row it is known."""
    kept, canon.inputs = len(canon.kept), len(canon.spec.operands)
    canon.args = [()] * canon.inputs + [s.args for s in canon.spec.steps]
    for value in range(canon.inputs + len(canon.spec.steps)):
        step = canon.step(value)
        if step is None:
            strides = canon.strides[value]
            full, level = strides is not None and any(strides[kept:]), 0
        elif step.op in REDUCTIONS:
            full, level = False, 1 + max(canon.level[a] for a in step.args)
        elif step.op == "iota":
            axis = canon.iota_axis[value]
            full, level = axis is not None and axis >= kept, 0
        else:
            full = any(canon.full[a] for a in step.args)
            level = max((canon.level[a] for a in step.args), default=0)
        canon.full.append(full)
        canon.level.append(level)

"""What a fused kernel computes: the description that fusion hands to `lower.nest`.

Enters: nothing; these are plain frozen values. Leaves: `KernelSpec`, hashable and free of any IR or tensor.

A spec lives on ONE iteration space. Every operand and step has the full shape S, or S with reduced axes as 1 (the keepdim form);
broadcasting is already a stride of 0. Value numbers count operands first, then steps.

A bf16 or f16 step reads its arguments widened to f32, computes in f32 and rounds once to its dtype. Bool lanes ("i1") are
bytes 0 or 1 in memory. Complex dtypes ("c64", "c128") are two adjacent floats in memory, and their strides count complex elements.

Special steps, known to the templates (everything else is a lane function found by its name):

- ``to``: convert to the step's dtype; ``complex``: from two real parts; ``iota`` (attr ``dim``): the index along `dim`, in the step's
  dtype; ``full`` (attr ``value``): a constant.
- reductions (attr ``dims``): sum, prod, max, min, any, all, argmax, argmin (result i64, the row-major index over the reduced axes).
"""

from __future__ import annotations

from dataclasses import dataclass

REDUCTIONS = frozenset(("sum", "prod", "max", "min", "any", "all", "argmax", "argmin"))


@dataclass(frozen=True, slots=True)
class Operand:
    """A buffer read by the kernel (or, with `is_scalar`, one run-time word: the bits of an f64, or an i64)."""

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    is_scalar: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One value computed from earlier ones; `args` are value numbers."""

    op: str
    args: tuple[int, ...]
    attrs: tuple[tuple[str, object], ...]
    dtype: str
    shape: tuple[int, ...]

    def attr(self, name: str, default: object = None) -> object:
        for key, value in self.attrs:
            if key == name:
                return value
        return default


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """One fused kernel: `outputs` are (value number, strides of the output buffer in elements)."""

    operands: tuple[Operand, ...]
    steps: tuple[Step, ...]
    outputs: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The full iteration space: the elementwise largest of all shapes."""
        shapes = [o.shape for o in self.operands if not o.is_scalar] + [s.shape for s in self.steps]
        return tuple(0 if 0 in extents else max(extents) for extents in zip(*shapes, strict=True)) if shapes else ()

    def dtype_of(self, value: int) -> str:
        n = len(self.operands)
        return self.operands[value].dtype if value < n else self.steps[value - n].dtype

    def shape_of(self, value: int) -> tuple[int, ...]:
        n = len(self.operands)
        return self.operands[value].shape if value < n else self.steps[value - n].shape

"""`ft-cse`: compute equal things once."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from ..dialect import NumberOp, RowOp
from . import rewrite


@dataclass(frozen=True)
class Cse(ModulePass):
    """Merge ops of one row with the same operands and static attributes into the first of them. ::

        %a = ft.exp(%x) : !ft.tensor<[4], f32>
        %b = ft.exp(%x) : !ft.tensor<[4], f32>
        %c = ft.mul(%a, %b) : !ft.tensor<[4], f32>
        // becomes
        %a = ft.exp(%x) : !ft.tensor<[4], f32>
        %c = ft.mul(%a, %a) : !ft.tensor<[4], f32>

    Exact for every value, NaN and -0 included: an op is a function of its operands' bits. Static attributes compare by their text, so -0.0
    and 0.0 differ. Random ops are never merged. Two values that both leave the function, as themselves or through views, stay
    two: torch gives each memory of its own.
    """

    name = "ft-cse"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        known: dict[object, tuple[SSAValue, ...]] = {}
        for inner in list(rewrite.body(op).ops):
            if not isinstance(inner, RowOp | NumberOp) or rewrite.is_effect(inner):
                continue
            key = (type(inner), tuple(inner.operands), tuple(inner.properties.items()), tuple(inner.attributes.items()), tuple(inner.result_types))
            first = known.setdefault(key, tuple(inner.results))
            if first[0] is inner.results[0] or any(rewrite.escapes(r) for r in inner.results) and any(rewrite.escapes(r) for r in first):
                continue
            rewrite.replace(inner, first)

"""`ft-dce`: drop what nobody reads."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from . import rewrite


@dataclass(frozen=True)
class Dce(ModulePass):
    """Drop ops whose results have no use. ::

        %y = ft.exp(%x) : !ft.tensor<[4], f32>
        %z = ft.neg(%x) : !ft.tensor<[4], f32>
        func.return %z
        // becomes
        %z = ft.neg(%x) : !ft.tensor<[4], f32>
        func.return %z

    Exact, since no value changes. Random ops stay: their draws move the generator's state, which is read after the program.
    """

    name = "ft-dce"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rewrite.erase_unused(rewrite.body(op))

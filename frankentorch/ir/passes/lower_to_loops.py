"""`ft-lower-to-loops`: kernels into functions of the `loops` dialect, and calls of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass

from ...lower.kernel import Ptr, Scalar, Word
from ...lower.nest_plan import Temp
from ...lower.nest_split import plans_for
from ...lower.program import lane_of
from ..dialect import KernelOp, RowOp, static
from ..kernel_spec import is_nest, spec_of
from ..template_op import LoopsOp, TemplateOp
from . import rewrite


@dataclass(frozen=True)
class LowerToLoops(ModulePass):
    """Replace each ``ft.kernel`` by a call; the loops of nest kernels stand after @main, each once. ::

        %z = ft.kernel(%x) : !ft.tensor<[4], f32> { ... }
        // becomes
        %z = call.loops(%x) [["k_1f", 1, 1, 0, ["ptr", 0, 0], ["ptr", 1, 0], 4]] : !ft.tensor<[4], f32>
        ...
        loops.kernel "k_1f" tier "avx512" words ["p0", "p1", "columns"] { ... }

    A kernel of one op with a template becomes ``call.template``; a contraction with pointwise ops after it stays as it is. Exact by contract: a loop nest computes each op of its kernel in the order and
    with the roundings of docs/contract.md. `tier` is the CPU tier to write loops for; empty means this process's.
    """

    name = "ft-lower-to-loops"
    tier: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        tier = self.tier or _current_tier()
        known: set[str] = set()
        for inner in list(rewrite.body(op).ops):
            if not isinstance(inner, KernelOp):
                continue
            block = inner.parent_block()
            assert block is not None
            if not is_nest(inner) and len([r for r in inner.body.block.ops if isinstance(r, RowOp)]) > 1:
                continue  # a contraction with its tail: its template writes both
            if is_nest(inner):
                made = _loops(op, inner, tier, known)
                block.insert_op_before(made, inner)
                rewrite.replace(inner, made.results)
            else:
                call, kept = _template(inner)
                block.insert_op_before(call, inner)
                rewrite.replace(inner, [call.results[k] for k in kept])


def _current_tier() -> str:
    from ...runtime.jit import current_tier

    return current_tier()


def _loops(module: ModuleOp, kernel: KernelOp, tier: str, known: set[str]) -> LoopsOp:
    calls = []
    for plan in plans_for(spec_of(kernel), lane_of):
        symbol = plan.symbol(tier)
        if symbol not in known:
            known.add(symbol)
            loops = next(iter(plan.module(tier).ops))
            loops.detach()
            module.body.block.add_op(loops)
        calls.append((symbol, plan.units, plan.grain, plan.scratch, *[_word(w) for w in plan.words.values()]))
    return LoopsOp.create(operands=list(kernel.operands), result_types=list(kernel.result_types), properties={"calls": static(tuple(calls))})


def _word(word: Word) -> Any:
    if isinstance(word, Temp):
        return ("temp", word.operand, word.byte_offset, word.nbytes)
    if isinstance(word, Ptr):
        return ("ptr", word.operand, word.byte_offset)
    return ("scalar", word.operand) if isinstance(word, Scalar) else int(word)


def _template(kernel: KernelOp) -> tuple[TemplateOp, list[int]]:
    """The call of a one-op kernel's template, and which of its results the kernel yields."""
    only = next(op for op in kernel.body.block.ops if isinstance(op, RowOp))
    places: dict[SSAValue, SSAValue] = dict(zip(kernel.body.block.args, kernel.operands, strict=True))
    properties: dict[str, Attribute] = {"row": StringAttr(only.ROW.name), "statics": DictionaryAttr(dict(only.properties))}
    made = TemplateOp.create(operands=[places[v] for v in only.operands], result_types=list(only.result_types), properties=properties)
    results: list[SSAValue] = list(only.results)
    return made, [results.index(v) for v in kernel.returned.operands]

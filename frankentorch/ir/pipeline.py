"""The pass order, and the stages at which a program can be looked at.

Enters: an `ft` module. Leaves: the module at a stage, or the LLVM text of its kernels. Every stage down to loops prints, parses and runs
on: ``ft opt`` on a dumped stage gives the same objects as the whole pipeline at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from ..knobs import knobs
from . import verify
from .passes.cse import Cse
from .passes.dce import Dce
from .passes.decompose import Decompose
from .passes.fuse import Fuse
from .passes.grad import Grad
from .passes.lower_to_loops import LowerToLoops
from .passes.own_results import OwnResults
from .passes.simplify import Simplify

STAGES = ("ft", "grad", "fused", "loops", "llvm")

PIPELINE: tuple[tuple[str, type[ModulePass]], ...] = (
    ("grad", Grad),
    ("fused", Decompose),
    ("fused", Simplify),
    ("fused", Cse),
    ("fused", Dce),
    ("fused", OwnResults),
    ("fused", Fuse),
    ("loops", LowerToLoops),
)
"""(the stage that the pass leads to, the pass). `Grad` runs where a function's arguments are marked ``requires_grad``."""

PASSES: dict[str, type[ModulePass]] = {p.name: p for _, p in PIPELINE}


class Object(NamedTuple):
    """One LLVM module of a program: the symbol it defines, its text, and the key of its object in the cache."""

    symbol: str
    text: str
    key: str


def run(module: ModuleOp, upto: str = "loops", start: str = "ft", callback: Callable[[ModulePass, ModuleOp], None] | None = None) -> ModuleOp:
    """Take a module, in place, from stage `start` to stage `upto` (one of `STAGES` but the last). With FT_VERIFY every pass is checked."""
    if upto not in STAGES[:-1] or start not in STAGES[:-1]:
        raise ValueError(f"no stage {upto!r} of IR; there are {', '.join(STAGES[:-1])}")
    context = Context()
    if knobs.verify:
        module.verify()
    for stage, kind in PIPELINE:
        if not STAGES.index(start) < STAGES.index(stage) <= STAGES.index(upto) or kind is Grad and not asks_gradients(module):
            continue
        step = kind()
        step.apply(context, module)
        if knobs.verify:
            check(module, step.name)
        if callback is not None:
            callback(step, module)
    return module


def optimise(module: ModuleOp) -> None:
    """The passes between recording and fusion, on an `ft` module, in place. (The planner groups what they leave as `ft-fuse` does.)"""
    context = Context()
    for stage, kind in PIPELINE:
        if stage == "fused" and kind is not Fuse:
            kind().apply(context, module)
            if knobs.verify:
                check(module, kind.name)


def check(module: ModuleOp, after: str) -> None:
    """Verify a module; errors name the pass that left it so."""
    try:
        module.verify()
        verify.program(module)
    except Exception as error:
        error.add_note(f"after {after}")
        raise


def asks_gradients(module: ModuleOp) -> bool:
    function = next((op for op in module.ops if isinstance(op, FuncOp)), None)
    marks = function.arg_attrs.data if function is not None and function.arg_attrs is not None else ()
    return any("requires_grad" in m.data for m in marks)


def objects(module: ModuleOp, tier: str = "", threads: int = 1) -> list[Object]:
    """The LLVM modules of a module at stage "loops", each once, in order of their first call.

    `threads` is the hint that contraction templates take for their work units; `tier` a CPU tier, this process's when empty.
    """
    from ..lower.loops import KernelOp
    from ..lower.program import build_plan, lane_of
    from ..lower.translate import translate_kernel
    from ..runtime.jit import current_tier
    from ..runtime.objects import key_of
    from .dialect import KernelOp as FtKernelOp
    from .kernel_spec import recorded
    from .memory_use import template_plan
    from .template_op import LoopsOp, TemplateOp

    tier = tier or current_tier()
    kernels = {op.sym_name.data: op for op in module.ops if isinstance(op, KernelOp)}
    found: dict[str, str] = {}
    for op in verify.main(module).body.block.ops:
        if isinstance(op, LoopsOp):
            for symbol, units, *_ in op.calls.data:
                if units and symbol not in found:
                    found[symbol] = translate_kernel(kernels[symbol], lane_of)
        elif isinstance(op, FtKernelOp):
            instrs, outputs = recorded(op)
            for entry in build_plan(instrs, outputs, {}, tier, threads).entries:
                found.setdefault(entry.symbol, entry.text)
        elif isinstance(op, TemplateOp):
            for entry in template_plan(op, tier, threads).entries:
                found.setdefault(entry.symbol, entry.text)
    return [Object(symbol, text, key_of(text)) for symbol, text in found.items()]


def llvm_text(module: ModuleOp, tier: str = "", threads: int = 1) -> str:
    """Every kernel's LLVM text, each under a comment with its symbol and its key."""
    return "\n".join(f"; {o.symbol} {o.key}\n{o.text}" for o in objects(module, tier, threads))


def digest(module: ModuleOp, tier: str = "", threads: int = 1) -> str:
    """The digest of a program's objects, in order: equal digests mean that the same machine code runs."""
    from blake3 import blake3

    return blake3("\n".join(o.key for o in objects(module, tier, threads)).encode()).hexdigest()

"""``ft opt``: xdsl-opt with our dialects and passes, on MLIR text.

Enters: a file (or standard input) of any stage, and ``-p`` with passes by name. Leaves: the module after them, as text; ``-t llvm`` prints the
kernels' LLVM text instead, ``-t digest`` one line that names their objects, ``-t run`` what the reference interpreter makes of a module of
stages ft to fused on fixed inputs: two stages of one program print the same. Every option of xdsl-opt works: ``--print-between-passes``,
``--time-passes``, ``--split-input-file``, ``--verify-diagnostics``, ``--print-op-generic``, ...

::

    ft opt program.mlir -p ft-grad,ft-decompose,ft-simplify,ft-cse,ft-dce,ft-fuse
    ft opt program.mlir --stage loops -t digest
    ft opt program.mlir --stage fused -t run
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import IO, TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.xdsl_opt_main import xDSLOptMain

from ..ir import pipeline, verify
from ..ir.dialect import Ft
from ..ir.template_op import Calls
from ..lower.loops import Loops

if TYPE_CHECKING:
    from ..ir.interp import Memory
    from ..ops.types import TensorType


class OptMain(xDSLOptMain):
    """xdsl-opt that knows `ft`, `call` and `loops`."""

    version_format = "ft opt, on xDSL {xdsl_version}"

    def register_all_dialects(self) -> None:
        super().register_all_dialects()
        for dialect in (Ft, Calls, Loops):
            self.ctx.load_dialect(dialect)

    def register_all_passes(self) -> None:
        super().register_all_passes()
        for name, kind in pipeline.PASSES.items():
            self.register_pass(name, _giving(kind))

    def register_all_targets(self) -> None:
        super().register_all_targets()
        self.available_targets["llvm"] = _print_llvm
        self.available_targets["digest"] = _print_digest
        self.available_targets["run"] = _print_run

    def register_all_arguments(self, arg_parser: argparse.ArgumentParser) -> None:
        super().register_all_arguments(arg_parser)
        arg_parser.add_argument("--stage", choices=pipeline.STAGES[:-1], default=None,
                                help="after the passes of -p, take an ft module to this stage by the pipeline's order")

    def apply_passes(self, prog: ModuleOp) -> None:
        if not self.args.disable_verify:
            prog.verify()
            verify.program(prog)
        super().apply_passes(prog)
        if self.args.stage is not None:
            pipeline.run(prog, self.args.stage, callback=self._checked)

    def _checked(self, step: ModulePass, module: ModuleOp) -> None:
        if not self.args.disable_verify:
            pipeline.check(module, step.name)


def _giving(kind: type[ModulePass]) -> Callable[[], type[ModulePass]]:
    return lambda: kind


def _print_llvm(module: ModuleOp, output: IO[str]) -> None:
    output.write(pipeline.llvm_text(module))


def _print_digest(module: ModuleOp, output: IO[str]) -> None:
    output.write(pipeline.digest(module) + "\n")


def _print_run(module: ModuleOp, output: IO[str]) -> None:
    """One line a result: its type, a digest of its bits, its first values."""
    from xdsl.context import Context

    from ..ir.build import from_module
    from ..ir.dialect import value_type
    from ..ir.interp import interpret
    from ..ir.passes.decompose import Decompose

    module = module.clone()
    Decompose().apply(Context(), module)
    recorded = from_module(module)
    given = recorded.leaves[:len(recorded.leaves) - len(recorded.numbers)]
    slots = interpret(recorded.instrs, [*[_input(k, t) for k, t in enumerate(given)], *recorded.numbers])
    for slot in recorded.outputs:
        array = slots[slot].array
        digest = blake2b(array.tobytes(), digest_size=16).hexdigest()
        output.write(f"{value_type(slots[slot].type)} {digest} {array.reshape(-1)[:4].tolist()}\n")


def _input(number: int, t: TensorType) -> Memory | complex:
    """The input of an argument: normal numbers from a seed of its own, small counts for integers, 1 for a number."""
    import numpy as np

    from ..ir.interp import convert, store

    if t.scalar:
        return t.const if t.const is not None else 1
    if t.dtype.is_floating_point or t.dtype.is_complex:
        return store(convert(np.random.default_rng(number).standard_normal(t.shape), t.dtype), t)
    return store(convert(np.arange(t.numel).reshape(t.shape) % 2, t.dtype), t)


def main(args: Sequence[str] | None = None) -> None:
    """Run the tool on command-line arguments (those of the process when None)."""
    import frankentorch  # noqa: F401  (the table's rows)

    OptMain("ft opt: passes over FrankenTorch IR", args).run()


if __name__ == "__main__":
    main()

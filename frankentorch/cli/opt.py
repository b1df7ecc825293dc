"""``ft opt``: xdsl-opt with our dialects and passes, on MLIR text.

Enters: a file (or standard input) of any stage, and ``-p`` with passes by name. Leaves: the module after them, as text; ``-t llvm`` prints the
kernels' LLVM text instead, ``-t digest`` one line that names their objects. Every option of xdsl-opt works: ``--print-between-passes``,
``--time-passes``, ``--split-input-file``, ``--verify-diagnostics``, ``--print-op-generic``, ...

::

    ft opt program.mlir -p ft-grad,ft-decompose,ft-simplify,ft-cse,ft-dce,ft-fuse
    ft opt program.mlir --stage loops -t digest
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import IO

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.xdsl_opt_main import xDSLOptMain

from ..ir import pipeline, verify
from ..ir.dialect import Ft
from ..ir.template_op import Calls
from ..lower.loops import Loops


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


def main(args: Sequence[str] | None = None) -> None:
    """Run the tool on command-line arguments (those of the process when None)."""
    import frankentorch  # noqa: F401  (the table's rows)

    OptMain("ft opt: passes over FrankenTorch IR", args).run()


if __name__ == "__main__":
    main()

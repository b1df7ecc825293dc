"""Running a script while noting every program that is new to the process.

Enters: a script. Leaves: `Seen`, in order: a program's instructions as recorded, what it stores, and the plan that the runtime made or
loaded.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import settings

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from ..lower.plan import Plan
    from ..ops.record import Sig


@dataclass
class Seen:
    """One program. `seconds` is what building or loading it took; `plan` is None where that failed.

    A program whose structure the process had met at another size is `resized`: planned as recorded, fused but without the other passes. For
    plans from disk that is not known beforehand (None).
    """

    instrs: list[tuple[Sig, tuple[int, ...]]]
    live: tuple[int, ...]
    donors: dict[int, int]
    loaded: bool = False
    seconds: float = 0.0
    plan: Plan | None = None
    resized: bool | None = False

    def module(self) -> ModuleOp:
        """The program at stage "ft", arguments whose memory a result may take marked."""
        from ..ir import build, memory_use, verify
        from ..ops.table import Kind

        made = build.to_module(self.instrs, list(self.live))
        leaf_of_slot: dict[int, int] = {}
        at = 0
        for sig, _ in self.instrs:
            if sig.row.kind is Kind.LEAF:
                leaf_of_slot[at] = len(leaf_of_slot)
            at += len(sig.outs)
        given = {self.live.index(new): leaf_of_slot[old] for new, old in self.donors.items() if new in self.live}
        memory_use.mark_donors(verify.main(made), given)
        return made

    def at(self, stage: str) -> ModuleOp:
        """The program at a stage of IR, by the passes that the runtime ran."""
        from ..ir import pipeline

        module = self.module()
        if not self.as_recorded():
            return pipeline.run(module, stage)
        return _as_recorded(module, stage)

    def as_recorded(self) -> bool:
        """Whether the plan was made without the passes before fusion."""
        if self.resized is None:
            from ..ir import pipeline
            from ..runtime import native

            threads = native.get_num_threads()
            self.resized = self.plan is not None and pipeline.digest(pipeline.run(self.module()), threads=threads) != self.digest() and (
                pipeline.digest(_as_recorded(self.module(), "loops"), threads=threads) == self.digest())
        return self.resized

    def digest(self) -> str:
        """The digest of the objects that the runtime runs, as ``ft opt -t digest`` prints it."""
        from blake3 import blake3

        assert self.plan is not None
        return blake3("\n".join(dict.fromkeys(e.key for e in self.plan.entries)).encode()).hexdigest()


def _as_recorded(module: ModuleOp, stage: str) -> ModuleOp:
    from xdsl.context import Context

    from ..ir.passes.fuse import Fuse
    from ..ir.passes.lower_to_loops import LowerToLoops

    if stage in ("fused", "loops"):
        Fuse().apply(Context(), module)
    if stage == "loops":
        LowerToLoops().apply(Context(), module)
    return module


@contextlib.contextmanager
def noted() -> Any:
    """A list that grows by every program new to this process while the block runs."""
    from ..knobs import knobs
    from ..runtime import program

    found: list[Seen] = []
    marks: list[tuple[int, int, float]] = []

    def mark() -> None:
        marks.append((program.STATS["plans_loaded"], program.STATS["resized"], program.STATS["build_seconds"]))  # type: ignore[arg-type]

    def see(instrs: Any, live: tuple[int, ...], donors: dict[int, int]) -> None:
        found.append(Seen(list(instrs), live, dict(donors)))
        mark()

    program.OBSERVERS.append(see)
    try:
        yield found
    finally:
        program.OBSERVERS.remove(see)
        mark()
        for seen, before, after in zip(found, marks, marks[1:], strict=False):
            seen.loaded, seen.seconds = after[0] > before[0], after[2] - before[2]
            seen.resized = None if seen.loaded else after[1] > before[1]
            bound = program.PROGRAMS.get((tuple(seen.instrs), seen.live, tuple(seen.donors.items()), knobs.cpu))
            seen.plan = None if bound is None else bound.plan


def script(target: str, args: Sequence[str]) -> tuple[list[Seen], bool]:
    """Run a script, its output on stderr; its programs, and whether it ended well. A failure is reported, and what ran before is kept."""
    good = True
    with noted() as found, contextlib.redirect_stdout(sys.stderr):
        try:
            settings.execute(target, args)
        except SystemExit as end:
            if end.code not in (None, 0):
                good = False
                print(f"ft: the script ended with {end.code!r}", file=sys.stderr)
        except Exception as error:
            from click import ClickException

            if isinstance(error, ClickException):
                raise
            good = False
            settings.show_error(error)
    return found, good

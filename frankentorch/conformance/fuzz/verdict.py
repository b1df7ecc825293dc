"""The verdict on one program: torch against the deferred mode, and the deferred mode against the others.

Enters: a program. Leaves: a `Finding` (a difference and the mode it shows in), or None. A difference of values does not count when torch's
own values move by as much once the literals move by a millionth: such a program magnifies rounding and says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from .compare import Difference, compare
from .program import Program
from .run import MODES, Log, run

NUDGE = {"float64": 1e-12, "float32": 1e-6, "float16": 2e-3, "bfloat16": 1e-2}


@dataclass(frozen=True)
class Finding:
    """A difference between two runs of a program."""

    difference: Difference
    mode: str
    against: str

    @property
    def key(self) -> tuple[str, ...]:
        """What must stay the same while the program is shrunk."""
        d = self.difference
        raised = d.got.split(":")[0].split(" ")[0] + d.want.split(":")[0].split(" ")[0] if d.field == "raises" else ""
        return (self.mode, self.against, d.grade, d.field, raised)

    def __str__(self) -> str:
        return f"{self.mode} against {self.against}: {self.difference}"


def judge(program: Program, modes: tuple[str, ...] = MODES, soft: bool = False) -> Finding | None:
    """The first finding, hard ones and missing names before soft ones (reported only if `soft`)."""
    want = run(program, "torch")
    first = run(program, modes[0])
    d = compare(want, first, program)
    if d is not None and d.grade != "soft" and not (d.field in ("value", "grad", "out", "raises") and unsteady(program, want)):
        return Finding(d, modes[0], "torch")
    for mode in modes[1:]:
        e = compare(first, run(program, mode), program, exact=True)
        if e is not None and e.grade != "soft":
            return Finding(e, mode, modes[0])
    return Finding(d, modes[0], "torch") if d is not None and soft and d.grade == "soft" else None


def unsteady(program: Program, want: Log) -> bool:
    """Whether torch's own run depends on rounding: on the last bits of its inputs."""
    nudge = NUDGE[program.loose]
    return any(compare(want, run(program, "torch", perturb=p), program) is not None for p in (nudge, -nudge, 1.5 * nudge, -1.5 * nudge))

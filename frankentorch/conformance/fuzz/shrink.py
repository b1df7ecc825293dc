"""Shrinking: the fewest statements that still show a finding (delta debugging, Zeller and Hildebrandt 2002, section 3.2).

Enters: a program and its finding. Leaves: a program of a few statements with a finding of the same key.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from .program import LOOK_NOTHING, LOOK_VALUES, Program
from .verdict import Finding, judge


def shrink(program: Program, finding: Finding, seconds: float = 20.0) -> tuple[Program, Finding]:
    """Drop statements, then looks, then simplify calls, for as long as the finding stays and time allows."""
    modes = (finding.mode,) if finding.against == "torch" else (finding.against, finding.mode)
    soft = finding.difference.grade == "soft"
    limit = time.monotonic() + seconds
    found = finding

    def shows(p: Program) -> bool:
        nonlocal found
        f = judge(p, modes, soft)
        if f is None or f.key != finding.key:
            return False
        found = f
        return True

    end = min(finding.difference.at + 1, len(program.statements))
    cut = program.keep(list(range(end)))
    program = cut if shows(cut) else program
    program = _fewest(program, shows, limit)
    for smaller in _quieter(program):
        if time.monotonic() > limit:
            break
        if shows(smaller):
            program = smaller
            break
    program = _simpler(program, shows, limit)
    shows(program)
    return program, found


def _fewest(program: Program, shows: Callable[[Program], bool], limit: float) -> Program:
    """Remove chunks of statements, halving the chunk until single statements stay put."""
    kept = list(range(len(program.statements)))
    chunk = max(len(kept) // 2, 1)
    while time.monotonic() < limit:
        removed = False
        at = 0
        while at < len(kept) and time.monotonic() < limit:
            trial = kept[:at] + kept[at + chunk:]
            if trial and shows(program.keep(trial)):
                kept, removed = trial, True
            else:
                at += chunk
        if chunk == 1 and not removed:
            break
        chunk = max(chunk // 2, 1)
    return program.keep(kept)


def _quieter(program: Program) -> Iterator[Program]:
    """The program without looks, or with those at its values only."""
    statements = program.statements
    yield replace(program, statements=tuple(replace(s, look=LOOK_NOTHING) for s in statements))
    for i in range(len(statements)):
        yield replace(program, statements=tuple(replace(s, look=s.look if j >= i else LOOK_NOTHING) for j, s in enumerate(statements)
                                                )) if statements[i].look == LOOK_VALUES else program


SIMPLER = ((r"with torch\.no_grad\(\):\n +", ""), (r", retain_graph=True|retain_graph=True", ""), (r", create_graph=True", ""), (r", requires_grad=True", ""),
           (r"\.requires_grad_\(\)", ""), (r"dtype=torch\.(float64|float16|bfloat16)", "dtype=torch.float32"), (r"\.detach\(\)", ""), (r"\.clone\(\)", ""))


def _simpler(program: Program, shows: Callable[[Program], bool], limit: float) -> Program:
    """Take single words out of statements."""
    for i in range(len(program.statements)):
        for pattern, by in SIMPLER:
            s = program.statements[i]
            code = re.sub(pattern, by, s.code)
            if code == s.code or time.monotonic() > limit:
                continue
            trial = replace(program, statements=(*program.statements[:i], replace(s, code=code), *program.statements[i + 1:]))
            if shows(trial):
                program = trial
    return program

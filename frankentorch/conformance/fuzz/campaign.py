"""Many programs: generate, judge, shrink, and write down.

Enters: seeds. Leaves: a `Report`, and a script for each finding in the output folder.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .generate import generate
from .program import Program, render
from .run import MODES
from .shrink import shrink
from .verdict import Finding, judge


@dataclass
class Report:
    """How many programs ran, what was found (shrunk), and which names were missing or went further than torch (those statements are dropped and the program judged anew)."""

    programs: int = 0
    statements: int = 0
    found: list[tuple[int, Program, Finding]] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)
    crashed: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Report) -> None:
        self.programs += other.programs
        self.statements += other.statements
        self.found += other.found
        self.missing += other.missing

    def grades(self) -> Counter[str]:
        return Counter(f.difference.grade for _, _, f in self.found)

    def hard(self) -> list[tuple[int, Program, Finding]]:
        return [x for x in self.found if x[2].difference.grade == "hard"]


def campaign(seed: int, n: int, *, modes: tuple[str, ...] = MODES, length: int = 24, soft: bool = False, folder: Path | None = None,
             seconds: float = 1e9, shrink_seconds: float = 20.0, say: Callable[[str], None] = lambda _: None,
             begin: Callable[[int], None] = lambda _: None) -> Report:
    """Judge the programs of seeds seed .. seed + n - 1, within a time limit. `begin` hears each seed before it runs."""
    report = Report()
    start = time.monotonic()
    for s in range(seed, seed + n):
        if time.monotonic() - start > seconds:
            break
        begin(s)
        program = generate(s, length)
        finding = judge(program, modes, soft)
        while finding is not None and finding.difference.grade in ("missing", "lenient"):
            d = finding.difference
            report.missing[f"{d.grade}: {d.got if d.grade == 'missing' else d.want}"[:100]] += 1
            at = finding.difference.at
            program = program.keep([i for i in range(len(program.statements)) if i != at])
            finding = judge(program, modes, soft)
        report.programs += 1
        report.statements += len(program.statements)
        if finding is None:
            continue
        if shrink_seconds:
            program, finding = shrink(program, finding, shrink_seconds)
        report.found.append((s, program, finding))
        say(f"--- seed {s}: {finding}\n{program}\n")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            head = "".join(f"# {line}\n" for line in f"seed {s}: {finding}".splitlines())
            (folder / f"seed{s}_{finding.difference.grade}_{finding.difference.field.replace(' ', '_')}.py").write_text(head + render(program))
    report.seconds = time.monotonic() - start
    return report

"""``python -m frankentorch.conformance.fuzz``: run random programs and print what differs; exit status 1 on a hard difference."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .generate import generate
from .isolate import survive
from .program import render
from .run import MODES


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m frankentorch.conformance.fuzz", description=__doc__)
    parser.add_argument("--n", type=int, default=200, help="programs to run")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first; the rest follow")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--length", type=int, default=24, help="statements a program")
    parser.add_argument("--modes", default=",".join(MODES), help="the first is held against torch, the rest against the first")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after this long")
    parser.add_argument("--shrink", type=float, default=20.0, help="seconds to shrink a finding; 0 leaves it whole")
    parser.add_argument("--soft", action="store_true", help="report differing error messages too")
    parser.add_argument("--out", type=Path, default=None, help="folder for a script of each finding")
    parser.add_argument("--show", action="store_true", help="print the program of --seed and stop")
    args = parser.parse_args(argv)
    if args.show:
        print(render(generate(args.seed, args.length)))
        return 0
    jobs = max(1, min(args.jobs, args.n))
    cuts = [args.seed + args.n * j // jobs for j in range(jobs + 1)]
    with ThreadPoolExecutor(jobs) as threads:
        reports = list(threads.map(lambda j: survive(cuts[j], cuts[j + 1], args), range(jobs)))
    grades = sum((r.grades() for r in reports), Counter[str]())
    crashes = [s for r in reports for s in r.crashed]
    print(f"{sum(r.programs for r in reports)} programs, {sum(r.statements for r in reports)} statements, {max(r.seconds for r in reports):.0f} s: "
          f"{', '.join(f'{n} {g}' for g, n in sorted(grades.items())) or 'no differences'}{f', seeds that ended the process: {crashes}' if crashes else ''}")
    for name, count in sum((r.missing for r in reports), Counter[str]()).most_common():
        print(f"  {count} times {name}")
    return 1 if grades["hard"] or crashes else 0


if __name__ == "__main__":
    sys.exit(main())

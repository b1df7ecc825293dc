"""``python -m frankentorch.conformance.fuzz``: run random programs and print what differs; exit status 1 on a hard difference."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from .campaign import Report, campaign
from .generate import generate
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
    share = [(args.seed + args.n * j // jobs, args.n * (j + 1) // jobs - args.n * j // jobs, args) for j in range(jobs)]
    if jobs == 1:
        reports = [part(*share[0])]
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            reports = list(pool.map(part, *zip(*share)))
    hard = sum(len(r.hard()) for r in reports)
    grades = sum((r.grades() for r in reports), Report().grades())
    print(f"{sum(r.programs for r in reports)} programs, {sum(r.statements for r in reports)} statements, {max(r.seconds for r in reports):.0f} s: "
          f"{', '.join(f'{n} {g}' for g, n in sorted(grades.items())) or 'no differences'}")
    for name, count in sum((r.missing for r in reports), Report().missing).most_common():
        print(f"  {count} times {name}")
    return 1 if hard else 0


def part(seed: int, n: int, args: argparse.Namespace) -> Report:
    """One process's share."""

    def say(text: str) -> None:
        print(text, flush=True)

    return campaign(seed, n, modes=tuple(args.modes.split(",")), length=args.length, soft=args.soft, folder=args.out, seconds=args.seconds,
                    shrink_seconds=args.shrink, say=say)


if __name__ == "__main__":
    sys.exit(main())

"""A campaign in a process of its own, so that a program which ends the process (a trap, a fault) is a finding and not the end.

Enters: seeds and the command line's settings. Leaves: one `Report`.
"""

from __future__ import annotations

import argparse
import time
from multiprocessing import get_context
from typing import Any

from .campaign import Report, campaign


def survive(first: int, last: int, args: argparse.Namespace) -> Report:
    """Seeds first .. last - 1 in a process of their own, and in the next one after a seed that ended it."""
    total = Report()
    start = time.monotonic()
    while first < last and time.monotonic() - start < args.seconds:
        ours, theirs = get_context("spawn").Pipe()
        child = get_context("spawn").Process(target=part, args=(theirs, first, last - first, args, args.seconds - (time.monotonic() - start)))
        child.start()
        theirs.close()
        at, done = None, False
        try:
            while True:
                news = ours.recv()
                if isinstance(news, int):
                    at = news
                else:
                    total.add(news)
                    done = True
        except EOFError:
            child.join()
        if done:
            break
        if at is None or len(total.crashed) >= 20:
            raise RuntimeError(f"the process could not start, or keeps ending (status {child.exitcode})")
        print(f"--- seed {at}: the process ended with status {child.exitcode}", flush=True)
        total.crashed.append(at)
        first = at + 1
    total.seconds = time.monotonic() - start
    return total


def part(pipe: Any, seed: int, n: int, args: argparse.Namespace, seconds: float) -> None:
    """One process's share: sends each seed as it begins, and the report at the end."""

    def say(text: str) -> None:
        print(text, flush=True)

    pipe.send(campaign(seed, n, modes=tuple(args.modes.split(",")), length=args.length, soft=args.soft, folder=args.out, seconds=seconds,
                       shrink_seconds=args.shrink, say=say, begin=pipe.send))

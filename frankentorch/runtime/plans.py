"""Plans on disk: a program found again by a digest of its instructions, so that a warm process needs neither xDSL nor the lowering.

Enters: instructions, stored slots, donors. Leaves: `Plan`s, through the object cache's checked blobs. The digest covers the instructions
(rows, attributes, types), the CPU tier, the number of threads, and the sources of the compiler itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..lower.plan import Entry, Place, Plan
from ..ops.record import Sig
from . import objects

_SIG_TEXT: dict[Sig, str] = {}


@cache
def sources() -> str:
    """A digest of the compiler's own files, by name, size and time: a plan made by other code is not taken."""
    from blake3 import blake3

    here = Path(__file__).parent.parent
    lines: list[str] = []
    for room in ("ops", "ir", "ir/passes", "lower", "lower/vmath", "runtime"):
        folder = here / room
        if folder.is_dir():
            with os.scandir(folder) as entries:
                lines.extend(f"{room}/{e.name} {e.stat().st_size} {e.stat().st_mtime_ns}" for e in entries if e.name.endswith(".py"))
    return blake3("\n".join(sorted(lines)).encode()).hexdigest()


def sig_text(sig: Sig) -> str:
    found = _SIG_TEXT.get(sig)
    if found is None:
        found = _SIG_TEXT[sig] = f"{sig.row.name}{sig.attrs!r}({','.join(t.text for t in sig.types)})->{','.join(t.text for t in sig.outs)}"
    return found


def digest(instrs: Sequence[tuple[Sig, tuple[int, ...]]], live: Sequence[int], donors: dict[int, int], tier: str, threads: int) -> str:
    """The name of a program: the same in every process with the same sources."""
    from blake3 import blake3

    lines = [sources(), objects.CONTRACT if isinstance(objects.CONTRACT, str) else str(objects.CONTRACT), tier, str(threads), repr(tuple(live)),
             repr(sorted(donors.items()))]
    lines.extend(f"{sig_text(sig)} {slots}" for sig, slots in instrs)
    return blake3("\n".join(lines).encode()).hexdigest()


def save(key: str, plan: Plan) -> None:
    """Keep a plan; its kernels are in the object cache under their own keys."""
    data: dict[str, Any] = {
        "entries": [[e.key, e.symbol, e.words, e.units, e.grain, e.scratch, e.label] for e in plan.entries],
        "places": [[p.kind, p.index] for p in plan.places], "out_bytes": plan.out_bytes, "arena": plan.arena, "outputs": plan.outputs,
        "leaf_views": plan.leaf_views, "donated": plan.donated, "counts": plan.counts}
    objects.put_blob("plan", key, json.dumps(data, separators=(",", ":")).encode())


def load(key: str) -> Plan | None:
    """A kept plan; None where there is none."""
    raw = objects.get_blob("plan", key)
    if raw is None:
        return None
    d = json.loads(raw)
    entries = [Entry("", s, [w if isinstance(w, int) else tuple(w) for w in words], units, grain, scratch, label, k)
               for k, s, words, units, grain, scratch, label in d["entries"]]
    return Plan(entries, [Place(*p) for p in d["places"]], d["out_bytes"], d["arena"], [tuple(o) for o in d["outputs"]],
                [tuple(o) for o in d["leaf_views"]], [tuple(o) for o in d["donated"]], d["counts"])

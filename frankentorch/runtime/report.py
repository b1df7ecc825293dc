"""What the runtime did, in a few lines: programs, kernels, the object cache, memory.

Enters: the runtime's counters. Leaves: text for people (`summary`) and a dict for tools (`counters`).
"""

from __future__ import annotations

from typing import Any


def counters() -> dict[str, Any]:
    """Programs run and built, kernels compiled and loaded, calls that left compiled code (extern) or ran in numpy."""
    from . import memory, objects
    from .program import PROGRAMS, STATS

    kinds: dict[str, int] = {}
    for bound in PROGRAMS.values():
        for name, n in bound.plan.counts.items():
            kinds[name] = kinds.get(name, 0) + n
    used = memory.stats()
    return {**STATS, "programs": len(PROGRAMS), "groups": kinds, "compiled": objects.stats.compiled, "loaded": objects.stats.loaded,
            "peak_bytes": used.peak, "extern": STATS["extern"] + kinds.get("extern", 0)}


def summary() -> str:
    """The counters as two lines."""
    c = counters()
    return (f"runtime: {c['runs']:,} native calls of {c['programs']} programs ({c['builds']} built, {c['plans_loaded']} from the cache, "
            f"{c['build_seconds']:.2f} s); kernels: {c['compiled']} compiled, {c['loaded']} loaded\n"
            f"extern calls: {c['extern']}; numpy calls: {c['numpy']}; peak memory of tensors: {c['peak_bytes'] / 2**20:.1f} MiB")

"""``ft env``: where a program would run."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

import click

from .show import either, json_option, size, table

PACKAGES = ("frankentorch", "numpy", "xdsl", "llvmlite", "ml_dtypes", "scipy")


def facts() -> dict[str, Any]:
    """Versions, processor, threads, cache and settings."""
    import frankentorch

    from ..knobs import ROWS, knobs
    from ..runtime import jit, native, objects

    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    cache = objects.summary()
    return {
        "torch API": frankentorch.__version__,
        "versions": {**versions, "LLVM": jit.llvm_version()},
        "platform": f"{sys.platform} {jit.machine_name()}",
        "tier": jit.current_tier(),
        "tiers": list(jit.host_tiers()),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": native.get_num_threads(),
        "cache": {k: cache[k] for k in ("folder", "entries", "bytes", "limit")},
        "settings": {r.variable: {"value": getattr(knobs, r.name), "set": getattr(knobs, r.name) != r.default, "doc": r.doc} for r in ROWS},
    }


def _show(f: dict[str, Any]) -> None:
    cache = f["cache"]
    lines = [("torch API", f["torch API"]), ("platform", f["platform"]),
             ("CPU tier", f"{f['tier']} (this processor runs {', '.join(f['tiers'])})"),
             ("threads", f"{f['threads']} ({f['cores']} cores usable)"),
             ("cache", f"{cache['folder']}: {cache['entries']:,} entries, {size(cache['bytes'])} of at most {size(cache['limit'])}"),
             ("versions", ", ".join(f"{n} {v}" for n, v in f["versions"].items()))]
    table(("FrankenTorch", ""), lines)
    click.echo()
    settings = [(n, repr(s["value"]) + (" (set)" if s["set"] else ""), s["doc"]) for n, s in f["settings"].items()]
    table(("setting", "value", "what it does"), settings)


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Versions, processor, threads, cache and settings."""
    either(facts(), as_json, _show)

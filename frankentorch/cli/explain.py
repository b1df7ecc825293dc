"""``ft explain``: what a script's programs are made of, and where the time to build them went."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from . import settings, watch
from .show import either, json_option, size, table


def about(found: list[watch.Seen]) -> list[dict[str, Any]]:
    """Each program: its kernel calls with what they compute and their work units, its memory, and what building it took."""
    rows = []
    for k, seen in enumerate(found):
        row: dict[str, Any] = {"window": k, "instructions": len(seen.instrs), "results": len(seen.live),
                               "origin": "plan on disk" if seen.loaded else "resized" if seen.resized else "built", "ms": round(seen.seconds * 1e3, 2)}
        plan = seen.plan
        if plan is not None:
            calls = [{"label": e.label, "symbol": e.symbol, "units": e.units, "grain": e.grain, "object": e.key} for e in plan.entries]
            row |= {"kernels": calls,
                    "groups": plan.counts, "arena_bytes": plan.arena, "result_bytes": sum(plan.out_bytes), "in_place": len(plan.donated),
                    "objects": seen.digest()}
        rows.append(row)
    return rows


def _show(value: dict[str, Any]) -> None:
    table(("#window", "#ops", "#results", "#kernels", "#in place", "arena", "results", "origin", "#ms"),
          [(r["window"], r["instructions"], r["results"], len(r.get("kernels", ())), r.get("in_place", 0), size(r.get("arena_bytes", 0)),
            size(r.get("result_bytes", 0)), r["origin"] if "kernels" in r else "failed", r["ms"]) for r in value["programs"]], "Programs")
    for r in value["programs"]:
        if value["kernels"] and r.get("kernels"):
            calls = Counter((k["label"], k["symbol"], k["units"]) for k in r["kernels"])
            click.echo()
            table(("kernel", "symbol", "#units", "#calls"), [(*key, n) for key, n in calls.items()], f"Window {r['window']}")
    c = value["counters"]
    click.echo(f"\nnative calls: {c['runs']:,}; programs: {c['programs']} ({c['builds']} built, {c['plans_loaded']} from disk) in "
               f"{c['build_seconds'] * 1e3:.0f} ms; kernels compiled: {c['compiled']}, loaded: {c['loaded']}")
    click.echo(f"calls of libraries (extern): {c['extern']}; through numpy: {c['numpy']}; peak memory of tensors: {size(c['peak_bytes'])}")


@click.command()
@click.option("--kernels", is_flag=True, help="List every program's kernels.")
@settings.options
@json_option
@click.argument("target", metavar="SCRIPT|MODULE:FUNCTION")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(target: str, args: tuple[str, ...], kernels: bool, as_json: bool, **given: Any) -> None:
    """Run a script and list its programs: kernels, memory, origin, time to build.

    Arguments of the script follow `--`; its output goes to stderr. Exit status 1 where the script failed.
    """
    from ..runtime.report import counters

    settings.apply(**given)
    found, good = watch.script(target, args)
    either({"programs": about(found), "kernels": kernels, "counters": counters()}, as_json, _show)
    raise SystemExit(0 if good else 1)

"""``ft dump``: the programs of a script at one stage of compilation.

Enters: a script. Leaves: MLIR, LLVM IR or assembly. Every dumped stage of IR reads back: ``ft opt`` takes it on to the same objects, whose
digest stands in the first line.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import settings, watch
from .show import data, json_option

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

STAGES = ("ft", "grad", "fused", "loops", "llvm", "asm")


def text_at(seen: watch.Seen, stage: str, after: str | None = None, kernel: str | None = None) -> str:
    """One program's text at a stage, or as the pass `after` leaves it; of loops, llvm and asm only the kernels that `kernel` matches."""
    from ..ir import pipeline

    if after is not None:
        return _after(seen, after)
    if stage in pipeline.STAGES[:-1]:
        module = seen.at(stage)
        if kernel is not None:
            return "\n".join(_matching_ops(module, kernel, _labels(seen))) + "\n"
        return str(module) + "\n"
    return "\n".join(body for _, body in code(seen.at("loops"), stage, kernel, _labels(seen)))


def code(module: ModuleOp, stage: str, kernel: str | None, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(symbol, text) of the kernels of a module at stage "loops", as LLVM IR or assembly."""
    from ..ir import pipeline
    from ..runtime import jit, native

    for o in pipeline.objects(module, threads=native.get_num_threads()):
        if kernel is None or _matches(kernel, o.symbol, labels.get(o.symbol, "")):
            mark = ";" if stage == "llvm" else "#"
            body = o.text if stage == "llvm" else jit.assembly(o.text)
            yield o.symbol, f"{mark} {labels.get(o.symbol, '')} {o.symbol}, object {o.key}\n{body}"


def _after(seen: watch.Seen, name: str) -> str:
    from ..ir import pipeline

    if name not in pipeline.PASSES:
        raise click.UsageError(f"no pass is called {name}; there are {', '.join(pipeline.PASSES)}")
    found: list[str] = []
    pipeline.run(seen.module(), callback=lambda step, m: found.append(str(m) + "\n") if step.name == name else None)
    if not found:
        raise click.UsageError(f"{name} does not run on what a script records: backward() has put the gradients there already")
    return found[0]


def _labels(seen: watch.Seen) -> dict[str, str]:
    """What each kernel computes, by symbol."""
    return {} if seen.plan is None else {e.symbol: e.label for e in seen.plan.entries}


def _matches(pattern: str, *names: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _matching_ops(module: ModuleOp, pattern: str, labels: dict[str, str]) -> Iterator[str]:
    from ..ir.dialect import KernelOp, RowOp
    from ..lower.loops import KernelOp as LoopsKernel

    for op in module.walk():
        if isinstance(op, KernelOp):
            rows = "+".join(dict.fromkeys(inner.ROW.name for inner in op.body.block.ops if isinstance(inner, RowOp)))
            if _matches(pattern, rows):
                yield str(op)
        elif isinstance(op, LoopsKernel) and _matches(pattern, op.sym_name.data, labels.get(op.sym_name.data, "")):
            yield str(op)


def _head(k: int, seen: watch.Seen) -> str:
    plan = seen.plan
    built = f"{len(plan.entries)} kernel calls, objects {seen.digest()}" if plan is not None else "not built"
    way = "; planned as recorded, its structure being known at another size: ft-fuse,ft-lower-to-loops" if seen.as_recorded() else ""
    return f"window {k}: {len(seen.instrs)} instructions, {len(seen.live)} results, {built}{way}"


def _write(folder: Path, k: int, seen: watch.Seen, stage: str, after: str | None, kernel: str | None) -> list[Path]:
    """One file a window; for llvm and asm one file a kernel."""
    folder.mkdir(parents=True, exist_ok=True)
    if stage in STAGES[:4] or after is not None:
        path = folder / f"window{k:03}.{after or stage}.mlir"
        path.write_text(f"// {_head(k, seen)}\n{text_at(seen, stage, after, kernel)}")
        return [path]
    written = []
    for symbol, body in code(seen.at("loops"), stage, kernel, _labels(seen)):
        path = folder / f"window{k:03}" / f"{symbol}.{'ll' if stage == 'llvm' else 's'}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
        written.append(path)
    return written


def _chosen(found: list[watch.Seen], window: str) -> list[int]:
    if window == "all" or not found:
        return list(range(len(found)))
    if not window.lstrip("-").isdecimal():
        raise click.UsageError(f"--window takes a number or all, not {window!r}")
    k = int(window)
    if not -len(found) <= k < len(found):
        raise click.UsageError(f"there is no window {k}; the script's programs are 0 to {len(found) - 1}")
    return [k % len(found)]


@click.command()
@click.option("--stage", type=click.Choice(STAGES), default="fused", show_default=True, help="The stage to show.")
@click.option("--after", metavar="PASS", help="Show the module as this pass leaves it, such as ft-cse.")
@click.option("--kernel", metavar="GLOB", help="Only kernels whose symbol, or whose ops (such as 'mul+add'), match.")
@click.option("--window", default="all", show_default=True, metavar="N|all", help="Which program, from 0; -1 is the last.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Write files into this folder.")
@settings.options
@json_option
@click.argument("target", metavar="SCRIPT|MODULE:FUNCTION")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(target: str, args: tuple[str, ...], stage: str, after: str | None, kernel: str | None, window: str, out: Path | None,
            as_json: bool, **given: Any) -> None:
    """Run a script and show what its programs become.

    Arguments of the script follow `--`. The script's own output goes to stderr. Exit status 1 where the script failed, where
    nothing ran, or where no kernel matched.

    \b
        ft dump examples/mlp.py --window 2
        ft dump examples/mlp.py --stage llvm --kernel 'tanh*'
        ft dump examples/mlp.py --stage ft --window 2 | ft opt --stage loops -t digest
    """
    settings.apply(**given)
    found, good = watch.script(target, args)
    shown: list[dict[str, Any]] = []
    for k in _chosen(found, window):
        seen = found[k]
        row: dict[str, Any] = {"window": k, "stage": after or stage, "instructions": len(seen.instrs), "results": len(seen.live),
                               "objects": None if seen.plan is None else seen.digest()}
        if out is not None:
            row["files"] = [str(p) for p in _write(out, k, seen, stage, after, kernel)]
        else:
            row["text"] = text_at(seen, stage, after, kernel)
        shown.append(row)
        if as_json:
            continue
        if out is not None:
            click.echo("\n".join(row["files"]))
        elif kernel is None or row["text"].strip():
            mark = {"llvm": ";", "asm": "#"}.get(stage if after is None else "", "//")
            if len(shown) > 1:
                click.echo(f"{mark} -----")
            click.echo(f"{mark} {_head(k, seen)}\n{row['text']}", nl=False)
    if as_json:
        data(shown)
    if not found:
        click.echo("ft dump: the script ran no program", err=True)
    matched = kernel is None or any(row.get("files") or row.get("text", "").strip() for row in shown)
    if found and not matched:
        click.echo(f"ft dump: no kernel matches {kernel!r}", err=True)
    raise SystemExit(0 if good and found and matched else 1)

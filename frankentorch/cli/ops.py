"""``ft ops``: the op table, for people, for docs/ops.md and for machines."""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Sequence
from typing import Any

import click

from ..ops.define import API
from ..ops.table import ROWS, Kind, NoGrad, Row
from .show import either, json_option, table

ROOMS = ("nn.functional", "linalg", "fft", "special")
"""Rooms that add rows or functions when they load, beside `ops`."""

COMMAND = "ft ops --markdown > docs/ops.md"


def load() -> None:
    """Import everything that adds to the table."""
    for room in ROOMS:
        importlib.import_module(f"frankentorch.{room}")


def gradient(row: Row) -> str:
    """Whether the row has a gradient, and why not."""
    if isinstance(row.vjp, NoGrad):
        return f"no: {row.vjp.reason}"
    if row.vjp is not None:
        return "rule"
    return "its parts'" if row.kind is Kind.COMPOSITE else "no"


def lowering(row: Row) -> str:
    """What makes its loops."""
    for trait in sorted(row.traits):
        if trait.startswith(("template:", "conv:")):
            return trait
    if row.kind is Kind.COMPOSITE:
        return "its parts'"
    if row.kind is Kind.MOVEMENT and row.view is not None:
        return "none: strided access"
    if isinstance(row.lane, str):
        return f"lane {row.lane}"
    if row.lane is not None:
        return "lane"
    return {Kind.CONTRACT: "template:contract", Kind.RANDOM: "template:random"}.get(row.kind, "by traits")


def describe(row: Row) -> dict[str, Any]:
    """A row as plain data."""
    return {"name": row.name, "kind": row.kind.value, "schema": row.schema, "doc": " ".join(row.doc.split()), "gradient": gradient(row),
            "lowering": lowering(row), "traits": sorted(row.traits), "aliases": list(row.aliases), "public": row.public,
            "inplace": row.inplace, "method": row.method}


def functions() -> list[str]:
    """torch functions written in Python over rows, without a row of their own."""
    aliases = {a for row in ROWS.values() for a in row.aliases}
    return sorted(n for n, e in API.items() if n not in ROWS and n not in aliases and e.public and not n.startswith("_"))


def markdown() -> str:
    """docs/ops.md."""
    rows = [describe(r) for r in ROWS.values()]
    kinds = [k.value for k in Kind if k is not Kind.COMPOSITE and any(r["kind"] == k.value for r in rows)]
    primitives = sum(r["kind"] != Kind.COMPOSITE.value for r in rows)
    names = functions()
    lines = ["# The op table", "", f"Written by `{COMMAND}`; a test fails where it is out of date. {primitives} primitives carry "
             f"{len(rows) - primitives} composites and {len(names)} further functions.", "",
             "*Gradient* \"rule\" is a rule of the row's own; *lowering* \"lane\" a scalar function in IR, \"template\" loops of its own.", ""]
    for kind in [*kinds, Kind.COMPOSITE.value]:
        chosen = sorted((r for r in rows if r["kind"] == kind), key=lambda r: r["name"].lower())
        lines += [f"## {kind.capitalize()}", "", "| op | meaning | gradient | lowering |", "|---|---|---|---|"]
        for r in chosen:
            aka = f" (also {', '.join(f'`{a}`' for a in r['aliases'])})" if r["aliases"] else ""
            lines.append(f"| `{_cell(r['schema'])}`{aka} | {_cell(r['doc'])} | {_cell(r['gradient'])} | {_cell(r['lowering'])} |")
        lines.append("")
    lines += ["## Functions over these ops", "", ", ".join(f"`{n}`" for n in names) + ".", ""]
    return "\n".join(lines)


def missing() -> dict[str, dict[str, Any]]:
    """torch's public names by module: how many are there, and which are not."""
    from .._torch_names import MODULES, TENSOR, TORCH

    house = importlib.import_module("frankentorch")
    found: dict[str, dict[str, Any]] = {}
    for module, names in {"torch": TORCH, "torch.Tensor": TENSOR, **{f"torch.{m}": n for m, n in sorted(MODULES.items())}}.items():
        lacking = sorted(n for n in names if not _has(house, module.removeprefix("torch").lstrip("."), n))
        found[module] = {"names": len(names), "there": len(names) - len(lacking), "missing": lacking}
    return found


def _has(house: Any, where: str, name: str) -> bool:
    try:
        at = house
        for part in filter(None, where.split(".")):
            at = getattr(at, part)
        return hasattr(at, name)
    except (AttributeError, ImportError):
        return False


def _show_missing(found: dict[str, dict[str, Any]]) -> None:
    for module, row in found.items():
        click.echo(f"{module}: {row['there']} of {row['names']} names" + ("; missing: " + " ".join(row["missing"]) if row["missing"] else ""))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _show(rows: Sequence[dict[str, Any]]) -> None:
    columns = ("name", "kind", "gradient", "lowering", "aliases")
    table(columns, [[", ".join(r[c]) if c == "aliases" else r[c] for c in columns] for r in rows])
    kinds = sum(r["kind"] != "composite" for r in rows)
    click.echo(f"\n{kinds} primitives, {len(rows) - kinds} composites; {len(functions())} further functions are written over them")


def _show_one(r: dict[str, Any]) -> None:
    click.echo(f"{r['schema']}\n\n{r['doc']}\n")
    keys = ("kind", "gradient", "lowering", "traits", "aliases", "public", "inplace", "method")
    table(("", ""), [(k, ", ".join(r[k]) if isinstance(r[k], list) else r[k]) for k in keys if r[k] != []])


@click.command()
@click.option("--markdown", "as_markdown", is_flag=True, help="Print docs/ops.md.")
@click.option("--missing", "as_missing", is_flag=True, help="List torch's public names that are not there yet, by module.")
@json_option
@click.argument("name", required=False)
def command(name: str | None, as_markdown: bool, as_missing: bool, as_json: bool) -> None:
    """The op table, or the row called NAME (an alias or a pattern such as 'conv*' also serves)."""
    load()
    if as_missing:
        either(missing(), as_json, _show_missing)
        return
    if as_markdown:
        click.echo(markdown(), nl=False)
        return
    rows = [r for r in ROWS.values() if name is None or any(fnmatch.fnmatchcase(n, name) for n in (r.name, *r.aliases))]
    if not rows:
        if name in API:
            raise click.UsageError(f"{name} has no row: it is written in Python over other ops ({API[name].schema})")
        raise click.UsageError(f"no op is called {name}")
    found = sorted(map(describe, rows), key=lambda r: r["name"])
    if len(found) == 1 and name is not None and not set(name) & set("*?["):
        either(found[0], as_json, _show_one)
    else:
        either(found, as_json, _show)

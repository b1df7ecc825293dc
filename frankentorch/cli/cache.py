"""``ft cache``: the folder of compiled kernels and plans."""

from __future__ import annotations

import datetime
from typing import Any

import click

from .show import either, json_option, size, table


@click.group()
def command() -> None:
    """The folder of compiled kernels (`object`) and saved programs (`plan`). Removing any of it costs time, never results."""


@command.command()
@click.option("--kind", help="Only entries of this kind.")
@json_option
def ls(kind: str | None, as_json: bool) -> None:
    """Every entry, the one unused for longest first."""
    from ..runtime import objects

    found = [e for e in objects.ls() if kind in (None, e.kind)]

    def show(rows: list[dict[str, Any]]) -> None:
        for r in rows:  # there may be a hundred thousand: a table that measures its cells would take minutes
            day = datetime.date.fromtimestamp(r["used"])
            click.echo(f"{r['kind']:8} {r['key']} {r['size']:>10,} {day}")

    either([{"kind": e.kind, "key": e.key, "size": e.size, "used": e.used, "path": e.path} for e in found], as_json, show)


@command.command()
@json_option
def stats(as_json: bool) -> None:
    """The folder, and entries and bytes by kind."""
    from ..runtime import objects

    kinds: dict[str, dict[str, int]] = {}
    for e in objects.ls():
        row = kinds.setdefault(e.kind, {"entries": 0, "bytes": 0})
        row["entries"] += 1
        row["bytes"] += e.size
    whole = objects.summary()

    def show(value: dict[str, Any]) -> None:
        click.echo(f"{value['folder']}: {size(value['bytes'])} of at most {size(value['limit'])}")
        table(("kind", "#entries", "#bytes"), [(k, v["entries"], v["bytes"]) for k, v in sorted(kinds.items())])

    either({k: whole[k] for k in ("folder", "entries", "bytes", "limit")} | {"kinds": kinds}, as_json, show)


@command.command()
@json_option
def verify(as_json: bool) -> None:
    """Check every entry's digest; exit status 1 where one is damaged (it would be built anew when next needed)."""
    from ..runtime import objects

    checked, bad = len(objects.ls()), objects.verify()

    def show(value: dict[str, Any]) -> None:
        for path in bad:
            click.echo(f"damaged: {path}")
        click.echo(f"{checked:,} entries checked, {len(bad)} damaged")

    either({"checked": checked, "damaged": bad}, as_json, show)
    raise SystemExit(1 if bad else 0)


@command.command()
@json_option
def clear(as_json: bool) -> None:
    """Remove every entry."""
    from ..runtime import objects

    either({"removed": objects.clear()}, as_json, lambda v: click.echo(f"{v['removed']:,} entries removed"))

"""How commands print: tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def data(value: Any) -> None:
    """Print a value as JSON; what JSON lacks becomes text."""
    click.echo(json.dumps(value, indent=2, default=str))


def either(value: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    """JSON, or `show` for people."""
    if as_json:
        data(value)
    else:
        show(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
    """A table; columns whose name starts with # hold numbers, on the right. Long cells fold; a pipe gets full width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold", title_style="bold")
    for name in columns:
        made.add_column(name.removeprefix("#"), justify="right" if name.startswith("#") else "left", overflow="fold")
    for row in rows:
        made.add_row(*[Text(f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)) for cell in row])
    if not console.is_terminal:
        console.width = 200
    console.print(made)


def size(count: int) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024  # type: ignore[assignment]
    return f"{count:.2f} GiB"

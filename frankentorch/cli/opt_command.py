"""``ft opt``: mounts `cli.opt` among the other commands."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import click


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(args: tuple[str, ...]) -> None:
    """Passes over a file of IR. Takes xdsl-opt's options; see `ft opt --help`."""
    from xdsl.utils.exceptions import DiagnosticException, ParseError, PassFailedException, VerifyException

    from .opt import main

    as_json = "--json" in args
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out) if as_json else contextlib.nullcontext():
            main([a for a in args if a != "--json"])
    except (DiagnosticException, ParseError, PassFailedException, VerifyException) as error:
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
        if as_json:
            click.echo(json.dumps({"output": out.getvalue(), "error": f"{error}{notes}"}))
        else:
            print(f"ft opt: {error}{notes}", file=sys.stderr)
        raise SystemExit(1) from None
    if as_json:
        click.echo(json.dumps({"output": out.getvalue(), "error": None}))

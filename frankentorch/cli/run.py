"""``ft run``: a PyTorch program as it is, on FrankenTorch."""

from __future__ import annotations

import sys
from typing import Any

import click

from . import settings
from .show import json_option


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@settings.options
@json_option
@click.option("--stats", is_flag=True, help="Afterwards, say on stderr what the runtime did.")
@click.option("--digest", is_flag=True, help="Afterwards, print a digest of the bits of what the script left (see ft bits).")
@click.option("-m", "module", is_flag=True, help="SCRIPT is a module, run as python -m does.")
@click.argument("script")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(script: str, args: tuple[str, ...], stats: bool, digest: bool, module: bool, as_json: bool, **given: Any) -> None:
    """Run SCRIPT with ARGS, with `import torch` meaning FrankenTorch.

    SCRIPT may also be module:function or file.py:function. Options of ft go before it. With --json the runtime's counters follow the
    script's own output, as the last line.
    """
    import json

    settings.apply(**given)
    try:
        left = settings.execute(script, args, module)
        if digest:
            from . import bits

            click.echo(bits.digest(bits.outcome(left, ":" in script)))
    except Exception as error:
        if isinstance(error, click.ClickException):
            raise
        settings.show_error(error)
        raise SystemExit(1) from None
    finally:
        from ..runtime.report import counters, summary

        if as_json:
            click.echo(json.dumps(counters()))
        elif stats:
            print(summary(), file=sys.stderr)

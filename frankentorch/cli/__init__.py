"""The command line: ``ft``, also ``python -m frankentorch``. One file a command.

Enters: arguments. Leaves: text for people, or JSON with ``--json``; exit status 0 (ok), 1 (a finding) or 2 (wrong usage). click, rich, xDSL
and LLVM load when a command needs them.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run one command (those of the process when `args` is None) and exit."""
    from .app import app

    app.main(args=None if args is None else list(args), prog_name="ft")

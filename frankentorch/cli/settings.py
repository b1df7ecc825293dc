"""Settings of the runtime as options, and running a script under torch's name.

Enters: option values; a script or ``module:function``. Leaves: knobs set for this process and its children; the script's effects.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--threads", {"type": click.IntRange(1), "metavar": "N", "help": "Threads that a kernel may use; results do not change."}),
    ("--cpu", {"type": click.Choice(["sse4.2", "avx2", "avx512"]), "help": "Use no CPU feature above this tier; results do not change."}),
    ("--eager", {"is_flag": True, "help": "Run every op by itself."}),
    ("--cut", {"metavar": "N|random:SEED", "help": "Where windows end besides observation."}),
)
VARIABLES = {"threads": "FT_NUM_THREADS", "cpu": "FT_CPU", "eager": "FT_EAGER", "cut": "FT_CUT"}


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the runtime's options to a command."""
    for name, details in reversed(OPTIONS):
        function = click.option(name, **details)(function)
    return function


def apply(**given: Any) -> None:
    """Set knobs from options, also in the environment, for processes that the script starts."""
    from ..knobs import Knobs, knobs
    from ..ops import record

    for name, value in given.items():
        if value:
            os.environ[VARIABLES[name]] = "1" if value is True else str(value)
    try:
        fresh = Knobs(os.environ)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    for name in Knobs.__slots__:
        setattr(knobs, name, getattr(fresh, name))
    if given.get("threads"):
        from ..runtime import native

        native.set_num_threads(given["threads"])
    record.state.trace = record.new_window()


def execute(target: str, args: Sequence[str]) -> Any:
    """Run a script as ``__main__``, or call ``module:function`` or ``file.py:function``, under torch's name.

    Returns the script's names, or the function's result.
    """
    from ..interop.alias import as_torch
    from ..runtime.window import cut_here

    where, _, function = target.rpartition(":") if ":" in target else (target, "", "")
    script = Path(where)
    if script.suffix == ".py" and not script.is_file():
        raise click.UsageError(f"there is no file {where}")
    if not function and script.suffix != ".py" and not script.is_file():
        raise click.UsageError(f"{target} is neither a script nor module:function")
    before = sys.argv, list(sys.path)
    sys.argv = [where, *args]
    sys.path.insert(0, str(script.resolve().parent) if script.is_file() else os.getcwd())
    try:
        with as_torch():
            # What is left over (names of a script, the result of a function) is run, too: it was asked for, if not looked at.
            if not function:
                left = runpy.run_path(where, run_name="__main__")
            elif script.is_file():
                left = _call(runpy.run_path(where, run_name=script.stem), function, where)
            else:
                try:
                    module = importlib.import_module(where)
                except ModuleNotFoundError as error:
                    if error.name is not None and (where == error.name or where.startswith(error.name + ".")):
                        raise click.UsageError(f"there is no module {where}") from None
                    raise
                left = _call(vars(module), function, where)
            cut_here("end of script")
            return left
    finally:
        sys.argv, sys.path[:] = before


def _call(names: dict[str, Any], function: str, where: str) -> Any:
    if not callable(names.get(function)):
        raise click.UsageError(f"{where} has no function {function}")
    return names[function]()

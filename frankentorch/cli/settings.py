"""Settings of the runtime as options, and running a script under torch's name.

Enters: option values; a script or ``module:function``. Leaves: knobs set for this process and its children; the script's effects.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import runpy
import sys
import traceback
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


def execute(target: str, args: Sequence[str], module: bool = False) -> Any:
    """Run a script (or a `module`, as ``python -m`` does), or call ``module:function`` or ``file.py:function``, under torch's name.

    Returns the script's names, or the function's result.
    """
    if module:
        return _under_the_name(target, args, os.getcwd(), lambda: runpy.run_module(target, run_name="__main__", alter_sys=True))
    where, _, function = target.rpartition(":") if ":" in target else (target, "", "")
    script = Path(where)
    if script.suffix == ".py" and not script.is_file():
        raise click.UsageError(f"there is no file {where}")
    if not function and script.suffix != ".py" and not script.is_file():
        raise click.UsageError(f"{target} is neither a script nor module:function")
    folder = str(script.resolve().parent) if script.is_file() else os.getcwd()
    if not function:
        return _under_the_name(where, args, folder, lambda: runpy.run_path(where, run_name="__main__"))
    return _under_the_name(where, args, folder, lambda: _call(where, script, function))


def _under_the_name(name: str, args: Sequence[str], folder: str, run: Callable[[], Any]) -> Any:
    from ..interop.alias import as_torch
    from ..runtime.window import cut_here

    before = sys.argv, list(sys.path)
    sys.argv = [name, *args]
    sys.path.insert(0, folder)
    try:
        with as_torch():
            left = run()
            # Names of a script, or the result of a function, may be pending still: they were asked for, if not looked at.
            cut_here("end of script")
            return left
    finally:
        sys.argv, sys.path[:] = before


def _call(where: str, script: Path, function: str) -> Any:
    if script.is_file():
        names = runpy.run_path(where, run_name=script.stem)
    else:
        try:
            names = vars(importlib.import_module(where))
        except ModuleNotFoundError as error:
            if error.name is not None and (where == error.name or where.startswith(error.name + ".")):
                raise click.UsageError(f"there is no module {where}") from None
            raise
    if not callable(names.get(function)):
        raise click.UsageError(f"{where} has no function {function}")
    return names[function]()


def show_error(error: BaseException) -> None:
    """A script's traceback as `python` prints it: without the frames that started the script."""
    at = error.__traceback__
    while at is not None and _ours(at.tb_frame.f_code.co_filename):
        at = at.tb_next
    traceback.print_exception(type(error), error, at if at is not None else error.__traceback__)


def _ours(filename: str) -> bool:
    return filename.startswith((str(Path(__file__).parent) + os.sep, "<frozen ")) or filename in (runpy.__file__, contextlib.__file__)

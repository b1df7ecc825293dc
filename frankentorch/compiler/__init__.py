"""torch.compile and torch.compiler: one native program a call.

Enters: functions, modules, methods. Leaves: the same callables, whose whole call is one window (`calls`), and whose Python is not
even run where that is proved safe (`watch`, `state`, `replay`). `explain` says which path a function is on, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops import record
from . import calls
from .calls import Compiled, GraphBreak, Report, counters, disable, reset
from .module import OptimizedModule

__all__ = ["GraphBreak", "OptimizedModule", "Report", "allow_in_graph", "assume_constant_result", "compile", "counters", "cudagraph_mark_step_begin",
           "disable", "explain", "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance"]

BACKENDS = ("frankentorch", "inductor", "eager", "aot_eager")
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_STANCES = ("default", "force_eager", "eager_on_recompile", "fail_on_recompile", "eager_then_compile", "aot_eager_then_compile")


def compile(model: Any = None, *, fullgraph: bool = False, dynamic: Any = None, backend: Any = "frankentorch", mode: Any = None,
            options: Any = None, disable: bool = False) -> Any:
    """A function or module whose whole call runs as one native program; without `model`, a decorator.

    `fullgraph` makes an observation inside the call an error that names its line. `dynamic`, `mode` and `options` are checked and
    accepted: programs take sizes and numbers as they come, and there is one pipeline. Raises RuntimeError as torch does for an unknown
    mode or backend.
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if mode is not None and mode not in MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(MODES)}")
    if isinstance(backend, str) and backend not in BACKENDS:
        raise RuntimeError(f"Invalid backend: {backend!r}, see `torch.compiler.list_backends()` for available backends.")
    _ = dynamic
    if model is None:
        return lambda fn: compile(fn, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable)
    if disable:
        return model
    if not callable(model):
        raise TypeError(f"compile() takes a callable or a module, not {type(model).__name__}")
    from ..nn import Module

    if isinstance(model, OptimizedModule):
        return model
    if isinstance(model, Module):
        return OptimizedModule(model, fullgraph)
    if isinstance(model, Compiled):
        return model if model.fullgraph == fullgraph else Compiled(model.fn, fullgraph)
    return Compiled(model, fullgraph)


def explain(fn: Any) -> Report:
    """Which path a compiled function (or module) is on, why, and what its calls did so far."""
    compiled = getattr(fn, "_compiled_call", fn)
    if not isinstance(compiled, Compiled):
        raise TypeError(f"explain() takes what compile() returned, not {type(fn).__name__}")
    return compiled.report()


def is_compiling() -> bool:
    """Whether a compiled call is being recorded by this thread."""
    return record.state.region is not None


def is_dynamo_compiling() -> bool:
    """As `is_compiling`."""
    return is_compiling()


def is_exporting() -> bool:
    """False: there is no export tracing."""
    return False


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """The backends: one."""
    return ["frankentorch"]


def allow_in_graph(fn: Any) -> Any:
    """Accepted: every op is recorded, whoever calls it."""
    return fn


def assume_constant_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Accepted; the function is called whenever the Python around it runs."""
    return fn


def cudagraph_mark_step_begin() -> None:
    """Accepted; there are no CUDA graphs."""


class set_stance:
    """Say how compiled functions behave from now on, or in a ``with`` block: "force_eager" runs them as if they were not compiled."""

    def __init__(self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None) -> None:
        if stance not in _STANCES:
            raise RuntimeError(f"invalid torch.compiler stance {stance!r}, one of {', '.join(_STANCES)}")
        self.before = calls.stance.eager
        calls.stance.eager = stance == "force_eager"

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        calls.stance.eager = self.before


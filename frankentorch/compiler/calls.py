"""Compiled calls: the recording path, the choice between it and replay, and what `explain` reports.

Enters: a callable. Leaves: a `Compiled`, which runs it. On the recording path the Python runs and records every time, so it can never be
stale; the whole call is one window, cut at its end. An observation inside (`item`, print, a branch on data) cuts too: a *graph
break*, counted with its line.
"""

from __future__ import annotations

import functools
import os
import sys
import types
import weakref
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..knobs import knobs
from ..ops import record
from ..ops.call import is_tensor

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_QUIET = frozenset({"eager", "random", "exposed memory", "compiled call", "observed"})
counters: Counter[str] = Counter()
MISS = object()
ATTEMPT = 8.0  # what an attempt to learn costs of a function's credit, which replays earn
ENTRIES = 8


class GraphBreak(RuntimeError):
    """A compiled call with ``fullgraph=True`` looked at data.

    Cause: `item`, `tolist`, printing, `bool(tensor)` or the like inside the call, which needs the values before the call is over.
    Remedy: move the line out of the compiled function, express it in tensor ops (`torch.where`), or drop ``fullgraph=True``.
    """


class Epoch:
    """How often a name of this package was replaced by other code (monkeypatching)."""

    n = 0


epoch = Epoch()


class _Watched(types.ModuleType):
    """A module that counts when one of its names is replaced."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ and self.__dict__[name] is not value:
            epoch.n += 1
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        epoch.n += 1
        super().__delattr__(name)


_WATCHED = ("", ".nn.functional", ".nn", ".autograd", ".optim", ".linalg", ".special", ".fft", "._C._nn")


def watch_namespaces() -> None:
    """From now on, notice when a function of this package is replaced in the namespaces through which layers call it."""
    root = __name__.split(".")[0]
    for tail in _WATCHED:
        module = sys.modules.get(root + tail)
        if module is not None and type(module) is types.ModuleType:
            module.__class__ = _Watched


class _Stance:
    """What `set_stance` sets."""

    eager = False


stance = _Stance()


def user_line() -> tuple[str, int]:
    """File and line of the innermost frame that is not this package's."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return ("<unknown>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


class Region:
    """One compiled call being recorded. The window tells it of every cut."""

    __slots__ = ("fullgraph", "breaks", "cuts", "name", "constants", "checks", "origin")

    def __init__(self, name: str, fullgraph: bool) -> None:
        self.name, self.fullgraph = name, fullgraph
        self.breaks: list[tuple[str, str, int]] = []
        self.cuts = 0
        self.constants: list[Any] = []  # buffers made from Python data inside the call
        self.checks: list[Any] = []  # bounds of index data that were checked: (value, low, high, exempt)
        self.origin: dict[int, Any] | None = None  # of concrete values: (reference, name of the source, bytes from its start)

    def derived(self, made: Any, base: Any, delta: int) -> None:
        """A view of a concrete value was made: it comes from where its base comes from."""
        if self.origin is None:
            return
        known = self.origin.get(id(base))
        if known is not None and known[0]() is base:
            self.origin[id(made)] = (weakref.ref(made), known[1], known[2] + delta)

    def on_cut(self, reason: str) -> None:
        """A window is about to be cut inside the call."""
        self.cuts += 1
        if reason not in _QUIET:
            self.broke(reason)

    def on_observe(self) -> None:
        """Data is about to be looked at, pending or not."""
        self.broke("observed")

    def broke(self, reason: str) -> None:
        """Note a graph break, or refuse it."""
        file, line = user_line()
        if self.fullgraph:
            raise GraphBreak(f"{self.name}: graph break ({reason}) at {file}:{line}, and fullgraph=True")
        self.breaks.append((reason, file, line))


@dataclass
class Report:
    """What is known of a compiled function."""

    name: str
    path: str
    reason: str
    calls: int = 0
    recorded: int = 0
    replayed: int = 0
    breaks: dict[str, int] = field(default_factory=dict)
    recompiles: dict[str, int] = field(default_factory=dict)
    guards: int = 0

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.path}" + (f" ({self.reason})" if self.reason else ""),
                 f"  {self.calls} calls: {self.recorded} recorded, {self.replayed} replayed, {self.guards} guards"]
        lines += [f"  graph break: {where} ({n}x)" for where, n in self.breaks.items()]
        lines += [f"  recompiled: {why} ({n}x)" for why, n in self.recompiles.items()]
        return "\n".join(lines)


_all: weakref.WeakSet[Compiled] = weakref.WeakSet()


class Compiled:
    """A callable whose call is one window."""

    def __init__(self, fn: Any, fullgraph: bool = False) -> None:
        self.fn = fn
        self.fullgraph = fullgraph
        self.name = getattr(fn, "__qualname__", type(fn).__name__)
        self._forget()
        functools.update_wrapper(self, fn, updated=())
        _all.add(self)

    def _forget(self) -> None:
        self.calls = self.recorded = self.replayed = 0
        self.breaks: Counter[str] = Counter()
        self.recompiles: Counter[str] = Counter()
        self.live_tape = False
        self.entries: list[Any] = []
        self.codes: dict[Any, Any] | None = None
        self.credit = 40.0
        self.reason = "not called yet"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if record.state.region is not None or stance.eager or knobs.eager:
            return self.fn(*args, **kwargs)
        self.calls += 1
        entries = self.entries
        if entries:
            for i, entry in enumerate(entries):
                out = entry.run(args, kwargs)
                if out is not MISS:
                    self.replayed += 1
                    if i:
                        entries.insert(0, entries.pop(i))
                    if self.credit < 80.0:
                        self.credit += 1.0
                    return out
            why = entries[0].explain(args, kwargs) or "a guard"
            self.recompiles[why] += 1
            counters["recompiles"] += 1
        return self.record(args, kwargs)

    def record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the Python, recording the whole call into one window; from time to time, try to learn how to skip it."""
        state = record.state
        if not self.live_tape:
            _end_window("compiled call")
        attempt = self._attempt(args, kwargs) if self.credit >= ATTEMPT else None
        if attempt is None:
            self.credit += 0.1
        region = state.region = Region(self.name, self.fullgraph)
        if attempt is not None and attempt.builder is not None:
            region.origin = attempt.builder.origin
        try:
            out = self.fn(*args, **kwargs) if attempt is None else attempt.call(self.fn, args, kwargs)
        finally:
            state.region = None
            self.recorded += 1
            counters["recorded"] += 1
            for reason, file, line in region.breaks:
                self.breaks[f"{file}:{line}: {reason}"] += 1
                counters["breaks"] += 1
        self.live_tape = has_live_tape(out)
        if attempt is None:
            if not self.live_tape:
                _end_window("compiled call")
            return out
        attempt.finish(self, region, out)
        return out

    def _attempt(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from .attempt import Attempt

        self.credit -= ATTEMPT
        return Attempt(self.codes, self.fn, args, kwargs)

    def learn(self, entry: Any) -> None:
        """A way to skip the Python was found; the latest `ENTRIES` are kept."""
        self.entries.insert(0, entry)
        del self.entries[ENTRIES:]

    def report(self) -> Report:
        """Which path, why, and the counts."""
        path, reason = ("replay", "") if self.entries else ("recording", self.reason)
        return Report(self.name, path, reason, self.calls, self.recorded, self.replayed, dict(self.breaks), dict(self.recompiles),
                      self.entries[0].guards if self.entries else 0)


def _end_window(reason: str) -> None:
    trace = record.state.trace
    if trace.can_cut and trace.instrs:
        trace.cut(reason)


def tensors_in(x: Any, found: list[Any], depth: int = 0) -> list[Any]:
    """The tensors in nested containers (and objects that keep them in attributes, one level down)."""
    if is_tensor(x):
        found.append(x)
    elif depth > 6:
        return found
    elif isinstance(x, dict):
        for v in x.values():
            tensors_in(v, found, depth + 1)
    elif isinstance(x, (list, tuple, set, frozenset)):
        for v in x:
            tensors_in(v, found, depth + 1)
    elif depth < 3 and hasattr(x, "__dict__") and not isinstance(x, type) and not callable(x):
        tensors_in(vars(x), found, depth + 1)
    return found


def graph_is_live(node: Any) -> bool:
    """Whether a backward pass may still run from a node: nothing it needs was freed."""
    seen: set[int] = set()
    stack = [node]
    while stack:
        n = stack.pop()
        if id(n) in seen or n.is_leaf:
            continue
        seen.add(id(n))
        if n.saved is None:
            return False
        stack.extend([e[0] for e in n.edges if e is not None])
    return True


def has_live_tape(out: Any) -> bool:
    """Whether a result carries a tape that the caller may walk: its window goes on, so that the backward pass joins it."""
    return any(t._node is not None and not t._node.is_leaf and graph_is_live(t._node) for t in tensors_in(out, []))


def disable(fn: Any = None, recursive: bool = True, *, reason: Any = None) -> Any:
    """A function that runs outside the windows of the compiled calls around it (a graph break); also a decorator."""
    if fn is None:
        return lambda f: disable(f, recursive, reason=reason)
    if isinstance(fn, Compiled):
        fn = fn.fn

    @functools.wraps(fn)
    def outside(*args: Any, **kwargs: Any) -> Any:
        state = record.state
        region = state.region
        if region is None:
            return fn(*args, **kwargs)
        region.on_cut("disabled function")
        state.region = None
        try:
            _end_window("disabled function")
            return fn(*args, **kwargs)
        finally:
            _end_window("disabled function")
            state.region = region

    return outside


def reset() -> None:
    """Forget what compiled functions learned; they start anew."""
    counters.clear()
    for compiled in list(_all):
        compiled._forget()

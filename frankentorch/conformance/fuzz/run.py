"""Running a program under a library, and noting all that a user could see of it.

Enters: a program and a mode. Leaves: a `Log`: for each statement what it raised and put out; for each look the types of every tensor
and, where asked, the values. Modes: "torch" (the oracle), "deferred", "eager" (a window of one), "cut:SEED" (windows cut at random);
"interp" and "interp+..." run them by the reference interpreter; "compile" runs stretches of computing statements as functions under
``torch.compile``.
"""

from __future__ import annotations

import gc
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .program import LOOK_VALUES, Program

MODES = ("deferred", "eager", "cut:1", "compile", "interp", "interp+cut:2")


@dataclass
class Entry:
    """One note: the statement it follows, its kind ("raise", "out", "type:x", "value:x", "grad:x"), and what was seen."""

    at: int
    kind: str
    seen: Any


@dataclass
class Log:
    """What was seen of one run, in order; `failed` when the harness itself broke (an error no program should cause)."""

    entries: list[Entry] = field(default_factory=list)

    def note(self, at: int, kind: str, seen: Any) -> None:
        self.entries.append(Entry(at, kind, seen))


@dataclass(frozen=True)
class Array:
    """Values of a tensor: raw bytes of a row-major copy, with dtype and shape."""

    dtype: str
    shape: tuple[int, ...]
    raw: bytes

    def array(self) -> np.ndarray:
        if self.dtype == "bfloat16":
            wide = np.frombuffer(self.raw, np.uint16).astype(np.uint32) << 16
            return wide.view(np.float32).reshape(self.shape)
        return np.frombuffer(self.raw, np.dtype(self.dtype)).reshape(self.shape)


def torch_array(t: Any) -> Array:
    """A torch tensor's values."""
    import torch

    x = t.detach().contiguous()
    name = str(t.dtype).removeprefix("torch.")
    if t.dtype is torch.bfloat16:
        x = x.view(torch.int16)
    return Array(name, tuple(t.shape), x.resolve_conj().resolve_neg().clone().numpy().tobytes())


def our_array(t: Any) -> Array:
    """A FrankenTorch tensor's values, read without exposing its memory."""
    return Array(str(t.dtype).removeprefix("torch."), tuple(t.shape), np.ascontiguousarray(t._concrete()).tobytes())


def describe(t: Any) -> tuple[Any, ...]:
    """All of a tensor that can be seen without its values."""
    return (str(t.dtype), tuple(t.shape), tuple(t.stride()), t.storage_offset(), t.requires_grad, t.is_leaf)


TYPE_FIELDS = ("dtype", "shape", "strides", "offset", "requires_grad", "is_leaf", "version")


class Session:
    """The names a program runs with: torch, np, out; and its log."""

    def __init__(self, torch: Any, to_array: Any) -> None:
        self.torch, self.to_array = torch, to_array
        self.log = Log()
        self.at = -1
        self.env: dict[str, Any] = {"torch": torch, "np": np, "out": self.out}
        self.since: dict[str, tuple[int, int]] = {}

    def out(self, *values: Any) -> None:
        self.log.note(self.at, "out", tuple(self.to_array(v) if isinstance(v, self.torch.Tensor) else freeze(v) for v in values))

    def step(self, code: str) -> BaseException | None:
        """Run one statement; what it raised."""
        self.at += 1
        try:
            exec(compile(code, f"<statement {self.at}>", "exec"), self.env)
        except Exception as e:
            self.log.note(self.at, "raise", (type(e).__name__, str(e)))
            e.__traceback__ = None
            return e
        finally:
            self._versions()
        return None

    def _versions(self) -> None:
        """Versions count from a name's binding: torch's results start at whatever its kernels did inside."""
        for name, v in self.variables():
            if isinstance(v, self.torch.Tensor) and self.since.get(name, (0, 0))[0] != id(v):
                self.since[name] = (id(v), v._version)

    def variables(self) -> Iterator[tuple[str, Any]]:
        for name, v in list(self.env.items()):
            if name[0] in "tn" and name[1:].isdecimal():
                yield name, v

    def look(self, level: int) -> None:
        """Note the types of every variable, and under LOOK_VALUES the values too."""
        try:
            self._look(level)
        except Exception as e:
            self.log.note(self.at, "crash", f"{type(e).__name__}: {e} at {traceback.extract_tb(e.__traceback__)[-1].line}")

    def _look(self, level: int) -> None:
        for name, v in self.variables():
            if isinstance(v, self.torch.Tensor):
                self.log.note(self.at, f"type:{name}", (*describe(v), v._version - self.since[name][1]))
                if level == LOOK_VALUES:
                    self.log.note(self.at, f"value:{name}", self.to_array(v))
                    if v.is_leaf or v.retains_grad:
                        g = v.grad
                        self.log.note(self.at, f"grad:{name}", None if g is None else (describe(g)[:3], self.to_array(g)))
            elif isinstance(v, np.ndarray) and level == LOOK_VALUES:
                self.log.note(self.at, f"value:{name}", Array(str(v.dtype), v.shape, np.ascontiguousarray(v).tobytes()))


def freeze(v: Any) -> Any:
    return tuple(freeze(x) for x in v) if isinstance(v, (list, tuple)) else v


def oracle() -> Any:
    """Real torch, single-threaded so that its sums repeat."""
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    return torch


@contextmanager
def mode_of(mode: str) -> Iterator[None]:
    """FrankenTorch's knobs for a mode, with windows opened anew on both sides."""
    from ...knobs import scoped
    from ...ops.record import state
    from ...runtime import window

    def reopen() -> None:
        state.trace.cut("mode")
        state.trace = window.Window()

    interp = mode.startswith("interp")
    mode = mode.removeprefix("interp").removeprefix("+")
    settings: dict[str, Any] = {"eager": mode == "eager", "cut": f"random:{mode[4:]}" if mode.startswith("cut:") else "", "interp": interp}
    with scoped(**settings):
        window._random.clear()
        reopen()
        try:
            yield
        finally:
            state.trace = window.Window()
            state.grad = True
    reopen()


def session(mode: str) -> Session:
    """A fresh session under a mode's library."""
    if mode == "torch":
        return Session(oracle(), torch_array)
    import frankentorch

    return Session(frankentorch, our_array)


def run(program: Program, mode: str, perturb: float = 0.0, look_each: bool = False) -> Log:
    """The log of one run. `perturb` moves every float that a rule makes by up to this share of itself; `look_each` notes values after every statement."""
    s = session(mode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if mode == "torch":
            _steps(s, program, perturb, look_each)
        else:
            with mode_of(mode):
                _steps(s, program, perturb, look_each, mode == "compile")
    s.env.clear()
    if len(program.statements) > 200:
        gc.collect()
    return s.log


def _steps(s: Session, program: Program, perturb: float, look_each: bool, compiled: bool = False) -> None:
    if hasattr(s.torch, "manual_seed"):
        s.torch.manual_seed(program.seed)
    if compiled:
        from . import compiled as grouped

        for first, past in grouped.groups(program.statements):
            standing, notes = dict(s.variables()), len(s.log.entries)
            for statement in program.statements[first:past]:
                s.step(statement.code)
            if not any(e.kind == "raise" for e in s.log.entries[notes:]):
                grouped.recompute(s, program.statements[first:past], standing)
                s._versions()
            if program.statements[past - 1].look or look_each:
                s.look(LOOK_VALUES if look_each else program.statements[past - 1].look)
        s.at = len(program.statements)
        s.look(LOOK_VALUES)
        return
    for statement in program.statements:
        before = {name: id(v) for name, v in s.variables()} if perturb else {}
        s.step(statement.code)
        if perturb and statement.rule.startswith(("make", "numpy_share")):
            _nudge(s, [v for name, v in s.variables() if before.get(name) != id(v)], perturb)
        if statement.look or look_each:
            s.look(LOOK_VALUES if look_each else statement.look)
    s.at = len(program.statements)
    s.look(LOOK_VALUES)


def _nudge(s: Session, made: list[Any], by: float) -> None:
    """Move new floats a little, each its own way, behind the version counter's back."""
    draws = np.random.default_rng(abs(hash((s.at, by))) % 2**32)
    for v in made:
        if isinstance(v, s.torch.Tensor) and v.dtype.is_floating_point:
            v.data.mul_(s.torch.as_tensor(1 + by * draws.uniform(-1, 1, tuple(v.shape))).to(v.dtype))

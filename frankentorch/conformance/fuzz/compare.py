"""Holding two logs of one program against each other.

Enters: logs. Leaves: the first `Difference`, or None. Against torch values agree within a tolerance of the program's loosest dtype; our
own modes agree to the bit. A difference is *hard* (values, types, whether and what is raised), *soft* (wording of an
error, the order of dimensions in a result's memory), *missing* (a name that is not there yet) or *lenient* (torch refuses: it has no kernel for the dtype, or its tape needs memory that was overwritten; we give the answer).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from .program import Program
from .run import TYPE_FIELDS, Array, Log

TOLERANCE = {"float64": 1e-9, "float32": 2e-4, "float16": 3e-2, "bfloat16": 2e-1}


@dataclass(frozen=True)
class Difference:
    """Where two runs part: the statement, the field that differs, both sides, and how grave it is."""

    at: int
    field: str
    want: str
    got: str
    grade: str = "hard"

    @property
    def key(self) -> tuple[str, str]:
        return self.grade, self.field

    def __str__(self) -> str:
        return f"[{self.grade}] {self.field} after statement {self.at}: expected {self.want}, got {self.got}"


LENIENT = r"not implemented for|not support|returns multiple views|Can't detach views|modified by an inplace operation"


def compare(want: Log, got: Log, program: Program, exact: bool = False) -> Difference | None:
    """The first hard difference or missing name; else the first soft one; else None."""
    soft: Difference | None = None
    for a, b in zip(want.entries, got.entries):
        d = _entry(a, b, program, exact)
        if d is None:
            continue
        if d.grade != "soft" or d.field == "layout":  # past another layout, views of memory no longer mean the same
            return d
        soft = soft or d
    if len(want.entries) != len(got.entries):
        longer = want.entries if len(want.entries) > len(got.entries) else got.entries
        extra = longer[min(len(want.entries), len(got.entries))]
        return Difference(extra.at, "length", str(len(want.entries)), f"{len(got.entries)} notes, from {extra.kind}")
    return soft


def _entry(a: Any, b: Any, program: Program, exact: bool) -> Difference | None:
    if "crash" in (a.kind, b.kind):
        return None if a.kind == b.kind else Difference(a.at, "crash", str(a.seen)[:160], str(b.seen)[:160])
    if (a.at, a.kind) != (b.at, b.kind):
        if b.kind == "raise" and (b.at, a.kind) != (a.at, "raise"):
            missing = b.seen[0] in ("NotImplementedYet", "MissingName") or b.seen[0] == "AttributeError" or "NotImplemented" in b.seen[0]
            return Difference(b.at, "raises", f"nothing ({a.kind})", f"{b.seen[0]}: {_short(b.seen[1])}", "missing" if missing else "hard")
        if a.kind == "raise":
            refused = a.seen[0] == "NotImplementedError" or re.search(LENIENT, a.seen[1])
            grade = "lenient" if refused and "unsupported operation" not in a.seen[1] else "hard"
            return Difference(a.at, "raises", f"{a.seen[0]}: {_short(a.seen[1])}", f"nothing ({b.kind})", grade)
        return Difference(min(a.at, b.at), "order", f"{a.kind} at {a.at}", f"{b.kind} at {b.at}")
    if a.kind == "raise":
        return _raised(a, b)
    if a.kind.startswith("type:"):
        for name, x, y in zip(TYPE_FIELDS, a.seen, b.seen):
            if name == "strides" and a.seen[1] == b.seen[1]:
                x, y = _spanned(a.seen[1], x), _spanned(b.seen[1], y)
            if name == "strides" and x != y and _fresh_layout(a.seen) and _fresh_layout(b.seen):
                return Difference(a.at, "layout", f"{a.kind[5:]} {x}", str(y), "soft")
            if x != y:
                return Difference(a.at, name, f"{a.kind[5:]} {x}", str(y))
        return None
    if a.kind == "out":
        return _out(a, b, program, exact)
    if a.kind.startswith("grad:"):
        if a.seen is None or b.seen is None:
            return None if a.seen is b.seen else Difference(a.at, "grad", f"{a.kind[5:]} {_text(a.seen)}", _text(b.seen))
        if a.seen[0][:2] != b.seen[0][:2]:
            return Difference(a.at, "grad type", f"{a.kind[5:]} {a.seen[0]}", str(b.seen[0]))
        return _values(a.at, "grad", a.kind[5:], a.seen[1], b.seen[1], program, exact)
    return _values(a.at, "value", a.kind[6:], a.seen, b.seen, program, exact)


def _spanned(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """The strides that reach anything: those of dimensions longer than one, of a tensor that has elements."""
    return () if 0 in shape else tuple(0 if n == 1 else s for n, s in zip(shape, strides))


def _fresh_layout(seen: tuple[Any, ...]) -> bool:
    """Whether a tensor may own its memory whole: two results that do, in other orders of dimensions, differ in layout alone."""
    places = sorted((s, n) for n, s in zip(seen[1], seen[2]) if n > 1)
    step = 1
    for s, n in places:
        if s != step:
            return False
        step *= n
    return seen[3] == 0


def _raised(a: Any, b: Any) -> Difference | None:
    if a.seen[0] != b.seen[0]:
        missing = b.seen[0] in ("NotImplementedYet", "MissingName", "AttributeError")
        return Difference(a.at, "raises", f"{a.seen[0]}: {_short(a.seen[1])}", f"{b.seen[0]}: {_short(b.seen[1])}", "missing" if missing else "hard")
    if _words(a.seen[1]) != _words(b.seen[1]):
        return Difference(a.at, "wording", f"{a.seen[0]}: {_short(a.seen[1])}", _short(b.seen[1]), "soft")
    return None


def _words(message: str) -> list[str]:
    return re.findall(r"[A-Za-z_']+", message)[:5]


def _short(message: str) -> str:
    return message.split("\n")[0][:160]


def _text(seen: Any) -> str:
    return "None" if seen is None else str(seen[1].array().tolist())[:120]


def _out(a: Any, b: Any, program: Program, exact: bool) -> Difference | None:
    if len(a.seen) != len(b.seen):
        return Difference(a.at, "out", str(a.seen)[:120], str(b.seen)[:120])
    for x, y in zip(a.seen, b.seen):
        if isinstance(x, Array) and isinstance(y, Array):
            d = _values(a.at, "out", "", x, y, program, exact)
            if d is not None:
                return d
        elif not _plain_equal(x, y, 0.0 if exact else TOLERANCE[program.loose]):
            return Difference(a.at, "out", str(x)[:160], str(y)[:160])
    return None


def _plain_equal(x: Any, y: Any, tolerance: float) -> bool:
    if type(x) is not type(y):
        return False
    if isinstance(x, tuple):
        return len(x) == len(y) and all(_plain_equal(p, q, tolerance) for p, q in zip(x, y))
    if isinstance(x, (float, complex)):
        return close(np.asarray(x), np.asarray(y), tolerance)
    if isinstance(x, str) and x != y and tolerance:
        numbers = r"-?\d+\.?\d*(?:e[+-]\d+)?"
        if re.sub(numbers, "#", re.sub(r"\s+", " ", x)) != re.sub(numbers, "#", re.sub(r"\s+", " ", y)):
            return False
        xs, ys = re.findall(numbers, x), re.findall(numbers, y)
        return len(xs) == len(ys) and close(np.array(xs, float), np.array(ys, float), max(tolerance, 2e-4))
    return bool(x == y)


def _values(at: int, field: str, name: str, x: Array, y: Array, program: Program, exact: bool) -> Difference | None:
    if (x.dtype, x.shape) != (y.dtype, y.shape):
        return Difference(at, field, f"{name} {x.dtype}{x.shape}", f"{y.dtype}{y.shape}")
    if exact:
        same = x.raw == y.raw
    else:
        floating = x.dtype in TOLERANCE or x.dtype.startswith("complex")
        same = close(x.array(), y.array(), TOLERANCE[program.loose]) if floating else x.raw == y.raw
    return None if same else Difference(at, field, *_where(name, x.array(), y.array()))


def _where(name: str, x: np.ndarray, y: np.ndarray) -> tuple[str, str]:
    """The entry that differs most, on both sides."""
    with np.errstate(all="ignore"):
        off = np.abs(np.where(x == y, 0, x.astype(np.complex128) - y.astype(np.complex128)))
        at = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), x.shape)
    return f"{name}{list(map(int, at))} = {x[at]!r} of {str(x.tolist())[:120]}", f"{y[at]!r} of {str(y.tolist())[:120]}"


def close(x: np.ndarray, y: np.ndarray, tolerance: float) -> bool:
    """Equal within the tolerance relative to the larger of one and the array's largest entry; NaN equals NaN."""
    with np.errstate(all="ignore"):
        if x.size == 0:
            return True
        wide = np.complex128 if np.iscomplexobj(x) else np.float64
        x, y = x.astype(wide), y.astype(wide)
        finite = np.isfinite(x)
        scale = max(1.0, float(np.abs(x[finite]).max())) if finite.any() else 1.0
        return bool(np.all((x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= tolerance * scale)))

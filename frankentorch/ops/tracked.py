"""Numbers that know how they were made: hyperparameters and step counts, followed through Python arithmetic while a call is recorded.

Enters: a value and the expression that reads its source. Leaves: floats whose `expr` computes them again. A comparison becomes a
guard on its outcome; what turns the number into an ordinary one (`float`, `int`, hashing) pins its value by a guard.
"""

from __future__ import annotations

import math
from typing import Any


class Tracked(float):
    """A float with the expression it came from. `tracker` collects the guards that its uses ask for."""

    expr: str
    tracker: Tracker

    def _pin(self) -> float:
        self.tracker.conditions.setdefault(f"{self.expr} == {plain(self)!r}")
        return plain(self)

    def __neg__(self) -> Any:
        return self.tracker.make(-plain(self), f"(-{self.expr})")

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self.tracker.make(abs(plain(self)), f"abs({self.expr})")

    def __float__(self) -> float:
        return self._pin()

    def __int__(self) -> int:
        return int(self._pin())

    def __trunc__(self) -> int:
        return int(self._pin())

    def __round__(self, *args: Any) -> Any:
        return round(self._pin(), *args)

    def __floor__(self) -> int:
        return math.floor(self._pin())

    def __ceil__(self) -> int:
        return math.ceil(self._pin())

    def __hash__(self) -> int:
        return hash(self._pin())

    def __bool__(self) -> bool:
        return bool(self.tracker.decide(f"({self.expr} != 0.0)", plain(self) != 0.0))

    def __repr__(self) -> str:
        return repr(self._pin())

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(self._pin(), spec)

    def __reduce__(self) -> Any:
        return float, (self._pin(),)

    def __copy__(self) -> float:
        return self._pin()

    def __deepcopy__(self, memo: Any) -> float:
        return self._pin()

    def hex(self) -> str:
        return self._pin().hex()

    def is_integer(self) -> bool:
        return self._pin().is_integer()

    def as_integer_ratio(self) -> tuple[int, int]:
        return self._pin().as_integer_ratio()


def plain(x: float) -> float:
    """An ordinary float of the same value, unnoticed by the tracker."""
    return float.__mul__(x, 1.0)


class Tracker:
    """Makes tracked numbers and keeps the conditions under which what was recorded stays true."""

    def __init__(self) -> None:
        self.conditions: dict[str, None] = {}

    def make(self, value: float, expr: str) -> Tracked:
        t = Tracked(value)
        t.expr = expr
        t.tracker = self
        return t

    def decide(self, expr: str, outcome: bool) -> bool:
        self.conditions.setdefault(expr if outcome else f"not {expr}")
        return outcome


def _text(x: Any) -> str | None:
    """An operand as source text; None for one that has none (it pins the other)."""
    if isinstance(x, Tracked):
        return x.expr
    if type(x) in (int, bool) or type(x) is float and math.isfinite(x):
        return f"({x!r})"
    return None


def _arithmetic(name: str, sign: str) -> None:
    plain_op = getattr(float, f"__{name}__")
    plain_rop = getattr(float, f"__r{name}__")

    def forward(self: Tracked, other: Any) -> Any:
        text = _text(other)
        if text is None:
            return plain_op(self._pin(), other)
        got = plain_op(plain(self), plain(other) if isinstance(other, Tracked) else other)
        if type(got) is not float:
            return got
        return self.tracker.make(got, f"({self.expr} {sign} {text})")

    def reflected(self: Tracked, other: Any) -> Any:
        text = _text(other)
        if text is None:
            return plain_rop(self._pin(), other)
        got = plain_rop(plain(self), other)
        if type(got) is not float:
            return got
        return self.tracker.make(got, f"({text} {sign} {self.expr})")

    setattr(Tracked, f"__{name}__", forward)
    setattr(Tracked, f"__r{name}__", reflected)


def _comparison(name: str, sign: str) -> None:
    plain_op = getattr(float, f"__{name}__")

    def compare(self: Tracked, other: Any) -> Any:
        text = _text(other)
        outcome = plain_op(plain(self), plain(other) if isinstance(other, Tracked) else other)
        if outcome is NotImplemented:
            return outcome
        if text is None:
            self._pin()
            return outcome
        return self.tracker.decide(f"({self.expr} {sign} {text})", outcome)

    setattr(Tracked, f"__{name}__", compare)


for _name, _sign in (("add", "+"), ("sub", "-"), ("mul", "*"), ("truediv", "/"), ("pow", "**"), ("mod", "%"), ("floordiv", "//")):
    _arithmetic(_name, _sign)
for _name, _sign in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
    _comparison(_name, _sign)

"""Every FT_* environment variable, typed, in one place.

Enters: the environment, once, at import. Leaves: ``knobs``, whose attributes are the settings; ``scoped`` changes some
for a block. A setting belongs to the process, not to a thread. The table ``ROWS`` is the whole list.

>>> with scoped(num_threads=1, eager=True):
...     assert knobs.eager
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("one of 0, 1, false, true, no, yes, off, on")
    return word in _TRUE


def _count(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError("a whole number, zero or more")
    return int(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([kmgt]?)(i?b)?", text.strip().lower())
    if match is None:
        raise ValueError("bytes, as 1048576, 512M or 2G")
    return int(match[1]) * _UNITS[match[2]]


def _path(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text)) if text else ""


def _cut(text: str) -> str:
    if not re.fullmatch(r"|\d+|random:\d+", text):
        raise ValueError("empty, a count of ops, or random:SEED")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError("one of " + ", ".join(repr(w) for w in words))
        return word
    return parse


class Row(NamedTuple):
    """One knob: its attribute, how its text is read, its value when the variable is unset, and what it does."""

    name: str
    parse: Callable[[str], Any]
    default: Any
    doc: str

    @property
    def variable(self) -> str:
        return "FT_" + self.name.upper()


ROWS: tuple[Row, ...] = (
    Row("eager", _switch, False, "run every op by itself: a window of one"),
    Row("cut", _cut, "", "where windows end besides observation: every N ops, or random:SEED (for tests)"),
    Row("interp", _switch, False, "run by the reference interpreter, exact to the bit and slow, instead of compiled code"),
    Row("cache_dir", _path, "", "folder of compiled objects and plans; empty means the user's cache folder"),
    Row("cache_size", _size, 512 << 20, "bytes the cache folder may hold before its oldest entries go"),
    Row("cpu", _one_of("", "sse4.2", "avx2", "avx512"), "", "use no CPU feature above this tier"),
    Row("num_threads", _count, 0, "threads a kernel may use; 0 means one for each core this process may use"),
    Row("verify", _switch, False, "verify the IR between passes and before code generation"),
    Row("mode", _one_of("strict", "hardened"), "strict", "strict is torch's behaviour; hardened adds defensive checks"),
    Row("debug", _count, 0, "how much to say on stderr: 0 nothing, 1 cuts and compiles, 2 every program"),
)


class Knobs:
    """The settings as attributes; assignment is checked for the name, ``scoped`` also for the type."""

    __slots__ = tuple(row.name for row in ROWS)

    eager: bool
    cut: str
    interp: bool
    cache_dir: str
    cache_size: int
    cpu: str
    num_threads: int
    verify: bool
    mode: str
    debug: int

    def __init__(self, environ: Mapping[str, str]) -> None:
        for row in ROWS:
            text = environ.get(row.variable)
            setattr(self, row.name, row.default if text is None else _parsed(row, text))

    def values(self) -> dict[str, Any]:
        """Every setting under its variable's name, as ``ft env`` prints it."""
        return {row.variable: getattr(self, row.name) for row in ROWS}


def _parsed(row: Row, text: str) -> Any:
    try:
        return row.parse(text)
    except ValueError as error:
        raise ValueError(f"{row.variable}={text!r}: expected {error} ({row.doc})") from None


knobs = Knobs(os.environ)


@contextmanager
def scoped(**settings: Any) -> Iterator[Knobs]:
    """Change some settings for a block. A string is read as the environment's text would be."""
    rows = {row.name: row for row in ROWS}
    changed: dict[str, Any] = {}
    for name, value in settings.items():
        row = rows.get(name)
        if row is None:
            raise AttributeError(f"no knob is called {name!r}; there are {', '.join(rows)}")
        changed[name] = _parsed(row, value if isinstance(value, str) else str(value))
    before = {name: getattr(knobs, name) for name in changed}
    for name, value in changed.items():
        setattr(knobs, name, value)
    try:
        yield knobs
    finally:
        for name, value in before.items():
            setattr(knobs, name, value)

"""Versions of dictionaries: whether a dict was modified since, in one comparison.

Enters: a plain dict. Leaves: a ctypes integer over its version tag (PEP 509: a number that every modification of any dict renews), or None
where the interpreter has none: only CPython 3.11 keeps tags that can be relied on, and a trial at import says whether they work.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_OFFSET = object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)  # after the header and the number of items


def _tag(d: dict[Any, Any]) -> Any:
    return ctypes.c_uint64.from_address(id(d) + _OFFSET)


class _Probe:
    pass


def _works() -> bool:
    if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11) or hasattr(sys, "gettotalrefcount"):
        return False
    probe = _Probe()
    table = probe.__dict__
    tag = _tag(table)
    seen = {tag.value}
    for i in range(64):  # long enough for the interpreter to specialise the store
        probe.x = [i]  # type: ignore[attr-defined]
        if tag.value in seen:
            return False
        seen.add(tag.value)
    steps = (lambda: table.__setitem__("y", 1), lambda: table.update(y=2), lambda: table.pop("y"), lambda: delattr(probe, "x"),
             lambda: table.setdefault("z", 3), lambda: table.clear())
    for step in steps:
        step()
        if tag.value in seen:
            return False
        seen.add(tag.value)
    before = tag.value
    _ = [*table], table.get("z"), len(table)
    return bool(tag.value == before)


WORKS = _works()


def tag_of(d: Any) -> Any:
    """A live view of the dict's version, or None. The dict has to outlive it."""
    return _tag(d) if WORKS and type(d) is dict else None

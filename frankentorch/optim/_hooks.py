"""Ordered hook tables and the handles that remove from them.

Enters: a callable. Leaves: a `RemovableHandle` whose `remove()` takes the callable out again; a handle is also a context manager.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Self

HookTable = OrderedDict[int, Callable[..., Any]]


class RemovableHandle:
    """Removes one hook from one table, once; the table may be gone by then."""

    _next = 0

    def __init__(self, table: HookTable) -> None:
        self._table = weakref.ref(table)
        self.id = RemovableHandle._next
        RemovableHandle._next += 1

    def remove(self) -> None:
        table = self._table()
        if table is not None:
            table.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def add_hook(table: HookTable, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
    """Put `hook` last (or first) in the table."""
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle

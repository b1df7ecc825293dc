"""A program as plain data: kernel calls with their argument words, and where each buffer lives.

Enters: nothing. Leaves: `Plan` and its parts, which persist; made by `lower.program`, bound by `runtime.program`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Place:
    """Where a buffer lives: ("leaf", i), ("out", i), ("arena", offset)."""

    kind: str
    index: int


@dataclass(slots=True)
class Entry:
    """One kernel call; `key` names its object in the cache. A word is an int, or (buffer number, byte offset), or ("scalar", leaf number)."""

    text: str
    symbol: str
    words: list[Any]
    units: int
    grain: int
    scratch: int
    label: str
    key: str = ""


@dataclass(slots=True)
class Plan:
    """A program before binding. `outputs` are (slot, out index, byte offset); `leaf_views` are (slot, leaf, byte offset)."""

    entries: list[Entry]
    places: list[Place]
    out_bytes: list[int]
    arena: int
    outputs: list[tuple[int, int, int]]
    leaf_views: list[tuple[int, int, int]]
    donated: list[tuple[int, int]]
    counts: dict[str, int] = field(default_factory=dict)

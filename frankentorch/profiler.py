"""torch.profiler: the time spent in blocks that `record_function` names.

Enters: a program run under `profile`. Leaves: a table of the named blocks. Work is deferred, so an op has no time of its own: what a
kernel costs is `ft explain`'s business.
"""

from __future__ import annotations

import enum
import functools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ._missing import getattr_of

__all__ = ["ProfilerAction", "ProfilerActivity", "profile", "record_function", "schedule", "supported_activities"]

_running: list[profile] = []


class ProfilerActivity(enum.Enum):
    """What may be observed; only CPU is."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3


class ProfilerAction(enum.Enum):
    """What a schedule asks for at a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """{CPU}."""
    return {ProfilerActivity.CPU}


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0) -> Callable[[int], ProfilerAction]:
    """A schedule that waits, warms up, records, and starts again."""

    def action(step: int) -> ProfilerAction:
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        cycle = wait + warmup + active
        if repeat and step // cycle >= repeat:
            return ProfilerAction.NONE
        at = step % cycle
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if at == cycle - 1 else ProfilerAction.RECORD

    return action


@dataclass
class FunctionEvent:
    """One name: how often it ran, and for how many microseconds altogether."""

    key: str
    count: int = 0
    cpu_time_total: float = 0.0

    @property
    def cpu_time(self) -> float:
        return self.cpu_time_total / max(self.count, 1)

    @property
    def self_cpu_time_total(self) -> float:
        return self.cpu_time_total


class EventList(list[FunctionEvent]):
    """Events with a printable table."""

    def table(self, sort_by: str | None = None, row_limit: int = 100, **kwargs: Any) -> str:
        """Names, calls and times in columns."""
        rows = sorted(self, key=lambda e: -e.cpu_time_total) if sort_by else list(self)
        lines = [f"{'Name':<40}{'# of Calls':>12}{'CPU total (us)':>16}{'CPU avg (us)':>14}"]
        lines += [f"{e.key:<40}{e.count:>12}{e.cpu_time_total:>16.1f}{e.cpu_time:>14.1f}" for e in rows[:row_limit]]
        return "\n".join(lines)

    def total_average(self) -> FunctionEvent:
        return FunctionEvent("Total", sum(e.count for e in self), sum(e.cpu_time_total for e in self))


class record_function:
    """Names a block (or, as a decorator, a function); pending work is run at both ends, so that the time is the block's."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.start = 0.0

    def __enter__(self) -> record_function:
        if _running:
            _finish_work()
        self.start = time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        if not _running:
            return
        _finish_work()
        spent = (time.perf_counter() - self.start) * 1e6
        for p in _running:
            p._note(self.name, spent)

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return fn(*args, **kwargs)

        return wrapped


def _finish_work() -> None:
    from .runtime.window import cut_here

    cut_here("profiler")


class profile:
    """Collects the blocks that `record_function` names while it is on."""

    def __init__(self, *, activities: Iterable[ProfilerActivity] | None = None, schedule: Callable[[int], ProfilerAction] | None = None,
                 on_trace_ready: Callable[[Any], Any] | None = None, **options: Any) -> None:
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.step_num = 0
        self._events: dict[str, FunctionEvent] = {}

    def _note(self, name: str, microseconds: float) -> None:
        if self.schedule is not None and self.schedule(self.step_num) not in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            return
        event = self._events.setdefault(name, FunctionEvent(name))
        event.count += 1
        event.cpu_time_total += microseconds

    def start(self) -> None:
        _running.append(self)

    def stop(self) -> None:
        _finish_work()
        _running.remove(self)
        if self.schedule is None and self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def step(self) -> None:
        """The end of a step of the schedule."""
        if self.schedule is not None and self.schedule(self.step_num) is ProfilerAction.RECORD_AND_SAVE and self.on_trace_ready is not None:
            self.on_trace_ready(self)
        self.step_num += 1

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def key_averages(self, **kwargs: Any) -> EventList:
        """The named blocks, in the order in which they first ended."""
        return EventList(self._events.values())

    events = key_averages


__getattr__ = getattr_of("profiler")

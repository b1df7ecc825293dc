"""One attempt to learn how a call can be replayed.

Enters: a call about to be recorded, and the code objects that earlier ones ran. Leaves: an entry of the compiled function, or the reason
why there is none. The recorded call itself is not affected.
"""

from __future__ import annotations

from typing import Any

from ..ops import record
from .replay import Builder
from .state import Refused
from .watch import Watch, watched


class Attempt:
    """Watches one recorded call; with the codes of an earlier one it also tries to write a replay."""

    def __init__(self, codes: dict[Any, Any] | None, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.watch = Watch()
        self.reason: str | None = None
        self.builder: Builder | None = None
        self.codes = codes
        if codes is None:
            self.reason = "first call"
            return
        try:
            self.builder = Builder(codes, fn, args, kwargs)
        except Refused as why:
            self.reason = str(why)

    def refuse(self, why: Any) -> None:
        if self.builder is not None or self.reason is None:
            self.reason = str(why)
        self.builder = None

    def call(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        builder = self.builder
        if builder is not None:
            builder.start()
        try:
            return watched(self.watch, fn, args, kwargs)
        finally:
            if builder is not None:
                try:
                    builder.stop()
                except Refused as why:
                    self.refuse(why)

    def finish(self, owner: Any, region: Any, out: Any) -> None:
        """End the window and, where nothing speaks against it, give `owner` an entry."""
        watch = self.watch
        trace: Any = record.state.trace
        if watch.refusal is not None:
            self.refuse(watch.refusal)
        elif region.breaks:
            reason, file, line = region.breaks[0]
            self.refuse(f"graph break ({reason}) at {file}:{line}")
        elif region.cuts:
            self.refuse("the window was cut inside the call")
        elif owner.live_tape:
            self.refuse("the result carries a live tape")
        elif self.codes is None or any(c not in self.codes for c in watch.codes):
            self.refuse("learning which code it runs")
        owner.codes = {**(self.codes or {}), **watch.codes}
        if self.builder is not None:
            try:
                self.check(out, region)
            except Refused as why:
                self.refuse(why)
        if not owner.live_tape and trace.can_cut and trace.instrs:
            trace.cut("compiled call")
        if self.builder is not None:
            try:
                owner.learn(self.builder.entry(trace.bound))
            except Refused as why:
                self.refuse(why)
        owner.reason = self.reason or ""

    def check(self, out: Any, region: Any) -> None:
        """Before the cut: what ran is what the guards cover, and the call left outside state as it was."""
        builder, watch = self.builder, self.watch
        assert builder is not None
        unknown = [c for c in watch.codes if c not in builder.walk.found]
        if unknown:
            raise Refused(f"how {unknown[0].co_name} ({unknown[0].co_filename}:{unknown[0].co_firstlineno}) was reached is not known")
        broken = builder.holds()
        if broken is not None:
            raise Refused(f"the call changes {broken}")
        trace = record.state.trace
        builder.pending(trace, out, region)
        builder.remember(trace)



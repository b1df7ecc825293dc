"""Anomaly mode: forward call stacks on tape nodes, and a check of every gradient."""

from __future__ import annotations

import warnings
from typing import Any

from ..ops.record import state


class detect_anomaly:
    """While on, a failing or NaN gradient names the forward call that made it."""

    def __init__(self, check_nan: bool = True) -> None:
        self.before = state.anomaly, state.check_nan
        self.check_nan = check_nan
        warnings.warn("Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.", stacklevel=2)

    def __enter__(self) -> None:
        self.before = state.anomaly, state.check_nan
        state.anomaly, state.check_nan = True, self.check_nan

    def __exit__(self, *exc: object) -> None:
        state.anomaly, state.check_nan = self.before


class set_detect_anomaly:
    """Turn anomaly mode on or off, from now on or for a ``with`` block; without `check_nan` NaN is no fault."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = state.anomaly, state.check_nan
        state.anomaly, state.check_nan = bool(mode), check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: Any) -> None:
        state.anomaly, state.check_nan = self.before


def is_anomaly_enabled() -> bool:
    return state.anomaly

"""torch._C: the native names that PyTorch programs and libraries reach for, served from the op table."""

from __future__ import annotations

from typing import Any

from ..ops.rand import Generator
from . import _nn

__all__ = ["Generator", "_nn"]


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'torch._C' has no attribute '{name}'")

"""torch.version: which torch this package follows, and what it was built with (no CUDA, no ROCm)."""

from __future__ import annotations

from typing import Any

__all__ = ["cuda", "debug", "git_version", "hip", "rocm", "xpu"]

__version__ = "2.13.0+frankentorch"
debug = False
git_version = "frankentorch"
cuda: Any = None
hip: Any = None
rocm: Any = None
xpu: Any = None

"""torch.mps of a build without Metal: questions are answered, requests refused."""

from __future__ import annotations

from typing import Any, NoReturn

from ._missing import getattr_of

__all__ = ["device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError("Torch not compiled with MPS enabled")


synchronize = empty_cache = manual_seed = seed = get_rng_state = set_rng_state = current_allocated_memory = driver_allocated_memory = _refuse
__getattr__ = getattr_of("mps")

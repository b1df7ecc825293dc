"""torch.cuda of a build without CUDA: questions are answered, requests refused in torch's words."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NoReturn

from ._missing import getattr_of
from .amp import GradScaler, autocast

__all__ = ["Event", "Stream", "amp", "current_device", "device_count", "empty_cache", "is_available", "is_initialized", "manual_seed", "manual_seed_all",
           "synchronize"]


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise AssertionError("Torch not compiled with CUDA enabled")


init = current_device = synchronize = set_device = get_device_name = get_device_properties = get_device_capability = current_stream = default_stream = _refuse
get_rng_state = set_rng_state = get_rng_state_all = seed = seed_all = mem_get_info = set_per_process_memory_fraction = ipc_collect = _refuse


class Stream:
    """A CUDA stream; there is none."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Stream:
        raise RuntimeError("torch.cuda.Stream requires CUDA support, but no CUDA device is available.")


class Event:
    """A CUDA event; there is none."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Event:
        raise RuntimeError("torch.cuda.Event requires CUDA support, but no CUDA device is available.")


class device:
    """``with torch.cuda.device(None)`` does nothing; with a number it refuses."""

    def __init__(self, device: Any) -> None:
        self.index = device

    def __enter__(self) -> None:
        if self.index is not None and self.index != -1:
            _refuse()

    def __exit__(self, *exc: object) -> None:
        pass


class stream:
    """``with torch.cuda.stream(None)`` does nothing."""

    def __init__(self, stream: Any) -> None:
        if stream is not None:
            _refuse()

    def __enter__(self) -> None:
        """Nothing to enter."""

    def __exit__(self, *exc: object) -> None:
        """Nothing to leave."""


def is_available() -> bool:
    """False."""
    return False


is_initialized = is_available


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """There is no generator to seed."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """There is no cache."""


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_cached = max_memory_cached = memory_allocated


def reset_peak_memory_stats(device: Any = None) -> None:
    """There are none."""


reset_max_memory_allocated = reset_max_memory_cached = reset_accumulated_memory_stats = reset_peak_memory_stats


def get_arch_list() -> list[str]:
    """[]."""
    return []


def _module() -> ModuleType:
    import functools

    m = ModuleType(f"{__name__}.amp", "torch.cuda.amp: the old names of torch.amp's.")
    m.autocast = functools.partial(autocast, "cuda")  # type: ignore[attr-defined]
    m.GradScaler = functools.partial(GradScaler, "cuda")  # type: ignore[attr-defined]
    sys.modules[m.__name__] = m
    return m


amp = _module()
__getattr__ = getattr_of("cuda")

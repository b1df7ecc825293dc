"""torch.multiprocessing: Python's multiprocessing, with tensors in its queues.

Enters: functions and tensors. Leaves: processes. A tensor whose memory is shared (`Tensor.share_memory_`) is shared by children that are
forked; sent through a queue, a tensor travels as its bytes.
"""

from __future__ import annotations

import multiprocessing as _python
from multiprocessing import *  # noqa: F403
from typing import Any

from .._missing import getattr_of
from .spawn import ProcessContext, ProcessExitedException, ProcessRaisedException, SpawnContext, spawn, start_processes

__all__ = [*_python.__all__, "ProcessContext", "ProcessExitedException", "ProcessRaisedException", "SpawnContext",  # noqa: PLE0604
           "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn", "start_processes"]


def get_all_sharing_strategies() -> set[str]:
    """{"file_descriptor"}: memory is shared by inheritance."""
    return {"file_descriptor"}


def get_sharing_strategy() -> str:
    """ "file_descriptor"."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy: Any) -> None:
    """Accepted for both of torch's strategies."""
    assert new_strategy in ("file_descriptor", "file_system")


__getattr__ = getattr_of("multiprocessing")

"""``frankentorch.as_torch``: let ``import torch`` mean FrankenTorch. ::

    import frankentorch.as_torch

    with frankentorch.as_torch():     # for a block
        import some_torch_program

    frankentorch.as_torch.install()   # from here on; uninstall() undoes it

Enters: nothing. Leaves: `interop.alias`'s functions, and the module itself as the context manager.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import ModuleType

from .interop.alias import as_torch, install, installed, uninstall

__all__ = ["as_torch", "install", "installed", "uninstall"]


class _Callable(ModuleType):
    def __call__(self) -> AbstractContextManager[ModuleType]:
        return as_torch()


sys.modules[__name__].__class__ = _Callable

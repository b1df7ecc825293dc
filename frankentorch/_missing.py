"""Tells torch's names that are missing here from names that torch does not have either.

Enters: a name looked up in vain. Leaves: `MissingName`, which names it, or Python's AttributeError. ``hasattr`` is False for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from .errors import MissingName


def getattr_of(module: str) -> Callable[[str], NoReturn]:
    """The ``__getattr__`` of ``torch.<module>``."""

    def missing(name: str) -> NoReturn:
        raise error(module, name)

    return missing


def error(module: str, name: str) -> AttributeError:
    """The error for a name that ``torch.<module>`` (or ``torch``, for "") does not have here."""
    if name.startswith("__"):
        return AttributeError(f"module 'torch{module and '.' + module}' has no attribute '{name}'")
    from ._torch_names import MODULES, TORCH

    if name in (MODULES.get(module, ()) if module else TORCH):
        return MissingName(f"torch.{module and module + '.'}{name} is not there yet")
    return AttributeError(f"module 'torch{module and '.' + module}' has no attribute '{name}'")


def of_tensor(cls: type, name: str) -> AttributeError:
    """The error for an attribute that a tensor does not have here."""
    if not name.startswith("__"):
        from ._torch_names import TENSOR

        if name in TENSOR:
            return MissingName(f"torch.Tensor.{name} is not there yet")
    return AttributeError(f"'{cls.__name__}' object has no attribute '{name}'")

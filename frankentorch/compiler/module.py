"""The compiled form of a module: it looks like the module it wraps.

Enters: a module. Leaves: a module with that one as its child `_orig_mod`, whose call is compiled; every other attribute is the
original's.
"""

from __future__ import annotations

from typing import Any

from ..nn import Module
from .calls import Compiled

_OWN = ("_orig_mod", "_compiled_call", "training")


class OptimizedModule(Module):
    """What `compile` returns for a module, with torch's names: parameters are listed under ``_orig_mod.``."""

    def __init__(self, mod: Module, fullgraph: bool = False) -> None:
        super().__init__()
        self.__dict__.pop("training", None)
        self._modules["_orig_mod"] = mod
        object.__setattr__(self, "_compiled_call", Compiled(mod, fullgraph))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled_call(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The compiled call."""
        return self._compiled_call(*args, **kwargs)

    def report(self) -> Any:
        """As `frankentorch.compiler.explain`."""
        return self._compiled_call.report()

    @property
    def training(self) -> bool:  # type: ignore[override]
        return self._modules["_orig_mod"].training  # type: ignore[union-attr]

    @training.setter
    def training(self, mode: bool) -> None:
        if "_orig_mod" in self.__dict__.get("_modules", ()):
            self._modules["_orig_mod"].training = mode  # type: ignore[union-attr]

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        return getattr(self._modules["_orig_mod"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN or "_orig_mod" not in self.__dict__.get("_modules", ()):
            object.__setattr__(self, name, value)
            return
        setattr(self._modules["_orig_mod"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._modules["_orig_mod"], name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._modules["_orig_mod"]), *_OWN})

    def __reduce__(self) -> Any:
        return OptimizedModule, (self._modules["_orig_mod"], self._compiled_call.fullgraph)

"""The name ``torch`` for FrankenTorch, for one process or one block, and back.

Enters: nothing, or a script. Leaves: ``sys.modules`` in which ``torch`` and the packages under it are FrankenTorch's own module objects, so
that ``import torch.nn.functional as F``, ``importlib.util.find_spec("torch")`` and ``importlib.metadata.version("torch")`` answer. A real
torch that was imported before is set aside and comes back with `uninstall`; modules that were imported in between keep what they imported.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import _namespace

NAME, HOUSE = "torch", "frankentorch"
OURS = frozenset({"conformance", "interop", "ledger", "as_torch"})
"""Names of `_namespace.LAZY` that torch does not have."""

SHIM = str(Path(__file__).parent / "shim")
"""On ``sys.path`` while the alias stands, which multiprocessing hands on: so a spawned process has the alias, too."""

_lock = threading.RLock()
_depth = 0
_set_aside: dict[str, ModuleType] = {}


def target(name: str) -> str | None:
    """FrankenTorch's name of a torch module; None where torch has none, or FrankenTorch lacks it.

    >>> target("torch.nn.functional"), target("torch.random"), target("torch.lower")
    ('frankentorch.nn.functional', 'frankentorch.random_api', None)
    """
    parts = name.split(".")
    if parts[0] != NAME:
        return None
    if len(parts) == 1:
        return HOUSE
    first = _namespace.LAZY.get(parts[1])
    if first is None or parts[1] in OURS:
        return None
    found = ".".join([HOUSE, first, *parts[2:]])
    try:
        spec = importlib.util.find_spec(found)
    except ModuleNotFoundError:
        return None
    return found if spec is not None else None


class _Loader(importlib.abc.Loader):
    """Loads ``torch.x`` by importing FrankenTorch's module and handing out that very object."""

    def __init__(self, found: str) -> None:
        self.found = found

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.found)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just written the alias's spec over the module's own.
        module.__spec__ = self.spec


class _Distribution(metadata.Distribution):
    """What ``importlib.metadata`` says of torch under the alias."""

    def read_text(self, filename: str) -> str | None:
        if filename == "METADATA":
            version = importlib.import_module(HOUSE).__version__
            return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\nSummary: FrankenTorch under torch's name\n"
        return f"{NAME}\n" if filename == "top_level.txt" else None

    def locate_file(self, path: Any) -> Any:
        return Path(__file__).parent.parent / path


_ANY = metadata.DistributionFinder.Context()


class _Finder(metadata.DistributionFinder):
    """First on ``sys.meta_path`` while the alias stands; it answers for torch only."""

    def find_spec(self, fullname: str, path: Any = None, module: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != NAME and not fullname.startswith(NAME + "."):
            return None
        found = target(fullname)
        if found is not None:
            real = importlib.util.find_spec(found)
            package = real is not None and real.submodule_search_locations is not None
            origin = real.origin if real is not None else None
            return importlib.machinery.ModuleSpec(fullname, _Loader(found), origin=origin, is_package=package)
        # Looking on would load a second copy of one of our own files, under torch's name.
        raise ModuleNotFoundError(f"No module named {fullname!r}: FrankenTorch has no such part of torch", name=fullname)

    def find_distributions(self, context: metadata.DistributionFinder.Context = _ANY) -> Iterable[metadata.Distribution]:
        return [_Distribution()] if context.name is None or context.name.lower() == NAME else []


_FINDER = _Finder()


def _take_torch() -> dict[str, ModuleType]:
    """Remove every module of that name from ``sys.modules``."""
    names = [n for n in sys.modules if n == NAME or n.startswith(NAME + ".")]
    return {n: sys.modules.pop(n) for n in names}


def installed() -> bool:
    """Whether ``torch`` is FrankenTorch at the moment."""
    return _depth > 0


def install() -> None:
    """Let ``import torch`` mean FrankenTorch in this process. Installing twice needs uninstalling twice."""
    global _depth
    house = importlib.import_module(HOUSE)
    with _lock:
        _depth += 1
        if _depth == 1:
            _set_aside.update(_take_torch())
            sys.modules[NAME] = house
            sys.meta_path.insert(0, _FINDER)
            if SHIM not in sys.path:
                sys.path.insert(min(1, len(sys.path)), SHIM)
            importlib.invalidate_caches()


def uninstall() -> None:
    """Undo one `install`; RuntimeError where there was none."""
    global _depth
    if sys.meta_path is None:  # the interpreter is going: a block left open ends here
        return
    with _lock:
        if _depth == 0:
            raise RuntimeError("the name torch is not FrankenTorch's: nothing was installed")
        _depth -= 1
        if _depth == 0:
            sys.meta_path.remove(_FINDER)
            with contextlib.suppress(ValueError):
                sys.path.remove(SHIM)
            _take_torch()
            sys.modules.update(_set_aside)
            _set_aside.clear()
            importlib.invalidate_caches()


@contextlib.contextmanager
def as_torch() -> Iterator[ModuleType]:
    """``with as_torch():`` — inside, ``import torch`` gives FrankenTorch; afterwards all is as before."""
    install()
    try:
        yield sys.modules[NAME]
    finally:
        uninstall()

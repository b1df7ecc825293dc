"""Writes frankentorch/_torch_names.py: the public names of torch's modules, as plain data.

Enters: an installed torch. Leaves: the file. Run as ``python tests/make_torch_names.py``; test_namespace checks that it is current.
"""

from __future__ import annotations

import importlib
import sys
import textwrap
import types
from pathlib import Path

MODULES = ("amp", "autograd", "backends", "cuda", "distributions", "fft", "func", "jit", "linalg", "mps", "multiprocessing", "overrides", "profiler",
           "random", "return_types", "serialization", "special", "storage", "testing", "types", "utils", "version")
TARGET = Path(__file__).parent.parent / "frankentorch" / "_torch_names.py"


def names_of(module: types.ModuleType) -> list[str]:
    """Public names that are torch's own: listed in ``__all__``, or neither Python's modules nor typing helpers."""
    import torch

    listed = set(getattr(module, "__all__", ())) if module is not torch else set()
    found = []
    for name in dir(module):
        value = getattr(module, name)
        home = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "torch") or "torch"
        own = str(home).split(".")[0] in ("torch", "builtins") or not isinstance(home, str)
        if not name.startswith("_") and name not in sys.stdlib_module_names and name not in ("torch", "TYPE_CHECKING") and (name in listed or own):
            found.append(name)
    return found


def generate() -> str:
    """The file's text."""
    import torch

    def block(names: list[str]) -> str:
        return textwrap.fill(" ".join(names), 138, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)

    lines = ['"""Public names of torch ' + torch.__version__.split("+")[0] + ", by module. Made by tests/make_torch_names.py: plain data, not to be edited.",
             "", "Enters: nothing. Leaves: sets of names, by which a missing one is told from a misspelt one.", '"""', "", "from __future__ import annotations",
             "", 'TORCH = frozenset("""', block(names_of(torch)), '""".split())', "", 'TENSOR = frozenset("""',
             block([n for n in dir(torch.Tensor) if not n.startswith("__")]), '""".split())', "", "MODULES = {"]
    for name in MODULES:
        lines += [f'    "{name}": frozenset("""', block(names_of(importlib.import_module(f"torch.{name}"))), '    """.split()),']
    return "\n".join([*lines, "}", ""])


if __name__ == "__main__":
    TARGET.write_text(generate())

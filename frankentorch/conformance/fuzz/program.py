"""Programs as data, and the script that a program renders to.

Enters: statements. Leaves: a Python script that runs under ``import torch`` and under ``import frankentorch as torch`` unchanged and
prints what it notes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LOOK_NOTHING, LOOK_TYPES, LOOK_VALUES = 0, 1, 2


@dataclass(frozen=True)
class Statement:
    """Source of one statement (it may raise: the exception is noted), the rule it came from, and what is looked at after it."""

    code: str
    rule: str
    look: int = LOOK_NOTHING


@dataclass(frozen=True)
class Program:
    """Statements run in order from a seeded generator; `loose` is the least precise float dtype that values pass through."""

    statements: tuple[Statement, ...]
    seed: int
    loose: str = "float32"

    def keep(self, indices: list[int]) -> Program:
        """The program of some of the statements."""
        return replace(self, statements=tuple(self.statements[i] for i in indices))

    def __str__(self) -> str:
        return "\n".join(s.code for s in self.statements)


PRELUDE = '''import importlib, sys, warnings
from contextlib import contextmanager
import numpy as np
torch = importlib.import_module(sys.argv[1] if len(sys.argv) > 1 else "torch")
warnings.simplefilter("ignore")

def out(*values):
    print("  out:", *[v.tolist() if hasattr(v, "tolist") else v for v in values])

@contextmanager
def attempt():
    try:
        yield
    except Exception as e:
        print(f"  {type(e).__name__}: {str(e).splitlines()[0][:150] if str(e) else ''}")

def look(**tensors):
    for name, t in tensors.items():
        if isinstance(t, torch.Tensor):
            print(f"  {name}: {t.dtype} {tuple(t.shape)} strides {t.stride()} offset {t.storage_offset()} requires_grad {t.requires_grad} "
                  f"leaf {t.is_leaf} version {t._version}\\n    {t.tolist()}")
            if t.is_leaf and t.grad is not None:
                print(f"    grad {t.grad.stride()} {t.grad.tolist()}")
        elif isinstance(t, np.ndarray):
            print(f"  {name}: {t.tolist()}")

def look_all():
    look(**{k: v for k, v in globals().items() if k[0] in "tn" and k[1:].isdecimal()})
'''


def render(program: Program) -> str:
    """The program as a script; its first argument names the library."""
    lines = [PRELUDE, f"torch.manual_seed({program.seed})" if any("rand" in s.code or "_(" in s.code for s in program.statements) else ""]
    for s in program.statements:
        body = s.code.split("\n")
        if len(body) == 1:
            lines.append(f"with attempt(): {body[0]}" if not _compound(body[0]) else f"with attempt():\n    {body[0]}")
        else:
            lines.append("with attempt():\n" + "\n".join("    " + line for line in body))
        if s.look:
            lines.append("look_all()")
    lines.append("look_all()")
    return "\n".join(lines) + "\n"


def _compound(line: str) -> bool:
    return line.startswith(("with ", "if ", "for ", "try"))

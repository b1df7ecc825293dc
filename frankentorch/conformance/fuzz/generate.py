"""Choosing a program: a seeded grammar that watches its own program run under torch.

Enters: a seed. Leaves: a `Program`. Every statement runs under torch as it is chosen, so that rules see real shapes, dtypes and
aliasing, nearly every call is valid, and a program ends before its values grow wild.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .program import LOOK_NOTHING, LOOK_TYPES, LOOK_VALUES, Program, Statement
from .run import Session, session

Rule = Callable[["Grammar"], str | None]
RULES: list[tuple[float, str, Rule]] = []
LIMIT = 64.0
PALETTES = (("float32", "int64", "bool"), ("float32", "float32", "int32", "int64", "bool"), ("float64", "int64", "bool"),
            ("float32", "float64", "int64", "uint8", "bool"), ("float32", "float16", "bfloat16", "int8", "int16"), ("complex64", "float32"))
PALETTE_ODDS = (8, 4, 4, 3, 1, 1)
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (3,), (4,), (6,), (2, 3), (3, 3), (1, 4), (4, 1), (2, 3, 2), (2, 1, 3), (2, 2, 3), (0,), (2, 0), (1, 1),
                                       (16,), (5, 7), (2, 3, 4), (4, 4))
PRECISION = ("float64", "float32", "float16", "bfloat16")


def rule(odds: float) -> Callable[[Rule], Rule]:
    """Add a rule: it returns the source of a statement, or None when nothing in scope fits."""

    def add(fn: Rule) -> Rule:
        RULES.append((odds, fn.__name__, fn))
        return fn

    return add


class Grammar:
    """What rules draw from: a random generator, the live torch session, names and literals."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.session: Session = session("torch")
        self.torch = self.session.torch
        self.torch.manual_seed(seed)
        self.count = 0
        self.palette = self.rng.choices(PALETTES, PALETTE_ODDS)[0]
        self.loose = 0

    # Names ----------------------------------------------------------------------------------------------------------------
    def fresh(self, letter: str = "t") -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def tensors(self, where: Callable[[Any], bool] | None = None) -> list[str]:
        found = [n for n, v in self.session.variables() if isinstance(v, self.torch.Tensor)]
        return found if where is None else [n for n in found if where(self.session.env[n])]

    def arrays(self) -> list[str]:
        return [n for n, v in self.session.variables() if isinstance(v, np.ndarray)]

    def pick(self, where: Callable[[Any], bool] | None = None) -> str | None:
        """A tensor's name, the later ones rather than the earlier."""
        found = self.tensors(where)
        if not found:
            return None
        return found[max(self.rng.randrange(len(found)), self.rng.randrange(len(found)))] if self.chance(0.6) else self.rng.choice(found)

    def value(self, name: str) -> Any:
        return self.session.env[name]

    def floats(self, where: Callable[[Any], bool] | None = None) -> str | None:
        return self.pick(lambda t: t.dtype.is_floating_point and (where is None or where(t)))

    # Choices ----------------------------------------------------------------------------------------------------------------
    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def one(self, *options: Any) -> Any:
        return self.rng.choice(options)

    def number(self) -> float:
        return self.one(0.5, 2.0, -1.5, 0.25, 1.0, 3.0, -0.75, 0.125)

    def dim(self, t: Any) -> int:
        d = self.rng.randrange(max(t.ndim, 1))
        return d - max(t.ndim, 1) if self.chance(0.3) else d

    def shape(self) -> tuple[int, ...]:
        return self.rng.choice(SHAPES)

    def literal(self, shape: tuple[int, ...], dtype: str) -> str:
        """Nested lists of multiples of 1/8 (whole numbers for integers)."""
        n = int(np.prod(shape))
        if dtype == "bool":
            flat: list[Any] = [self.chance(0.5) for _ in range(n)]
        elif dtype == "uint8":
            flat = [self.rng.randrange(6) for _ in range(n)]
        elif dtype.startswith("int"):
            flat = [self.rng.randrange(-4, 6) for _ in range(n)]
        elif dtype.startswith("complex"):
            flat = [complex(self.rng.randrange(-12, 13) / 8, self.rng.randrange(-12, 13) / 8) for _ in range(n)]
        else:
            flat = [self.rng.randrange(-16, 17) / 8 for _ in range(n)]
        return repr(np.array(flat, dtype=object).reshape(shape).tolist())

    def like(self, t: Any, shape: tuple[int, ...] | None = None) -> str:
        """An operand for `t`: a tensor in scope that broadcasts to it, or a literal of its shape."""
        name = self.pick(lambda u: broadcasts(u.shape, t.shape if shape is None else shape) and compatible(u, t) and not overlaps(u, t))
        if name is not None and self.chance(0.75):
            return name
        kind = str(t.dtype).removeprefix("torch.")
        return f"torch.tensor({self.literal(tuple(t.shape if shape is None else shape), kind)}, dtype=torch.{kind})"


def broadcasts(shape: Any, target: Any) -> bool:
    """Whether `shape` expands to `target`."""
    return len(shape) <= len(target) and all(a in (1, b) for a, b in zip(reversed(shape), reversed(target)))


def compatible(u: Any, t: Any) -> bool:
    """Whether a result of both can be written to `t`."""
    return bool(u.dtype == t.dtype or (t.dtype.is_floating_point and not u.dtype.is_complex))


def overlaps(u: Any, t: Any) -> bool:
    """Whether `u` and `t` share memory without being the same elements in the same order (what torch refuses or leaves undefined)."""
    if u.untyped_storage().data_ptr() != t.untyped_storage().data_ptr() or u.numel() == 0:
        return False
    return not (u.data_ptr() == t.data_ptr() and u.shape == t.shape and u.stride() == t.stride())


def self_overlapping(t: Any) -> bool:
    """Whether two elements of `t` lie in one place."""
    seen = t.detach().as_strided(t.shape, t.stride(), t.storage_offset())
    if t.numel() < 2:
        return False
    places = np.zeros(t.shape, dtype=np.int64)
    for d, (n, s) in enumerate(zip(seen.shape, seen.stride())):
        places += (np.arange(n) * s).reshape([-1 if i == d else 1 for i in range(t.ndim)])
    return len(np.unique(places)) < t.numel()


def tame(s: Session) -> bool:
    """Whether every value is finite and small."""
    for _, v in s.variables():
        if isinstance(v, np.ndarray):
            a = v
        else:
            a = v.detach()
            if v.is_leaf and v.grad is not None and float(v.grad.detach().abs().max() if v.grad.numel() else 0) > LIMIT:
                return False
            if a.is_complex():
                a = s.torch.view_as_real(a.resolve_conj())
            a = a.float().numpy()
        if a.size and not (np.abs(a.astype(np.float64)).max() <= LIMIT):
            return False
    return True


def generate(seed: int, length: int = 24) -> Program:
    """The program of a seed."""
    from . import rules_autograd, rules_math, rules_memory, rules_view  # noqa: F401 (they register their rules)

    g = Grammar(seed)
    statements: list[Statement] = []
    odds = [o for o, _, _ in RULES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tries = 0
        while len(statements) < length and tries < 12 * length:
            tries += 1
            _, rule_name, fn = g.rng.choices(RULES, odds)[0] if len(g.tensors()) >= 2 else g.rng.choice([r for r in RULES if r[1].startswith("make")])
            code = fn(g)
            if code is None:
                continue
            look = g.rng.choices((LOOK_NOTHING, LOOK_TYPES, LOOK_VALUES), (75, 17, 8))[0]
            g.session.step(code)
            try:
                if not tame(g.session):
                    break
            except RuntimeError:  # torch refuses to look at views of split and unbind once their base was written
                break
            for _, v in g.session.variables():
                name = str(v.dtype).removeprefix("torch.").replace("complex64", "float32")
                g.loose = max(g.loose, PRECISION.index(name) if name in PRECISION else 0)
            statements.append(Statement(code, rule_name, look))
    g.session.env.clear()
    return Program(tuple(statements), seed, PRECISION[g.loose])

"""The op table: one complete row an op.

Enters: row definitions from the files of this folder. Leaves: `ROWS`, from which the rest is derived: torch functions, methods,
in-place and ``out=`` forms, IR operations, interpreter cases, documentation and tests.

A *primitive* says its meaning in numpy (`ref`), its lowering (`lane` for the pointwise kinds; a template for the others, chosen
by kind) and its gradient (`vjp`, in ops). A *composite* is a Python function over other ops and inherits both. Nothing below
this folder asks an op's name: what a pass needs to know is a kind or a trait here.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .types import TensorType


class Kind(enum.Enum):
    """What an op does to its elements; it brings the shape rule and the loop template."""

    LEAF = "leaf"
    POINTWISE = "pointwise"
    REDUCE = "reduce"
    MOVEMENT = "movement"
    CONTRACT = "contract"
    GATHER = "gather"
    SCATTER = "scatter"
    SCAN = "scan"
    SORT = "sort"
    WINDOW = "window"
    CREATE = "create"
    RANDOM = "random"
    EXTERN = "extern"
    COMPOSITE = "composite"


@dataclass(frozen=True)
class NoGrad:
    """Why an op has no gradient."""

    reason: str


Infer = Callable[[Sequence[TensorType], tuple[Any, ...]], Sequence[TensorType]]


@dataclass(eq=False, slots=True)
class Row:
    """One op. `attrs` names the static arguments, in the order in which a recorded instruction holds them."""

    name: str
    kind: Kind
    schema: str
    doc: str
    infer: Infer | None = None
    ref: Callable[..., Any] | None = None
    lane: Callable[..., Any] | None = None
    vjp: Callable[..., Any] | NoGrad | None = None
    promote: Any = None
    attrs: tuple[str, ...] = ()
    nout: int = 1
    view: Callable[..., Any] | None = None
    traits: frozenset[str] = frozenset()
    samples: Any = None
    grad_name: str = ""
    function: Callable[..., Any] | None = None
    method: bool = True
    inplace: bool = False
    public: bool = True
    vjp_attrs: tuple[str, ...] = field(default=())
    aliases: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<row {self.name}>"

    @property
    def differentiable(self) -> bool:
        return self.vjp is not None and not isinstance(self.vjp, NoGrad)


ROWS: dict[str, Row] = {}


def camel(name: str) -> str:
    """torch's name of an op's gradient node: ``log_softmax`` -> ``LogSoftmaxBackward0``."""
    return "".join(part[:1].upper() + part[1:] for part in name.strip("_").split("_")) + "Backward0"


def schema_name(schema: str) -> str:
    return schema[: schema.index("(")].split(".")[0]


def schema_params(schema: str) -> list[tuple[str, str]]:
    """The (type, name) pairs of a schema's parameters, defaults dropped."""
    inner = schema[schema.index("(") + 1: schema.rindex(") ->")]
    out: list[tuple[str, str]] = []
    depth, start = 0, 0
    parts = []
    for i, ch in enumerate(inner):
        depth += ch in "[(" or 0
        depth -= ch in "])" or 0
        if ch == "," and depth == 0:
            parts.append(inner[start:i])
            start = i + 1
    parts.append(inner[start:])
    for part in parts:
        words = part.strip().split("=")[0].split()
        if len(words) == 2:
            out.append((words[0], words[1]))
    return out


def add_row(row: Row) -> Row:
    """Complete and register a row. A missing field is an import error."""
    params = schema_params(row.schema)
    if row.kind is not Kind.COMPOSITE:
        row.attrs = row.attrs or tuple(n for t, n in params if not t.startswith("Tensor"))
        missing = [f for f in ("infer", "ref", "vjp") if getattr(row, f) is None]
        if row.kind is Kind.POINTWISE and row.lane is None:
            missing.append("lane")
        if missing and row.kind is not Kind.LEAF:
            raise ImportError(f"row {row.name}: missing {', '.join(missing)}; a primitive is one complete row")
    if callable(row.vjp):
        names = inspect.signature(row.vjp).parameters
        row.vjp_attrs = tuple(a for a in row.attrs if a in names)
    row.grad_name = row.grad_name or camel(row.name)
    if row.name in ROWS:
        raise ImportError(f"row {row.name} is defined twice")
    ROWS[row.name] = row
    return row

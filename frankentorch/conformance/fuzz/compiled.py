"""Runs of computing statements as functions under ``torch.compile``: called twice, so that the second call replays the first.

Enters: a session and consecutive statements. Leaves: the names they bind, now results of the compiled function's second call. Statements
that raise are left as they ran.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .program import Statement
from .run import Session

PURE = frozenset(("unary", "functional", "binary", "comparison", "reduction", "product", "loss"))
_BINDS = re.compile(r"(t\d+) = (?!.*out=)")
_NAMES = re.compile(r"\bt\d+\b")


def groups(statements: Sequence[Statement]) -> list[tuple[int, int]]:
    """(first, past) of the longest runs of pure statements; other statements are runs of one."""
    found: list[tuple[int, int]] = []
    for i, s in enumerate(statements):
        pure = s.rule in PURE and _BINDS.match(s.code) is not None and "\n" not in s.code
        if pure and found and found[-1][1] == i and statements[i - 1].rule in PURE and not statements[i - 1].look:
            found[-1] = (found[-1][0], i + 1)
        else:
            found.append((i, i + 1))
    return found


def recompute(s: Session, run: Sequence[Statement], before: dict[str, Any]) -> None:
    """Bind the names of `run` again, as results of one compiled function over the values that stood `before` it."""
    if not all(st.rule in PURE and _BINDS.match(st.code) for st in run):
        return
    made = [st.code.split(" ", 1)[0] for st in run]
    read = sorted({n for st in run for n in _NAMES.findall(st.code)} - set(made), key=lambda n: int(n[1:]))
    if any(n not in before for n in read) or any(n in before for n in made):
        return
    body = "".join(f"    {st.code}\n" for st in run)
    scope: dict[str, Any] = {"torch": s.torch, "np": s.env["np"]}
    exec(compile(f"def function({', '.join(read)}):\n{body}    return {', '.join(made)},\n", "<compiled>", "exec"), scope)
    fast = s.torch.compile(scope["function"])
    for _ in range(2):
        results = fast(*[before[n] for n in read])
    s.env.update(zip(made, results))

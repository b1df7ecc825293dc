"""torch.special: the op table's functions under their names there.

Enters: tensors. Leaves: tensors. What the table does not have is an error that names it.
"""

from __future__ import annotations

from typing import Any

from ._missing import error
from .ops.define import API

# Names that differ from the table's; the others are looked up as they are, or with "special_" before them.
_RENAMED = {"psi": "digamma", "gammaln": "lgamma", "expit": "sigmoid", "multigammaln": "mvlgamma", "gammainc": "igamma", "gammaincc": "igammac"}
_SAME = frozenset(("digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "log1p", "log_softmax", "logit", "logsumexp", "polygamma", "round", "sinc",
                   "softmax", "xlogy"))


def __getattr__(name: str) -> Any:
    entry = API.get(f"special_{name}") or (API.get(_RENAMED.get(name, name)) if name in _SAME or name in _RENAMED else None)
    if entry is None:
        raise error("special", name)
    return entry.function


def softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """torch.softmax."""
    return API["softmax"].function(input, dim, dtype=dtype)


def log_softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """torch.log_softmax."""
    return API["log_softmax"].function(input, dim, dtype=dtype)

"""torch.return_types: the named tuples of functions that return several tensors.

Enters: tensors. Leaves: tuples with named fields, printed as torch prints them.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from ._missing import getattr_of

_FIELDS = {
    "aminmax": ("min", "max"), "frexp": ("mantissa", "exponent"), "histogram": ("hist", "bin_edges"), "slogdet": ("sign", "logabsdet"),
    "geqrf": ("a", "tau"), "qr": ("Q", "R"), "svd": ("U", "S", "V"), "lu_unpack": ("P", "L", "U"), "triangular_solve": ("solution", "cloned_coefficient"),
    "linalg_svd": ("U", "S", "Vh"), "linalg_eigh": ("eigenvalues", "eigenvectors"), "linalg_eig": ("eigenvalues", "eigenvectors"),
    "linalg_qr": ("Q", "R"), "linalg_slogdet": ("sign", "logabsdet"), "linalg_inv_ex": ("inverse", "info"), "linalg_cholesky_ex": ("L", "info"),
    "linalg_lu": ("P", "L", "U"), "linalg_lu_factor": ("LU", "pivots"), "linalg_lstsq": ("solution", "residuals", "rank", "singular_values"),
    **dict.fromkeys(("cummax", "cummin", "kthvalue", "max", "median", "min", "mode", "nanmedian", "sort", "topk"), ("values", "indices")),
}  # fmt: skip


def _reduce(self: Any) -> Any:
    return rebuild, (type(self).__name__, tuple(self))


def _make(name: str, fields: Sequence[str]) -> Any:
    shown = f"torch.return_types.{name}(\n" + ",\n".join(f"{f}={{!r}}" for f in fields) + ")"

    def new(cls: Any, *values: Any) -> Any:
        if len(values) == 1 and not len(fields) == 1 and isinstance(values[0], (tuple, list)):
            values = tuple(values[0])
        if len(values) != len(fields):
            raise TypeError(f"torch.return_types.{name}() takes a {len(fields)}-sequence ({len(values)}-sequence given)")
        return tuple.__new__(cls, values)

    base: Any = namedtuple("base", fields)  # type: ignore[misc]
    return type(name, (base,), {"__slots__": (), "__module__": "torch.return_types", "__repr__": lambda self: shown.format(*self), "__reduce__": _reduce,
                                "__new__": new, "n_fields": len(fields), "n_sequence_fields": len(fields), "n_unnamed_fields": 0,
                                "__doc__": f"({', '.join(fields)}) of torch.{name}."})


ALL = {name: _make(name, fields) for name, fields in _FIELDS.items()}
globals().update(ALL)
__all__ = sorted(ALL)


def rebuild(name: str, values: Sequence[Any]) -> Any:
    """What a pickled one calls to come back."""
    return ALL[name](*values)


__getattr__ = getattr_of("return_types")

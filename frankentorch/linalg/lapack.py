"""Factorisations by LAPACK, through SciPy: extern calls, run at the call on concrete data and counted by the runtime.

Enters: matrices and batches of them. Leaves: fresh tensors. Their bits are the host library's (``bits=host``), outside the contract. Gradients
of factorisations are not there yet: an operand that requires grad is an error that says so.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import NotImplementedYet
from ..ops.record import state
from ..runtime.program import STATS


def _operand(name: str, a: Any) -> Any:
    """The operand's data, once nothing stands in the way of an extern call."""
    if a._node is not None and state.grad:
        raise NotImplementedYet(f"the gradient of torch.linalg.{name} is not there yet; call it on A.detach() or under torch.no_grad()")
    if a.ndim < 2:
        raise RuntimeError(f"linalg.{name}: The input tensor A must have at least 2 dimensions.")
    if a.dtype.name not in ("float32", "float64", "complex64", "complex128"):
        raise RuntimeError(f"linalg.{name}: Low precision dtypes not supported. Got {a.dtype.scalar_name}" if a.dtype.is_floating_point else
                           f"linalg.{name}: Expected a floating point or complex tensor as input. Got {a.dtype.scalar_name}")
    STATS["extern"] += 1
    return a._concrete()


def qr(A: Any, mode: str = "reduced", *, out: Any = None) -> Any:
    """(Q, R) with A = Q R: `mode` "reduced", "complete", or "r" (Q is then empty). Householder reflections (LAPACK geqrf, orgqr).

    A: (*, m, n); Q: (*, m, k), R: (*, k, n), k = min(m, n), or m when complete. Raises RuntimeError for other modes, vectors and integers.
    """
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    import numpy as np

    from .. import return_types
    from ..construct import from_array
    from ..ops import call

    a = _operand("qr", A)
    try:
        from scipy.linalg import qr as factor
    except ImportError as e:
        raise ImportError("torch.linalg.qr needs SciPy: pip install 'frankentorch[linalg]'") from e
    m, n = a.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    batch = a.shape[:-2]
    q = np.empty((*batch, m, k) if mode != "r" else (0,), a.dtype)
    r = np.empty((*batch, k, n), a.dtype)
    for i in np.ndindex(batch):
        if not math.prod((m, n)):
            r[i] = 0
            if mode != "r":
                q[i] = np.eye(m, k)
            continue
        found = factor(a[i], mode="r" if mode == "r" else "full" if mode == "complete" else "economic", check_finite=False)
        r[i] = found[-1][:k]
        if mode != "r":
            q[i] = found[0]
    result = return_types.ALL["linalg_qr"]([from_array(q), from_array(r)])
    return result if out is None else call.write_out(out, result)

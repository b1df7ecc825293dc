"""torch.linalg: what is composed of other ops, and the QR factorisation (lapack.py).

Enters: matrices and batches of them. Leaves: norms, products, powers, Q and R. The other factorisations and what rests on them (inverses,
determinants, eigenvalues, singular values, solutions) are not there yet: asking for one is an error that names it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._missing import getattr_of
from ..errors import LinAlgError, NotImplementedYet
from ..ops import call
from ..ops.define import API
from ..ops.reduce import vector_norm as _vector_norm
from .lapack import qr

__all__ = ["LinAlgError", "cross", "diagonal", "matmul", "matrix_norm", "matrix_power", "multi_dot", "norm", "qr", "vander", "vecdot", "vector_norm"]


def _write(out: Any, result: Any) -> Any:
    return result if out is None else call.write_out(out, result)


def _check_float(name: str, x: Any) -> None:
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        raise RuntimeError(f"linalg.{name}: Expected a floating point or complex tensor as input. Got {x.dtype.scalar_name}")


def _as(x: Any, dtype: Any, name: str) -> Any:
    if dtype is None:
        return x
    if dtype.is_complex != x.dtype.is_complex:
        raise RuntimeError(f"linalg.{name}: dtype should be {'complex' if x.dtype.is_complex else 'real'} for {'complex' if x.dtype.is_complex else 'real'} "
                           f"inputs, but got {dtype.scalar_name}")
    return x.to(dtype)


def vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """The `ord` norm of x over `dim` (all of it when None), as of one long vector."""
    _check_float("vector_norm", x)
    x = _as(x, dtype, "vector_norm")
    if isinstance(ord, str):
        raise TypeError("linalg_vector_norm(): argument 'ord' (position 2) must be Number, not str")
    dims = call.wrap_dims(dim, x.ndim)
    if (ord < 0 or ord == math.inf) and any(x.shape[d] == 0 for d in dims):
        raise RuntimeError(f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have an identity")
    return _write(out, _vector_norm(x, float(ord), dims, keepdim))


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """The norm of the matrices in the dimensions `dim`: "fro", or the largest (smallest) sum of a column (1, -1) or row (inf, -inf)."""
    _check_float("matrix_norm", A)
    if A.ndim < 2:
        raise RuntimeError(f"linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")  # noqa: F541
    if len(dim) != 2:
        raise RuntimeError("linalg.matrix_norm: dim must be a 2-tuple. Got " + " ".join(map(str, dim)))
    A = _as(A, dtype, "matrix_norm")
    rows, columns = (call.wrap_dim(d, A.ndim) for d in dim)
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return _write(out, vector_norm(A, 2, (rows, columns), keepdim))
    if ord in (1, -1, math.inf, -math.inf):
        along, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = vector_norm(A, 1, along, True)
        result = sums.amax(other, True) if ord > 0 else sums.amin(other, True)
        return _write(out, result if keepdim else result.squeeze((rows, columns)))
    if ord in ("nuc", 2, -2):
        raise NotImplementedYet(f"torch.linalg.matrix_norm(ord={ord!r}): singular values are not there yet")
    raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")


def norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, out: Any = None, dtype: Any = None) -> Any:
    """A vector norm, or a matrix norm where `ord` is a word or `dim` names two dimensions."""
    if ord is not None:
        count = 1 if isinstance(dim, int) else None if dim is None else len(dim)
        if count not in (None, 1, 2):
            raise RuntimeError("linalg.norm: If dim is specified, it must be of length 1 or 2. Got " + str(list(dim)))
        if count is None and A.ndim not in (1, 2):
            raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got " f"{A.ndim}D.")
        if isinstance(ord, str) or (A.ndim == 2 if count is None else count == 2):
            return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype, out=out)
        return vector_norm(A, ord, dim, keepdim, dtype=dtype, out=out)
    return vector_norm(A, 2, dim, keepdim, dtype=dtype, out=out)


def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """torch.matmul."""
    return API["matmul"].function(input, other, out=out)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of the last two dimensions."""
    return API["diagonal"].function(A, offset, dim1, dim2)


def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The inner product of vectors along `dim`; x is conjugated."""
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        raise RuntimeError("linalg.vecdot: Expected a floating point or complex tensor as input. Got " + x.dtype.scalar_name)
    conj = x.conj() if x.dtype.is_complex else x
    return _write(out, (conj * y).sum(dim))


def cross(input: Any, other: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The cross product of 3-vectors along `dim`, after broadcasting."""
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[dim]} and {other.shape[dim]}")
    d = call.wrap_dim(dim, input.ndim)
    a, b = API["broadcast_tensors"].function(input, other)

    def turned(x: Any, by: int) -> Any:
        return API["roll"].function(x, -by, d)

    return _write(out, turned(a, 1) * turned(b, 2) - turned(a, 2) * turned(b, 1))


def multi_dot(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """The product of a chain of matrices (the ends may be vectors), in the order that costs least."""
    count = len(tensors)
    if count < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " + str(count))
    first, last = tensors[0], tensors[-1]
    for name, t in (("first", first), ("last", last)):
        if t.ndim not in (1, 2):
            raise RuntimeError(f"multi_dot(): the {name} tensor must be 1D or 2D but got {t.ndim}D")
    for i, t in enumerate(tensors[1:-1], 1):
        if t.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {t.ndim}D")
    chain = [first.unsqueeze(0) if first.ndim == 1 else first, *tensors[1:-1], last.unsqueeze(1) if last.ndim == 1 else last]
    for i, (a, b) in enumerate(zip(chain, chain[1:])):
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a.shape)} and {list(b.shape)} cannot be multiplied")
    split = _order([chain[0].shape[0], *[t.shape[1] for t in chain]])

    def product(i: int, j: int) -> Any:
        return chain[i] if i == j else API["mm"].function(product(i, split[i, j]), product(split[i, j] + 1, j))

    result = product(0, count - 1)
    gone = tuple(d for d, t in ((0, first), (1, last)) if t.ndim == 1)
    return _write(out, result.squeeze(gone) if gone else result)


def _order(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each span of a matrix chain (Cormen, Leiserson, Rivest, Stein: Introduction to Algorithms, section 15.2)."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for span in range(1, n):
        for i in range(n - span):
            j = i + span
            cost[i, j], split[i, j] = min((cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))
    return split


def matrix_power(A: Any, n: int, *, out: Any = None) -> Any:
    """A multiplied by itself n times, by squaring."""
    if A.ndim < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    if A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"linalg.matrix_power: A must be batches of square matrices, but they are {A.shape[-2]} by {A.shape[-1]} matrices")
    if n < 0:
        raise NotImplementedYet("torch.linalg.matrix_power with a negative power: inverses are not there yet")
    if n == 0:
        return _write(out, API["eye"].function(A.shape[-1], dtype=A.dtype).expand(A.shape).clone())
    result, square = None, A
    while n:
        if n & 1:
            result = square if result is None else result @ square
        n >>= 1
        square = square @ square if n else square
    return _write(out, result.clone() if result is A else result)


def vander(x: Any, *, N: int | None = None) -> Any:
    """Rows of powers 0 .. N - 1 of the last dimension's numbers."""
    count = x.shape[-1] if N is None else N
    if N is not None and N <= 1:
        raise RuntimeError(f"N must be greater than 1, but got {N}.")
    ones = API["ones_like"].function(x.unsqueeze(-1))
    rest = x.unsqueeze(-1).expand(*x.shape, count - 1).cumprod(-1)
    return API["cat"].function([ones, rest], -1)


__getattr__ = getattr_of("linalg")

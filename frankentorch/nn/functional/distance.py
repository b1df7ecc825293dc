"""Distances and similarities between vectors.

Enters: two tensors of vectors (or one set of rows). Leaves: one number a pair.
"""

from __future__ import annotations

from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import rounds_once


@rounds_once
def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of x1 - x2 + eps over the last dimension."""
    return torch.linalg.vector_norm(x1 - x2 + eps, p, -1, keepdim=keepdim)


@rounds_once
def _at_least(norm: Any, eps: float) -> Any:
    """norm, or eps where it is smaller; the gradient passes either way."""
    return torch.where(norm < eps, norm - norm.detach() + eps, norm)


@rounds_once
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along `dim`."""
    if not (x1.is_floating_point() and x2.is_floating_point()):
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {torch.promote_types(x1.dtype, x2.dtype)}")
    x1, x2 = torch.broadcast_tensors(x1, x2)
    a = x1 / _at_least(torch.linalg.vector_norm(x1, 2, dim, keepdim=True), eps)
    b = x2 / _at_least(torch.linalg.vector_norm(x2, 2, dim, keepdim=True), eps)
    return (a * b).sum(dim)


def pdist(input: Any, p: float = 2) -> Any:
    """The p-norm distance of every pair of rows i < j, in order."""
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if not input.is_floating_point():
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    rows = input.size(0)
    pairs = torch.triu_indices(rows, rows, 1)
    return torch.linalg.vector_norm(input.index_select(0, pairs[0]) - input.index_select(0, pairs[1]), p, -1)

"""Distances and similarities between vectors.

Enters: two tensors of vectors (or one set of rows). Leaves: one number a pair. Computed in `ops.pairs`.
"""

from __future__ import annotations

from typing import Any

import frankentorch as torch


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of x1 - x2 + eps over the last dimension."""
    return torch.pairwise_distance(x1, x2, p, eps, keepdim)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along `dim`."""
    return torch.cosine_similarity(x1, x2, dim, eps)


def pdist(input: Any, p: float = 2) -> Any:
    """The p-norm distance of every pair of rows i < j, in order."""
    return torch.pdist(input, p)

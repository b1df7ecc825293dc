"""Tables looked up by index: embedding, bags of embeddings, one-hot vectors.

Enters: int32 or int64 indices and a (rows, features) table. Leaves: rows, or their sum, mean or maximum by bag.
"""

from __future__ import annotations

import warnings
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import named, rounds_once


def _check_sparse(name: str, sparse: bool, weight: Any) -> None:
    if sparse and weight.requires_grad and torch.is_grad_enabled():
        raise NotImplementedError(f"{name}: sparse gradients (sparse=True) are not supported")


def _renorm(weight: Any, input: Any, max_norm: float, norm_type: float) -> None:
    """Scale the looked-up rows whose norm exceeds max_norm down to it, in place."""
    with torch.no_grad():
        rows = torch.unique(input.reshape(-1))
        picked = weight.index_select(0, rows)
        norm = torch.linalg.vector_norm(picked, norm_type, 1, keepdim=True)
        scaled = torch.where(norm > max_norm, picked * (max_norm / (norm + 1e-7)), picked)
        weight.index_copy_(0, rows, scaled)


def _absolute_padding(padding_idx: int | None, rows: int, error: str) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError(error) if error.startswith("Padding") else RuntimeError(error)
    return padding_idx % rows


def embedding(input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
              scale_grad_by_freq: bool = False, sparse: bool = False) -> Any:
    """Rows of `weight`, shape input.shape + (features,); row padding_idx gets no gradient; max_norm rescales rows in place."""
    _check_sparse("embedding", sparse, weight)
    padding_idx = _absolute_padding(padding_idx, weight.size(0), "Padding_idx must be within num_embeddings")
    if weight.dim() != 2:
        raise RuntimeError("'weight' must be 2-D")
    if max_norm is not None:
        _renorm(weight, input.contiguous(), max_norm, norm_type)
    return torch.embedding(weight, input, -1 if padding_idx is None else padding_idx, scale_grad_by_freq, False)


def _bag_ids(offsets: Any, count: int, include_last_offset: bool) -> tuple[Any, int]:
    """For each index the bag it belongs to, and the number of bags."""
    starts = offsets[:-1] if include_last_offset else offsets
    bags = starts.size(0)
    positions = torch.arange(count, device=offsets.device)
    return (positions.unsqueeze(1) >= starts.to(torch.int64).unsqueeze(0)).sum(1) - 1, bags


@rounds_once
def _reduce_bags(rows: Any, ids: Any, bags: int, keep: Any, mode: str, per_sample: Any) -> Any:
    features = rows.size(1)
    if per_sample is not None:
        rows = rows * per_sample.unsqueeze(1)
    if keep is not None:
        rows, ids = rows[keep], ids[keep]
    zeros = torch.zeros(bags, features, dtype=rows.dtype, device=rows.device)
    if mode == "max":
        index = ids.unsqueeze(1).expand(-1, features)
        return zeros.scatter_reduce(0, index, rows, "amax", include_self=False)
    total = zeros.index_add(0, ids, rows)
    if mode == "sum":
        return total
    counts = torch.bincount(ids, minlength=bags).clamp(min=1).to(rows.dtype)
    return total / counts.unsqueeze(1)


def embedding_bag(input: Any, weight: Any, offsets: Any = None, max_norm: float | None = None, norm_type: float = 2,
                  scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Any = None,
                  include_last_offset: bool = False, padding_idx: int | None = None) -> Any:
    """Sum, mean or maximum of table rows by bag: a 2-D input has one bag a row, a 1-D one is cut at `offsets`."""
    if weight.dtype is torch.int64 and input.is_floating_point():
        warnings.warn("Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is "
                      "deprecated, and should now be `embedding_bag(input, weight, ...)`.", stacklevel=2)
        weight, input = input, weight
    if per_sample_weights is not None and input.size() != per_sample_weights.size():
        raise ValueError(f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, "
                         f"then it must have the same shape as the input ({input.shape})")
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                             f"sequences. However, found offsets of type {type(offsets)}")
        bags = input.size(0)
        ids = torch.arange(bags, device=input.device).repeat_interleave(input.size(1))
        input = input.reshape(-1)
        per_sample_weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
    elif input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        if offsets.size(0) and int(offsets[0]) != 0:
            raise RuntimeError("offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
                               f"However, got {int(offsets[0])}")
        ids, bags = _bag_ids(offsets, input.size(0), include_last_offset)
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    _check_bag_mode(mode, scale_grad_by_freq, sparse, per_sample_weights)
    _check_sparse("embedding_bag", sparse, weight)
    if max_norm is not None:
        _renorm(weight, input, max_norm, norm_type)
    padding_idx = _absolute_padding(padding_idx, weight.size(0), "padding_idx must be within the number of embeddings")
    rows = torch.embedding(weight, input, -1, scale_grad_by_freq, False)
    keep = None if padding_idx is None else input != padding_idx
    return named(_reduce_bags(rows, ids, bags, keep, mode, per_sample_weights), "EmbeddingBagBackward0")


def _check_bag_mode(mode: str, scale_grad_by_freq: bool, sparse: bool, per_sample_weights: Any) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError("embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for "
                                  f"mode='sum' (got mode='{mode}'). Please open a feature request on GitHub.")


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """0/1 vectors with the one at each index; int64 in, int64 out with one more dimension."""
    if tensor.dtype is not torch.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return torch.empty(*tensor.shape, num_classes, dtype=torch.int64)
    if int(tensor.min()) < 0:
        raise RuntimeError("Class values must be non-negative.")
    largest = int(tensor.max())
    if num_classes == -1:
        num_classes = largest + 1
    elif num_classes <= 0:
        raise RuntimeError("num_classes should be positive")
    elif largest >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    zeros = torch.zeros(*tensor.shape, num_classes, dtype=torch.int64, device=tensor.device)
    return zeros.scatter(-1, tensor.unsqueeze(-1), 1)

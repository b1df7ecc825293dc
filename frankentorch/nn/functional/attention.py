"""Attention: scaled dot products, and the whole multi-head layer as a function.

Enters: queries, keys, values, masks. Leaves: the mixed values, and where asked the weights. The mixing is the
op table's (`ops.attention`); the projections and masks around it are composed here.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional.dropout import dropout
from frankentorch.nn.functional.linear import linear


def scaled_dot_product_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False) -> Any:
    """softmax(query @ key.T * scale + mask) @ value over (..., length, features); scale defaults to 1 / sqrt(features)."""
    return torch._C._nn.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)


def _in_projection_packed(q: Any, k: Any, v: Any, w: Any, b: Any = None) -> list[Any]:
    """The three input projections out of one packed weight (3E, E), with as few products as the sharing of q, k, v allows."""
    size = q.size(-1)
    if k is v:
        if q is k:
            return list(linear(q, w, b).split(size, -1))
        w_q, w_kv = w.split([size, 2 * size])
        b_q, b_kv = (None, None) if b is None else b.split([size, 2 * size])
        return [linear(q, w_q, b_q), *linear(k, w_kv, b_kv).split(size, -1)]
    weights = w.chunk(3)
    biases = (None, None, None) if b is None else b.chunk(3)
    return [linear(x, wx, bx) for x, wx, bx in zip((q, k, v), weights, biases, strict=True)]


def _in_projection(q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, b_q: Any = None, b_k: Any = None, b_v: Any = None) -> tuple:
    """The three input projections with separate weights."""
    size = q.size(-1)
    for name, w, x in (("query", w_q, q), ("key", w_k, k), ("value", w_v, v)):
        if tuple(w.shape) != (size, x.size(-1)):
            raise AssertionError(f"expecting {name} weights shape of {(size, x.size(-1))}, but got {w.shape}")
    for name, b in (("query", b_q), ("key", b_k), ("value", b_v)):
        if b is not None and tuple(b.shape) != (size,):
            raise AssertionError(f"expecting {name} bias shape of {(size,)}, but got {b.shape}")
    return linear(q, w_q, b_q), linear(k, w_k, b_k), linear(v, w_v, b_v)


def _canonical_mask(mask: Any, mask_name: str, other_type: Any, other_name: str, target_type: Any, check_other: bool = True) -> Any:
    """A boolean mask (True: leave out) or a float one, as a float one to add."""
    if mask is None:
        return None
    if mask.dtype is not torch.bool and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype != other_type:
        warnings.warn(f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.", stacklevel=3)
    if mask.is_floating_point():
        return mask
    return torch.zeros(mask.shape, dtype=target_type, device=mask.device).masked_fill(mask, -math.inf)


def _none_or_dtype(input: Any) -> Any:
    if input is None:
        return None
    if isinstance(input, torch.Tensor):
        return input.dtype
    raise RuntimeError("input to _none_or_dtype() must be None or torch.Tensor")


def _mha_shape_check(query: Any, key: Any, value: Any, key_padding_mask: Any, attn_mask: Any, num_heads: int) -> bool:
    """Whether the input is batched; AssertionError where the ranks do not fit together."""
    rank = query.dim()
    if rank not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor")
    kind = "For batched (3-D) `query`" if rank == 3 else "For unbatched (2-D) `query`"
    if key.dim() != rank or value.dim() != rank:
        raise AssertionError(f"{kind}, expected `key` and `value` to be {rank}-D"
                             f" but found {key.dim()}-D and {value.dim()}-D tensors respectively")
    if key_padding_mask is not None and key_padding_mask.dim() != rank - 1:
        raise AssertionError(f"{kind}, expected `key_padding_mask` to be `None` or {rank - 1}-D"
                             f" but found {key_padding_mask.dim()}-D tensor instead")
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(f"{kind}, expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead")
        if rank == 2 and attn_mask.dim() == 3:
            expected = (num_heads, query.shape[0], key.shape[0])
            if tuple(attn_mask.shape) != expected:
                raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return rank == 3


def _check_mask_shape(mask: Any, batch_heads: int, rows: int, cols: int) -> Any:
    if mask.dim() == 2:
        if tuple(mask.shape) != (rows, cols):
            raise RuntimeError(f"The shape of the 2D attn_mask is {mask.shape}, but should be {(rows, cols)}.")
        return mask.unsqueeze(0)
    if mask.dim() == 3:
        if tuple(mask.shape) != (batch_heads, rows, cols):
            raise RuntimeError(f"The shape of the 3D attn_mask is {mask.shape}, but should be {(batch_heads, rows, cols)}.")
        return mask
    raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")


def _pad_last(mask: Any) -> Any:
    return None if mask is None else torch.constant_pad_nd(mask, [0, 1], 0)


def _check_mha(query: Any, key: Any, value: Any, embed_dim: int, num_heads: int, separate: bool, packed: Any,
               weights: tuple[Any, Any, Any]) -> None:
    size = query.size(-1)
    if size != embed_dim:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim}, but got {size}")
    if size // num_heads * num_heads != size:
        raise AssertionError(f"embed_dim {size} not divisible by num_heads {num_heads}")
    if separate:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}")
        for name, w in zip("qkv", weights, strict=True):
            if w is None:
                raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
    else:
        if key.shape != value.shape:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        if packed is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")


def _heads(x: Any, batch_heads: int, head_dim: int) -> Any:
    return x.reshape(x.shape[0], batch_heads, head_dim).transpose(0, 1)


def _static(given: Any, name: str, batch_heads: int, head_dim: int) -> Any:
    for dim, expected in ((0, batch_heads), (2, head_dim)):
        if given.size(dim) != expected:
            raise AssertionError(f"expecting {name}.size({dim}) of {expected}, but got {given.size(dim)}")
    return given


def multi_head_attention_forward(
        query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int, in_proj_weight: Any, in_proj_bias: Any,
        bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float, out_proj_weight: Any, out_proj_bias: Any,
        training: bool = True, key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None,
        use_separate_proj_weight: bool = False, q_proj_weight: Any = None, k_proj_weight: Any = None, v_proj_weight: Any = None,
        static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True, is_causal: bool = False) -> tuple[Any, Any]:
    """Multi-head attention (Vaswani et al., 2017) over (length, batch, features) or (length, features): (output, weights)."""
    batched = _mha_shape_check(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        shared_kv, shared_qk = key is value, query is key
        query = query.unsqueeze(1)
        key = query if shared_qk else key.unsqueeze(1)
        value = key if shared_kv else value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    rows, batch, size = query.shape
    cols = key.shape[0]
    key_padding_mask = _canonical_mask(key_padding_mask, "key_padding_mask", _none_or_dtype(attn_mask), "attn_mask", query.dtype)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
                           "`generate_square_subsequent_mask` to create this mask.")
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = _canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, check_other=False)
        is_causal = is_causal and key_padding_mask is None
    _check_mha(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight, in_proj_weight,
               (q_proj_weight, k_proj_weight, v_proj_weight))
    if use_separate_proj_weight:
        biases = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
        q, k, v = _in_projection(query, key, value, q_proj_weight, k_proj_weight, v_proj_weight, *biases)
    else:
        q, k, v = _in_projection_packed(query, key, value, in_proj_weight, in_proj_bias)
    head_dim, batch_heads = size // num_heads, batch * num_heads
    if attn_mask is not None:
        attn_mask = _check_mask_shape(attn_mask, batch_heads, rows, cols)
    if bias_k is not None and bias_v is not None:
        if static_k is not None:
            raise AssertionError("bias cannot be added to static key.")
        if static_v is not None:
            raise AssertionError("bias cannot be added to static value.")
        k = torch.cat([k, bias_k.repeat(1, batch, 1)])
        v = torch.cat([v, bias_v.repeat(1, batch, 1)])
        attn_mask, key_padding_mask = _pad_last(attn_mask), _pad_last(key_padding_mask)
    elif bias_k is not None:
        raise AssertionError("bias_k is set but bias_v is None")
    elif bias_v is not None:
        raise AssertionError("bias_v is set but bias_k is None")
    q = _heads(q, batch_heads, head_dim)
    k = _heads(k, batch_heads, head_dim) if static_k is None else _static(static_k, "static_k", batch_heads, head_dim)
    v = _heads(v, batch_heads, head_dim) if static_v is None else _static(static_v, "static_v", batch_heads, head_dim)
    if add_zero_attn:
        zeros = torch.zeros(batch_heads, 1, head_dim, dtype=k.dtype, device=k.device)
        k, v = torch.cat([k, zeros], 1), torch.cat([v, zeros], 1)
        attn_mask, key_padding_mask = _pad_last(attn_mask), _pad_last(key_padding_mask)
    cols = k.size(1)
    if key_padding_mask is not None:
        if tuple(key_padding_mask.shape) != (batch, cols):
            raise AssertionError(f"expecting key_padding_mask shape of {(batch, cols)}, but got {key_padding_mask.shape}")
        spread = key_padding_mask.reshape(batch, 1, 1, cols).expand(-1, num_heads, -1, -1).reshape(batch_heads, 1, cols)
        attn_mask = spread if attn_mask is None else attn_mask + spread
    dropout_p = dropout_p if training else 0.0
    weights = None
    if need_weights:
        if is_causal and attn_mask is None:
            raise AssertionError("FIXME: is_causal not implemented for need_weights")
        scores = torch.bmm(q * math.sqrt(1.0 / float(head_dim)), k.transpose(-2, -1))
        weights = torch.softmax(scores if attn_mask is None else scores + attn_mask, -1)
        if dropout_p > 0.0:
            weights = dropout(weights, dropout_p)
        mixed = torch.bmm(weights, v).transpose(0, 1).reshape(rows * batch, size)
        weights = weights.reshape(batch, num_heads, rows, cols)
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        if attn_mask is not None:
            attn_mask = attn_mask.unsqueeze(0) if attn_mask.size(0) == 1 else attn_mask.reshape(batch, num_heads, -1, cols)
        q, k, v = (x.reshape(batch, num_heads, x.size(1), head_dim) for x in (q, k, v))
        mixed = scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal)
        mixed = mixed.permute(2, 0, 1, 3).reshape(rows * batch, size)
    out = linear(mixed, out_proj_weight, out_proj_bias)
    out = out.reshape(rows, batch, out.size(1))
    return (out if batched else out.squeeze(1)), weights

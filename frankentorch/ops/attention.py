"""Scaled dot-product attention.

Enters: queries, keys, values (..., length, features), an optional mask. Leaves: the mixed values. The rule saves what torch's saves:
queries, keys, values and the weights; masked places have weight 0, so the gradient needs no mask.
"""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from .activation import _softmax
from .contract import H, matmul
from .create import iota
from .define import api, composite
from .movement import sum_to
from .pointwise import eq, where
from .record import emit
from .reduce import sum_row


def _last_sum(x: Any) -> Any:
    return emit(sum_row, (x,), ((x.ndim - 1,), True))


def _attention_vjp(g: Any, query: Any, key: Any, value: Any, mask: Any, out: Any, scale: float) -> Any:
    weights = out[1]
    gw = g[1]
    gv = None
    if g[0] is not None:
        through = matmul(g[0], H(value))
        gw = through if gw is None else gw + through
        gv = sum_to(matmul(H(weights), g[0]), value.shape)
    weighted = gw * weights
    gs = weighted - weights * _last_sum(weighted)
    gm = None if mask is None or mask.dtype is dtypes.bool_ else sum_to(gs, mask.shape)
    gs = gs * scale
    return sum_to(matmul(gs, key), query.shape), sum_to(matmul(H(gs), query), key.shape), gv, gm


def _scores(query: Any, key: Any, mask: Any, causal: bool, scale: float) -> Any:
    scores = matmul(query, H(key)) * scale
    if causal:
        rows, columns = scores.shape[-2:]
        seen = iota((columns,), 0, dtypes.int64) <= iota((rows,), 0, dtypes.int64).unsqueeze(1)
        scores = where(seen, scores, -math.inf)
    if mask is not None:
        scores = where(mask, scores, -math.inf) if mask.dtype is dtypes.bool_ else scores + mask
    return scores


def _weights(scores: Any, masked: bool) -> Any:
    """softmax along the last dimension; with a mask, zero where every score is -inf."""
    if not masked:
        return _softmax(scores, -1)
    from .reduce import amax_row

    if not scores.shape[-1]:
        return _softmax(scores, -1)
    dead = eq(emit(amax_row, (scores.detach(),), ((scores.ndim - 1,), True)), -math.inf)
    return where(dead, 0.0, _softmax(where(dead, 0.0, scores), -1))


@composite("_attention(Tensor query, Tensor key, Tensor value, Tensor? mask, bool causal, float scale) -> (Tensor, Tensor)", method=False, public=False,
           out=False, vjp=_attention_vjp)
def _attention(query: Any, key: Any, value: Any, mask: Any, causal: bool, scale: float) -> Any:
    """(mixed values, weights)"""
    weights = _weights(_scores(query, key, mask, causal, scale), mask is not None)
    return matmul(weights, value), weights


_attention.row.grad_name = "ScaledDotProductFlashAttentionForCpuBackward0"


@composite("_attention_dropout(Tensor query, Tensor key, Tensor value, Tensor? mask, float dropout_p, bool causal, float scale) -> Tensor",
           method=False, public=False, out=False)
def _attention_dropout(query: Any, key: Any, value: Any, mask: Any, dropout_p: float, causal: bool, scale: float) -> Any:
    from .rand import dropout

    return matmul(dropout(_weights(_scores(query, key, mask, causal, scale), mask is not None), dropout_p, True), value)


_attention_dropout.row.grad_name = "UnsafeViewBackward0"


@api("scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, "
     "float? scale=None, bool enable_gqa=False) -> Tensor", method=False, public=False, out=False)
def scaled_dot_product_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False, *,
                                 scale: float | None = None, enable_gqa: bool = False) -> Any:
    """softmax(query @ key.T * scale + mask) @ value; scale defaults to 1 / sqrt(features)."""
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(f"Expected query, key, and value to have the same dtype, but got query.dtype: {_cname(query)} key.dtype: {_cname(key)} and "
                           f"value.dtype: {_cname(value)} instead.")
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(f"Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {query.ndim}, key.dim: {key.ndim} and "
                           f"value.dim: {value.ndim} instead.")
    if attn_mask is not None:
        if attn_mask.dtype is not dtypes.bool_ and attn_mask.dtype is not query.dtype and attn_mask.dtype is not dtypes.float32:
            raise RuntimeError("Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
                               f"{_cname(attn_mask)} and  query.dtype: {_cname(query)} instead.")
        if is_causal and attn_mask.requires_grad:
            raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if enable_gqa:
        heads = query.shape[-3]
        if heads % key.shape[-3] or heads % value.shape[-3]:
            raise RuntimeError("Number of heads in key and value must divide the number of heads in query")
        key, value = (t if t.shape[-3] == heads else t.repeat_interleave(heads // t.shape[-3], -3) for t in (key, value))
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if dropout_p > 0.0:
        return _attention_dropout(query, key, value, attn_mask, float(dropout_p), bool(is_causal), factor)
    return _attention(query, key, value, attn_mask, bool(is_causal), factor)[0]


_CNAMES = {"float32": "float", "float64": "double", "bfloat16": "c10::BFloat16", "float16": "c10::Half", "int64": "long int", "int32": "int",
           "int16": "short int", "int8": "signed char", "uint8": "unsigned char"}


def _cname(tensor: Any) -> str:
    return _CNAMES.get(tensor.dtype.name, tensor.dtype.name)



"""torch.nn.functional: layers as functions of tensors and weights.

Enters: tensors and options, checked with torch's words. Leaves: tensors. One file a family; everything is composed of the op
table's functions, and a half-precision call rounds once, on leaving.
"""

# ruff: noqa: F401 (this file re-exports)
from __future__ import annotations

from typing import Any

from frankentorch.nn.functional._support import check_reduction as _check_reduction  # noqa: F401
from frankentorch.nn.functional.activation import (
    _get_softmax_dim,
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
)
from frankentorch.nn.functional.attention import (
    _canonical_mask,
    _in_projection,
    _in_projection_packed,
    _mha_shape_check,
    _none_or_dtype,
    multi_head_attention_forward,
    scaled_dot_product_attention,
)
from frankentorch.nn.functional.classify import (
    cross_entropy,
    ctc_loss,
    linear_cross_entropy,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
)
from frankentorch.nn.functional.distance import cosine_similarity, pairwise_distance, pdist
from frankentorch.nn.functional.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from frankentorch.nn.functional.fold import fold, unfold
from frankentorch.nn.functional.linear import (
    bilinear,
    conv1d,
    conv2d,
    conv3d,
    conv_tbc,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    linear,
)
from frankentorch.nn.functional.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from frankentorch.nn.functional.normalization import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    normalize,
    rms_norm,
)
from frankentorch.nn.functional.padding import channel_shuffle, native_channel_shuffle, pad, pixel_shuffle, pixel_unshuffle
from frankentorch.nn.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from frankentorch.nn.functional.sparse import embedding, embedding_bag, one_hot
from frankentorch.nn.functional.vision import affine_grid, grid_sample, interpolate, upsample, upsample_bilinear, upsample_nearest

_NOT_YET = ("grouped_mm", "scaled_grouped_mm", "scaled_mm")

# Functions that torch also has at its top level, for the package's `__init__` to export under the same names.
TOP_LEVEL = (
    "adaptive_avg_pool1d", "adaptive_max_pool1d", "alpha_dropout", "avg_pool1d", "batch_norm", "bilinear",
    "binary_cross_entropy_with_logits", "celu", "celu_", "channel_shuffle", "conv1d", "conv2d", "conv3d", "conv_tbc",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_similarity", "dropout", "feature_alpha_dropout",
    "group_norm", "hardshrink", "layer_norm", "native_channel_shuffle", "pairwise_distance", "pdist", "pixel_shuffle",
    "pixel_unshuffle", "prelu", "rms_norm", "rrelu", "rrelu_", "selu", "selu_", "threshold", "threshold_", "max_pool1d",
    "max_pool1d_with_indices", "max_pool2d", "max_pool3d",
)


def __getattr__(name: str) -> Any:
    if name in _NOT_YET:
        raise NotImplementedError(f"torch.nn.functional.{name} is not implemented")
    raise AttributeError(f"module 'torch.nn.functional' has no attribute '{name}'")


__all__ = [name for name, value in globals().items() if callable(value) and not name.startswith("_")]

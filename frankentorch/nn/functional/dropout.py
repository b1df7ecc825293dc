"""Dropout and its relatives: torch's argument forms and warnings over the op table's masks (`ops.rand`).

Enters: a tensor, the probability of dropping, whether training. Leaves: the masked and rescaled tensor.
"""

from __future__ import annotations

import warnings
from typing import Any

import frankentorch as torch


def _check_p(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _drop(kind: str, input: Any, p: float, training: bool, inplace: bool) -> Any:
    return getattr(torch, kind + "_" if inplace else kind)(input, p, training)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero each element with probability p and scale the rest by 1 / (1 - p)."""
    _check_p(p)
    return _drop("dropout", input, p, training, inplace)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps the mean and variance of selu's output (Klambauer et al., 2017)."""
    _check_p(p)
    return _drop("alpha_dropout", input, p, training, inplace)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """alpha_dropout of whole channels."""
    _check_p(p)
    return _drop("feature_alpha_dropout", input, p, training, inplace)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels of (N, C, L) or (C, L)."""
    _check_p(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. "
                           "Note that dropout1d exists to provide channel-wise dropout on inputs with 1 "
                           "spatial dimension, a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs).")
    if input.dim() == 3:
        return _drop("feature_dropout", input, p, training, inplace)
    return _drop("feature_dropout", input.unsqueeze(0), p, training, inplace).squeeze(0)


def _warn_rank(name: str, ndim: int) -> None:
    n = int(name[-2])
    warnings.warn(f"{name}: Received a {ndim}-D input to {name}, which is deprecated "
                  "and will result in an error in a future release. To retain the behavior "
                  f"and silence this warning, please use dropout instead. Note that {name} "
                  f"exists to provide channel-wise dropout on inputs with {n} spatial "
                  "dimensions, a channel dimension, and an optional batch dimension "
                  f"(i.e. {n + 1}D or {n + 2}D inputs).", stacklevel=3)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels of (N, C, H, W); a 3-D input is taken as (N, C, L)."""
    _check_p(p)
    if input.dim() not in (3, 4):
        _warn_rank("dropout2d", input.dim())
    elif input.dim() == 3:
        warnings.warn("dropout2d: Received a 3D input to dropout2d and assuming that channel-wise "
                      "1D dropout behavior is desired - input is interpreted as shape (N, C, L), where C "
                      "is the channel dim. This behavior will change in a future release to interpret the "
                      "input as one without a batch dimension, i.e. shape (C, H, W). To maintain the 1D "
                      "channel-wise dropout behavior, please switch to using dropout1d instead.", stacklevel=2)
    return _drop("feature_dropout", input, p, training, inplace)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    _check_p(p)
    if input.dim() not in (4, 5):
        _warn_rank("dropout3d", input.dim())
    if input.dim() == 4:
        return _drop("feature_dropout", input.unsqueeze(0), p, training, inplace).squeeze(0)
    return _drop("feature_dropout", input, p, training, inplace)

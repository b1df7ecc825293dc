"""Gradients of gradients of the layers that have a rule of their own: float64, beside torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import frankentorch as ft

RNG = np.random.default_rng(0)
LABELS, GRID = np.array([0, 2, 1, -100, 3]), np.array([[0, 2, 1], [2, -100, 0]])
WEIGHTS = np.abs(RNG.normal(size=4)) + 0.2
MASK = RNG.random((5, 6)) > 0.4
MASK[2] = False


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def chance(*shape: int) -> np.ndarray:
    return RNG.random(shape)


def weighed(lib: Any, t: Any, wave: Callable[[Any], Any], start: int = 0) -> Any:
    return (t * lib.tensor(wave(start + np.arange(t.numel(), dtype=np.float64)).reshape(tuple(t.shape)))).sum()


def orders(lib: Any, build: Callable[..., Any], arrays: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """The value, its gradients, and the gradients of those."""
    leaves = [lib.tensor(a).requires_grad_(True) for a in arrays]
    out = build(lib, lib.nn.functional, *leaves)
    first = lib.autograd.grad(weighed(lib, out, np.cos) + (out * out).sum() * 0.1, leaves, create_graph=True)
    total = sum(weighed(lib, g, np.sin, 1) for g in first)
    second = lib.autograd.grad(total, leaves, allow_unused=True)
    return [t.detach().numpy() for t in (out, *first)] + [np.zeros(a.shape) if t is None else t.detach().numpy() for t, a in zip(second, arrays, strict=True)]


CASES: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "attention": (lambda m, F, q, k, v: F.scaled_dot_product_attention(q, k, v), (normal(2, 3, 5, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 3))),
    "attention causal": (lambda m, F, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
                         (normal(2, 3, 5, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 3))),
    "attention masked": (lambda m, F, q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=m.tensor(MASK)),
                         (normal(2, 3, 5, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 3))),
    "attention biased": (lambda m, F, q, k, v, b: F.scaled_dot_product_attention(q, k, v, attn_mask=b, scale=0.3),
                         (normal(2, 3, 5, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 3), normal(5, 6))),
    "attention broadcast": (lambda m, F, q, k, v: F.scaled_dot_product_attention(q, k, v), (normal(2, 3, 5, 4), normal(3, 6, 4), normal(6, 4))),
    "prelu": (lambda m, F, x, w: F.prelu(x, w), (normal(6, 8), normal(8))),
    "gelu tanh": (lambda m, F, x: F.gelu(x, approximate="tanh"), (normal(6, 8),)),
    "unfold": (lambda m, F, x: F.unfold(x, 2), (normal(2, 3, 4, 5),)),
    "fold": (lambda m, F, x: F.fold(x, (4, 4), 2), (normal(2, 12, 9),)),
    "layer_norm": (lambda m, F, x, w, b: F.layer_norm(x, (4,), w, b), (normal(3, 4), normal(4), normal(4))),
    "batch_norm": (lambda m, F, x, w, b: F.batch_norm(x, None, None, w, b, True), (normal(5, 4, 3), normal(4), normal(4))),
    "group_norm": (lambda m, F, x, w, b: F.group_norm(x, 2, w, b), (normal(5, 4, 3), normal(4), normal(4))),
    "rms_norm": (lambda m, F, x, w: F.rms_norm(x, (4,), w), (normal(5, 4), normal(4))),
    "embedding": (lambda m, F, w: F.embedding(m.tensor([[1, 2], [1, 0]]), w, padding_idx=0), (normal(3, 4),)),
    "split whole": (lambda m, F, x: (lambda a, b, c: a * b + c * a)(*x.split(2, 1)), (normal(3, 6),)),
    "split part": (lambda m, F, x: x.split(2, 1)[1], (normal(3, 6),)),
    "chunk": (lambda m, F, x: (lambda a, b, c: a * b + c)(*x.chunk(3, 1)), (normal(3, 6),)),
    "unbind": (lambda m, F, x: (lambda a, b, c: a * b + c * a)(*x.unbind(1)), (normal(4, 3),)),
}
for _name in ("relu", "relu6", "hardtanh", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "gelu", "softplus", "logsigmoid", "hardswish", "hardshrink",
              "softshrink", "glu"):
    CASES[_name] = (lambda m, F, x, n=_name: getattr(F, n)(x), (normal(6, 8) * 3,))
for _d in (1, 2, 3):
    CASES[f"max_pool{_d}d"] = (lambda m, F, x, d=_d: getattr(F, f"max_pool{d}d")(x, 3, 2, 1), (normal(2, 3, *(8, 6, 4)[:_d]),))
    CASES[f"avg_pool{_d}d"] = (lambda m, F, x, d=_d: getattr(F, f"avg_pool{d}d")(x, 3, 2, 1, True, False), (normal(2, 3, *(8, 6, 4)[:_d]),))
for _r in ("none", "mean", "sum"):
    CASES[f"cross_entropy {_r}"] = (lambda m, F, x, r=_r: F.cross_entropy(x, m.tensor(LABELS), reduction=r), (normal(5, 4),))
    CASES[f"cross_entropy weighed {_r}"] = (lambda m, F, x, r=_r: F.cross_entropy(x, m.tensor(LABELS), m.tensor(WEIGHTS), reduction=r), (normal(5, 4),))
    CASES[f"cross_entropy planes {_r}"] = (lambda m, F, x, r=_r: F.cross_entropy(x, m.tensor(GRID), reduction=r), (normal(2, 4, 3),))
    CASES[f"cross_entropy smooth {_r}"] = (
        lambda m, F, x, r=_r: F.cross_entropy(x, m.tensor(LABELS), m.tensor(WEIGHTS), reduction=r, label_smoothing=0.2), (normal(5, 4),))
    CASES[f"cross_entropy soft {_r}"] = (lambda m, F, x, t, r=_r: F.cross_entropy(x, t, reduction=r), (normal(5, 4), chance(5, 4)))
    CASES[f"nll_loss {_r}"] = (lambda m, F, x, r=_r: F.nll_loss(m.log_softmax(x, 1), m.tensor(LABELS), m.tensor(WEIGHTS), reduction=r), (normal(5, 4),))
    CASES[f"mse_loss {_r}"] = (lambda m, F, x, t, r=_r: F.mse_loss(x, t, reduction=r), (normal(5, 4), normal(5, 4)))
    CASES[f"smooth_l1_loss {_r}"] = (lambda m, F, x, t, r=_r: F.smooth_l1_loss(x, t, reduction=r, beta=0.7), (normal(5, 4), normal(5, 4)))
    CASES[f"huber_loss {_r}"] = (lambda m, F, x, t, r=_r: F.huber_loss(x, t, reduction=r, delta=0.7), (normal(5, 4), normal(5, 4)))
    CASES[f"bce {_r}"] = (lambda m, F, x, r=_r: F.binary_cross_entropy(m.sigmoid(x), m.sigmoid(x * 0.5).detach(), m.tensor(WEIGHTS), reduction=r),
                          (normal(5, 4),))
    CASES[f"bce logits {_r}"] = (lambda m, F, x, t, r=_r: F.binary_cross_entropy_with_logits(x, t, reduction=r), (normal(5, 4), chance(5, 4)))
    CASES[f"bce logits weighed {_r}"] = (
        lambda m, F, x, t, r=_r: F.binary_cross_entropy_with_logits(x, t, m.tensor(WEIGHTS), pos_weight=m.tensor(WEIGHTS + 1), reduction=r),
        (normal(5, 4), chance(5, 4)))
    CASES[f"soft_margin_loss {_r}"] = (lambda m, F, x, r=_r: F.soft_margin_loss(x, m.sign(x.detach() + 0.3), reduction=r), (normal(5, 4),))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_second_order(name: str) -> None:
    build, arrays = CASES[name]
    for i, (got, want) in enumerate(zip(orders(ft, build, arrays), orders(torch, build, arrays), strict=True)):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7, err_msg=f"{name}, part {i}")

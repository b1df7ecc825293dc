"""Losses and distances: against torch, values, gradients, errors and warnings."""

from __future__ import annotations

import numpy as np
import pytest
from nn_oracle import check, integers, normal, uniform

REDUCTIONS = ["none", "mean", "sum"]
X, Y = normal(4, 5), normal(4, 5, seed=1)
P = uniform(4, 5, low=0.02, high=0.98, seed=2)
SIGN = np.where(integers(4, high=2, seed=5) == 0, -1.0, 1.0).astype(np.float32)
SIGN2 = np.where(integers(4, 5, high=2, seed=5) == 0, -1.0, 1.0).astype(np.float32)

PAIRS = {
    "l1_loss": (X, Y, {}), "mse_loss": (X, Y, {}), "smooth_l1_loss": (X, Y, {"beta": 0.7}), "huber_loss": (X, Y, {"delta": 0.6}),
    "binary_cross_entropy": (P, uniform(4, 5), {}), "binary_cross_entropy_with_logits": (X * 5, P, {}),
    "kl_div": (np.log(P), uniform(4, 5), {}), "soft_margin_loss": (X, SIGN2.astype(np.int64), {}), "hinge_embedding_loss": (X, SIGN2, {"margin": 0.5}),
    "poisson_nll_loss": (X, np.abs(Y) * 3, {"full": True}), "multilabel_soft_margin_loss": (X, np.round(P), {}),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "median"])
def test_pair_loss(name: str, reduction: str) -> None:
    x, y, kw = PAIRS[name]
    check(lambda m, a, b: getattr(m.nn.functional, name)(a, b, reduction=reduction, **kw), x, y, tol=2e-5,
          message=reduction != "median")


@pytest.mark.parametrize("name", [n for n in PAIRS if n != "huber_loss"])
def test_legacy_reduction_warns(name: str) -> None:
    x, y, _ = PAIRS[name]
    for kw in ({"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True}):
        check(lambda m, a, b, kw=kw: getattr(m.nn.functional, name)(a, b, **kw), x, y, tol=2e-5, warned=True)


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "huber_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weighted(name: str, reduction: str) -> None:
    check(lambda m, a, b, w: getattr(m.nn.functional, name)(a, b, reduction=reduction, weight=w), X, Y, P)
    check(lambda m, a, b, w: getattr(m.nn.functional, name)(a, b, reduction=reduction, weight=w[0]), X, Y, P)


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"])
def test_size_mismatch_warns(name: str) -> None:
    check(lambda m, a, b: getattr(m.nn.functional, name)(a, b[0]), X, Y, warned=True)
    check(lambda m, a, b: getattr(m.nn.functional, name)(a, b[:, :3]), X, Y, message=False)


def test_smooth_and_huber_edges() -> None:
    check(lambda m, a, b: m.nn.functional.smooth_l1_loss(a, b, beta=0.0), X, Y)
    check(lambda m, a, b: m.nn.functional.smooth_l1_loss(a, b, beta=-1.0), X, Y)
    check(lambda m, a, b: m.nn.functional.huber_loss(a, b, delta=0.0), X, Y)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_bce_weights_edges(reduction: str) -> None:
    edges, hard = np.array([0.0, 1.0, 0.0, 1.0, 0.5], np.float32), np.array([0.0, 1.0, 1.0, 0.0, 0.3], np.float32)
    check(lambda m, a, b: m.nn.functional.binary_cross_entropy(a, b, reduction=reduction), edges, hard)
    check(lambda m, a, b, w: m.nn.functional.binary_cross_entropy(a, b, w.detach(), reduction=reduction), P, uniform(4, 5), uniform(5))
    check(lambda m, a, b: m.nn.functional.binary_cross_entropy(a * 3, b), P, P)
    check(lambda m, a, b: m.nn.functional.binary_cross_entropy(a, b[0]), P, P)
    check(lambda m, a, b: m.nn.functional.binary_cross_entropy_with_logits(a, b[0]), P, P)
    check(lambda m, a, b, w, p: m.nn.functional.binary_cross_entropy_with_logits(a, b, w.detach(), reduction=reduction, pos_weight=p.detach()),
          X * 30, P, uniform(4, 5), uniform(5), tol=5e-5)


def test_weight_has_no_gradient() -> None:
    check(lambda m, a, b, w: m.nn.functional.binary_cross_entropy(a, b, w), P, P, uniform(5))
    check(lambda m, a, b, w: m.nn.functional.binary_cross_entropy_with_logits(a, b, w), X, P, uniform(5))
    check(lambda m, a, b, w: m.nn.functional.soft_margin_loss(a, b), X, SIGN2, P)


def test_kl_batchmean_and_log_target() -> None:
    check(lambda m, a, b: m.nn.functional.kl_div(a, b, reduction="batchmean", log_target=True), np.log(P), np.log(uniform(4, 5, low=0.1)))
    check(lambda m, a, b: m.nn.functional.kl_div(a, b), np.log(P), P, warned=True)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 5), (4,), ()])
def test_gaussian_nll(reduction: str, shape: tuple) -> None:
    var = np.asarray(uniform(*shape, low=0.0, high=2.0), np.float32)
    if shape == ():
        check(lambda m, a, b: m.nn.functional.gaussian_nll_loss(a, b, 0.7, reduction=reduction), X, Y)
    else:
        check(lambda m, a, b, v: m.nn.functional.gaussian_nll_loss(a, b, v, full=True, reduction=reduction), X, Y, var, tol=5e-5)
    check(lambda m, a, b, v: m.nn.functional.gaussian_nll_loss(a, b, -v - 1), X, Y, P)
    check(lambda m, a, b, v: m.nn.functional.gaussian_nll_loss(a, b, v[:2, :2]), X, Y, P)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ranking_cosine_triplet(reduction: str) -> None:
    check(lambda m, a, b, t: m.nn.functional.margin_ranking_loss(a, b, t, 0.3, reduction=reduction), normal(4), normal(4, seed=1), SIGN)
    check(lambda m, a, b, t: m.nn.functional.cosine_embedding_loss(a, b, t, 0.1, reduction=reduction), X, Y, SIGN)
    check(lambda m, a, b: m.nn.functional.triplet_margin_loss(a, b, a * b, p=3, swap=True, reduction=reduction), X, Y, tol=2e-5)
    check(lambda m, a, b: m.nn.functional.triplet_margin_with_distance_loss(a, b, b - a, reduction=reduction), X, Y)
    check(lambda m, a, b: m.nn.functional.triplet_margin_loss(a, b, b, margin=-1.0), X, Y)
    check(lambda m, a, b: m.nn.functional.triplet_margin_loss(a, b, b[0]), X, Y)
    check(lambda m, a, b, t: m.nn.functional.cosine_embedding_loss(a[0], b, t), X, Y, SIGN)
    check(lambda m, a, b, t: m.nn.functional.margin_ranking_loss(a, b, t), X, Y, SIGN)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(6, 5), (5,), (3, 5, 4), (2, 5, 3, 2)])
def test_nll_and_cross_entropy(reduction: str, shape: tuple) -> None:
    labels = integers(*((shape[:1] + shape[2:]) if len(shape) > 1 else ()), high=5)
    labels = np.asarray(labels)
    if labels.ndim:
        labels.reshape(-1)[1] = 3
    w = uniform(5, low=0.1)
    for kw in ({}, {"ignore_index": 3}):
        check(lambda m, x, t, kw=kw: m.nn.functional.nll_loss(x, t, reduction=reduction, **kw), normal(*shape), labels)
        check(lambda m, x, t, v, kw=kw: m.nn.functional.nll_loss(x, t, v.detach(), reduction=reduction, **kw), normal(*shape), labels, w)
        for smoothing in (0.0, 0.2):
            check(lambda m, x, t, v, kw=kw, s=smoothing: m.nn.functional.cross_entropy(
                x, t, v.detach(), reduction=reduction, label_smoothing=s, **kw), normal(*shape), labels, w)
            check(lambda m, x, t, kw=kw, s=smoothing: m.nn.functional.cross_entropy(x, t, reduction=reduction, label_smoothing=s, **kw),
                  normal(*shape), labels)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(6, 5), (5,), (3, 5, 4)])
def test_soft_cross_entropy(reduction: str, shape: tuple) -> None:
    for smoothing in (0.0, 0.2):
        check(lambda m, x, t, v, s=smoothing: m.nn.functional.cross_entropy(x, t, v.detach(), reduction=reduction, label_smoothing=s),
              normal(*shape), uniform(*shape), uniform(5))


def test_label_errors() -> None:
    check(lambda m, x, t: m.nn.functional.nll_loss(x, t), normal(4, 3), np.array([0, 1, 5, 2]))
    check(lambda m, x, t: m.nn.functional.cross_entropy(x, t), normal(4, 3), np.array([0, 1, -7, 2]))
    check(lambda m, x, t: m.nn.functional.cross_entropy(x, t), normal(4, 3), np.array([0, 1, 2]))
    check(lambda m, x, t: m.nn.functional.cross_entropy(x, t), normal(4, 3), normal(4), grad=False)
    check(lambda m, x, t: m.nn.functional.cross_entropy(x, t, label_smoothing=2.0), normal(4, 3), np.array([0, 1, 2, 2]))
    check(lambda m, x, t: m.nn.functional.cross_entropy(x, t, m.ones(4)), normal(4, 3), np.array([0, 1, 2, 2]))
    check(lambda m, x, t: m.nn.functional.cross_entropy(x, t, reduction="x"), normal(4, 3), np.array([0, 1, 2, 2]))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margins(reduction: str) -> None:
    t = integers(6, high=5)
    for p in (1, 2):
        check(lambda m, x, y, w, p=p: m.nn.functional.multi_margin_loss(x, y, p, 0.8, w.detach(), reduction=reduction), normal(6, 5), t, uniform(5))
    check(lambda m, x, y: m.nn.functional.multi_margin_loss(x, y, reduction=reduction), normal(5), np.array(2))
    check(lambda m, x, y: m.nn.functional.multi_margin_loss(x, y, p=3), normal(6, 5), t)
    labels = np.array([[3, 0, -1, 2], [1, -1, 0, 0], [-1, 1, 1, 1], [0, 1, 2, 3]])
    check(lambda m, x, y: m.nn.functional.multilabel_margin_loss(x, y, reduction=reduction), normal(4, 4), labels)
    check(lambda m, x, y: m.nn.functional.multilabel_margin_loss(x, y[0], reduction=reduction), normal(4), labels)
    check(lambda m, x, y, w: m.nn.functional.multilabel_soft_margin_loss(x, y, w, reduction=reduction), X, np.round(P), P)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_ctc(reduction: str, zero_infinity: bool) -> None:
    def run(m, x, t, concat):
        lp = m.nn.functional.log_softmax(x, 2)
        kw = {"reduction": reduction, "zero_infinity": zero_infinity}
        lengths, targets = m.tensor([7, 6, 5]), m.tensor([3, 2, 4])
        out = [m.nn.functional.ctc_loss(lp, t, lengths, targets, **kw)]
        flat = m.cat([t[0, :3], t[1, :2], t[2, :4]])
        return [*out, m.nn.functional.ctc_loss(lp, flat, (7, 6, 5), (3, 2, 4), **kw)]

    targets = np.array([[1, 1, 2, 3], [4, 2, 1, 1], [3, 4, 1, 2]])
    check(run, normal(7, 3, 5), targets, targets, tol=5e-5)


def test_ctc_impossible_and_empty() -> None:
    def run(m, x, t, zero):
        lp = m.nn.functional.log_softmax(x, 2)
        return m.nn.functional.ctc_loss(lp, t, m.tensor([4, 4]), m.tensor([4, 0]), reduction="none", zero_infinity=zero)

    targets = np.array([[1, 1, 2, 3], [4, 2, 1, 1]])
    check(lambda m, x, t: run(m, x, t, True), normal(4, 2, 5), targets, tol=5e-5)
    check(lambda m, x, t: run(m, x, t, False), normal(4, 2, 5), targets, grad=False, tol=5e-5)


def test_distances() -> None:
    check(lambda m, a, b: m.nn.functional.pairwise_distance(a, b), X, Y)
    check(lambda m, a, b: m.nn.functional.pairwise_distance(a, b, p=1.0, keepdim=True), X, Y)
    check(lambda m, a, b: m.nn.functional.cosine_similarity(a, b), X, Y)
    check(lambda m, a, b: m.nn.functional.cosine_similarity(a, b[0], dim=0, eps=10.0), X, Y)
    check(lambda m, a: m.nn.functional.pdist(a), X)
    check(lambda m, a: m.nn.functional.pdist(a, 1.0), X)
    check(lambda m, a: m.nn.functional.pdist(a), normal(3))


def test_linear_cross_entropy() -> None:
    t = integers(6, high=4)
    check(lambda m, x, w, b, y: m.nn.functional.linear_cross_entropy(x, w, y, linear_bias=b), normal(6, 3), normal(4, 3), normal(4), t)
    check(lambda m, x, w, y: m.nn.functional.linear_cross_entropy(x, w, y, reduction="sum", ignore_index=1), normal(6, 3), normal(4, 3), t)
    check(lambda m, x, w, y: m.nn.functional.linear_cross_entropy(x, w, y), normal(6, 3), normal(4, 2), t)

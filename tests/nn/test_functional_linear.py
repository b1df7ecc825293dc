"""Linear maps, convolutions, pooling, embeddings, folds, resampling and attention: against torch, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from nn_oracle import check, integers, normal, uniform

LOOSE = 5e-5


def test_linear_and_bilinear() -> None:
    check(lambda m, x, w, b: m.nn.functional.linear(x, w, b), normal(5, 3), normal(4, 3), normal(4))
    check(lambda m, x, w, b: m.nn.functional.linear(x, w, b), normal(2, 5, 3), normal(4, 3), normal(4))
    check(lambda m, x, w, b: m.nn.functional.linear(x, w, b), normal(3), normal(4, 3), normal(4))
    check(lambda m, x, w: m.nn.functional.linear(x, w), normal(2, 5, 3), normal(4, 3))
    check(lambda m, x, w: m.nn.functional.linear(x, w), normal(2, 3), normal(3))
    check(lambda m, x, w, b: m.nn.functional.linear(x, w, b), normal(2, 5), normal(4, 3), normal(4))
    check(lambda m, x, w, b: m.nn.functional.linear(x, w, b), normal(2, 2, 5), normal(4, 3), normal(4))
    check(lambda m, x, y, w, b: m.nn.functional.bilinear(x, y, w, b), normal(2, 5, 3), normal(2, 5, 4), normal(6, 3, 4), normal(6), tol=LOOSE)
    check(lambda m, x, y, w: m.nn.functional.bilinear(x, y, w), normal(5, 3), normal(5, 4), normal(6, 3, 5))


CONVS = [
    (1, (2, 4, 9), (6, 4, 3), {}), (1, (2, 4, 9), (6, 2, 3), {"groups": 2, "stride": 2, "padding": 1}),
    (1, (4, 9), (6, 4, 3), {"dilation": 2}), (2, (2, 3, 7, 8), (4, 3, 3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    (2, (3, 7, 8), (4, 3, 3, 3), {"padding": "same"}), (2, (2, 3, 7, 8), (4, 3, 2, 4), {"padding": "same", "dilation": (1, 2)}),
    (2, (2, 3, 7, 8), (4, 3, 3, 3), {"padding": "valid"}), (3, (2, 2, 4, 5, 4), (3, 2, 2, 3, 2), {"padding": 1}),
]


@pytest.mark.parametrize(("n", "x", "w", "kw"), CONVS)
def test_conv(n: int, x: tuple, w: tuple, kw: dict) -> None:
    check(lambda m, a, b, c: getattr(m.nn.functional, f"conv{n}d")(a, b, c, **kw), normal(*x), normal(*w), normal(w[0]), tol=LOOSE)
    check(lambda m, a, b: getattr(m.nn.functional, f"conv{n}d")(a, b, **kw), normal(*x), normal(*w), tol=LOOSE)


@pytest.mark.parametrize(("n", "x", "w", "kw"), [
    (1, (2, 4, 9), (4, 6, 3), {"stride": 2, "output_padding": 1}), (2, (2, 4, 5, 4), (4, 3, 3, 2), {"groups": 2, "padding": 1}),
    (2, (4, 5, 4), (4, 3, 3, 2), {"dilation": 2, "stride": (1, 2)}), (3, (1, 2, 3, 3, 3), (2, 3, 2, 2, 2), {"stride": 2}),
])
def test_conv_transpose(n: int, x: tuple, w: tuple, kw: dict) -> None:
    out = w[1] * kw.get("groups", 1)
    check(lambda m, a, b, c: getattr(m.nn.functional, f"conv_transpose{n}d")(a, b, c, **kw), normal(*x), normal(*w), normal(out), tol=LOOSE)


@pytest.mark.parametrize(("x", "w", "kw"), [
    ((2, 3, 7), (4, 3, 3, 3), {}), ((2, 4, 7, 7), (4, 3, 3, 3), {}), ((2, 3, 2, 2), (4, 3, 3, 3), {}), ((2, 4, 7, 7), (3, 2, 3, 3), {"groups": 2}),
    ((2, 3, 7, 7), (4, 3, 3, 3), {"stride": 0}), ((2, 3, 7, 7), (4, 3, 3, 3), {"padding": -1}),
    ((2, 3, 7, 7), (4, 3, 3, 3), {"padding": "same", "stride": 2}), ((3, 7), (4, 3, 3, 3), {}),
])
def test_conv_errors(x: tuple, w: tuple, kw: dict) -> None:
    check(lambda m, a, b: m.nn.functional.conv2d(a, b, **kw), normal(*x), normal(*w), grad=False)


def test_conv_tbc() -> None:
    check(lambda m, x, w, b: m.nn.functional.conv_tbc(x, w, b, 1), normal(6, 2, 3), normal(3, 3, 4), normal(4), tol=LOOSE)


POOL_KW = [{}, {"stride": 1}, {"padding": 1, "ceil_mode": True}, {"stride": 3, "ceil_mode": True}]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kw", POOL_KW)
def test_pools(n: int, kw: dict) -> None:
    x = normal(2, 3, *(7, 8, 6)[:n])
    check(lambda m, t: getattr(m.nn.functional, f"max_pool{n}d")(t, 3, **kw), x)
    check(lambda m, t: getattr(m.nn.functional, f"max_pool{n}d")(t[0], 3, return_indices=True, **kw), x)
    check(lambda m, t: getattr(m.nn.functional, f"avg_pool{n}d")(t, 3, **kw), x)
    check(lambda m, t: getattr(m.nn.functional, f"avg_pool{n}d")(t, 3, count_include_pad=False, **kw), x)
    if "padding" not in kw:
        check(lambda m, t: getattr(m.nn.functional, f"lp_pool{n}d")(t, 2, 3, **kw), np.abs(x) + 0.1, tol=LOOSE)
    check(lambda m, t: getattr(m.nn.functional, f"max_pool{n}d")(t, 2, dilation=2, **kw), x)


def test_pool_errors_and_divisor() -> None:
    check(lambda m, t: m.nn.functional.avg_pool2d(t, 2, divisor_override=3), normal(2, 3, 4, 4))
    check(lambda m, t: m.nn.functional.max_pool2d(t, 5), normal(2, 3, 4, 4))
    check(lambda m, t: m.nn.functional.max_pool2d(t, 2, padding=2), normal(2, 3, 4, 4))
    check(lambda m, t: m.nn.functional.max_pool2d(t, (2, 2, 2)), normal(2, 3, 4, 4))
    check(lambda m, t: m.nn.functional.avg_pool2d(t, 2, divisor_override=0), normal(2, 3, 4, 4))
    check(lambda m, t: m.nn.functional.avg_pool3d(t, (2, 2)), normal(3, 4, 4, 4))
    check(lambda m, t: m.nn.functional.max_pool1d(t, 2, padding=2), normal(2, 3, 4))
    check(lambda m, t: m.nn.functional.max_pool1d(t, 7), normal(2, 3, 4))
    check(lambda m, t: m.nn.functional.avg_pool1d(t, 7), normal(2, 3, 4))
    check(lambda m, t: m.nn.functional.max_pool2d(t, 2), normal(4, 4))
    check(lambda m, t: m.nn.functional.adaptive_avg_pool2d(t, 2), normal(4, 4))
    check(lambda m, t: m.nn.functional.adaptive_max_pool2d(t, 2), normal(4))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("out", [1, 2, 3, 5])
def test_adaptive_pools(n: int, out: int) -> None:
    x = normal(2, 3, *(7, 6, 5)[:n])
    check(lambda m, t: getattr(m.nn.functional, f"adaptive_avg_pool{n}d")(t, out), x)
    check(lambda m, t: getattr(m.nn.functional, f"adaptive_max_pool{n}d")(t, out, return_indices=True), x)
    check(lambda m, t: getattr(m.nn.functional, f"adaptive_max_pool{n}d")(t[1], out), x)


def test_adaptive_none() -> None:
    check(lambda m, t: m.nn.functional.adaptive_avg_pool2d(t, (None, 2)), normal(2, 3, 5, 6))


@pytest.mark.parametrize("n", [2, 3])
def test_fractional_pool_draws_as_torch(n: int) -> None:
    x = normal(2, 3, *(9, 8, 7)[:n])
    check(lambda m, t: getattr(m.nn.functional, f"fractional_max_pool{n}d")(t, 2, output_size=4, return_indices=True), x)
    check(lambda m, t: getattr(m.nn.functional, f"fractional_max_pool{n}d")(t, 2, output_ratio=0.6), x)
    check(lambda m, t: getattr(m.nn.functional, f"fractional_max_pool{n}d")(t, 2, output_ratio=(0.6, 0.5, 0.7)[:n]), x)
    check(lambda m, t: getattr(m.nn.functional, f"fractional_max_pool{n}d")(t, 2), x)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_unpool(n: int) -> None:
    def run(m, t):
        f = m.nn.functional
        out, index = getattr(f, f"max_pool{n}d")(t, 2, 2, return_indices=True)
        unpool = getattr(f, f"max_unpool{n}d")
        return unpool(out, index, 2, 2), unpool(out, index, 2, 2, output_size=[9, 7, 5][:n])

    check(run, normal(2, 3, *(8, 6, 4)[:n]))
    check(lambda m, t: m.nn.functional.max_unpool2d(t, m.full((1, 1, 1, 1), 90), 2), normal(1, 1, 1, 1))
    check(lambda m, t: m.nn.functional.max_unpool2d(t, m.zeros(2, 3, 2, 2, dtype=m.int64), 2, output_size=(9, 9)), normal(2, 3, 2, 2))


def test_embedding() -> None:
    index, table = integers(3, 4, high=6), normal(6, 5)
    check(lambda m, i, w: m.nn.functional.embedding(i, w), index, table)
    check(lambda m, i, w: m.nn.functional.embedding(i, w, padding_idx=2), index, table)
    check(lambda m, i, w: m.nn.functional.embedding(i, w, padding_idx=-1, scale_grad_by_freq=True), index, table)
    check(lambda m, i, w: (m.nn.functional.embedding(i, w, max_norm=1.5), w), index, table, grad=False)
    check(lambda m, i, w: m.nn.functional.embedding(i, w, padding_idx=9), index, table)
    check(lambda m, i, w: m.nn.functional.embedding(i + 3, w), index, table)
    check(lambda m, i, w: m.nn.functional.embedding(i - 3, w), index, table)
    check(lambda m, i, w: m.nn.functional.embedding(i.to(m.int32), w), index, table)
    check(lambda m, i, w: m.nn.functional.embedding(i.to(m.float32), w), index, table, message=False)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode: str) -> None:
    table = normal(6, 5)
    check(lambda m, i, w: m.nn.functional.embedding_bag(i, w, mode=mode), integers(3, 4, high=6), table)
    flat, offsets = integers(10, high=6), np.array([0, 3, 3, 7])
    check(lambda m, i, w, o: m.nn.functional.embedding_bag(i, w, o, mode=mode), flat, table, offsets)
    check(lambda m, i, w, o: m.nn.functional.embedding_bag(i, w, o, mode=mode, padding_idx=1), flat, table, offsets)
    check(lambda m, i, w, o: m.nn.functional.embedding_bag(i, w, o, mode=mode, include_last_offset=True), flat, table, np.array([0, 3, 10]))
    check(lambda m, i, w, o, p: m.nn.functional.embedding_bag(i, w, o, mode=mode, per_sample_weights=p), flat, table, offsets, uniform(10))
    check(lambda m, i, w: m.nn.functional.embedding_bag(i, w, mode=mode), flat, table)


def test_one_hot() -> None:
    check(lambda m, i: m.nn.functional.one_hot(i), integers(3, 4, high=6))
    check(lambda m, i: m.nn.functional.one_hot(i, 9), integers(5, high=6))
    check(lambda m, i: m.nn.functional.one_hot(i, 2), integers(5, high=6))
    check(lambda m, i: m.nn.functional.one_hot(i), integers(5, low=-3, high=-1))


@pytest.mark.parametrize("kw", [{}, {"stride": 2, "padding": 1}, {"dilation": 2}, {"padding": (0, 1), "stride": (1, 2)}])
def test_unfold_and_fold(kw: dict) -> None:
    check(lambda m, x: m.nn.functional.unfold(x, (2, 3), **kw), normal(2, 3, 6, 7))

    def both(m, x):
        return m.nn.functional.fold(m.nn.functional.unfold(x, (2, 3), **kw), (6, 7), (2, 3), **kw)

    check(both, normal(2, 3, 6, 7))
    check(both, normal(3, 6, 7))


def test_fold_errors() -> None:
    check(lambda m, x: m.nn.functional.fold(x, (6, 7), (2, 3)), normal(2, 12, 7))
    check(lambda m, x: m.nn.functional.fold(x, (6, 7), (2, 3)), normal(2, 11, 25))
    check(lambda m, x: m.nn.functional.unfold(x, 9), normal(2, 3, 6, 7))


MODES = [("nearest", 1), ("nearest", 2), ("nearest", 3), ("nearest-exact", 2), ("linear", 1), ("bilinear", 2), ("trilinear", 3),
         ("bicubic", 2), ("area", 2), ("area", 1)]
SIZES = [{"size": 3}, {"size": 11}, {"scale_factor": 1.7}, {"scale_factor": 0.6}, {"scale_factor": 2}, {"scale_factor": 1.7, "recompute_scale_factor": True}]


@pytest.mark.parametrize(("mode", "n"), MODES)
@pytest.mark.parametrize("kw", SIZES)
def test_interpolate(mode: str, n: int, kw: dict) -> None:
    x = normal(2, 2, *(7, 6, 5)[:n])
    for align in (None, True) if mode in ("linear", "bilinear", "trilinear", "bicubic") else (None,):
        check(lambda m, t, a=align: m.nn.functional.interpolate(t, mode=mode, align_corners=a, **kw), x, tol=LOOSE)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("kw", [{"size": (3, 11)}, {"scale_factor": 0.45}, {"scale_factor": 1.5}])
def test_interpolate_antialias(mode: str, kw: dict) -> None:
    check(lambda m, t: m.nn.functional.interpolate(t, mode=mode, antialias=True, **kw), normal(2, 2, 9, 8), tol=LOOSE)


@pytest.mark.parametrize("kw", [
    {}, {"size": 3, "scale_factor": 2}, {"size": (3, 4, 5)}, {"size": 3, "mode": "bilinear"}, {"size": 3, "mode": "area", "align_corners": True},
    {"size": 3, "mode": "zoom"}, {"size": 3, "antialias": True}, {"size": 0},
])
def test_interpolate_errors(kw: dict) -> None:
    check(lambda m, t: m.nn.functional.interpolate(t, **kw), normal(2, 2, 7))


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [False, True])
def test_grid_sample(mode: str, padding: str, align: bool) -> None:
    kw = {"mode": mode, "padding_mode": padding, "align_corners": align}
    check(lambda m, x, g: m.nn.functional.grid_sample(x, g, **kw), normal(2, 3, 5, 6), normal(2, 4, 3, 2, seed=3), tol=2e-4)
    if mode != "bicubic":
        check(lambda m, x, g: m.nn.functional.grid_sample(x, g, **kw), normal(1, 2, 3, 4, 5), normal(1, 2, 3, 2, 3, seed=3), tol=2e-4)


@pytest.mark.parametrize("align", [False, True, None])
def test_affine_grid(align: bool | None) -> None:
    check(lambda m, t: m.nn.functional.affine_grid(t, (2, 3, 4, 5), align), normal(2, 2, 3))
    check(lambda m, t: m.nn.functional.affine_grid(t, (1, 3, 2, 4, 5), align), normal(1, 3, 4))
    check(lambda m, t: m.nn.functional.affine_grid(t, (1, 3, 4, 5), align), normal(1, 3, 4), message=False)


@pytest.mark.parametrize("kw", [{}, {"is_causal": True}, {"scale": 0.3}])
def test_attention(kw: dict) -> None:
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 6, 4, seed=1), normal(2, 3, 6, 7, seed=2)
    check(lambda m, a, b, c: m.nn.functional.scaled_dot_product_attention(a, b, c, **kw), q, k, v, tol=LOOSE)


def test_attention_masks_and_groups() -> None:
    q, k, v = normal(2, 4, 5, 4), normal(2, 4, 6, 4, seed=1), normal(2, 4, 6, 4, seed=2)
    mask = normal(5, 6)
    check(lambda m, a, b, c, d: m.nn.functional.scaled_dot_product_attention(a, b, c, d.detach()), q, k, v, mask, tol=LOOSE)
    keep = mask > 0
    keep[2] = False
    check(lambda m, a, b, c, d: m.nn.functional.scaled_dot_product_attention(a, b, c, d), q, k, v, keep, tol=LOOSE)
    check(lambda m, a, b, c: m.nn.functional.scaled_dot_product_attention(a, b, c, enable_gqa=True), q, k[:, :2].copy(), v[:, :2].copy(), tol=LOOSE)
    for grad in (False, True):
        check(lambda m, a, b, c, d: m.nn.functional.scaled_dot_product_attention(a, b, c, d, is_causal=True), q, k, v, mask, grad=grad, tol=LOOSE)
    check(lambda m, a, b, c: m.nn.functional.scaled_dot_product_attention(a, b.double(), c), q, k, v, grad=False)
